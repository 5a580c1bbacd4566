"""The change of colours between two registered pictures, from what has not changed, and how far the
places that it was measured at agree on it.
"""

import math
from dataclasses import replace

import torch

from .colour import GAIN_PRIOR, ColourMap, delta_e, fit_field, fit_gain_offset, unclipped
from .phase_correlation import resized
from .refinement import LEAST_NOISE, LEAST_SLACK, TUKEY, Level, State, spread, weigh

COLOUR_SIDE = 256
"""Longest side at which colours are compared: detail that an edit lost does not count there."""
GROUPS = 6
"""Rows and columns of blocks that are left out in turn."""
SAMPLED = 32
"""Sides at which the maps of a leave-one-out are compared."""


def fit_colours(level: Level, state: State, field: bool) -> tuple[ColourMap, float]:
    """The colour map, with a smooth field if ``field``, and three standard deviations of its gain and
    offset, as the mean Delta E over the picture.
    """
    seen, valid = level.seen(state.matrix)
    for _ in range(4):
        state.colour, weight, _ = weigh(level, state, seen, valid, LEAST_SLACK, 0.0)
    weight = weight * unclipped(seen) * unclipped(level.source)
    deviation = _deviation(seen, level.source, weight)
    colour = _with_field(seen, level.source, weight, state.colour) if field else state.colour
    return colour, deviation


def _with_field(seen: torch.Tensor, source: torch.Tensor, weight: torch.Tensor, colour: ColourMap) -> ColourMap:
    """Field and gain in turns, on what both leave within the noise."""
    for _ in range(4):
        colour = fit_field(seen, source, weight, colour)
        smooth = replace(colour, gain=torch.zeros(3), offset=torch.zeros(3)).apply(seen)
        colour = replace(fit_gain_offset(seen, source - smooth, weight), field=colour.field)
        left = (source - colour.apply(seen)).square().mean(0)
        weight = weight * (left < TUKEY**2 * max(LEAST_NOISE, spread(left, weight)) ** 2)
    return colour


def _deviation(seen: torch.Tensor, source: torch.Tensor, weight: torch.Tensor) -> float:
    """Three standard deviations of the fit by leaving out blocks (the delete-one jackknife), in mean
    Delta E.
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
    return 3 * math.sqrt(sum(one**2 for one in differences) * (count - 1) / count)
