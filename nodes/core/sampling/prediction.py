"""How exact methods ask a network: what it answers is looked at, and shown to whoever watches."""

from collections.abc import Callable
from typing import Any

import torch

from ..errors import NodeError

Predict = Callable[[torch.Tensor, float], torch.Tensor]
"""``predict(x, sigma)``: the derivative at a state [B, C, ...]; noise for eps- and v-models,
velocity for flow models.
"""
Callback = Callable[[dict[str, Any]], None]
"""k-diffusion's: called once a step with ``x``, ``i``, ``sigma`` and ``denoised``."""


class NotFinite(NodeError):
    """A network predicted NaN or infinite values; the message says at which step (counted from 1 at
    the noisy end) and noise level.
    """


def finite_prediction(
    predict: Predict, x: torch.Tensor, sigma: float, i: int, callback: Callback | None = None, where: str = ""
) -> torch.Tensor:
    """``predict(x, sigma)`` of step ``i``, shown to a k-diffusion callback; ``where`` as in
    :func:`require_finite`.

    Raises:
        NotFinite: it holds NaN or infinite values.
    """
    derivative = require_finite(predict(x, sigma), i, sigma, where)
    if callback is not None:
        callback({"x": x, "i": i, "sigma": sigma, "denoised": x - sigma * derivative})
    return derivative


def require_finite(prediction: torch.Tensor, i: int, sigma: float, where: str = "") -> torch.Tensor:
    """``prediction`` itself, after a look at its values; ``where`` adds to the message of
    :class:`NotFinite` what it was predicted for.
    """
    if not torch.isfinite(prediction).all():
        raise NotFinite(f"the network predicted NaN or infinite values at step {i + 1} (sigma {sigma:.4g}){where}")
    return prediction
