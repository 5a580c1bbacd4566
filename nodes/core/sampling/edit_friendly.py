"""Edit-friendly DDPM inversion ("An Edit Friendly DDPM Noise Space", Huberman-Spiegelglas et al.
2024).

The image is noised to every level with independent noises. The difference between each noised
image and the mean of the stochastic step from the previous one is stored as a correction. Replaying
the corrections under the same text reproduces the image exactly; under another text they preserve
its layout.

States are ``alpha x0 + sigma noise``, with ``alpha`` 1 for eps-, v- and EDM-models (sigma space)
and ``1 - sigma`` for flow models; ``predict(x, sigma)`` returns ``eps`` or the velocity, in both
cases ``(x - x0) / sigma``. States are float64 on a grid (:mod:`.reversible`), so the round trip is
exact to the last bit.
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
    predicted image with the share of the noise that is not drawn anew.
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
    """The states of ``x0`` at every level, each with its own noise, and the corrections between
    them.

    The last correction leads to ``x0`` itself. The published code leaves it out, and its last step
    is not exact.

    Args:
        x0: [B, C, ...].
        noises: [N, B, C, ...] for N steps.
        eta: share of the noise that is drawn anew in each step; 1 is DDPM.
        store, store_correction: applied to each state and correction before it is kept.

    Returns:
        ``N + 1`` states in the order of ``sigmas``, and ``N`` corrections: state ``i + 1`` is the
        mean of the step from state ``i`` plus correction ``i``.

    Raises:
        NotFinite: the network predicts NaN or infinite values; the message names the step.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)

    def state(i: int) -> torch.Tensor:
        if i == len(noises):
            return snap(x0, grid)
        return snap((1 - levels[i] if is_flow else 1.0) * x0 + levels[i] * noises[i].to(x0), grid)

    current = state(0)
    states, corrections = [store(current)], []
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        derivative, following = finite_prediction(predict, current, high, i, callback), state(i + 1)
        corrections.append(
            store_correction(following - snap(ddpm_mean(current, derivative, high, low, is_flow, eta), grid))
        )
        current = following
        states.append(store(current))
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
    """Sample from ``x`` at ``sigmas[0]`` down to ``sigmas[-1]``, adding ``corrections(i)`` to the
    mean of step ``i``.

    Args:
        background: ``background(i)``, the state at level ``i`` that replaces the result where the
            mask is 0.
        mask: [B, 1, ...], together with ``background``.

    Raises:
        NotFinite: as :func:`edit_friendly_invert`.
    """
    levels, grid = sigmas.double().tolist(), grid_of(sigmas)
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        derivative = finite_prediction(predict, x, high, i, callback)
        x = snap(ddpm_mean(x, derivative, high, low, is_flow, eta), grid) + corrections(i)
        if background is not None and mask is not None:
            x = blend(x, background(i + 1), mask)
    return x
