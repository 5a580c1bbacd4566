"""LatentBlendSampler on tiny models: runs, schedules and comparisons."""

import comfy.samplers
import tiny_models
import torch

TEXTS = tiny_models.Texts()
FAMILIES = ["sd15", "sd3", "wan"]
STEPS, SEED, CFG = 6, 9, 2.0
MODELS = {family: tiny_models.damp(tiny_models.FAMILIES[family].make()) for family in FAMILIES}
SOFT = torch.linspace(0, 1, 8).expand(1, 8, 8).contiguous()
"""A mask with fractional cells, which are continued from both their state and the source."""


def edit(run, family="sd15", **changes):
    inputs = dict(
        model=MODELS[family],
        positive=TEXTS(family, "a cat"),
        negative=TEXTS(family, ""),
        latent=tiny_models.latent(family),
        steps=STEPS,
        cfg=CFG,
        seed=SEED,
        mask=SOFT,
        sampler_name="euler",
    )
    return run("LatentBlendSampler", **inputs | changes)


def samples(result):
    return result.args[0]["samples"]


def report(result):
    return result.ui["report"][0]


def schedule(family, steps=STEPS, scheduler="normal"):
    return comfy.samplers.KSampler(MODELS[family], steps, "cpu", "euler", scheduler, 1.0, {}).sigmas


def close(found, wanted, tolerance=1e-5):
    assert torch.isfinite(found).all()
    assert float((found - wanted).norm() / wanted.norm()) < tolerance
