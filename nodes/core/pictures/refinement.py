"""Gauss-Newton refinement of a registration on one level of a pyramid.

Steps are those of :mod:`votes`, on the mean of both pictures' gradients (the symmetric form of
Benhimane and Malis 2004), with Tukey's biweight (Holland and Welsch 1977) on the residuals of pixels,
so that an edited region falls out. Pictures are [3, H, W] in 0..1; maps are as in
:mod:`phase_correlation`.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from ..masks.operations import gaussian_blur
from .colour import GAIN_PRIOR, ColourMap, fit_gain_offset, unclipped
from .phase_correlation import resized
from .votes import Votes, gather

PREBLUR = 1.0
"""Gaussian in pixels before gradients are taken."""
TUKEY = 4.685
"""Tukey's constant: 95 % efficiency on Gaussian residuals."""
LEAST_NOISE = 2 / 255
MOST_NOISE = 12 / 255
"""Larger differences are changes."""
SLACK, LEAST_SLACK = 1.0, 0.15
"""Misplacement in pixels that the weights allow for, at first and at last."""


@dataclass
class State:
    """An estimate that is being refined. ``guess`` is the map it started from: stretch and shear are
    measured from there.
    """

    matrix: torch.Tensor
    colour: ColourMap
    guess: torch.Tensor = field(default_factory=lambda: torch.eye(2, 3, dtype=torch.float64))
    uncertainty: float = float("inf")
    noise: float = 0.1


@dataclass(frozen=True)
class Level:
    """Both pictures at one size, blurred; ``counted`` [H, W] is 0 where the source must not vote."""

    source: torch.Tensor
    edited: torch.Tensor
    counted: torch.Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the source."""
        return self.source.shape[-2], self.source.shape[-1]

    def seen(self, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The edited picture on the source's grid, and the weight [H, W] of pixels that may vote."""
        seen, inside = warp(self.edited, matrix, self.size)
        return seen, inside * self.counted


def make_level(
    source: torch.Tensor, edited: torch.Tensor, counted: torch.Tensor, side: int, matrix: torch.Tensor
) -> Level:
    """Both pictures with the source's longest side at ``side`` at most, the edited one at the same
    scale where it has as many pixels.
    """
    factor = min(1.0, side / max(source.shape[-2:]))
    height, width = (max(8, round(length * factor)) for length in source.shape[-2:])
    wanted = (height / matrix[:, 1].norm().clamp(0.1, 10), width / matrix[:, 0].norm().clamp(0.1, 10))
    rows, columns = (max(8, min(own, round(float(to)))) for own, to in zip(edited.shape[-2:], wanted, strict=True))
    weight = counted if counted.shape == (height, width) else resized(counted, height, width)
    return Level(
        blurred(resized(source, height, width)), blurred(resized(edited, rows, columns)), (weight > 0.99).float()
    )


def blurred(picture: torch.Tensor) -> torch.Tensor:
    """A picture [C, H, W] smooth enough for gradients."""
    return gaussian_blur(picture, PREBLUR)


def warp(picture: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture [C, h, w] seen through a map on a grid of ``size``, bilinear, and where the grid
    lies in it [H, W].
    """
    grid = F.affine_grid(matrix.float()[None], [1, 1, *size], align_corners=False)
    inside = (grid.abs() < 1 - 2 / min(picture.shape[-2:])).all(-1)[0]
    seen = F.grid_sample(picture[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    return seen, inside


def slopes(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Central differences [C, H, W] along rows and down columns; 0 at the border."""
    along, down = torch.zeros_like(picture), torch.zeros_like(picture)
    along[..., :, 1:-1] = (picture[..., :, 2:] - picture[..., :, :-2]) / 2
    down[..., 1:-1, :] = (picture[..., 2:, :] - picture[..., :-2, :]) / 2
    return along, down


def spread(squares: torch.Tensor, valid: torch.Tensor) -> float:
    """Robust standard deviation of residuals from their mean squares over three channels."""
    kept = squares[valid > 0]
    kept = kept[:: max(1, len(kept) // 50_000)]
    return float(kept.median().sqrt() / 0.888) if len(kept) else LEAST_NOISE


def refine(level: Level, state: State, most: int, slack: float, similar: bool = False) -> None:
    """Gauss-Newton steps at one level, until the corners move by less than 1/300 of a pixel.
    ``similar``: shift, zoom and turn only.
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
    """What the cells say about the motion that is left; None where too little is seen. Renews the
    state's colours and noise.
    """
    seen, valid = level.seen(state.matrix)
    if float(valid.sum()) < 64:
        return None
    state.colour, weight, (along, down, left) = weigh(level, state, seen, valid, slack)
    return gather(along, down, left, weight, state.noise)


def weigh(
    level: Level, state: State, seen: torch.Tensor, valid: torch.Tensor, slack: float, prior: float = 1.0
) -> tuple[ColourMap, torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The colour map, Tukey's weights [H, W], and the terms of a step: slopes and residual.

    The gain is drawn to 1 by ``prior`` times the noise: as long as much is unexplained, colours must
    not explain it.

    A residual is judged against the noise and against what a misplacement by ``slack`` pixels makes
    of the gradient there.
    """
    here = slopes(level.source)
    colour = state.colour
    mapped = colour.apply(seen)
    along, down = ((own + other) / 2 for own, other in zip(here, slopes(mapped), strict=True))
    steep = (along.square() + down.square()).mean(0)
    weight = valid
    for _ in range(2):
        size = (level.source - mapped).square().mean(0)
        state.noise = min(max(LEAST_NOISE, spread(size, valid)), MOST_NOISE)
        allowed = state.noise**2 + slack**2 * steep
        weight = valid * (1 - size / (TUKEY**2 * allowed)).clamp(min=0).square()
        usable = weight * (unclipped(seen) & unclipped(level.source))
        if float(usable.sum()) > 64:
            colour = fit_gain_offset(seen, level.source, usable, max(GAIN_PRIOR, prior * state.noise**2))
            mapped = colour.apply(seen)
    return colour, weight, (along, down, level.source - mapped)


def stretched(state: State, size: tuple[int, int]) -> tuple[float, float]:
    """Stretch along the axes and shear of the map, as shares, from the guess it started from."""
    full, start = (torch.cat([one, torch.tensor([[0.0, 0.0, 1.0]]).double()]) for one in (state.matrix, state.guess))
    to_pixels = torch.tensor([size[1], size[0]]).double()
    linear = torch.linalg.solve(start, full)[:2, :2] * to_pixels[:, None] / to_pixels
    linear = linear / torch.linalg.det(linear).abs().sqrt().clamp(min=1e-3)
    return float(linear[0, 0] - linear[1, 1]) / 2, float(linear[0, 1] + linear[1, 0]) / 2


def _compose(state: State, moved: torch.Tensor, size: tuple[int, int]) -> None:
    """Put a motion on the source's grid before the map."""
    height, width = size
    half = max(size) / 2
    change = torch.eye(3, dtype=torch.float64)
    to_side = torch.tensor([2 / width, 2 / height], dtype=torch.float64)[:, None]
    change[:2] += to_side * moved * torch.tensor([width / 2 / half, height / 2 / half, 1.0], dtype=torch.float64)
    state.matrix = state.matrix @ change
