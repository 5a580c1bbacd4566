"""EDICT: exact inversion by two coupled sequences (Wallace et al. 2023, "EDICT: Exact Diffusion
Inversion via Coupled Transformations").

Two sequences ``x`` and ``y`` move in turn, each by the network's prediction at the other (eq. 14),
and are then mixed so that they stay together (eq. 15). What a step was computed from is still there
after it, so every step can be undone by algebra.

In sigma space (see :mod:`.ddim`) the paper's ``x <- a x + b eps`` is ``X += (sigma' - sigma) eps``
and the mixing is unchanged. Flow models obey the same lines with their velocity. ``predict(x,
sigma) -> eps`` is called at upper levels only, never at sigma 0.

The states are float64 on a :mod:`.reversible`, so a picture comes back to the last bit, whatever dtype
the network runs in, as long as it answers the same twice.
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
    """Draw the sequences together (eq. 15): first x, then y from the new x."""
    x, y = pair
    x = towards(x, y, mixing, grid)
    return x, towards(y, x, mixing, grid)


def unmix(pair: Pair, mixing: float, grid: float) -> Pair:
    """Undo :func:`mix`: a pair on the grid that it takes to exactly this one."""
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
    """Denoise ``pair`` from ``sigmas[0]`` down to ``sigmas[-1]``: two predictions a step.

    Args:
        pair: both sequences, each [B, C, ...], float64.
        rescale: ``rescale(low, high)`` makes the network at ``high`` see the input scale of
            ``low``; the second half step of the papers does. None for flow.
        background: with ``mask`` [B, 1, ...], the pair at level ``i`` that takes the place of the
            result where the mask is 0: an inversion's own states.
        callback: called once a step with ``x``, ``i``, ``sigma``, ``denoised``.

    Raises:
        NotFinite: the network predicts NaN or infinite values; says at which step and for which
            sequence.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    states = [snap(state, grid) for state in pair]
    del pair
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        for moved, shown in _half_steps(i):
            eps = _prediction(predict, states, shown, low, high, i, rescale, callback)
            states[moved] = states[moved] + snap((low - high) * eps, grid)
            if (
                background is not None and mask is not None
            ):  # for each half anew: nothing but the two states is held while the network runs
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
    """Undo :func:`edict_sample` step by step, from ``pair`` up to ``sigmas[0]``. For a picture
    ``x0`` both sequences start there: ``(x0, x0)``.

    Returns:
        What ``store`` made of the pair at every level, in the order of ``sigmas``: ``[0]`` is the
            noise, ``[-1]`` the pair given (on the grid).

    Raises:
        NotFinite: as :func:`edict_sample`.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    states = [snap(state, grid) for state in pair]
    trajectory = [store(_pair(states))]
    for i in reversed(range(len(levels) - 1)):
        high, low = levels[i], levels[i + 1]
        states = list(unmix(_pair(states), mixing, grid))
        for moved, shown in reversed(_half_steps(i)):
            eps = _prediction(predict, states, shown, low, high, i, rescale, callback)
            states[moved] = states[moved] - snap((low - high) * eps, grid)
        trajectory.append(store(_pair(states)))
    return trajectory[::-1]


def drift(pair: Pair) -> list[float]:
    """Per item, how far the sequences are apart: the norm of their difference over the norm of
    ``x``.
    """
    x, y = (state.flatten(1) for state in pair)
    apart: list[float] = ((x - y).norm(dim=1) / x.norm(dim=1).clamp_min(1e-12)).tolist()
    return apart


def _pair(states: list[torch.Tensor]) -> Pair:
    x, y = states
    return x, y


def _half_steps(i: int) -> list[tuple[int, int]]:
    """(moved, shown) of step ``i``'s two halves. The sequence that moves first alternates (section
    4.3), counted from the noisy end.
    """
    first = i % 2
    return [(first, 1 - first), (1 - first, first)]


def _prediction(
    predict: Predict,
    states: list[torch.Tensor],
    shown: int,
    low: float,
    high: float,
    i: int,
    rescale: Rescale | None,
    callback: Callback | None,
) -> torch.Tensor:
    """The network's answer to the sequence ``shown``, which in a first half is still at ``high``
    and in a second half already at ``low``.
    """
    is_second = shown == i % 2
    x = states[shown] * rescale(low, high) if is_second and rescale is not None else states[shown]
    return finite_prediction(predict, x, high, i, callback if is_second else None, f" for the sequence {NAMES[shown]}")
