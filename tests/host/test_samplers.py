"""LatentBlendSampler with every sampler and every scheduler of the installed ComfyUI, on an eps-
and on a flow model.
"""

import comfy.samplers
import matrix
import pytest
import tiny_models
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced

FAMILIES = ("sd15", "sd3")
NAMES, SCHEDULERS = comfy.samplers.SAMPLER_NAMES, comfy.samplers.SCHEDULER_NAMES
MODELS = {family: tiny_models.damp(tiny_models.FAMILIES[family].make()) for family in FAMILIES}
INVERSIONS: dict[str, object] = {}


def test_the_names_are_all_that_comfyui_has():
    assert set(NAMES) == {*comfy.samplers.KSAMPLER_NAMES, "ddim", "uni_pc", "uni_pc_bh2"}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def half():
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1
    return mask


def edit(run, family, **changes):
    inputs = dict(
        model=MODELS[family],
        positive=matrix.TEXTS(family, "a cat"),
        negative=matrix.TEXTS(family, ""),
        latent=tiny_models.latent(family),
        steps=3,
        cfg=2.0,
        seed=7,
        mask=half(),
    )
    return run("LatentBlendSampler", **inputs | changes).args[0]["samples"]


def inversion(run, family):
    if family not in INVERSIONS:
        INVERSIONS[family] = run(
            "DDIMInvert",
            model=MODELS[family],
            conditioning=matrix.TEXTS(family, ""),
            latent=tiny_models.latent(family),
            steps=8,
            refinements=4,
        ).args[1]
    return INVERSIONS[family]


class SameNoise:
    """The same noise for every seed, so that results differ only by noise that the sampler draws."""

    def __init__(self, seed):
        self.seed = seed

    def generate_noise(self, latent):
        return torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_finite_kept_and_repeatable(run, family, name):
    first, again, other = (edit(run, family, sampler_name=name, seed=seed) for seed in (7, 7, 8))
    source = tiny_models.latent(family)["samples"]
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert torch.equal(first[..., :4], source[..., :4])
    assert torch.equal(other[..., :4], source[..., :4])
    assert (first - source)[..., 4:].abs().max() > 1e-3
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", NAMES)
def test_who_draws_noise_is_known(pack_module, family, name):
    """The list of stochastic samplers agrees with their behaviour, including samplers of newer
    ComfyUI releases.
    """
    guider, latent = (
        matrix.guider(MODELS[family], matrix.TEXTS(family, "a cat")),
        {"samples": torch.zeros_like(tiny_models.latent(family)["samples"])},
    )
    sigmas = comfy.samplers.calculate_sigmas(MODELS[family].get_model_object("model_sampling"), "normal", 3)
    with torch.inference_mode():
        ends = [
            SamplerCustomAdvanced.execute(SameNoise(seed), guider, comfy.samplers.sampler_object(name), sigmas, latent)[
                0
            ]["samples"]
            for seed in (1, 2)
        ]
    assert pack_module("host.sampling").is_stochastic(name) or torch.equal(*ends)
    if family == "sd15":
        assert pack_module("host.sampling").is_stochastic(name) != torch.equal(*ends)


@pytest.mark.parametrize("name", NAMES)
def test_along_an_inversion(run, pack_module, family, name):
    found = inversion(run, family)
    if pack_module("host.sampling").is_stochastic(name):
        wanted = ", ".join(known for known in NAMES if not pack_module("host.sampling").is_stochastic(known))
        with pytest.raises(
            ValueError, match=f"LatentBlendSampler: got sampler_name {name} with an inversion.*use one of {wanted}"
        ):
            edit(run, family, inversion=found, sampler_name=name)
        return
    source = tiny_models.latent(family)["samples"]
    edited = edit(run, family, inversion=found, sampler_name=name)
    assert torch.isfinite(edited).all()
    assert torch.equal(edited[..., :4], source[..., :4])
    assert (edited - source)[..., 4:].abs().max() > 1e-4
    # Under the inversion's text every sampler solves the inversion's ODE, so it returns to the
    # picture.
    empty = matrix.TEXTS(family, "")
    back = edit(
        run,
        family,
        inversion=found,
        sampler_name=name,
        positive=empty,
        negative=empty,
        cfg=1.0,
        mask=torch.ones(1, 64, 64),
    )
    assert matrix.relative(back, source) < 0.35


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler(run, family, scheduler):
    source = tiny_models.latent(family)["samples"]
    for changes in (dict(steps=4), dict(steps=2, denoise=0.5)):
        edited = edit(run, family, scheduler=scheduler, **changes)
        assert torch.isfinite(edited).all()
        assert torch.equal(edited[..., :4], source[..., :4])
    empty = matrix.TEXTS(family, "")
    _, found, _, sigmas = run(
        "DDIMInvert",
        model=MODELS[family],
        conditioning=empty,
        latent=tiny_models.latent(family),
        steps=5,
        scheduler=scheduler,
    ).args
    assert (sigmas[1:] < sigmas[:-1]).all()
    assert torch.isfinite(found.states).all()
    assert torch.equal(edit(run, family, inversion=found)[..., :4], source[..., :4])
    for node in ("EDICTInvert", "ExactInvert"):
        exact = run(
            node,
            model=MODELS[family],
            source=empty,
            negative=empty,
            latent=tiny_models.latent(family),
            steps=4,
            scheduler=scheduler,
            cfg=1.0,
            measure_error=True,
        ).args[0]
        assert max(exact.error) < matrix.EXACT
