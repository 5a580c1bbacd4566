"""Arithmetic that can be inverted to the last bit: float64 states on a grid.

Sums of grid points have no rounding error, and a step that was rounded to the grid is rounded in
the same way when it is inverted (Levesque and Verlet 1993, "Molecular dynamics and time
reversibility"). Plain float64 returns to within 1e-15, or to about 1e-10 if an input of the network
is rounded differently during sampling. The grid spacing is 2^-44 of the highest noise level, far
below what any network resolves.
"""

import math

import torch


def grid_of(sigmas: torch.Tensor) -> float:
    """The grid spacing for states between these levels: a power of two, fine enough for the
    image, coarse enough for 512 times the noise to be exact.
    """
    return 2.0 ** (math.ceil(math.log2(max(1.0, float(sigmas[0])))) - 44)


def snap(state: torch.Tensor, grid: float) -> torch.Tensor:
    """Round to the nearest point of the grid."""
    return torch.round(state / grid) * grid


def towards(state: torch.Tensor, other: torch.Tensor, share: float, grid: float) -> torch.Tensor:
    """``share * state + (1 - share) * other``, on the grid."""
    return state - snap((1 - share) * (state - other), grid)


def away(mixed: torch.Tensor, other: torch.Tensor, share: float, grid: float) -> torch.Tensor:
    """The point that :func:`towards` maps nearest to ``mixed``; for a share up to 1 it maps exactly
    to it.

    A contraction of the grid reaches every point (neighbours stay neighbours or coincide). Division
    finds a preimage up to its own rounding error, which the loop corrects. For a share above 1 some
    points have no preimage, and the caller has to keep the remainder.
    """
    state = snap(other + (mixed - other) / share, grid)
    if share <= 1:
        for _ in range(2):
            state = state + (mixed - towards(state, other, share, grid))
    return state
