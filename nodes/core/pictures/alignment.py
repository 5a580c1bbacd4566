"""Results of a registration: the edited image on the source's grid, and the region that changed.

Images are [3, H, W] in 0..1.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F

from ..masks.operations import gaussian_blur, grow_mask
from .casts import COLOUR_SIDE
from .colour import colour_error
from .phase_correlation import resized
from .refinement import FINEST, LEAST_NOISE, PREBLUR, slopes, spread, warp
from .registration import Registration

STILL = 0.05
"""Maximum motion at any corner, in pixels, for which the image is not resampled."""
BAND = 256
"""Number of rows sampled at once."""
ALLOWED = 0.5
"""Misplacement of edges in pixels that does not count as a change; encoding and sampling cause it.
"""
NEIGHBOURHOOD, CLOSING = 1.5, 3
"""Sigma of the Gaussian that averages differences, and radius of the closing of gaps, in pixels at
the size at which changes are detected.
"""


def is_still(registration: Registration, size: tuple[int, int], edited: tuple[int, int]) -> bool:
    """Whether both images have the same size (height, width) and the map moves no corner by
    ``STILL`` pixels or more.
    """
    if size != edited:
        return False
    moved = registration.matrix - torch.eye(2, 3, dtype=torch.float64)
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)], dtype=torch.float64)
    pixels = (corners @ moved.T).abs() * torch.tensor([size[1] / 2, size[0] / 2], dtype=torch.float64)
    return float(pixels.max()) < STILL


def align(
    source: torch.Tensor, edited: torch.Tensor, registration: Registration, advance: Callable[[], None] = lambda: None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The edited image on the source's grid with corrected colours, filled from the source where
    the edited image does not cover it, and the covered area [H, W] bool.

    Bicubic, in bands of rows, so that the memory needed besides the result does not depend on the
    height. ``advance`` is called after every band.
    """
    height, width = source.shape[-2:]
    result, reached = torch.empty_like(source), torch.ones(height, width, dtype=torch.bool)
    still = is_still(registration, (height, width), (edited.shape[-2], edited.shape[-1]))
    pixels = edited if still else _without_aliasing(edited, registration, (height, width))
    for top in range(0, height, BAND):
        rows = slice(top, min(height, top + BAND))
        if still:
            seen, inside = pixels[:, rows], reached[rows]
        else:
            seen, inside = _sample(pixels, registration.matrix, rows, (height, width))
        mapped = registration.colour.apply(seen, rows, height).clamp(0, 1)
        result[:, rows] = torch.where(inside, mapped, source[:, rows])
        reached[rows] = inside
        advance()
    return result, reached


def bands(height: int) -> int:
    """Number of calls of ``advance`` by :func:`align`."""
    return math.ceil(height / BAND)


def _without_aliasing(edited: torch.Tensor, registration: Registration, size: tuple[int, int]) -> torch.Tensor:
    """The edited image, reduced to the resolution of the source's grid along an axis if it has at
    least 1.25 times as many pixels.
    """
    wanted = [
        round(length / float(registration.matrix[:, axis].norm())) for length, axis in zip(size, (1, 0), strict=True)
    ]
    if all(length < 1.25 * to for length, to in zip(edited.shape[-2:], wanted, strict=True)):
        return edited
    return resized(edited, *(min(length, to) for length, to in zip(edited.shape[-2:], wanted, strict=True)))


def _sample(
    picture: torch.Tensor, matrix: torch.Tensor, rows: slice, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample ``rows`` of the source's grid from an image. Returns them and whether each pixel lies
    inside the image.
    """
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
    """The region [H, W] in which two aligned images differ, 0 or 1.

    A neighbourhood has changed if its differences are more than ``threshold`` times those expected
    from the noise and from a misplacement of edges by ``ALLOWED`` pixels. Computed at a longest
    side of at most ``FINEST`` pixels. Gaps are closed, and the region is dilated by ``grow`` pixels
    of the source.
    """
    height, width = source.shape[-2:]
    factor = min(1.0, FINEST / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    first, second = (gaussian_blur(resized(image, *size), PREBLUR) for image in (source, aligned))
    valid = resized(reached.float(), *size) > 0.99
    differs = _ratio(first, second, valid) > threshold**2
    region = grow_mask(grow_mask((differs & valid).float()[None], -1), 1)
    region = grow_mask(grow_mask(region, CLOSING), -CLOSING)
    region = (resized(region, height, width) > 0.25).float()
    return grow_mask(region, grow)[0] * reached


def _ratio(first: torch.Tensor, second: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Ratio of the squared differences to the expected ones, each averaged over a neighbourhood,
    [H, W].
    """
    squares = (first - second).square().mean(0)
    along, down = ((a.square() + b.square()) / 2 for a, b in zip(slopes(first), slopes(second), strict=True))
    steep = (along + down).mean(0)
    noise = max(LEAST_NOISE, spread(squares, valid))
    gathered = gaussian_blur(torch.stack([squares, noise**2 + ALLOWED**2 * steep]), NEIGHBOURHOOD)
    return gathered[0] / gathered[1]


def colour_errors(
    source: torch.Tensor, edited: torch.Tensor, registration: Registration, changed: torch.Tensor
) -> tuple[float | None, float | None]:
    """Median Delta E of the unchanged part of the registered image, before and after the colour
    map; None if everything has changed.
    """
    factor = min(1.0, COLOUR_SIDE / max(source.shape[-2:]))
    size = (max(8, round(source.shape[-2] * factor)), max(8, round(source.shape[-1] * factor)))
    small, kept = resized(source, *size), resized(1 - changed, *size)
    seen, inside = warp(_without_aliasing(edited, registration, size), registration.matrix, size)
    weight = (kept > 0.99).float() * inside
    before, after = (
        colour_error(image.clamp(0, 1), small, weight) for image in (seen, registration.colour.apply(seen))
    )
    return before, after
