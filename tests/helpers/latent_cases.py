"""Latents and a mask for tests of the inversions, and the relative error of a result."""

import torch


def picture(batch=1, seed=3):
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.6


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def left_half():
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1
    return mask
