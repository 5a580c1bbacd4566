"""ExactInvert, EditFriendlyInvert and ExactSampler through real ComfyUI."""

import dataclasses

import analytic
import comfy.samplers
import pytest
import tiny_models
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustom
from latent_cases import left_half, picture, relative

TEXTS = tiny_models.Texts()

KINDS = [
    ("ExactInvert", dict(method="O-BELM")),
    ("ExactInvert", dict(method="BDIA", gamma=0.96)),
    ("ExactInvert", dict(method="DirectEdit")),
    ("EditFriendlyInvert", dict(seed=5)),
]


def invert(run, node, **inputs):
    return run(
        node, **dict(source=analytic.text(0.3), negative=analytic.text(0.0), steps=10, strength=0.8, cfg=3.0) | inputs
    )


def generate(run, **inputs):
    return run("ExactSampler", **dict(target=analytic.text(0.3), negative=analytic.text(0.0), cfg=3.0) | inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("node, settings", KINDS)
def test_round_trip_is_exact(run, node, settings, dtype):
    model, latent = tiny_models.sd15(dtype=dtype), tiny_models.latent("sd15", batch=2)
    texts = dict(negative=TEXTS("sd15", ""), model=model)
    result = run(
        node,
        source=TEXTS("sd15", "a cat"),
        latent=latent,
        steps=20,
        strength=0.8,
        cfg=2.0,
        measure_error=True,
        **settings,
        **texts,
    )
    inversion = result.args[0]
    assert max(inversion.error) < 1e-12
    assert inversion.states.shape == (17, 2, 4, 8, 8)
    assert "round-trip error" in result.ui["report"][0]["text"]
    back = run("ExactSampler", target=TEXTS("sd15", "a cat"), inversion=inversion, cfg=2.0, **texts).args[0]["samples"]
    assert relative(back, latent["samples"]) < 1e-6  # a LATENT is float32


@pytest.mark.parametrize("node, settings", KINDS)
@pytest.mark.parametrize("family", ["sd15_v", "edm", "sdxl", "sd3", "flux"])
def test_every_family_round_trips(run, family, node, settings):
    model, latent = tiny_models.damp(tiny_models.FAMILIES[family][0]()), tiny_models.latent(family)
    inversion = run(
        node,
        model=model,
        source=TEXTS(family, "a cat"),
        negative=TEXTS(family, ""),
        latent=latent,
        steps=12,
        strength=1.0,
        cfg=2.0,
        measure_error=True,
        **settings,
    ).args[0]
    assert max(inversion.error) < 1e-12


def test_stock_samplers_go_on_from_the_latent(run):
    model, latent, text = tiny_models.damp(tiny_models.sd15()), tiny_models.latent("sd15"), TEXTS("sd15", "a cat")
    inversion, noise, sigmas = run(
        "ExactInvert", model=model, source=text, latent=latent, steps=40, cfg=1.0, method="O-BELM"
    ).args
    with torch.inference_mode():
        stock = SamplerCustom.execute(
            model, False, 0, 1.0, text, text, comfy.samplers.sampler_object("euler"), sigmas, noise
        )[0]["samples"]
    assert relative(stock, latent["samples"]) < 0.25
    assert torch.equal(sigmas, inversion.sigmas)


@pytest.mark.parametrize("node, settings, up, down", [(*KINDS[0], 8, 7), (*KINDS[1], 8, 7), (*KINDS[2], 8, 8)])
def test_one_evaluation_a_step_for_each_text(run, node, settings, up, down):
    model, calls = analytic.denoiser()
    for cfg, batch in ((3.0, 2), (1.0, 1)):
        calls.clear()
        inversion = invert(run, node, model=model, latent=analytic.latent(picture()), cfg=cfg, **settings).args[0]
        assert calls == [batch] * up
        calls.clear()
        generate(run, model=model, inversion=inversion, cfg=cfg)
        assert calls == [batch] * down


def test_obelm_is_nearer_to_the_ode_than_ddim(run):
    model, _ = analytic.denoiser()
    latent = analytic.latent(picture())
    ours = run(
        "ExactInvert",
        model=model,
        source=analytic.text(0.3),
        latent=latent,
        steps=100,
        strength=0.8,
        cfg=1.0,
        method="O-BELM",
    ).args[0]
    theirs = run("DDIMInvert", model=model, conditioning=analytic.text(0.3), latent=latent, steps=100).args[1]
    wanted = analytic.solution(picture(), 0.3, 0.0, float(theirs.sigmas[0]))
    assert relative(ours.noise, wanted) < relative(theirs.noise, wanted)


@pytest.mark.parametrize("node, settings", KINDS)
def test_outside_the_mask_is_the_source_bit_for_bit(run, node, settings):
    model, _ = analytic.denoiser()
    latent = analytic.latent(picture())
    inversion = invert(run, node, model=model, latent=latent, **settings).args[0]
    edited = generate(run, model=model, inversion=inversion, target=analytic.text(-1.0), cfg=5.0, mask=left_half())
    samples = edited.args[0]["samples"]
    assert torch.equal(samples[..., :4], latent["samples"][..., :4])
    assert (samples - latent["samples"])[..., 4:].abs().min() > 0.05
    assert edited.args[0]["noise_mask"].shape == (1, 1, 8, 8)
    assert "50.0 %" in edited.ui["report"][0]["text"]


def test_edit_friendly_items_and_seeds(run):
    model, _ = analytic.denoiser()
    batch = {**analytic.latent(picture(2)), "batch_index": [0, 3]}
    both = invert(run, "EditFriendlyInvert", model=model, latent=batch, seed=7).args[0]
    alone = invert(run, "EditFriendlyInvert", model=model, latent={"samples": batch["samples"][1:]}, seed=10).args[0]
    assert torch.allclose(both.states[:, 1], alone.states[:, 0])
    assert torch.allclose(both.corrections[:, 1], alone.corrections[:, 0], atol=1e-5)
    other = invert(run, "EditFriendlyInvert", model=model, latent={"samples": batch["samples"][1:]}, seed=11).args[0]
    assert not torch.allclose(other.states[0], alone.states[0])


@pytest.mark.parametrize(
    "node, change, words",
    [
        ("ExactInvert", dict(steps=0), "ExactInvert: got steps 0"),
        ("ExactInvert", dict(strength=0.1), "got 1 step for O-BELM.*raise steps or strength"),
        ("ExactInvert", dict(method="euler_ancestral"), "got method 'euler_ancestral'; expected one of O-BELM, BDIA"),
        ("ExactInvert", dict(gamma=0.3), "got gamma 0.3"),
        ("ExactInvert", dict(negative=None), "got cfg 3.0 without a negative text"),
        ("EditFriendlyInvert", dict(eta=0.0), "EditFriendlyInvert: got eta 0.0"),
        ("EditFriendlyInvert", dict(strength=1.5), "got strength 1.5"),
    ],
)
def test_what_cannot_be_inverted_is_said_before_the_model_runs(run, node, change, words):
    model, calls = analytic.denoiser()
    with pytest.raises(ValueError, match=words):
        invert(run, node, **dict(model=model, latent=analytic.latent(picture())) | change)
    assert not calls


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(sigmas=torch.linspace(5, 0, 4)), "9 states and 4 noise levels; expected one state per level"),
        (dict(sigmas=torch.zeros(9)), "the noise levels of the inversion do not descend"),
        (dict(latent=analytic.latent(torch.randn(1, 4, 16, 8))), "expected \\(9, 1, 4, 16, 8\\)"),
        (dict(model=("SDXL", "SDXL")), "computed with SDXL / SDXL, and this model is BaseModel"),
    ],
)
def test_inversions_that_do_not_fit_are_refused(run, change, words):
    model, calls = analytic.denoiser()
    inversion = invert(run, "ExactInvert", model=model, latent=analytic.latent(picture())).args[0]
    calls.clear()
    with pytest.raises(ValueError, match=f"ExactSampler: .*{words}"):
        generate(run, model=model, inversion=dataclasses.replace(inversion, **change))
    with pytest.raises(ValueError, match="ExactSampler: got str as inversion"):
        generate(run, model=model, inversion="none")
    assert not calls


@pytest.mark.parametrize("node", ["ExactInvert", "EditFriendlyInvert"])
def test_nan_from_the_network_names_the_step(run, node):
    model = tiny_models.sd15().clone()
    model.set_model_unet_function_wrapper(lambda apply, arguments: arguments["input"] * float("nan"))
    with pytest.raises(ValueError, match=f"{node}: the network predicted NaN or infinite values at step"):
        invert(
            run,
            node,
            model=model,
            source=TEXTS("sd15", "a"),
            negative=TEXTS("sd15", ""),
            latent=analytic.latent(picture()),
        )
