"""Registration of an edited picture to its source: an affine map and a colour map, from what the
edit left alone.

Coarse to fine: phase correlation gives first guesses (:mod:`phase_correlation`), then Gauss-Newton
steps on a pyramid, in the symmetric form of Benhimane and Malis 2004 (the mean of both pictures'
gradients), by iteratively reweighted least squares with Tukey's biweight (Holland and Welsch 1977).
The edited region falls out as outliers. Pictures are [3, H, W] in 0..1; maps are as in
:mod:`phase_correlation`.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ..masks.operations import gaussian_blur
from .colour import GAIN_PRIOR, ColourMap, fit_field, fit_gain_offset, unclipped
from .phase_correlation import NEAR, SIDE, WIDE, guesses, resized

FINEST = 1024
"""Longest side of the source at the finest level, in pixels."""
COLOUR_SIDE = 256
"""Longest side at which colours are compared: detail that an edit lost does not count there."""
PREBLUR = 1.0
"""Gaussian in pixels before gradients are taken."""
TUKEY = 4.685
"""Tukey's constant: 95 % efficiency on Gaussian residuals."""
LEAST_NOISE = 2 / 255
MOST_NOISE = 12 / 255
"""Larger differences are changes."""
SLACK, LEAST_SLACK = 1.0, 0.15
"""Misplacement in pixels that the weights allow for, at first and at last."""
STRETCH = 0.005
"""Expected stretch and shear of one step beyond shift, zoom and turn."""
SIMILAR = torch.tensor(
    [[0, 0, 1, 0], [0, 0, 0, -1], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=torch.float64
)
"""Shift, zoom and turn in terms of the six numbers of a motion."""
STRETCHING = torch.tensor([[1, 0], [0, 1], [0, 0], [0, 1], [-1, 0], [0, 0]], dtype=torch.float64)
"""The two ways to stretch, which complete them."""
TRIED = 4
"""Guesses that are refined at the coarsest level."""
AGREEING = 0.6
"""Least correlation of a neighbourhood with its counterpart for the two to show the same."""
LEAST_OVERLAP = 0.2
"""Least share of the source that the edited picture must cover."""
LEAST_AGREEMENT = 0.3
"""Agreement below which two pictures do not match."""
SURE = 0.4
"""Agreement, less four times the noise, from which the wide grid of scales is not tried."""
LOOSE = 1e-3
"""Uncertainty, as a share of the longer side, from which a map is of no use."""


@dataclass(frozen=True)
class Registration:
    """Attributes:
    matrix: [2, 3] in float64, from the source's coordinates to the edited picture's.
    colour: from the edited picture's colours to the source's.
    agreement: the share of the textured source that shows the same as the edited picture, in 0..1.
    uncertainty: three standard deviations of the map at the worst corner, in pixels of the source.
    noise: standard deviation of what is left where nothing changed.
    """

    matrix: torch.Tensor
    colour: ColourMap
    agreement: float
    uncertainty: float
    noise: float

    def offset(self, size: tuple[int, int]) -> tuple[float, float]:
        """How far the source's centre lies from the edited picture's, right and down, in pixels of
        a source of ``size`` (height, width).
        """
        return float(self.matrix[0, 2]) * size[1] / 2, float(self.matrix[1, 2]) * size[0] / 2

    def fault(self, size: tuple[int, int]) -> str | None:
        """Why the map must not be used for a source of ``size``: "other" pictures, or too "loose";
        None if it may.
        """
        if self.agreement < LEAST_AGREEMENT:
            return "other"
        return "loose" if self.uncertainty > LOOSE * max(size) else None

    def without_colour(self) -> "Registration":
        """The same map that leaves colours alone."""
        return replace(self, colour=ColourMap.identity())

    @property
    def scale(self) -> float:
        """How much larger than the source's the edited picture's things are, beyond the sizes of the two
        pictures.
        """
        return float(torch.linalg.det(self.matrix[:, :2]).abs().sqrt())


@dataclass
class State:
    """An estimate that is being refined."""

    matrix: torch.Tensor
    colour: ColourMap
    uncertainty: float = float("inf")
    noise: float = 0.1


@dataclass(frozen=True)
class Level:
    """Both pictures at one size, blurred; ``counted`` [H, W] is 0 where the source must not vote."""

    source: torch.Tensor
    edited: torch.Tensor
    counted: torch.Tensor


def register(
    source: torch.Tensor, edited: torch.Tensor, ignored: torch.Tensor | None = None, field: bool = False
) -> Registration:
    """Register ``edited`` to ``source``, which may differ in size and aspect ratio.

    Args:
        ignored: [H, W] in 0..1 on the source, where it is known to have changed.
        field: fit a smooth field of colour as well.
    """
    counted = torch.ones(source.shape[-2:]) if ignored is None else (ignored <= 0.5).float()
    state = _first_state(source, edited, counted)
    for side in _sides(source)[1:]:
        _refine(_level(source, edited, counted, side, state.matrix), state, 12 if side < FINEST else 8, 0.5)
    _fit_colours(source, edited, counted, state, field)
    agreement = _agreement(_level(source, edited, counted, 2 * SIDE, state.matrix), state)
    shrunk = max(1.0, max(source.shape[-2:]) / FINEST)
    return Registration(state.matrix, state.colour, agreement, state.uncertainty * shrunk, state.noise)


def _sides(source: torch.Tensor) -> list[int]:
    """Longest sides of the levels, the coarsest first."""
    largest = min(FINEST, max(source.shape[-2:]))
    sides = [largest]
    while sides[0] > SIDE:
        sides.insert(0, max(SIDE, sides[0] // 2))
    return sides


def _first_state(source, edited, counted) -> State:
    """The best of the guesses, refined at the coarsest level. A wide grid of scales is tried where
    the near one gives nothing that agrees.
    """
    best, reached = State(torch.eye(2, 3, dtype=torch.float64), ColourMap.identity()), -1.0
    side = _sides(source)[0]
    for zooms in (NEAR, WIDE):
        grey = [(one * weight).mean(0) for one, weight in ((source, counted), (edited, torch.ones(())))]
        for matrix in guesses(*grey, zooms, TRIED):
            level = _level(source, edited, counted, side, matrix)
            state = State(matrix, _median_offset(level, matrix))
            _refine(level, state, 20, SLACK, similar=True)
            score = _agreement(level, state) - 4 * state.noise
            if score > reached:
                best, reached = state, score
            if reached >= 0.85:
                return best
        if reached >= SURE:
            return best
    return best


def _median_offset(level: Level, matrix: torch.Tensor) -> ColourMap:
    """The offset that most of the picture agrees on."""
    seen, inside = warp(level.edited, matrix, _size(level.source))
    valid = (inside * level.counted).flatten() > 0
    if not valid.any():
        return ColourMap.identity()
    offset = (level.source - seen).flatten(1)[:, valid].median(1).values
    return ColourMap(torch.ones(3), offset)


def _level(source, edited, counted, side: int, matrix: torch.Tensor) -> Level:
    """Both pictures with the source's longest side at ``side`` at most, the edited one at the same
    scale where it has as many pixels.
    """
    factor = min(1.0, side / max(source.shape[-2:]))
    height, width = (max(8, round(length * factor)) for length in source.shape[-2:])
    wanted = (height / matrix[:, 1].norm().clamp(0.1, 10), width / matrix[:, 0].norm().clamp(0.1, 10))
    small = tuple(max(8, min(own, round(float(to)))) for own, to in zip(edited.shape[-2:], wanted, strict=True))
    weight = counted if counted.shape == (height, width) else resized(counted, height, width)
    return Level(blurred(resized(source, height, width)), blurred(resized(edited, *small)), (weight > 0.99).float())


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


def _refine(level: Level, state: State, most: int, slack: float, similar: bool = False) -> None:
    """Gauss-Newton steps at one level, until the corners move by less than 1/300 of a pixel.
    ``similar``: shift, zoom and turn only.
    """
    for _ in range(most):
        seen, inside = warp(level.edited, state.matrix, _size(level.source))
        valid = inside * level.counted
        if float(valid.sum()) < 64:
            state.uncertainty = float("inf")
            return
        state.colour, weight, (along, down, left) = _weigh(level, state, seen, valid, slack)
        moved, state.uncertainty = _step(along, down, left, weight, state, similar)
        _compose(state, moved, _size(level.source))
        slack = max(LEAST_SLACK, 0.75 * slack)
        if slack == LEAST_SLACK and float(moved.abs().sum(1).max()) < 1 / 300:
            return


def _size(picture: torch.Tensor) -> tuple[int, int]:
    return picture.shape[-2], picture.shape[-1]


def _weigh(level: Level, state: State, seen, valid, slack: float, prior: float = 1.0):
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
    for _ in range(2):
        left = level.source - mapped
        size = left.square().mean(0)
        state.noise = min(max(LEAST_NOISE, spread(size, valid)), MOST_NOISE)
        allowed = state.noise**2 + slack**2 * steep
        weight = valid * (1 - size / (TUKEY**2 * allowed)).clamp(min=0).square()
        usable = weight * (unclipped(seen) & unclipped(level.source))
        if float(usable.sum()) > 64:
            colour = fit_gain_offset(seen, level.source, usable, max(GAIN_PRIOR, prior * state.noise**2))
            mapped = colour.apply(seen)
    return colour, weight, (along, down, level.source - mapped)


def spread(squares: torch.Tensor, valid: torch.Tensor) -> float:
    """Robust standard deviation of residuals from their mean squares over three channels."""
    kept = squares[valid > 0]
    kept = kept[:: max(1, len(kept) // 50_000)]
    return float(kept.median().sqrt() / 0.888) if len(kept) else LEAST_NOISE


def _step(along, down, left, weight, state: State, similar: bool) -> tuple[torch.Tensor, float]:
    """The motion [2, 3] in pixels over (x, y, 1), x and y in -1..1 of the longer side, and
    three standard deviations of it at the worst corner.
    """
    height, width = weight.shape
    half = max(height, width) / 2
    x = ((torch.arange(width) + 0.5 - width / 2) / half).expand(height, width)
    y = ((torch.arange(height) + 0.5 - height / 2) / half)[:, None].expand(height, width)
    basis = torch.stack([x, y, torch.ones_like(x)]).reshape(3, -1)
    tensor = [(weight * (a * b).sum(0)).reshape(-1) for a, b in ((along, along), (along, down), (down, down))]
    blocks = [((basis * entry) @ basis.T).double() for entry in tensor]
    normal = torch.cat([torch.cat([blocks[0], blocks[1]], 1), torch.cat([blocks[1], blocks[2]], 1)])
    right = torch.cat([basis @ (weight * (slope * left).sum(0)).reshape(-1) for slope in (along, down)]).double()
    correlated = 4 * torch.pi * PREBLUR**2  # pixels that share one independent value after the blur
    loose = 0.0 if similar else state.noise**2 * correlated / (STRETCH * half) ** 2
    ways = torch.cat([SIMILAR] if similar else [SIMILAR, STRETCHING], 1)
    normal = ways.T @ normal @ ways
    damping = 1e-6 * normal.diagonal().mean() + 1e-9 + loose * (torch.arange(len(normal)) >= SIMILAR.shape[1])
    inverse = ways @ torch.linalg.inv(normal + torch.diag(damping)) @ ways.T
    moved = (inverse @ right).reshape(2, 3).clamp(-4, 4)
    corner = torch.tensor([width / 2 / half, height / 2 / half, 1.0], dtype=torch.float64)
    worst = 0.0
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        at = corner * torch.tensor([*signs, 1.0], dtype=torch.float64)
        for part in (inverse[:3, :3], inverse[3:, 3:]):
            worst = max(worst, float(at @ part @ at))
    return moved, 3 * state.noise * (worst * correlated) ** 0.5


def _compose(state: State, moved: torch.Tensor, size: tuple[int, int]) -> None:
    """Put a motion on the source's grid before the map."""
    height, width = size
    half = max(size) / 2
    change = torch.eye(3, dtype=torch.float64)
    to_side = torch.tensor([2 / width, 2 / height], dtype=torch.float64)[:, None]
    change[:2] += to_side * moved * torch.tensor([width / 2 / half, height / 2 / half, 1.0], dtype=torch.float64)
    state.matrix = state.matrix @ change


def _fit_colours(source, edited, counted, state: State, field: bool) -> None:
    """Colours at a coarse size, of what has not changed."""
    level = _level(source, edited, counted, COLOUR_SIDE, state.matrix)
    seen, inside = warp(level.edited, state.matrix, _size(level.source))
    for _ in range(4):
        colour, weight, _ = _weigh(level, state, seen, inside * level.counted, LEAST_SLACK, 0.0)
        state.colour = colour
    if field:
        state.colour = _with_field(seen, level.source, weight * unclipped(seen) * unclipped(level.source), colour)


def _with_field(seen, source, weight, colour: ColourMap) -> ColourMap:
    """Field and gain in turns, on what both leave within the noise."""
    for _ in range(4):
        colour = fit_field(seen, source, weight, colour)
        smooth = replace(colour, gain=torch.zeros(3), offset=torch.zeros(3)).apply(seen)
        colour = replace(fit_gain_offset(seen, source - smooth, weight), field=colour.field)
        left = (source - colour.apply(seen)).square().mean(0)
        weight = weight * (left < TUKEY**2 * max(LEAST_NOISE, spread(left, weight)) ** 2)
    return colour


def _agreement(level: Level, state: State) -> float:
    """The share of textured neighbourhoods of the source whose correlation with the edited picture
    is at least ``AGREEING``. Colour casts and contrast do not count.
    """
    seen, inside = warp(level.edited, state.matrix, _size(level.source))
    grey = torch.stack([level.source.mean(0), seen.mean(0)])
    detail = grey - gaussian_blur(grey, 3.0)
    own, other, shared = gaussian_blur(torch.stack([*detail.square(), detail[0] * detail[1]]), 4.0)
    textured = (own > min(max(LEAST_NOISE, 0.7 * state.noise), 2 * LEAST_NOISE) ** 2) * (inside * level.counted)
    if float(textured.sum()) < 0.005 * textured.numel() or float(inside.float().mean()) < LEAST_OVERLAP:
        return 0.0
    correlation = shared / (own * other).clamp(min=1e-10).sqrt()
    return float(((correlation > AGREEING) * textured).sum() / textured.sum())
