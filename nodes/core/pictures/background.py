"""Background restoration outside the mask: the loss of Blended Latent Diffusion (Avrahami et al.
2023, section 4.2) and its metrics.

Decoded images are [B, C, ..., H, W] in the decoder's range -1..1; masks are [B, 1, ..., H, W] in
0..1, 1 inside the edit. :mod:`descent` has the loop that minimises the loss.
"""

import math
from dataclasses import dataclass

import torch

from ..masks.operations import gaussian_blur, grow_mask


@dataclass(frozen=True)
class Goal:
    """Targets of the decoded image: ``source`` outside the mask, ``edited`` (the decode before
    tuning) inside.
    """

    source: torch.Tensor
    edited: torch.Tensor
    mask: torch.Tensor
    background_weight: float = 100.0

    def crop(self, window: tuple[slice, slice]) -> "Goal":
        """The goal of a window (rows, columns) of the image."""
        source, edited, mask = (part[(..., *window)] for part in (self.source, self.edited, self.mask))
        return Goal(source, edited, mask, self.background_weight)


def reconstruction_loss(decoded: torch.Tensor, goal: Goal) -> torch.Tensor:
    """MSE(m * edited, m * decoded) + weight * MSE((1 - m) * source, (1 - m) * decoded).

    Both means are taken over all pixels, so the weight does not depend on the area of the mask.
    """
    inside = (goal.mask * (decoded - goal.edited)).square().mean()
    outside = ((1 - goal.mask) * (decoded - goal.source)).square().mean()
    return inside + goal.background_weight * outside


def masked_psnr(decoded: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor) -> float | None:
    """PSNR in dB of the clamped images, averaged over ``weight`` (at most 100); None if ``weight``
    is zero.
    """
    total = float(weight.expand_as(decoded[:, :1]).sum())
    if total == 0:
        return None
    squares = ((decoded.clamp(-1, 1) - wanted.clamp(-1, 1)) / 2).square().mean(1, keepdim=True)
    return min(100.0, -10 * math.log10(max(float((weight * squares).sum()) / total, 1e-12)))


def feather_inwards(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """Soften a mask [N, H, W] inwards: 0 at its border, its original value ``pixels`` inside; zeros
    stay zero.
    """
    if pixels <= 0:
        return mask
    return torch.minimum(mask, gaussian_blur(grow_mask(mask, -pixels), pixels / 3))
