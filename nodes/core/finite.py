"""One answer to networks that break down."""
import torch


class NotFinite(ValueError):
    """A network predicted NaN or infinite values; the message says at which step (counted from 1 at the noisy end) and noise level."""


def require_finite(prediction: torch.Tensor, i: int, sigma: float, where: str = "") -> torch.Tensor:
    """``prediction`` itself, after a look at its values; ``where`` adds to the message of :class:`NotFinite` what it was predicted for."""
    if not torch.isfinite(prediction).all():
        raise NotFinite(f"the network predicted NaN or infinite values at step {i + 1} (sigma {sigma:.4g}){where}")
    return prediction
