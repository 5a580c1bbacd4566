"""Results of a registration: the edited picture on the source's grid, and the region that changed.

Pictures are [3, H, W] in 0..1.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F

from ..masks.operations import gaussian_blur, grow_mask
from .casts import COLOUR_SIDE
from .colour import colour_error
from .phase_correlation import resized
from .refinement import LEAST_NOISE, PREBLUR, slopes, spread, warp
from .registration import FINEST, Registration

STILL = 0.05
"""Maximum motion, in pixels at any corner, for which pixels are kept unchanged."""
BAND = 256
"""Number of rows sampled at once."""
ALLOWED = 0.5
"""Misplacement in pixels that counts as no change: what encoding and sampling do to edges."""
NEIGHBOURHOOD, CLOSING = 1.5, 3
"""At the size at which changes are looked for: the Gaussian over which differences are gathered,
and the gaps that are closed, in pixels.
"""


def is_still(found: Registration, size: tuple[int, int], edited: tuple[int, int]) -> bool:
    """Whether the map leaves every pixel of pictures of the same size (height, width) in place."""
    if size != edited:
        return False
    moved = found.matrix - torch.eye(2, 3, dtype=torch.float64)
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)], dtype=torch.float64)
    pixels = (corners @ moved.T).abs() * torch.tensor([size[1] / 2, size[0] / 2], dtype=torch.float64)
    return float(pixels.max()) < STILL


def align(
    source: torch.Tensor, edited: torch.Tensor, found: Registration, advance: Callable[[], None] = lambda: None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The edited picture on the source's grid in the source's colours, with the source's pixels
    where it does not reach, and where it does [H, W] bool.

    Bicubic in bands of rows, so that memory beyond the result does not grow with the picture.
    ``advance`` is called after every band.
    """
    height, width = source.shape[-2:]
    result, reached = torch.empty_like(source), torch.ones(height, width, dtype=torch.bool)
    still = is_still(found, (height, width), (edited.shape[-2], edited.shape[-1]))
    pixels = edited if still else _without_aliasing(edited, found, (height, width))
    for top in range(0, height, BAND):
        rows = slice(top, min(height, top + BAND))
        if still:
            seen, inside = pixels[:, rows], reached[rows]
        else:
            seen, inside = _sample(pixels, found.matrix, rows, (height, width))
        mapped = found.colour.apply(seen, rows, height).clamp(0, 1)
        result[:, rows] = torch.where(inside, mapped, source[:, rows])
        reached[rows] = inside
        advance()
    return result, reached


def bands(height: int) -> int:
    """Number of calls of ``advance`` by :func:`align`."""
    return math.ceil(height / BAND)


def _without_aliasing(edited: torch.Tensor, found: Registration, size: tuple[int, int]) -> torch.Tensor:
    """The edited picture, made smaller where it has clearly more pixels than the source's grid."""
    wanted = [round(length / float(found.matrix[:, axis].norm())) for length, axis in zip(size, (1, 0), strict=True)]
    if all(own < 1.25 * to for own, to in zip(edited.shape[-2:], wanted, strict=True)):
        return edited
    return resized(edited, *(min(own, to) for own, to in zip(edited.shape[-2:], wanted, strict=True)))


def _sample(
    picture: torch.Tensor, matrix: torch.Tensor, rows: slice, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of the source's grid from a picture, and which of their pixels lie in it."""
    height, width = size
    x = (2 * torch.arange(width, dtype=torch.float64) + 1) / width - 1
    y = (2 * torch.arange(rows.start, rows.stop, dtype=torch.float64)[:, None] + 1) / height - 1
    grid = torch.stack([line[0] * x + line[1] * y + line[2] for line in matrix], -1)
    half = torch.tensor([picture.shape[-1], picture.shape[-2]], dtype=torch.float64)
    inside = (grid.abs() <= 1 + 0.1 / half).all(-1)
    seen = F.grid_sample(
        picture[None], grid[None].to(picture), mode="bicubic", padding_mode="border", align_corners=False
    )
    return seen[0], inside


def changed_region(
    source: torch.Tensor, aligned: torch.Tensor, reached: torch.Tensor, threshold: float, grow: int
) -> torch.Tensor:
    """The region [H, W] in which two aligned pictures differ, 0 or 1.

    A neighbourhood has changed if its differences are ``threshold`` times those that the picture's
    noise and a misplacement of its edges by ``ALLOWED`` pixels explain. Computed at ``FINEST``
    pixels at most; gaps are closed, and the region grows by ``grow`` pixels of the source.
    """
    height, width = source.shape[-2:]
    factor = min(1.0, FINEST / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    first, second = (gaussian_blur(resized(one, *size), PREBLUR) for one in (source, aligned))
    valid = resized(reached.float(), *size) > 0.99
    differs = _ratio(first, second, valid) > threshold**2
    found = grow_mask(grow_mask((differs & valid).float()[None], -1), 1)
    found = grow_mask(grow_mask(found, CLOSING), -CLOSING)
    found = (resized(found, height, width) > 0.25).float()
    return grow_mask(found, grow)[0] * reached


def _ratio(first: torch.Tensor, second: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Squared differences over the expected ones, each averaged over a neighbourhood [H, W]."""
    squares = (first - second).square().mean(0)
    along, down = (
        (one.square() + other.square()) / 2 for one, other in zip(slopes(first), slopes(second), strict=True)
    )
    steep = (along + down).mean(0)
    noise = max(LEAST_NOISE, spread(squares, valid))
    gathered = gaussian_blur(torch.stack([squares, noise**2 + ALLOWED**2 * steep]), NEIGHBOURHOOD)
    return gathered[0] / gathered[1]


def colour_errors(
    source: torch.Tensor, edited: torch.Tensor, found: Registration, changed: torch.Tensor
) -> tuple[float | None, float | None]:
    """Median Delta E of the registered picture before and after the colour map, where it has not
    changed; None where everything has.
    """
    factor = min(1.0, COLOUR_SIDE / max(source.shape[-2:]))
    size = (max(8, round(source.shape[-2] * factor)), max(8, round(source.shape[-1] * factor)))
    small, kept = resized(source, *size), resized(1 - changed, *size)
    seen, inside = warp(_without_aliasing(edited, found, size), found.matrix, size)
    weight = (kept > 0.99).float() * inside
    before, after = (colour_error(one.clamp(0, 1), small, weight) for one in (seen, found.colour.apply(seen)))
    return before, after
