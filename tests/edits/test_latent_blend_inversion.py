"""LatentBlendSampler along an inversion: the outside follows the inversion, the inside the other
text.
"""

import analytic
import pytest
import tiny_models
import torch
from blend_calls import TEXTS, edit, picture


@pytest.mark.parametrize("strength", [0.5, 0.8, 1.0])
def test_along_an_inversion_the_inside_is_the_other_texts_ode_and_the_outside_the_source(run, strength):
    """The analytic denoiser works cell by cell, so that inside the mask the edit must be the
    target's ODE from the inverted noise.
    """
    model, _ = analytic.denoiser()
    x0 = picture()
    latent = analytic.latent(x0)
    inversion = run(
        "DDIMInvert",
        model=model,
        conditioning=analytic.text(0.0),
        latent=latent,
        steps=400,
        strength=strength,
        refinements=1,
    ).args[1]
    edited = edit(
        run, model=model, positive=analytic.text(0.8), negative=analytic.text(0.0), latent=latent, inversion=inversion
    )
    assert torch.equal(edited["samples"][..., :4], latent["samples"][..., :4])
    top = float(inversion.sigmas[0])
    wanted = analytic.solution(analytic.solution(x0, 0.0, 0.0, top), 0.8, top, 0.0)
    assert torch.allclose(analytic.model_space(edited)[..., 4:], wanted[..., 4:], atol=0.03)


def test_the_same_text_along_an_inversion_changes_nothing(run):
    model, _ = analytic.denoiser()
    latent = analytic.latent(picture())
    inversion = run(
        "DDIMInvert", model=model, conditioning=analytic.text(0.2), latent=latent, steps=60, refinements=8
    ).args[1]
    edited = edit(
        run,
        model=model,
        positive=analytic.text(0.2),
        negative=analytic.text(0.2),
        latent=latent,
        inversion=inversion,
        mask=torch.ones(1, 64, 64),
    )
    assert torch.allclose(analytic.model_space(edited), picture(), atol=1e-3)


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpm_2", "dpmpp_2m", "lms", "uni_pc", "res_multistep"])
def test_along_an_inversion_with_every_kind_of_deterministic_sampler(run, sampler):
    model, _ = analytic.denoiser()
    x0, latent = picture(), analytic.latent(picture())
    inversion = run(
        "DDIMInvert", model=model, conditioning=analytic.text(0.0), latent=latent, steps=250, refinements=1
    ).args[1]
    edited = edit(
        run,
        model=model,
        positive=analytic.text(0.8),
        negative=analytic.text(0.0),
        latent=latent,
        inversion=inversion,
        sampler_name=sampler,
    )
    top = float(inversion.sigmas[0])
    wanted = analytic.solution(analytic.solution(x0, 0.0, 0.0, top), 0.8, top, 0.0)
    assert torch.equal(edited["samples"][..., :4], latent["samples"][..., :4])
    assert torch.allclose(analytic.model_space(edited)[..., 4:], wanted[..., 4:], atol=0.08)


def test_equals_a_hand_made_diffedit_loop_in_vp_form(run):
    """y = M * step(y) + (1 - M) * x_t with the stored x_t of the level after the step, ending in
    x0; a real UNet, guided.
    """
    model, positive, negative = tiny_models.damp(tiny_models.sd15(), 0.3), TEXTS("sd15", "a dog"), TEXTS("sd15", "")
    latent = tiny_models.latent("sd15")
    inversion = run("DDIMInvert", model=model, conditioning=negative, latent=latent, steps=20).args[1]
    edited = edit(run, model=model, positive=positive, negative=negative, latent=latent, inversion=inversion, cfg=4.0)
    sigma_of = model.get_model_object("model_sampling").sigmas
    network, mask = model.model.diffusion_model, torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    abar = 1 / (1 + inversion.sigmas.double() ** 2)
    y = inversion.noise.double() * abar[0].sqrt()
    with torch.inference_mode():
        for i in range(len(abar) - 1):
            t = (sigma_of - inversion.sigmas[i]).abs().argmin().expand(1)
            eps = [network(y.float(), t.float(), context=text[0][0]).double() for text in (positive, negative)]
            eps = eps[1] + 4.0 * (eps[0] - eps[1])
            clean = (y - (1 - abar[i]).sqrt() * eps) / abar[i].sqrt()
            y = abar[i + 1].sqrt() * clean + (1 - abar[i + 1]).sqrt() * eps
            y = mask * y + (1 - mask) * inversion.states[i + 1].double() * abar[i + 1].sqrt()
    result = edited["samples"] * 0.18215
    assert float((result - y).norm() / y.norm()) < 1e-5


def test_an_inversion_of_another_model_is_refused(run):
    flow, model = tiny_models.sd3(), tiny_models.sd15()
    inversion = run(
        "DDIMInvert", model=flow, conditioning=TEXTS("sd3", ""), latent=tiny_models.latent("sd3"), steps=2
    ).args[1]
    with pytest.raises(ValueError, match="the inversion was computed with SD3"):
        edit(
            run,
            model=model,
            positive=TEXTS("sd15", ""),
            negative=TEXTS("sd15", ""),
            latent=tiny_models.latent("sd15"),
            inversion=inversion,
        )
