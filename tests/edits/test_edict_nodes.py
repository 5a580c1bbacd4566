"""EDICTInvert and EDICTSampler through real ComfyUI: exactness, cost, batching, masks, stock
samplers on the result, refusals.
"""

import analytic
import comfy.model_management
import comfy.samplers
import edict_paper
import pytest
import tiny_models
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustom
from edict_calls import TEXTS, analytic_pair, generate, invert
from latent_cases import picture, relative


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_round_trip_is_exact_whatever_the_network_computes_in(run, dtype):
    model, latent = tiny_models.sd15(dtype=dtype), tiny_models.latent("sd15")
    assert model.model.get_dtype_inference() == dtype
    result = run(
        "EDICTInvert",
        model=model,
        source=TEXTS("sd15", "a cat"),
        negative=TEXTS("sd15", ""),
        latent=latent,
        steps=25,
        measure_error=True,
    )
    pair, report = result.args[0], result.ui["report"][0]
    assert len(pair.sigmas) == 21
    assert pair.states.dtype == torch.float64
    assert pair.states.shape == (21, 2, 1, 4, 8, 8)
    assert pair.error[0] < 1e-12
    assert report["round_trip_error"] == pair.error
    assert "round-trip error" in report["text"]
    back = run("EDICTSampler", model=model, target=TEXTS("sd15", "a cat"), negative=TEXTS("sd15", ""), pair=pair).args[
        0
    ]["samples"]
    assert relative(back, latent["samples"]) < 1e-6  # a LATENT is float32


@pytest.mark.parametrize(
    "steps, strength, cfg, mixing", [(39, 1.0, 3.0, 0.93), (30, 0.8, 7.5, 0.97), (11, 1.0, 1.0, 0.9)]
)
def test_round_trip_is_exact_at_any_setting(run, steps, strength, cfg, mixing):
    model, latent = tiny_models.sd15(), tiny_models.latent("sd15", batch=2)
    pair = run(
        "EDICTInvert",
        model=model,
        source=TEXTS("sd15", "a cat"),
        negative=TEXTS("sd15", ""),
        latent=latent,
        steps=steps,
        strength=strength,
        cfg=cfg,
        mixing=mixing,
        measure_error=True,
    ).args[0]
    assert max(pair.error) < 1e-12
    assert len(pair.error) == 2


@pytest.mark.parametrize("family", ["sd15_v", "edm", "sdxl", "flux"])  # the others: test_matrix.py
def test_every_family_round_trips_and_stock_samplers_go_on(run, family):
    model, latent = tiny_models.damp(tiny_models.FAMILIES[family][0]()), tiny_models.latent(family)
    text, empty = TEXTS(family, "a cat"), TEXTS(family, "")
    for strength in (0.5, 1.0):
        pair, noise_latent, sigmas = run(
            "EDICTInvert",
            model=model,
            source=text,
            negative=empty,
            latent=latent,
            steps=20,
            strength=strength,
            cfg=2.0,
            measure_error=True,
        ).args
        assert max(pair.error) < 1e-12
        with torch.inference_mode():
            stock = SamplerCustom.execute(
                model, False, 0, 2.0, text, empty, comfy.samplers.sampler_object("euler"), sigmas, noise_latent
            )[0]["samples"]
        assert relative(stock, latent["samples"]) < 0.25  # approximate: one of the two sequences, and Euler's steps


def test_trajectory_is_the_papers_on_a_real_network(run):
    """Equations 14 and 15 in the paper's variables; the network is called directly with the lower
    level's scale and the upper level's timestep.
    """
    model, texts, latent = (
        tiny_models.damp(tiny_models.sd15(), 0.3),
        [TEXTS("sd15", "a cat"), TEXTS("sd15", "")],
        tiny_models.latent("sd15"),
    )
    pair = run(
        "EDICTInvert", model=model, source=texts[0], negative=texts[1], latent=latent, steps=9, strength=1.0
    ).args[0]
    clock, network = model.get_model_object("model_sampling"), model.model.diffusion_model
    abar = 1 / (1 + pair.sigmas.double() ** 2)

    def e(x, i):
        t = clock.timestep(pair.sigmas[i]).expand(1).float()
        cat, empty = (network(x.float(), t, context=text[0][0]).double() for text in texts)
        return empty + 3.0 * (cat - empty)

    start = (pair.states[0] * abar[0].sqrt()).unbind()
    with torch.inference_mode():
        for (x, y), state, level in zip(
            edict_paper.generate(e, *start, abar.tolist(), 0.93), pair.states[1:], abar[1:], strict=True
        ):
            wanted = state * level.sqrt()
            assert relative(x, wanted[0]) < 1e-4
            assert relative(y, wanted[1]) < 1e-4


@pytest.mark.parametrize("cfg, batches", [(3.0, [2] * 16), (1.0, [1] * 16)])
def test_cost_and_batching(run, cfg, batches):
    """8 steps: with guidance 4 evaluations a step, both texts in one batch; without it 2. Sampling
    back costs the same.
    """
    model, calls, pair = analytic_pair(run, cfg=cfg)
    assert calls == batches
    calls.clear()
    generate(run, model=model, pair=pair, cfg=cfg)
    assert calls == batches


@pytest.mark.parametrize("free_when_inverting, batch", [(1e15, 2), (1.0, 1)])
def test_batching_is_kept_whatever_memory_is_free(run, monkeypatch, free_when_inverting, batch):
    """ComfyUI decides by the free memory, which may change between two passes, and with it the
    network's rounding.
    """
    model, calls = analytic.denoiser()
    for free in (free_when_inverting, 1.0, 1e15):
        monkeypatch.setattr(
            comfy.model_management,
            "get_free_memory",
            lambda *args, free=free, **kwargs: (free, free) if kwargs.get("torch_free_too") else free,
        )
        if free is free_when_inverting and not calls:
            pair = invert(run, model=model, latent=analytic.latent(picture())).args[0]
        generate(run, model=model, pair=pair)
    assert set(calls) == {batch}
    assert pair.together == (batch == 2)


def test_guidance_patches_of_the_model_are_used(run):
    model, _ = analytic.denoiser()
    patched = model.clone()
    patched.set_model_sampler_cfg_function(lambda args: args["cond"])
    latent = analytic.latent(picture())
    one = invert(run, model=patched, latent=latent, cfg=5.0).args[0]
    other = invert(run, model=model, latent=latent, cfg=1.0).args[0]
    assert torch.allclose(one.states, other.states, rtol=1e-6)


def test_it_is_the_ode_in_the_limit(run):
    model, _ = analytic.denoiser()
    errors = []
    for steps in (50, 200):
        pair = invert(
            run,
            model=model,
            latent=analytic.latent(picture()),
            steps=steps,
            source=analytic.text(0.3),
            negative=analytic.text(0.1),
            cfg=3.0,
            mixing=0.93 ** (50 / max(50, steps)),
        ).args[0]
        wanted = analytic.solution(
            picture().double(), 0.7, 0.0, float(pair.sigmas[0])
        )  # cfg 3 between means 0.1 and 0.3
        errors.append(relative(pair.states[0, 0], wanted))
    assert errors[1] < errors[0] < 0.1
    assert errors[1] < 0.03


def test_report_speaks_of_noise_and_drift(run):
    model, _ = analytic.denoiser()
    result = invert(run, model=model, latent=analytic.latent(picture(2)), steps=50)
    report = result.ui["report"][0]
    assert len(report["noise_std"]) == len(report["drift"]) == 2
    assert report["round_trip_error"] is None
    assert "noise std" in report["text"]
    assert "drift" in report["text"]
    assert "40 steps" in report["text"]
