"""Gradient-domain blending (Perez, Gangnet, Blake 2003): the edit keeps its gradients and takes its
level from the source around the mask.

With the edit's gradients as guidance, the blend is the edit plus a membrane: the harmonic function
that equals ``source - edit`` on the pixels around the mask. Only the membrane is solved for. Pixels
beyond the image's border are not neighbours (the natural boundary condition), so nothing wraps
around.

scipy's sparse LU is exact, but at 1024 x 1024 pixels it took 1.6 GiB against 0.7 GiB here, and
twice the time (``benchmarks/poisson.py``).
"""

import torch
import torch.nn.functional as F

Grid = tuple[torch.Tensor, torch.Tensor]
"""(free cells, their degree), [H, W] each."""


def poisson_blend(
    edited: torch.Tensor, source: torch.Tensor, inside: torch.Tensor, tolerance: float = 1e-4
) -> torch.Tensor:
    """Gradient-domain blend of ``edited`` where ``inside`` is true; ``source`` bit for bit where it
    is false.

    Args:
        edited, source: images [N, C, H, W].
        inside: boolean [N, H, W]. Where it is true everywhere there is no source to take the level
            from, and the edit is returned.
        tolerance: error of the result, relative to the largest step between source and edit.

    Returns:
        [N, C, H, W] in the source's dtype and on its device; not clamped.
    """
    results = [_blend_one(*item, tolerance) for item in zip(edited, source, inside, strict=True)]
    return torch.stack(results)


def membrane(level: torch.Tensor, inside: torch.Tensor, tolerance: float = 1e-4) -> torch.Tensor:
    """The harmonic continuation of ``level`` [C, H, W], given where ``inside`` [H, W] is false,
    into the area where it is true; 0 there if it is true everywhere.

    Conjugate gradients, preconditioned by a multigrid V-cycle, so the number of iterations hardly
    grows with the image. ``tolerance`` bounds the V-cycle's estimate of the error, relative to
    the largest value of ``level`` outside.
    """
    free = inside.to(level.dtype)
    known = level * (1 - free)
    if bool(inside.all()):
        return torch.zeros_like(level)
    grids = _grids(free)
    limit = tolerance * max(float(known.abs().amax()), 1e-30)
    return known + _conjugate_gradients(grids, free * _neighbours(known), limit)


def _blend_one(edited: torch.Tensor, source: torch.Tensor, inside: torch.Tensor, tolerance: float) -> torch.Tensor:
    if not bool(inside.any()):
        return source.clone()
    top, bottom, left, right = _box(inside)
    window = (slice(top, bottom), slice(left, right))
    free = inside[window].cpu()
    new, old = (picture[(slice(None), *window)].detach().cpu().double() for picture in (edited, source))
    blended = torch.where(free, new + membrane(old - new, free, tolerance), old)
    result = source.clone()
    result[(slice(None), *window)] = torch.where(
        free.to(source.device), blended.to(source), source[(slice(None), *window)]
    )
    return result


def _box(inside: torch.Tensor) -> tuple[int, int, int, int]:
    """The mask's bounding box, one pixel larger on each side within the image."""
    rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
    height, width = inside.shape
    return (
        max(0, int(rows[0]) - 1),
        min(height, int(rows[-1]) + 2),
        max(0, int(columns[0]) - 1),
        min(width, int(columns[-1]) + 2),
    )


def _neighbours(field: torch.Tensor) -> torch.Tensor:
    """Sum of the up to four neighbours within the image, [C, H, W]."""
    total = torch.zeros_like(field)
    total[..., 1:, :] += field[..., :-1, :]
    total[..., :-1, :] += field[..., 1:, :]
    total[..., :, 1:] += field[..., :, :-1]
    total[..., :, :-1] += field[..., :, 1:]
    return total


def _grids(free: torch.Tensor) -> list[Grid]:
    """(free cells, their degree) from fine to coarse, [H, W] each. A coarse cell is free if all of
    its pixels are.
    """
    grids = []
    while True:
        grids.append((free, _neighbours(torch.ones_like(free)[None])[0].clamp_min(1)))
        height, width = free.shape
        if min(height, width) < 4 or not bool(free.any()):
            return grids
        padded = F.pad(free[None, None], (0, width % 2, 0, height % 2), mode="replicate")
        free = -F.max_pool2d(-padded, 2)[0, 0]


def _apply(grid: Grid, field: torch.Tensor) -> torch.Tensor:
    free, degree = grid
    return free * (degree * field - _neighbours(field))


def _v_cycle(grids: list[Grid], residual: torch.Tensor, depth: int = 0, sweeps: int = 2) -> torch.Tensor:
    """An estimate of the error behind a residual [C, H, W]; symmetric, as conjugate gradients
    require, with damped Jacobi before and after.
    """
    free, degree = grids[depth]
    damped = 0.8 * free / degree
    if depth + 1 == len(grids):
        sweeps *= 4
    error = damped * residual
    for _ in range(sweeps - 1):
        error = error + damped * (residual - _apply(grids[depth], error))
    if depth + 1 < len(grids):
        height, width = free.shape
        left = F.pad(residual - _apply(grids[depth], error), (0, width % 2, 0, height % 2))
        coarse = _v_cycle(grids, F.avg_pool2d(left, 2) * 4, depth + 1)
        error = error + free * F.interpolate(coarse[None], scale_factor=2.0, mode="nearest")[0, :, :height, :width]
    for _ in range(sweeps):
        error = error + damped * (residual - _apply(grids[depth], error))
    return error


def _conjugate_gradients(grids: list[Grid], right: torch.Tensor, limit: float, iterations: int = 500) -> torch.Tensor:
    """Solve each channel [H, W] separately, until the estimated error is nowhere above
    ``limit``.
    """
    x, residual = torch.zeros_like(right), right
    estimate = _v_cycle(grids, residual)
    direction, energy = estimate, (residual * estimate).sum((-2, -1), keepdim=True)
    for _ in range(iterations):
        if float(estimate.abs().amax()) <= limit:
            break
        image = _apply(grids[0], direction)
        step = energy / (direction * image).sum((-2, -1), keepdim=True).clamp_min(1e-300)
        x, residual = x + step * direction, residual - step * image
        estimate, before = _v_cycle(grids, residual), energy
        energy = (residual * estimate).sum((-2, -1), keepdim=True)
        direction = estimate + energy / before.clamp_min(1e-300) * direction
    return x
