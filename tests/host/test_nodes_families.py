"""The three nodes on tiny models of real architectures: eps, v, EDM and flow, with stock samplers going on from what they give."""
import comfy.samplers
import pytest
import tiny_models
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustom, SamplerCustomAdvanced

TEXTS = tiny_models.Texts()


@pytest.fixture(scope="module", params=list(tiny_models.FAMILIES))
def family(request):
    name = request.param
    return name, tiny_models.damp(tiny_models.FAMILIES[name][0]())


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def stock_guider(model, positive):
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, positive)
    guider.set_cfg(1.0)
    return guider


@pytest.mark.parametrize("strength", [0.8, 1.0])
def test_stock_samplers_return_from_the_inversion(run, family, strength):
    name, model = family
    text, latent, euler = TEXTS(name, ""), tiny_models.latent(name), comfy.samplers.sampler_object("euler")
    noise_latent, inversion, noise, sigmas = run("DDIMInvert", model=model, conditioning=text, latent=latent, steps=40, strength=strength, refinements=2, measure_error=True).args
    own = inversion.error[0]
    assert own < 0.02
    with torch.inference_mode():
        custom = SamplerCustom.execute(model, False, 0, 1.0, text, text, euler, sigmas, noise_latent)[0]["samples"]
        advanced = SamplerCustomAdvanced.execute(noise, stock_guider(model, text), euler, inversion.sigmas, latent)[0]["samples"]
        empty = SamplerCustomAdvanced.execute(noise, stock_guider(model, text), euler, inversion.sigmas, {"samples": torch.zeros_like(latent["samples"])})[0]["samples"]
    assert relative(advanced, latent["samples"]) < own + 1e-3
    assert relative(empty, latent["samples"]) < own + 1e-3
    assert relative(custom, latent["samples"]) < own + (0.02 if strength == 1.0 else 1e-3)


def test_kept_region_is_the_source_bit_for_bit(run, family):
    name, model = family
    positive, negative, latent = TEXTS(name, "a cat"), TEXTS(name, ""), tiny_models.latent(name)
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:48, 16:48] = 1
    edited = run("LatentBlendSampler", model=model, positive=positive, negative=negative, latent=latent, mask=mask, steps=4, cfg=3.0).args[0]["samples"]
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 2:6] = True
    assert torch.equal(edited[..., ~inside], latent["samples"][..., ~inside])
    assert (edited - latent["samples"])[..., inside].abs().min() > 0


def test_diffedit_end_to_end(run, family):
    name, model = family
    source, target, empty, latent = TEXTS(name, "a cat"), TEXTS(name, "a dog on a chair"), TEXTS(name, ""), tiny_models.latent(name)
    mask, heat, masked = run("DiffEditMask", model=model, source=source, target=target, latent=latent, noises=3, normalisation="min-max").args
    assert mask.shape == heat.shape == (1, 64, 64) and masked["noise_mask"].shape == (1, 1, 8, 8)
    assert 0 < mask.mean() < 1 and set(mask.unique().tolist()) <= {0.0, 1.0}
    inversion = run("DDIMInvert", model=model, conditioning=empty, latent=latent, steps=5).args[1]
    edited = run("LatentBlendSampler", model=model, positive=target, negative=empty, latent=masked, inversion=inversion, cfg=3.0).args[0]["samples"]
    keep = (masked["noise_mask"] == 0).expand_as(edited)
    assert torch.equal(edited[keep], latent["samples"][keep]) and torch.isfinite(edited).all()
