"""Calls of the EDICT nodes on analytic and tiny models."""

import analytic
import tiny_models
import torch

TEXTS = tiny_models.Texts()


def picture(batch=1, seed=3):
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.6


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def invert(run, **inputs):
    return run("EDICTInvert", **dict(source=analytic.text(0.3), negative=analytic.text(0.0), steps=10) | inputs)


def generate(run, **inputs):
    return run("EDICTSampler", **dict(target=analytic.text(0.3), negative=analytic.text(0.0)) | inputs)


def analytic_pair(run, **inputs):
    model, calls = analytic.denoiser()
    pair = invert(run, **dict(model=model, latent=analytic.latent(picture())) | inputs).args[0]
    return model, calls, pair


def left_half():
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1
    return mask
