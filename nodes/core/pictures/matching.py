"""Whether two registered images match: the agreement of their texture, compared with the agreement
that symmetry and repetition alone would give.
"""

import torch

from ..masks.operations import gaussian_blur
from .phase_correlation import SIDE, guesses_at
from .refinement import LEAST_NOISE, SLACK, Level, State, make_level, refine, warp

AGREEING = 0.6
"""Minimum correlation of two corresponding neighbourhoods that match."""
LEAST_OVERLAP = 0.2
"""Minimum fraction of the source that the edited image must cover."""
FLIPS = ((-1,), (-2,), (-2, -1))
"""Axes along which the source is flipped. The agreement with a flipped source is due to chance,
repetition or symmetry.
"""
STEPS = 12
"""Number of refinement steps for a flipped source."""


def agreement(level: Level, state: State) -> float:
    """The fraction of the source's textured neighbourhoods whose correlation with the edited image
    is above ``AGREEING``; it does not depend on colour casts and contrast.
    """
    agreeing, textured = _areas(level, state)
    return agreeing / textured if textured else 0.0


def _areas(level: Level, state: State) -> tuple[float, float]:
    """The area that agrees, and the area that is textured and visible in both images, in pixels.
    Both are 0 if the textured area or the overlap is too small for a decision.
    """
    seen, inside = warp(level.edited, state.matrix, level.size)
    grey = torch.stack([level.source.mean(0), seen.mean(0)])
    detail = grey - gaussian_blur(grey, 3.0)
    first, second, shared = gaussian_blur(torch.stack([*detail.square(), detail[0] * detail[1]]), 4.0)
    textured = (first > min(max(LEAST_NOISE, 0.7 * state.noise), 2 * LEAST_NOISE) ** 2) * (inside * level.counted)
    if float(textured.sum()) < 0.005 * textured.numel() or float(inside.float().mean()) < LEAST_OVERLAP:
        return 0.0, 0.0
    correlation = shared / (first * second).clamp(min=1e-10).sqrt()
    return float(((correlation > AGREEING) * textured).sum()), float(textured.sum())


def advantage(source: torch.Tensor, edited: torch.Tensor, counted: torch.Tensor, state: State) -> float:
    """The agreement minus the best agreement of a mirrored or rotated source at the same scale,
    both at the coarsest level. Negative if a flipped source agrees better.

    Matching images have a large advantage unless they are symmetric. Repetitive textures, such as
    tiles, agree with their mirror images as well, so their agreement alone is no evidence.

    Args:
        counted: [H, W], 1 for pixels of the source that may be used, else 0.
    """
    agreeing, textured = _areas(make_level(source, edited, counted, SIDE, state.matrix), state)
    scale = (
        float(state.matrix[:, 1].norm()) * edited.shape[-2] / source.shape[-2],
        float(state.matrix[:, 0].norm()) * edited.shape[-1] / source.shape[-1],
    )
    best = 0.0
    for axes in FLIPS:
        flipped, flipped_counted = source.flip(axes), counted.flip(axes)
        for matrix in guesses_at((flipped * flipped_counted).mean(0), edited.mean(0), [scale], 2):
            level = make_level(flipped, edited, flipped_counted, SIDE, matrix)
            other = State(matrix, state.colour, matrix)
            refine(level, other, STEPS, SLACK, similar=True)
            best = max(best, _areas(level, other)[0])
    return (agreeing - best) / textured if textured else 0.0
