"""EDICT: exact inversion by two coupled sequences (Wallace et al. 2023, "EDICT: Exact Diffusion
Inversion via Coupled Transformations").

Two sequences ``x`` and ``y`` are updated in turn, each by the network's prediction at the other
(eq. 14), and are then mixed, so that they do not drift apart (eq. 15). The inputs of each update
are still available after it, so every step can be inverted algebraically.

In sigma space (see :mod:`.ddim`) the paper's ``x <- a x + b eps`` is ``X += (sigma' - sigma) eps``
and the mixing is unchanged. Flow models follow the same equations with their velocity.
``predict(x, sigma) -> eps`` is called at upper levels only, never at sigma 0.

The states are float64 on a grid (:mod:`.reversible`), so the round trip is exact to the last bit in
whatever dtype the network runs, provided that it gives the same output for the same input.
"""

from collections.abc import Callable
from typing import Any

import torch

from ..masks.operations import blend
from .prediction import Callback, Predict, finite_prediction
from .reversible import away, grid_of, snap, towards

Pair = tuple[torch.Tensor, torch.Tensor]
Rescale = Callable[[float, float], float]

NAMES = ("x", "y")


def mix(pair: Pair, mixing: float, grid: float) -> Pair:
    """Mix the sequences (eq. 15): first x, then y with the new x."""
    x, y = pair
    x = towards(x, y, mixing, grid)
    return x, towards(y, x, mixing, grid)


def unmix(pair: Pair, mixing: float, grid: float) -> Pair:
    """Invert :func:`mix`: a pair on the grid that :func:`mix` maps to exactly this one."""
    x, y = pair
    y = away(y, x, mixing, grid)
    return away(x, y, mixing, grid), y


def edict_sample(
    predict: Predict,
    pair: Pair,
    sigmas: torch.Tensor,
    mixing: float = 0.93,
    rescale: Rescale | None = None,
    background: Callable[[int], Pair] | None = None,
    mask: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> Pair:
    """Denoise ``pair`` from ``sigmas[0]`` down to ``sigmas[-1]``, two predictions per step.

    Args:
        pair: both sequences, each [B, C, ...], float64.
        rescale: ``rescale(low, high)``, the factor that gives the network at ``high`` the input
            scale of ``low``, as in the papers' second half step. None for flow models.
        background: ``background(i)`` is the pair at level ``i`` that replaces the result where the
            mask is 0: the states of the inversion.
        mask: [B, 1, ...], together with ``background``.
        callback: called once per step with ``x``, ``i``, ``sigma``, ``denoised``.

    Raises:
        NotFinite: the network predicts NaN or infinite values; the message names the step and the
            sequence.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    states = [snap(state, grid) for state in pair]
    del pair
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        for moved, other in _half_steps(i):
            eps = _prediction(predict, states, other, low, high, i, rescale, callback)
            states[moved] = states[moved] + snap((low - high) * eps, grid)
            if background is not None and mask is not None:
                # Unmixed separately for each half, so that no unmixed pair occupies memory during
                # predictions.
                states[moved] = blend(states[moved], unmix(background(i + 1), mixing, grid)[moved], mask)
        states = list(mix(_pair(states), mixing, grid))
    return _pair(states)


def edict_invert(
    predict: Predict,
    pair: Pair,
    sigmas: torch.Tensor,
    mixing: float = 0.93,
    rescale: Rescale | None = None,
    callback: Callback | None = None,
    store: Callable[[Pair], Any] = lambda pair: pair,
) -> list[Any]:
    """Invert :func:`edict_sample` step by step, from ``pair`` up to ``sigmas[0]``. For an image
    ``x0`` both sequences start as ``x0``.

    Returns:
        ``store`` applied to the pair at every level, in the order of ``sigmas``: ``[0]`` is the
        noise, ``[-1]`` the given pair (on the grid).

    Raises:
        NotFinite: as :func:`edict_sample`.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    states = [snap(state, grid) for state in pair]
    trajectory = [store(_pair(states))]
    for i in reversed(range(len(levels) - 1)):
        high, low = levels[i], levels[i + 1]
        states = list(unmix(_pair(states), mixing, grid))
        for moved, other in reversed(_half_steps(i)):
            eps = _prediction(predict, states, other, low, high, i, rescale, callback)
            states[moved] = states[moved] - snap((low - high) * eps, grid)
        trajectory.append(store(_pair(states)))
    return trajectory[::-1]


def drift(pair: Pair) -> list[float]:
    """Distance between the sequences per item: the norm of their difference over the norm of ``x``,
    [B].
    """
    x, y = (state.flatten(1) for state in pair)
    apart: list[float] = ((x - y).norm(dim=1) / x.norm(dim=1).clamp_min(1e-12)).tolist()
    return apart


def _pair(states: list[torch.Tensor]) -> Pair:
    x, y = states
    return x, y


def _half_steps(i: int) -> list[tuple[int, int]]:
    """(updated sequence, sequence given to the network) of the two halves of step ``i``. The
    sequence that is updated first alternates (section 4.3), counted from the noisy end.
    """
    first = i % 2
    return [(first, 1 - first), (1 - first, first)]


def _prediction(
    predict: Predict,
    states: list[torch.Tensor],
    index: int,
    low: float,
    high: float,
    i: int,
    rescale: Rescale | None,
    callback: Callback | None,
) -> torch.Tensor:
    """The prediction at a sequence, which is still at ``high`` in a first half and already at
    ``low`` in a second half.
    """
    is_second = index == i % 2
    x = states[index] * rescale(low, high) if is_second and rescale is not None else states[index]
    return finite_prediction(predict, x, high, i, callback if is_second else None, f" for the sequence {NAMES[index]}")
