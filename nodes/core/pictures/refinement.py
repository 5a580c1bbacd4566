"""Gauss-Newton refinement of a registration on one level of a pyramid.

Each step solves for the remaining motion with :mod:`votes`, from the mean of both images' gradients
(the symmetric form of Benhimane and Malis 2004). Tukey's biweight (Holland and Welsch 1977) on the
residuals of the pixels removes the influence of an edited region. Images are [3, H, W] in 0..1;
maps are as in :mod:`phase_correlation`.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from ..masks.operations import gaussian_blur
from .colour import GAIN_PRIOR, ColourMap, fit_gain_offset, unclipped
from .phase_correlation import resized
from .votes import Votes, gather

FINEST = 1024
"""Longest side of the source at the finest level, in pixels."""
PREBLUR = 1.0
"""Sigma in pixels of the Gaussian blur before gradients are computed."""
TUKEY = 4.685
"""Tukey's constant: 95 % efficiency on Gaussian residuals."""
LEAST_NOISE, MOST_NOISE = 2 / 255, 12 / 255
"""Range of the estimated noise. Differences that more noise would explain are changes."""
SLACK, LEAST_SLACK = 1.0, 0.15
"""Misplacement in pixels that the weights tolerate, in the first and in the last step."""


@dataclass
class State:
    """An estimate during refinement.

    Attributes:
        matrix: the current map.
        colour: the current colour map.
        guess: the initial map, relative to which stretch and shear are measured.
        uncertainty: three standard deviations of the last step's motion at the worst corner, in
            pixels of the level.
        noise: standard deviation of the noise of a pixel.
    """

    matrix: torch.Tensor
    colour: ColourMap
    guess: torch.Tensor = field(default_factory=lambda: torch.eye(2, 3, dtype=torch.float64))
    uncertainty: float = float("inf")
    noise: float = 0.1


@dataclass(frozen=True)
class Level:
    """Both images at the size of one level.

    Attributes:
        counted: [H, W], 1 for pixels of the source that may be used, else 0.
    """

    source: torch.Tensor
    edited: torch.Tensor
    counted: torch.Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the source."""
        return self.source.shape[-2], self.source.shape[-1]

    def seen(self, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The edited image on the source's grid, and [H, W], 1 for pixels that may be used, else
        0.
        """
        seen, inside = warp(self.edited, matrix, self.size)
        return seen, inside * self.counted


def make_level(
    source: torch.Tensor, edited: torch.Tensor, counted: torch.Tensor, side: int, matrix: torch.Tensor
) -> Level:
    """Resize and blur both images for a level.

    Args:
        side: maximum length of the source's longer side.
        matrix: the current map. The edited image is reduced to the source's scale under this map,
            and not enlarged if it has fewer pixels.
    """
    sharp = sharp_level(source, edited, counted, side, matrix)
    return Level(blurred(sharp.source), blurred(sharp.edited), sharp.counted)


def sharp_level(
    source: torch.Tensor, edited: torch.Tensor, counted: torch.Tensor, side: int, matrix: torch.Tensor
) -> Level:
    """As :func:`make_level`, without the blur."""
    factor = min(1.0, side / max(source.shape[-2:]))
    height, width = (max(8, round(length * factor)) for length in source.shape[-2:])
    wanted = (height / matrix[:, 1].norm().clamp(0.1, 10), width / matrix[:, 0].norm().clamp(0.1, 10))
    rows, columns = (
        max(8, min(length, round(float(to)))) for length, to in zip(edited.shape[-2:], wanted, strict=True)
    )
    weight = counted if counted.shape == (height, width) else resized(counted, height, width)
    return Level(resized(source, height, width), resized(edited, rows, columns), (weight > 0.99).float())


def blurred(picture: torch.Tensor) -> torch.Tensor:
    """An image [C, H, W], blurred for the computation of gradients."""
    return gaussian_blur(picture, PREBLUR)


def warp(
    picture: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int], mode: str = "bilinear"
) -> tuple[torch.Tensor, torch.Tensor]:
    """An image [C, h, w] sampled through a map on a grid of ``size``, [C, H, W], and whether each
    sample lies inside the image, [H, W] bool.
    """
    grid = F.affine_grid(matrix.float()[None], [1, 1, *size], align_corners=False)
    inside = (grid.abs() < 1 - 2 / min(picture.shape[-2:])).all(-1)[0]
    seen = F.grid_sample(picture[None], grid, mode=mode, padding_mode="border", align_corners=False)[0]
    return seen, inside


