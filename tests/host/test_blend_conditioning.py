"""LatentBlendSampler with conditionings, masks and inpainting models: equal to KSampler where both
have the same task.
"""

import analytic
import pytest
import torch
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion
from conditioning_kinds import CFG, noise, plain
from stock_predictions import assert_equal

import nodes as comfyui_nodes


@pytest.mark.parametrize("family", ["sd15", "sd3", "wan"])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_without_and_with_a_mask_the_result_is_ksamplers(run, family, sampler):
    """A soft mask at latent size, so that nothing is resized; the stock node blends in the same way
    at every evaluation.
    """
    kind = plain(family)
    mask = noise(1, 1, 8, 8).sigmoid()
    inputs = (5, 4, CFG, sampler, "normal", kind.positive, kind.negative)
    with torch.inference_mode():
        wanted = comfyui_nodes.KSampler().sample(kind.model, *inputs, {**kind.latent, "noise_mask": mask}, 0.9)[0][
            "samples"
        ]
    result = run(
        "LatentBlendSampler",
        model=kind.model,
        positive=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        mask=mask[0],
        seed=5,
        steps=4,
        cfg=CFG,
        sampler_name=sampler,
        denoise=0.9,
    ).args[0]["samples"]
    assert_equal(result, wanted)


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_differential_diffusion_is_ksamplers(run, strength):
    kind = plain()
    model = DifferentialDiffusion.execute(kind.model, strength)[0]
    mask = torch.linspace(0, 1, 8).expand(1, 8, 8).contiguous()
    with torch.inference_mode():
        wanted = comfyui_nodes.KSampler().sample(
            model,
            5,
            6,
            CFG,
            "euler",
            "normal",
            kind.positive,
            kind.negative,
            {**kind.latent, "noise_mask": mask.unsqueeze(1)},
            1.0,
        )[0]["samples"]
    result = run(
        "LatentBlendSampler",
        model=model,
        positive=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        mask=mask,
        seed=5,
        steps=6,
        cfg=CFG,
        sampler_name="euler",
    ).args[0]["samples"]
    assert_equal(result[..., 1:], wanted[..., 1:])
    assert torch.equal(
        result[..., 0], kind.latent["samples"][..., 0]
    )  # where the mask is 0 the stock node does not blend in its last step


def test_the_inpainting_model_sees_the_mask(run):
    """Without InpaintModelConditioning ComfyUI passes the sampling mask to the network."""
    kind = plain("sd15_inpaint")
    mask = torch.zeros(1, 8, 8)
    mask[..., 4:] = 1
    with torch.inference_mode():
        wanted = comfyui_nodes.KSampler().sample(
            kind.model,
            5,
            3,
            CFG,
            "euler",
            "normal",
            kind.positive,
            kind.negative,
            {**kind.latent, "noise_mask": mask.unsqueeze(1)},
            1.0,
        )[0]["samples"]
    result = run(
        "LatentBlendSampler",
        model=kind.model,
        positive=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        mask=mask,
        seed=5,
        steps=3,
        cfg=CFG,
        sampler_name="euler",
    ).args[0]["samples"]
    assert_equal(result, wanted)


def test_a_moving_mask_and_a_ramp_of_the_analytic_world_agree(run):
    """DifferentialDiffusion on the analytic denoiser: cells that are released later stay closer to
    the source.
    """
    model, _ = analytic.denoiser()
    model = DifferentialDiffusion.execute(model)[0]
    latent, ramp = (
        analytic.latent(noise(1, 4, 8, 8, seed=3) * 0.6),
        torch.linspace(0, 1, 8).expand(1, 8, 8).contiguous(),
    )
    edited = run(
        "LatentBlendSampler",
        model=model,
        positive=analytic.text(3.0),
        negative=analytic.text(0),
        latent=latent,
        mask=ramp,
        steps=20,
        cfg=1.0,
    ).args[0]
    moved = (analytic.model_space(edited) - analytic.model_space(latent)).abs().mean((0, 1, 2))
    assert moved[0] == 0
    assert moved[1] < moved[4] < moved[7]
