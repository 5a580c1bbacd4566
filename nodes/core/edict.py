"""EDICT: exact inversion by two coupled sequences (Wallace et al. 2023, "EDICT: Exact Diffusion Inversion via Coupled Transformations").

Two sequences ``x`` and ``y`` move in turn, each by the network's prediction at the other (eq. 14), and are then mixed so that they stay together
(eq. 15). What a step was computed from is still there after it, so every step can be undone by algebra (same equations): no approximation, only the
rounding of the state's dtype. Keep the state in float64; the network may run in any dtype as long as it answers the same twice.

In sigma space (see :mod:`.ddim`) the papers' ``x <- a x + b eps`` is ``X += (sigma' - sigma) eps`` and the mixing is unchanged. Flow models obey the same
lines with their velocity. ``predict(x, sigma) -> eps`` is called at upper levels only, never at sigma 0.
"""
from collections.abc import Callable

import torch

from .masks import blend

Pair = tuple[torch.Tensor, torch.Tensor]
Predict = Callable[[torch.Tensor, float], torch.Tensor]
Rescale = Callable[[float, float], float]

NAMES = ("x", "y")


def mix(pair: Pair, mixing: float) -> Pair:
    """Draw the sequences together (eq. 15): first x, then y from the new x."""
    x, y = pair
    x = mixing * x + (1 - mixing) * y
    return x, (1 - mixing) * x + mixing * y


def unmix(pair: Pair, mixing: float) -> Pair:
    """Undo :func:`mix`."""
    x, y = pair
    y = (y - (1 - mixing) * x) / mixing
    return (x - (1 - mixing) * y) / mixing, y


def edict_sample(predict: Predict, pair: Pair, sigmas: torch.Tensor, mixing: float = 0.93, rescale: Rescale | None = None,
                 background: Callable[[int], Pair] | None = None, mask: torch.Tensor | None = None, callback=None) -> Pair:
    """Denoise ``pair`` from ``sigmas[0]`` down to ``sigmas[-1]``: two predictions a step.

    Args:
        pair: both sequences, each [B, C, ...], float64.
        rescale: ``rescale(low, high)`` makes the network at ``high`` see the input scale of ``low``; the second half step of the papers does. None for flow.
        background: with ``mask`` [B, 1, ...], the pair at level ``i`` that takes the place of the result where the mask is 0: an inversion's own states.
        callback: called once a step with ``x``, ``i``, ``sigma``, ``denoised``.

    Raises:
        ValueError: the network predicts NaN or infinite values; says at which step and for which sequence.
    """
    levels = sigmas.double().tolist()
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        states = list(pair)
        kept = None if background is None else unmix(background(i + 1), mixing)
        for moved, shown in _half_steps(i):
            eps = _prediction(predict, states, shown, low, high, i, rescale, callback)
            states[moved] = states[moved] + (low - high) * eps
            if kept is not None:
                states[moved] = blend(states[moved], kept[moved], mask)
        pair = mix(tuple(states), mixing)
    return pair


def edict_invert(predict: Predict, x0: torch.Tensor, sigmas: torch.Tensor, mixing: float = 0.93, rescale: Rescale | None = None, callback=None,
                 store: Callable[[Pair], object] = lambda pair: pair) -> list:
    """Undo :func:`edict_sample` step by step, from ``x0`` [B, C, ...] (float64; both sequences start there) up to ``sigmas[0]``.

    Returns:
        What ``store`` made of the pair at every level, in the order of ``sigmas``: ``[0]`` is the noise, ``[-1]`` is ``(x0, x0)``.

    Raises:
        ValueError: as :func:`edict_sample`.
    """
    levels, pair = sigmas.double().tolist(), (x0, x0)
    trajectory = [store(pair)]
    for i in reversed(range(len(levels) - 1)):
        high, low = levels[i], levels[i + 1]
        states = list(unmix(pair, mixing))
        for moved, shown in reversed(_half_steps(i)):
            eps = _prediction(predict, states, shown, low, high, i, rescale, callback)
            states[moved] = states[moved] - (low - high) * eps
        pair = tuple(states)
        trajectory.append(store(pair))
    return trajectory[::-1]


def drift(pair: Pair) -> list[float]:
    """Per item, how far the sequences are apart: the norm of their difference over the norm of ``x``."""
    x, y = (state.flatten(1) for state in pair)
    return ((x - y).norm(dim=1) / x.norm(dim=1).clamp_min(1e-12)).tolist()


def _half_steps(i: int) -> list[tuple[int, int]]:
    """(moved, shown) of step ``i``'s two halves. The sequence that moves first alternates (section 4.3), counted from the noisy end."""
    first = i % 2
    return [(first, 1 - first), (1 - first, first)]


def _prediction(predict: Predict, states: list[torch.Tensor], shown: int, low: float, high: float, i: int, rescale: Rescale | None, callback) -> torch.Tensor:
    """The network's answer to the sequence ``shown``, which in a first half is still at ``high`` and in a second half already at ``low``."""
    is_second = shown == i % 2
    x = states[shown] * rescale(low, high) if is_second and rescale is not None else states[shown]
    eps = predict(x, high)
    if not torch.isfinite(eps).all():
        raise ValueError(f"the network predicted NaN or infinite values at step {i + 1} (sigma {high:.4g}) for the sequence {NAMES[shown]}")
    if callback is not None and is_second:
        callback({"x": x, "i": i, "sigma": high, "denoised": x - high * eps})
    return eps
