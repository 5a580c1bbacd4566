"""Arithmetic that can be undone to the last bit: float64 states on a grid.

Sums of grid points have no rounding error, and a step that was rounded to the grid is rounded the
same on the way back (the idea of Levesque and Verlet 1993, "Molecular dynamics and time
reversibility"). Plain float64 comes back to 1e-15, unless an input of the network is rounded the
other way on the way back, and then to some 1e-10. The grid is 2^-44 of the highest noise level, far
below what any network resolves.
"""

import math

import torch


def grid_of(sigmas: torch.Tensor) -> float:
    """The grid for states between these levels: a power of two, fine against the picture, coarse
    enough for 512 times the noise to be exact.
    """
    return 2.0 ** (math.ceil(math.log2(max(1.0, float(sigmas[0])))) - 44)


def snap(state: torch.Tensor, grid: float) -> torch.Tensor:
    """To the nearest point of the grid."""
    return torch.round(state / grid) * grid


def towards(state: torch.Tensor, other: torch.Tensor, share: float, grid: float) -> torch.Tensor:
    """``share * state + (1 - share) * other``, on the grid."""
    return state - snap((1 - share) * (state - other), grid)


def away(mixed: torch.Tensor, other: torch.Tensor, share: float, grid: float) -> torch.Tensor:
    """The point from which :func:`towards` comes nearest to ``mixed``; for a share up to 1 it comes
    to ``mixed`` exactly.

    A contraction of the grid reaches every point (neighbours stay neighbours or fall together), and
    division finds one that does, but for rounding of its own, for which the loop looks after it.
    For a share beyond 1 some points are reached from nowhere, and the caller has to keep what is
    missing.
    """
    state = snap(other + (mixed - other) / share, grid)
    if share <= 1:
        for _ in range(2):
            state = state + (mixed - towards(state, other, share, grid))
    return state
