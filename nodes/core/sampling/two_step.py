"""Exact inversion at DDIM's cost: schemes that step over two states, one prediction a step and
direction.

    X_next = w X_previous + (1 - w) X + ((sigma_next - sigma) - w (sigma_previous - sigma)) eps(X, sigma)

From any two neighbouring states the third follows by algebra in either direction, so a trajectory
is retraced. The states are float64 on a :mod:`.reversible`; where ``w`` is more than 1 (O-BELM, where a
step is longer than the one before) rounding to the grid loses some last bits on the way up, so
these remainders are kept, and the picture comes back to the last bit on every schedule. In sigma
space (see :mod:`.ddim`) two published schemes differ in the weight ``w`` alone: BDIA ("Exact
Diffusion Inversion via Bidirectional Integration Approximation", Zhang et al. 2024) takes a
constant gamma, O-BELM ("BELM: Bidirectional Explicit Linear Multi-step Sampler", Wang et al. 2024)
the squared ratio of the two steps, which makes the local error smallest. Flow models obey the same
line with their velocity. ``predict`` is called at upper levels only, never at sigma 0.
"""

from collections.abc import Callable

import torch

from ..masks.operations import blend
from .prediction import Callback, Predict, finite_prediction
from .reversible import away, grid_of, snap, towards

Weight = Callable[[float, float, float], float]
"""``weight(previous, here, following)`` of three falling sigmas."""


def obelm_weight(previous: float, here: float, following: float) -> float:
    """The square of the ratio of the two steps: O-BELM."""
    return ((following - here) / (here - previous)) ** 2


def bdia_weight(gamma: float) -> Weight:
    """The constant ``gamma``: BDIA. Errors grow by 1 / gamma a step on the way up, so it has to be
    near 1.
    """
    return lambda previous, here, following: gamma


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
    """From ``x0`` [B, C, ...] at ``sigmas[-1]`` up to ``sigmas[0]``. The first step is DDIM's own
    inversion, every other one exact.

    Returns:
        The N + 1 states in the order of ``sigmas``, each through ``store``: :func:`two_step_sample`
        retraces them from the first two. And N remainders, each through ``store_remainder``, some
        1e-12 and mostly 0, to be added to the state that step i arrives at.

    Raises:
        NotFinite: the network predicts NaN or infinite values; says at which step.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    following = snap(x0, grid)
    shown = following if rescale is None else following * rescale(levels[-1], levels[-2])
    here = following + snap(
        (levels[-2] - levels[-1]) * finite_prediction(predict, shown, levels[-2], len(levels) - 2, callback), grid
    )
    states, remainders = [store(following), store(here)], []
    for i in reversed(range(1, len(levels) - 1)):
        share, step = _coefficients(levels, i, weight)
        unmoved = following - snap(step * finite_prediction(predict, here, levels[i], i, callback), grid)
        above = away(unmoved, here, share, grid)
        remainders.append(store_remainder(unmoved - towards(above, here, share, grid)))
        following, here = here, above
        states.append(store(here))
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
    """From the states at ``sigmas[0]`` and ``sigmas[1]`` down to ``sigmas[-1]``; ``remainders(i)``
    belongs to step i.

    With ``mask`` [B, 1, ...] and ``background``, the state at level ``i`` takes the place of the
    result where the mask is 0. Raises as the inversion does.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    previous, here = first, second
    for i in range(1, len(levels) - 1):
        share, step = _coefficients(levels, i, weight)
        moved = snap(step * finite_prediction(predict, here, levels[i], i, callback), grid)
        previous, here = here, towards(previous, here, share, grid) + moved + remainders(i)
        if background is not None and mask is not None:
            here = blend(here, background(i + 1), mask)
    return here


def _coefficients(levels: list[float], i: int, weight: Weight) -> tuple[float, float]:
    """``w`` and the factor of the prediction for the step from level ``i`` to ``i + 1``."""
    previous, here, following = levels[i - 1 : i + 2]
    share = weight(previous, here, following)
    return share, (following - here) - share * (previous - here)
