"""Exact inversion of one sequence at the cost of Euler steps: the steps of the inversion are stored
as offsets (after DirectEdit, arXiv 2605.02417).

DDIM inversion steps from ``X_low`` to ``X_high`` along the prediction at ``X_low`` (see
:mod:`.ddim`); sampling steps back along the prediction at ``X_high`` and misses ``X_low``. Here
sampling takes the prediction at

    X_high - (inverted X_high - inverted X_low)

which under the inversion's own text and guidance is ``inverted X_low``: each step is the exact
reverse of the inversion's. An edit that has departed from the inversion by some amount is evaluated
at ``inverted X_low`` plus that amount; the amount grows by the difference of the two predictions,
as in FlowEdit with the inverted path in place of the noised images. States are float64 on a grid
(:mod:`.reversible`), so sums have no rounding error.
"""

from collections.abc import Callable

import torch

from ..masks.operations import blend
from .prediction import Callback, Predict, finite_prediction
from .reversible import grid_of, snap

Rescale = Callable[[float, float], float]


def offset_invert(
    predict: Predict,
    x0: torch.Tensor,
    sigmas: torch.Tensor,
    rescale: Rescale | None = None,
    callback: Callback | None = None,
    store: Callable[[torch.Tensor], torch.Tensor] = lambda state: state,
) -> list[torch.Tensor]:
    """Invert from ``x0`` [B, C, ...] at ``sigmas[-1]`` up to ``sigmas[0]``, one prediction per
    step.

    Args:
        rescale: ``rescale(low, high)``, the factor that gives the network at ``high`` the input
            scale of ``low``; None for flow models.
        store: applied to each state before it is kept.

    Returns:
        The states in the order of ``sigmas``; the last one is ``x0`` on the grid.

    Raises:
        NotFinite: the network predicts NaN or infinite values; the message names the step.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    x = snap(x0, grid)
    states = [store(x)]
    for i in reversed(range(len(levels) - 1)):
        x = x + _step(predict, x, levels, i, rescale, grid, callback)
        states.append(store(x))
    return states[::-1]


def offset_sample(
    predict: Predict,
    states: Callable[[int], torch.Tensor],
    sigmas: torch.Tensor,
    rescale: Rescale | None = None,
    mask: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Sample from the inversion's noise down to ``sigmas[-1]``; with the ``predict`` of the
    inversion this returns exactly the inverted image.

    Args:
        states: ``states(i)`` is the inversion's state at ``sigmas[i]``.
        mask: [B, 1, ...]; where it is 0 the result is the inversion's state.

    Raises:
        NotFinite: as :func:`offset_invert`.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    high = edited = states(0)
    for i in range(len(levels) - 1):
        low = states(i + 1)
        edited = edited - _step(predict, edited - (high - low), levels, i, rescale, grid, callback)
        if mask is not None:
            edited = blend(edited, low, mask)
        high = low
    return edited


def _step(
    predict: Predict,
    x: torch.Tensor,
    levels: list[float],
    i: int,
    rescale: Rescale | None,
    grid: float,
    callback: Callback | None,
) -> torch.Tensor:
    """The increment from a state ``x`` at level ``i + 1`` up to level ``i``, on the grid."""
    high, low = levels[i], levels[i + 1]
    network_input = x if rescale is None else x * rescale(low, high)
    return snap((high - low) * finite_prediction(predict, network_input, high, i, callback), grid)
