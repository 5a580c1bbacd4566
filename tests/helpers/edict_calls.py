"""Calls of the EDICT nodes on analytic and tiny models."""

import analytic
import tiny_models
from latent_cases import picture

TEXTS = tiny_models.Texts()


def invert(run, **inputs):
    return run("EDICTInvert", **dict(source=analytic.text(0.3), negative=analytic.text(0.0), steps=10) | inputs)


def generate(run, **inputs):
    return run("EDICTSampler", **dict(target=analytic.text(0.3), negative=analytic.text(0.0)) | inputs)


def analytic_pair(run, **inputs):
    model, calls = analytic.denoiser()
    pair = invert(run, **dict(model=model, latent=analytic.latent(picture())) | inputs).args[0]
    return model, calls, pair
