"""Exact inversion at DDIM's cost: schemes that step over two states, one prediction a step and direction.

    X_next = w X_previous + (1 - w) X + ((sigma_next - sigma) - w (sigma_previous - sigma)) eps(X, sigma)

From any two neighbouring states the third follows by algebra in either direction, so a trajectory is retraced but for the rounding of the state's dtype.
In sigma space (see :mod:`.ddim`) two published schemes differ in the weight ``w`` alone: BDIA ("Exact Diffusion Inversion via Bidirectional Integration
Approximation", Zhang et al. 2024) takes a constant gamma, O-BELM ("BELM: Bidirectional Explicit Linear Multi-step Sampler", Wang et al. 2024) the squared
ratio of the two steps, which makes the local error smallest. Flow models obey the same line with their velocity. ``predict`` is called at upper levels
only, never at sigma 0; keep the states in float64.
"""
from collections.abc import Callable

import torch

from .masks import blend

Predict = Callable[[torch.Tensor, float], torch.Tensor]
Weight = Callable[[float, float, float], float]
"""``weight(previous, here, following)`` of three falling sigmas."""


def obelm_weight(previous: float, here: float, following: float) -> float:
    """The square of the ratio of the two steps: O-BELM."""
    return ((following - here) / (here - previous)) ** 2


def bdia_weight(gamma: float) -> Weight:
    """The constant ``gamma``: BDIA. Errors grow by 1 / gamma a step on the way up, so it has to be near 1."""
    return lambda previous, here, following: gamma


def two_step_invert(predict: Predict, x0: torch.Tensor, sigmas: torch.Tensor, weight: Weight, rescale=None, callback=None,
                    store: Callable[[torch.Tensor], object] = lambda state: state) -> list:
    """From ``x0`` [B, C, ...] at ``sigmas[-1]`` up to ``sigmas[0]``. The first step is DDIM's own inversion, every other one exact.

    Returns:
        What ``store`` made of the state at every level, in the order of ``sigmas``. :func:`two_step_sample` retraces them from the first two.

    Raises:
        ValueError: the network predicts NaN or infinite values; says at which step.
    """
    levels = sigmas.double().tolist()
    shown = x0 if rescale is None else x0 * rescale(levels[-1], levels[-2])
    eps = _prediction(predict, shown, levels, len(levels) - 2, callback)
    following, here = x0, x0 + (levels[-2] - levels[-1]) * eps
    trajectory = [store(following), store(here)]
    for i in reversed(range(1, len(levels) - 1)):
        share, step = _coefficients(levels, i, weight)
        eps = _prediction(predict, here, levels, i, callback)
        following, here = here, (following - (1 - share) * here - step * eps) / share
        trajectory.append(store(here))
    return trajectory[::-1]


def two_step_sample(predict: Predict, first: torch.Tensor, second: torch.Tensor, sigmas: torch.Tensor, weight: Weight,
                    background: Callable[[int], torch.Tensor] | None = None, mask: torch.Tensor | None = None, callback=None) -> torch.Tensor:
    """From the states at ``sigmas[0]`` and ``sigmas[1]`` down to ``sigmas[-1]``.

    With ``mask`` [B, 1, ...] and ``background``, the state at level ``i`` takes the place of the result where the mask is 0. Raises as the inversion does.
    """
    levels = sigmas.double().tolist()
    previous, here = first, second
    for i in range(1, len(levels) - 1):
        share, step = _coefficients(levels, i, weight)
        eps = _prediction(predict, here, levels, i, callback)
        previous, here = here, share * previous + (1 - share) * here + step * eps
        if background is not None:
            here = blend(here, background(i + 1), mask)
    return here


def _coefficients(levels: list[float], i: int, weight: Weight) -> tuple[float, float]:
    """``w`` and the factor of the prediction for the step from level ``i`` to ``i + 1``."""
    previous, here, following = levels[i - 1:i + 2]
    share = weight(previous, here, following)
    return share, (following - here) - share * (previous - here)


def _prediction(predict: Predict, shown: torch.Tensor, levels: list[float], i: int, callback) -> torch.Tensor:
    eps = predict(shown, levels[i])
    if not torch.isfinite(eps).all():
        raise ValueError(f"the network predicted NaN or infinite values at step {i + 1} (sigma {levels[i]:.4g})")
    if callback is not None:
        callback({"x": shown, "i": i, "sigma": levels[i], "denoised": shown - levels[i] * eps})
    return eps
