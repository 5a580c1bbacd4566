"""Whether two registered pictures show the same: the agreement of their texture, against what
symmetry and repetition alone would reach.
"""

import torch

from ..masks.operations import gaussian_blur
from .phase_correlation import SIDE, guesses_at
from .refinement import LEAST_NOISE, SLACK, Level, State, make_level, refine, warp

AGREEING = 0.6
"""Least correlation of a neighbourhood with its counterpart for the two to show the same."""
LEAST_OVERLAP = 0.2
"""Least share of the source that the edited picture must cover."""
FLIPS = ((-1,), (-2,), (-2, -1))
"""Axes along which the source is turned over: what such a picture agrees on, chance can reach."""
STEPS = 12
"""Steps that a flipped source is given."""


def agreement(level: Level, state: State) -> float:
    """The share of textured neighbourhoods of the source whose correlation with the edited picture
    is at least ``AGREEING``. Colour casts and contrast do not count.
    """
    agreeing, textured = _areas(level, state)
    return agreeing / textured if textured else 0.0


def _areas(level: Level, state: State) -> tuple[float, float]:
    """The areas in pixels that agree and that could: textured and seen in both pictures. Both are 0
    where that is too little to say anything.
    """
    seen, inside = warp(level.edited, state.matrix, level.size)
    grey = torch.stack([level.source.mean(0), seen.mean(0)])
    detail = grey - gaussian_blur(grey, 3.0)
    own, other, shared = gaussian_blur(torch.stack([*detail.square(), detail[0] * detail[1]]), 4.0)
    textured = (own > min(max(LEAST_NOISE, 0.7 * state.noise), 2 * LEAST_NOISE) ** 2) * (inside * level.counted)
    if float(textured.sum()) < 0.005 * textured.numel() or float(inside.float().mean()) < LEAST_OVERLAP:
        return 0.0, 0.0
    correlation = shared / (own * other).clamp(min=1e-10).sqrt()
    return float(((correlation > AGREEING) * textured).sum()), float(textured.sum())


def advantage(source: torch.Tensor, edited: torch.Tensor, counted: torch.Tensor, state: State) -> float:
    """How much more of the picture agrees, at the coarsest level, than of the mirrored or turned
    source at the same scale, as a share of what could. Negative where one of those agrees better.

    A pair that shows the same has a large advantage, unless the picture is symmetric. Grounds that
    repeat, such as tiles, agree with their mirror images as well, so they alone prove nothing.
    """
    own, textured = _areas(make_level(source, edited, counted, SIDE, state.matrix), state)
    scale = (
        float(state.matrix[:, 1].norm()) * edited.shape[-2] / source.shape[-2],
        float(state.matrix[:, 0].norm()) * edited.shape[-1] / source.shape[-1],
    )
    best = 0.0
    for axes in FLIPS:
        flipped, votes = source.flip(axes), counted.flip(axes)
        for matrix in guesses_at((flipped * votes).mean(0), edited.mean(0), [scale], 2):
            level = make_level(flipped, edited, votes, SIDE, matrix)
            other = State(matrix, state.colour, matrix)
            refine(level, other, STEPS, SLACK, similar=True)
            best = max(best, _areas(level, other)[0])
    return (own - best) / textured if textured else 0.0
