"""Calls of LatentBlendSampler on analytic and tiny models."""

import tiny_models
import torch

TEXTS = tiny_models.Texts()


def picture(batch=1, seed=3):
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.6


def half_mask():
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1
    return mask


def edit(run, **inputs):
    return run("LatentBlendSampler", **dict(steps=6, cfg=1.0, mask=half_mask()) | inputs).args[0]
