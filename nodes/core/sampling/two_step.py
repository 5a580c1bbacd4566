"""Exact inversion at DDIM's cost: two-step schemes with one prediction per step, up and down.

    X_next = w X_previous + (1 - w) X + ((sigma_next - sigma) - w (sigma_previous - sigma)) eps(X,
    sigma)

Of three neighbouring states any two determine the third, in either direction, so a trajectory can
be retraced. Two published schemes differ only in the weight ``w`` in sigma space (see
:mod:`.ddim`). BDIA ("Exact Diffusion Inversion via Bidirectional Integration Approximation", Zhang
et al. 2024) takes a constant gamma. O-BELM ("BELM: Bidirectional Explicit Linear Multi-step
Sampler", Wang et al. 2024) takes the squared ratio of the two steps, which minimises the local
error. Flow models follow the same equation with their velocity. ``predict`` is called at upper
levels only, never at sigma 0.

The states are float64 on a grid (:mod:`.reversible`). Where ``w`` is above 1 (O-BELM, where a step
is longer than the previous one), rounding to the grid loses the last bits during the inversion.
These remainders are stored, so the round trip is exact to the last bit on every schedule.
"""

from collections.abc import Callable

import torch

from ..masks.operations import blend
from .prediction import Callback, Predict, finite_prediction
from .reversible import away, grid_of, snap, towards

Weight = Callable[[float, float, float], float]
"""``weight(previous, current, following)`` of three descending sigmas."""


def obelm_weight(previous: float, current: float, following: float) -> float:
    """The squared ratio of the two steps: O-BELM."""
    return ((following - current) / (current - previous)) ** 2


def bdia_weight(gamma: float) -> Weight:
    """The constant ``gamma``: BDIA. During the inversion, errors grow by 1 / gamma per step, so it
    has to be close to 1.
    """
    return lambda previous, current, following: gamma


def two_step_invert(
    predict: Predict,
    x0: torch.Tensor,
    sigmas: torch.Tensor,
    weight: Weight,
    rescale: Callable[[float, float], float] | None = None,
    callback: Callback | None = None,
    store: Callable[[torch.Tensor], torch.Tensor] = lambda state: state,
    store_remainder: Callable[[torch.Tensor], torch.Tensor] = lambda remainder: remainder,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Invert from ``x0`` [B, C, ...] at ``sigmas[-1]`` up to ``sigmas[0]``. The first step is
    DDIM's inversion, all others are exact.

    Args:
        weight: :func:`obelm_weight` or :func:`bdia_weight`'s.
        rescale: ``rescale(low, high)``, the factor that gives the network at ``high`` the input
            scale of ``low``; None for flow models.
        store, store_remainder: applied to each state and remainder before it is kept.

    Returns:
        The N + 1 states in the order of ``sigmas``, which :func:`two_step_sample` retraces from the
        first two, and N remainders (mostly 0, about 1e-12 otherwise), to be added to the state that
        step i arrives at.

    Raises:
        NotFinite: the network predicts NaN or infinite values; the message names the step.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    following = snap(x0, grid)
    scaled = following if rescale is None else following * rescale(levels[-1], levels[-2])
    current = following + snap(
        (levels[-2] - levels[-1]) * finite_prediction(predict, scaled, levels[-2], len(levels) - 2, callback), grid
    )
    states, remainders = [store(following), store(current)], []
    for i in reversed(range(1, len(levels) - 1)):
        share, step = _coefficients(levels, i, weight)
        unmoved = following - snap(step * finite_prediction(predict, current, levels[i], i, callback), grid)
        above = away(unmoved, current, share, grid)
        remainders.append(store_remainder(unmoved - towards(above, current, share, grid)))
        following, current = current, above
        states.append(store(current))
    return states[::-1], [*remainders, store_remainder(torch.zeros_like(x0))][::-1]


def two_step_sample(
    predict: Predict,
    first: torch.Tensor,
    second: torch.Tensor,
    sigmas: torch.Tensor,
    weight: Weight,
    remainders: Callable[[int], torch.Tensor | float] = lambda i: 0.0,
    background: Callable[[int], torch.Tensor] | None = None,
    mask: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Sample from the states at ``sigmas[0]`` and ``sigmas[1]`` down to ``sigmas[-1]``.

    Args:
        remainders: ``remainders(i)`` belongs to step ``i``.
        background: ``background(i)``, the state at level ``i`` that replaces the result where the
            mask is 0.
        mask: [B, 1, ...], together with ``background``.

    Raises:
        NotFinite: as :func:`two_step_invert`.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    previous, current = first, second
    for i in range(1, len(levels) - 1):
        share, step = _coefficients(levels, i, weight)
        moved = snap(step * finite_prediction(predict, current, levels[i], i, callback), grid)
        previous, current = current, towards(previous, current, share, grid) + moved + remainders(i)
        if background is not None and mask is not None:
            current = blend(current, background(i + 1), mask)
    return current


def _coefficients(levels: list[float], i: int, weight: Weight) -> tuple[float, float]:
    """``w`` and the factor of the prediction for the step from level ``i`` to ``i + 1``."""
    previous, current, following = levels[i - 1 : i + 2]
    share = weight(previous, current, following)
    return share, (following - current) - share * (previous - current)
