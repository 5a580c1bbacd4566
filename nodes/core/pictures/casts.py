"""The colour map between two registered images, fitted to unchanged pixels, and its uncertainty by
a jackknife over blocks.
"""

import math
from dataclasses import replace

import torch

from ..masks.operations import gaussian_blur
from .colour import GAIN_PRIOR, ColourMap, delta_e, fit_field, fit_gain_offset, unclipped
from .phase_correlation import resized
from .refinement import FINEST, LEAST_NOISE, LEAST_SLACK, TUKEY, Level, State, sharp_level, spread, warp, weigh

COLOUR_SIDE = 256
"""Longest side at which colours are compared, so that lost fine detail has no effect."""
SOFT = 1.5
"""Sigma in pixels of the Gaussian blur of both images before colours are compared."""
GROUPS = 6
"""Number of rows and columns of blocks for the jackknife."""
SAMPLED = 32
"""Maximum side at which the jackknife compares colour maps."""


def fit_colours(
    source: torch.Tensor, edited: torch.Tensor, counted: torch.Tensor, state: State, field: bool
) -> tuple[ColourMap, float]:
    """Fit the colour map, with a smooth field if ``field``. Returns it and three standard
    deviations of its gain and offset, as the mean Delta E over the image.

    Clipped pixels help to tell which pixels have changed, but do not enter the fit. Without them,
    the edit would be the majority of an image that is mostly clipped.
    """
    level, valid, clear = _soft(source, edited, counted, state.matrix)
    for _ in range(4):
        state.colour, weight, _ = weigh(level, state, level.edited, valid, LEAST_SLACK, 0.0, clear)
    weight = weight * clear
    deviation = _deviation(level.edited, level.source, weight)
    colour = _with_field(level.edited, level.source, weight, state.colour) if field else state.colour
    return colour, deviation


def _soft(
    source: torch.Tensor, edited: torch.Tensor, counted: torch.Tensor, matrix: torch.Tensor
) -> tuple[Level, torch.Tensor, torch.Tensor]:
    """Both images on the source's grid at ``COLOUR_SIDE``, blurred; the pixels that both show,
    [H, W]; and those of them to which no clipped pixel of the full size contributes, [H, W].

    The edited image is sampled at the finest level and reduced afterwards, like the source:
    interpolation reduces the contrast of the finest detail, and the fit would take this for a gain.
    """
    fine = sharp_level(source, edited, counted, FINEST, matrix)
    seen, inside = warp(fine.edited, matrix, fine.size, "bicubic")
    kept = resized(unclipped(edited).float(), *fine.edited.shape[-2:])
    kept = warp(kept[None], matrix, fine.size)[0][0] * resized(unclipped(source).float(), *fine.size)
    valid = inside * fine.counted
    height, width = fine.size
    factor = min(1.0, COLOUR_SIDE / max(height, width))
    both = torch.cat([fine.source, seen, valid[None], valid[None] * (kept > 0.99)])
    both = gaussian_blur(resized(both, max(8, round(factor * height)), max(8, round(factor * width))), SOFT)
    valid, clear = (both[6:] > 0.98).float()
    return Level(both[:3], both[3:6], valid), valid, clear


def _with_field(seen: torch.Tensor, source: torch.Tensor, weight: torch.Tensor, colour: ColourMap) -> ColourMap:
    """Fit field and gain in turn, on pixels whose residual is within the noise."""
    for _ in range(4):
        colour = fit_field(seen, source, weight, colour)
        smooth = replace(colour, gain=torch.zeros(3), offset=torch.zeros(3)).apply(seen)
        colour = replace(fit_gain_offset(seen, source - smooth, weight), field=colour.field)
        squares = (source - colour.apply(seen)).square().mean(0)
        weight = weight * (squares < TUKEY**2 * max(LEAST_NOISE, spread(squares, weight)) ** 2)
    return colour


def _deviation(seen: torch.Tensor, source: torch.Tensor, weight: torch.Tensor) -> float:
    """Three standard deviations of gain and offset by the delete-one jackknife over blocks, in mean
    Delta E; infinite with fewer than two blocks.
    """
    height, width = weight.shape
    small = resized(seen, min(height, SAMPLED), min(width, SAMPLED))
    whole = fit_gain_offset(seen, source, weight, GAIN_PRIOR).apply(small)
    rows, columns = (torch.linspace(0, length, GROUPS + 1).long().tolist() for length in (height, width))
    differences = []
    for top, bottom in zip(rows, rows[1:], strict=False):
        for left, right in zip(columns, columns[1:], strict=False):
            if not bool(weight[top:bottom, left:right].any()):
                continue
            others = weight.clone()
            others[top:bottom, left:right] = 0
            without = fit_gain_offset(seen, source, others, GAIN_PRIOR).apply(small)
            differences.append(float(delta_e(without, whole).mean()))
    count = len(differences)
    if count < 2:
        return float("inf")
    return 3 * math.sqrt(sum(difference**2 for difference in differences) * (count - 1) / count)