def slopes(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Central differences [C, H, W] along rows and down columns; 0 at the border."""
    along, down = torch.zeros_like(picture), torch.zeros_like(picture)
    along[..., :, 1:-1] = (picture[..., :, 2:] - picture[..., :, :-2]) / 2
    down[..., 1:-1, :] = (picture[..., 2:, :] - picture[..., :-2, :]) / 2
    return along, down


def spread(squares: torch.Tensor, valid: torch.Tensor) -> float:
    """Robust standard deviation (by the median) of residuals, from their mean squares over three
    channels [H, W], where ``valid`` [H, W] is above 0.
    """
    kept = squares[valid > 0]
    kept = kept[:: max(1, len(kept) // 50_000)]
    return float(kept.median().sqrt() / 0.888) if len(kept) else LEAST_NOISE


def refine(level: Level, state: State, most: int, slack: float, similar: bool = False) -> None:
    """Refine ``state`` at one level by Gauss-Newton steps, until the corners move by less than
    1/300 of a pixel. ``state.uncertainty`` becomes infinite if too little of the images overlaps.

    Args:
        most: maximum number of steps.
        slack: misplacement in pixels that the weights tolerate in the first step.
        similar: restrict the motion to shift, zoom and turn.
    """
    for _ in range(most):
        votes = _votes(level, state, slack)
        if votes is None:
            state.uncertainty = float("inf")
            return
        moved, state.uncertainty = votes.solve(stretched(state, level.size), similar)
        _compose(state, moved.clamp(-4, 4), level.size)
        slack = max(LEAST_SLACK, 0.75 * slack)
        if slack == LEAST_SLACK and float(moved.abs().sum(1).max()) < 1 / 300:
            return


def _votes(level: Level, state: State, slack: float) -> Votes | None:
    """The votes for the remaining motion; None if fewer than 64 pixels overlap. Updates colour map
    and noise of ``state``.
    """
    seen, valid = level.seen(state.matrix)
    if float(valid.sum()) < 64:
        return None
    state.colour, weight, (along, down, residual) = weigh(level, state, seen, valid, slack)
    return gather(along, down, residual, weight, state.noise)


def weigh(
    level: Level,
    state: State,
    seen: torch.Tensor,
    valid: torch.Tensor,
    slack: float,
    prior: float = 1.0,
    clear: torch.Tensor | None = None,
) -> tuple[ColourMap, torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Fit the colour map and the weights of the pixels. Updates ``state.noise``.

    Tukey's biweight compares a residual with its expected size: the noise, and the difference that
    a misplacement by ``slack`` pixels causes at the gradient of the pixel.

    Args:
        seen, valid: the edited image on the source's grid, as :meth:`Level.seen` returns them.
        prior: the gain is drawn towards 1 with the weight ``prior`` times the noise's variance per
            pixel, so that the colour map does not explain differences that a wrong motion causes.
        clear: [H, W], pixels at which colours are compared. By default those that are clipped in
            neither image.

    Returns:
        The colour map, the weights [H, W], and the terms of a step: slopes along rows and down
        columns, and residual, [3, H, W] each.
    """
    source_slopes = slopes(level.source)
    colour = state.colour
    mapped = colour.apply(seen)
    along, down = ((first + second) / 2 for first, second in zip(source_slopes, slopes(mapped), strict=True))
    steep = (along.square() + down.square()).mean(0)
    weight = valid
    if clear is None:
        clear = unclipped(seen) & unclipped(level.source)
    for _ in range(2):
        size = (level.source - mapped).square().mean(0)
        state.noise = min(max(LEAST_NOISE, spread(size, valid)), MOST_NOISE)
        allowed = state.noise**2 + slack**2 * steep
        weight = valid * (1 - size / (TUKEY**2 * allowed)).clamp(min=0).square()
        usable = weight * clear
        if float(usable.sum()) > 64:
            colour = fit_gain_offset(seen, level.source, usable, max(GAIN_PRIOR, prior * state.noise**2))
            mapped = colour.apply(seen)
    return colour, weight, (along, down, level.source - mapped)


def stretched(state: State, size: tuple[int, int]) -> tuple[float, float]:
    """Stretch along the axes and shear of the map relative to the initial guess, as fractions."""
    last_row = torch.tensor([[0.0, 0.0, 1.0]]).double()
    full, start = (torch.cat([matrix, last_row]) for matrix in (state.matrix, state.guess))
    to_pixels = torch.tensor([size[1], size[0]]).double()
    linear = torch.linalg.solve(start, full)[:2, :2] * to_pixels[:, None] / to_pixels
    linear = linear / torch.linalg.det(linear).abs().sqrt().clamp(min=1e-3)
    return float(linear[0, 0] - linear[1, 1]) / 2, float(linear[0, 1] + linear[1, 0]) / 2


def _compose(state: State, moved: torch.Tensor, size: tuple[int, int]) -> None:
    """Apply a motion (pixels of the level, as :meth:`Votes.solve` returns it) before the map."""
    height, width = size
    half = max(size) / 2
    change = torch.eye(3, dtype=torch.float64)
    to_side = torch.tensor([2 / width, 2 / height], dtype=torch.float64)[:, None]
    change[:2] += to_side * moved * torch.tensor([width / 2 / half, height / 2 / half, 1.0], dtype=torch.float64)
    state.matrix = state.matrix @ change
