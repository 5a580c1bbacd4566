"""Tensor layouts by name: ComfyUI's IMAGE is BHWC and its MASK BHW; networks take channels
second.
"""

import torch


def bhwc_to_bchw(image: torch.Tensor) -> torch.Tensor:
    return image.movedim(-1, 1)


def bchw_to_bhwc(image: torch.Tensor) -> torch.Tensor:
    return image.movedim(1, -1)


def mask_to_latent(mask: torch.Tensor, ndim: int) -> torch.Tensor:
    """[B, ..., H, W] to [B, 1, ..., H, W] with ``ndim`` dimensions, so that it broadcasts over a
    latent's channels.
    """
    while mask.ndim < ndim:
        mask = mask.unsqueeze(1)
    return mask


def spatial_to_mask(field: torch.Tensor) -> torch.Tensor:
    """A field without channels, [B, H, W] or (video) [B, T, H, W], as a MASK [N, H, W]."""
    return field.reshape(-1, *field.shape[-2:])
