"""Call the network, check that the prediction is finite, and report it to the callback."""

from collections.abc import Callable
from typing import Any

import torch

from ..errors import NodeError

Predict = Callable[[torch.Tensor, float], torch.Tensor]
"""``predict(x, sigma)``: the derivative at a state [B, C, ...]; noise for eps- and v-models,
velocity for flow models.
"""
Callback = Callable[[dict[str, Any]], None]
"""k-diffusion's callback, called once per step with ``x``, ``i``, ``sigma`` and ``denoised``."""


class NotFinite(NodeError):
    """A network predicted NaN or infinite values. The message names the step (counted from 1 at the
    noisy end) and the noise level.
    """


def finite_prediction(
    predict: Predict, x: torch.Tensor, sigma: float, i: int, callback: Callback | None = None, where: str = ""
) -> torch.Tensor:
    """``predict(x, sigma)`` of step ``i``, reported to the callback; ``where`` as in
    :func:`require_finite`.

    Raises:
        NotFinite: the prediction contains NaN or infinite values.
    """
    derivative = require_finite(predict(x, sigma), i, sigma, where)
    if callback is not None:
        callback({"x": x, "i": i, "sigma": sigma, "denoised": x - sigma * derivative})
    return derivative


def require_finite(prediction: torch.Tensor, i: int, sigma: float, where: str = "") -> torch.Tensor:
    """Return ``prediction`` after checking that all of its values are finite.

    Args:
        where: what was predicted, for the message of the error.

    Raises:
        NotFinite: it contains NaN or infinite values.
    """
    if not torch.isfinite(prediction).all():
        raise NotFinite(f"the network predicted NaN or infinite values at step {i + 1} (sigma {sigma:.4g}){where}")
    return prediction
