"""Edit-friendly DDPM inversion ("An Edit Friendly DDPM Noise Space", Huberman-Spiegelglas et al.
2024).

The picture is noised to every level with independent noises; what a step of the stochastic sampler
then lacks to get from one noised picture to the next is kept. Replaying those corrections under the
same text gives the picture back exactly; under another text they hold its layout.

States are ``alpha x0 + sigma noise`` with ``alpha`` 1 for eps-, v- and EDM-models (sigma space) and
``1 - sigma`` for flow models; ``predict(x, sigma)`` gives ``eps`` of the first or the velocity of
the second, in both cases ``(x - x0) / sigma``. States are float64 on a :mod:`.reversible`, so the picture
comes back to the last bit.
"""

from collections.abc import Callable

import torch

from ..masks.operations import blend
from .prediction import Callback, Predict, finite_prediction
from .reversible import grid_of, snap


def ddpm_mean(
    x: torch.Tensor, derivative: torch.Tensor, high: float, low: float, is_flow: bool, eta: float = 1.0
) -> torch.Tensor:
    """Mean of the stochastic step from ``high`` to ``low`` (Song et al. 2020, eq. 12): the
    predicted picture, noised as far as it is not by new noise.
    """
    x0 = x - high * derivative
    alpha_high, alpha_low = (1 - high, 1 - low) if is_flow else (1.0, 1.0)
    noise = (x - alpha_high * x0) / high
    ratio = alpha_high / alpha_low
    fresh = eta * low * float(max(0.0, 1 - (ratio * low / high) ** 2) ** 0.5)
    return alpha_low * x0 + float(max(0.0, low**2 - fresh**2) ** 0.5) * noise


def edit_friendly_invert(
    predict: Predict,
    x0: torch.Tensor,
    noises: torch.Tensor,
    sigmas: torch.Tensor,
    is_flow: bool,
    eta: float = 1.0,
    callback: Callback | None = None,
    store: Callable[[torch.Tensor], torch.Tensor] = lambda state: state,
    store_correction: Callable[[torch.Tensor], torch.Tensor] = lambda correction: correction,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The states of ``x0`` [B, C, ...] at every level, each with its own of ``noises`` [N, B, C,
    ...], and the corrections between them.

    The last correction leads to ``x0`` itself: the published code leaves it out, and with it the
        exactness of its last step.

    Returns:
        ``N + 1`` states in the order of ``sigmas``, each through ``store``, and ``N`` corrections,
            each through ``store_correction``; state ``i + 1`` is the
        mean of the step from state ``i`` plus correction ``i``.

    Raises:
        NotFinite: the network predicts NaN or infinite values; says at which step.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)

    def state(i: int) -> torch.Tensor:
        if i == len(noises):
            return snap(x0, grid)
        return snap((1 - levels[i] if is_flow else 1.0) * x0 + levels[i] * noises[i].to(x0), grid)

    here = state(0)
    states, corrections = [store(here)], []
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        derivative, following = finite_prediction(predict, here, high, i, callback), state(i + 1)
        corrections.append(
            store_correction(following - snap(ddpm_mean(here, derivative, high, low, is_flow, eta), grid))
        )
        here = following
        states.append(store(here))
    return states, corrections


def edit_friendly_sample(
    predict: Predict,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    corrections: Callable[[int], torch.Tensor],
    is_flow: bool,
    eta: float = 1.0,
    background: Callable[[int], torch.Tensor] | None = None,
    mask: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Replay: from ``x`` at ``sigmas[0]`` down to ``sigmas[-1]``, adding ``corrections(i)`` to step
    ``i``'s mean.

    With ``mask`` [B, 1, ...] and ``background``, the state at level ``i`` takes the place of the
    result where the mask is 0. Raises as the inversion does.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        derivative = finite_prediction(predict, x, high, i, callback)
        x = snap(ddpm_mean(x, derivative, high, low, is_flow, eta), grid) + corrections(i)
        if background is not None and mask is not None:
            x = blend(x, background(i + 1), mask)
    return x
