"""DDIM and its inversion in sigma space (Song et al. 2020, eq. 12 and 13; DiffEdit, Couairon et al.
2022, step 2).

With ``X = x / sqrt(abar)`` and ``sigma = sqrt((1 - abar) / abar)`` a deterministic DDIM step is an
Euler step, ``X += (sigma' - sigma) eps``. Flow models follow the same equation with their velocity
as ``eps``. The network is given as ``predict(x, sigma) -> eps``; ``sigmas`` is a descending 1-D
tensor as ComfyUI's schedulers return it. Callbacks receive k-diffusion's dict: ``x``, ``i``,
``sigma``, ``denoised``.
"""

from collections.abc import Callable

import torch

from .prediction import Callback, require_finite

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Rescale = Callable[[torch.Tensor, torch.Tensor], float]


def ddim_sample(
    predict: Predict, x: torch.Tensor, sigmas: torch.Tensor, callback: Callback | None = None
) -> torch.Tensor:
    """Integrate the ODE from ``x`` [B, C, ...] at ``sigmas[0]`` down to ``sigmas[-1]``, one
    prediction per step.

    Raises:
        NotFinite: the network predicts NaN or infinite values; the message names the step.
    """
    for i in range(len(sigmas) - 1):
        eps = require_finite(predict(x, sigmas[i]), i, float(sigmas[i]))
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigmas[i], "denoised": x - sigmas[i] * eps})
        x = x + (sigmas[i + 1] - sigmas[i]) * eps
    return x


def ddim_invert(
    predict: Predict,
    x0: torch.Tensor,
    sigmas: torch.Tensor,
    rescale: Rescale | None = None,
    refinements: int = 0,
    callback: Callback | None = None,
    store: Callable[[torch.Tensor], torch.Tensor] = lambda state: state,
) -> list[torch.Tensor]:
    """Integrate the ODE from ``x0`` [B, C, ...] at ``sigmas[-1]`` up to ``sigmas[0]``.

    A step from ``low`` to ``high`` needs the prediction at its own result. The first guess is the
    current state, given to the network at the upper timestep but at the lower level's input scale:
    the published convention, three to four times more accurate than the state at the upper scale.

    Args:
        rescale: ``rescale(low, high)``, the factor from the upper to the lower input scale; None
            for flow models.
        refinements: number of further predictions, each at the new state, which converge to the
            exact inverse of :func:`ddim_sample`'s step (fixed-point inversion: AIDI, Pan et al.
            2023).
        store: applied to each state before it is kept.

    Returns:
        The trajectory, one state per entry of ``sigmas`` and in the same order: ``[0]`` is the
        noise, ``[-1]`` is ``x0`` itself.

    Raises:
        NotFinite: the network predicts NaN or infinite values; the message names the step.
    """
    x, trajectory = x0, [store(x0)]
    for i in reversed(range(1, len(sigmas))):
        low, high = sigmas[i], sigmas[i - 1]
        guess = x if rescale is None else x * rescale(low, high)
        eps = predict(guess, high)
        above = require_finite(x + (high - low) * eps, i - 1, float(high))
        for _ in range(refinements):
            eps = predict(above, high)
            above = require_finite(x + (high - low) * eps, i - 1, float(high))
        if callback is not None:
            callback({"x": x, "i": len(sigmas) - 1 - i, "sigma": high, "denoised": guess - high * eps})
        x = above
        trajectory.append(store(x))
    return trajectory[::-1]


def state_at(sigma: float, sigmas: torch.Tensor, trajectory: torch.Tensor) -> torch.Tensor:
    """The state of a trajectory [N, B, C, ...] at ``sigma``: exact at the trajectory's levels,
    linearly interpolated between them, the nearest end outside.

    Solvers with intermediate evaluations (heun, dpm_2, ...) ask for levels in between; along the
    ODE the state is nearly linear in sigma there.
    """
    ascending = torch.as_tensor(sigmas, dtype=torch.float64).flip(0)
    upper = int(
        torch.searchsorted(ascending, torch.tensor(float(sigma), dtype=torch.float64)).clamp(1, len(ascending) - 1)
    )
    low, high = ascending[upper - 1].item(), ascending[upper].item()
    share = min(max((float(sigma) - low) / (high - low), 0.0), 1.0)
    at_high, at_low = trajectory[len(ascending) - 1 - upper], trajectory[len(ascending) - upper]
    if share < 1e-6:
        return at_low
    return at_high if share > 1 - 1e-6 else torch.lerp(at_low, at_high, share)


def relative_error(value: torch.Tensor, wanted: torch.Tensor) -> list[float]:
    """Norm of the difference over the norm of ``wanted``, per item: [B]."""
    difference, size = (value - wanted).flatten(1).norm(dim=1), wanted.flatten(1).norm(dim=1)
    errors: list[float] = (difference / size.clamp_min(1e-12)).tolist()
    return errors
