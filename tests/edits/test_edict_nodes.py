"""EDICTInvert and EDICTSampler through real ComfyUI: exactness, cost, batching, masks, what stock
samplers make of the result, what is refused.
"""

import dataclasses

import analytic
import comfy.model_management
import comfy.samplers
import edict_paper
import pytest
import tiny_models
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustom

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
        measure_error=True,
    )
    pair, report = result.args[0], result.ui["report"][0]
    assert len(pair.sigmas) == 41
    assert pair.states.dtype == torch.float64
    assert pair.states.shape == (41, 2, 1, 4, 8, 8)
    assert pair.error[0] < 1e-12
    assert report["round_trip_error"] == pair.error
    assert "round trip error" in report["text"]
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


@pytest.mark.parametrize("family", ["sd15", "sd15_v", "edm", "sdxl", "sd3", "flux"])  # the others: test_matrix.py
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
        assert relative(stock, latent["samples"]) < 0.25  # near, not exact: one sequence of the two, and Euler's steps


def test_trajectory_is_the_papers_on_a_real_network(run):
    """Equations 14 and 15 in the paper's variables, the network called by hand at the lower level's
    scale and the upper level's timestep.
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
    """8 steps: with guidance 4 evaluations a step, both texts in one batch; without it 2. The way
    back costs the same.
    """
    model, calls, pair = analytic_pair(run, cfg=cfg)
    assert calls == batches
    calls.clear()
    generate(run, model=model, pair=pair, cfg=cfg)
    assert calls == batches


@pytest.mark.parametrize("free_when_inverting, batch", [(1e15, 2), (1.0, 1)])
def test_batching_is_kept_whatever_memory_is_free(run, monkeypatch, free_when_inverting, batch):
    """ComfyUI decides by the memory of the moment; between two passes that may change, and the
    network's roundings with it.
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


def test_outside_the_mask_is_the_source_bit_for_bit(run):
    model, _, pair = analytic_pair(run)
    edited = generate(run, model=model, pair=pair, target=analytic.text(-1.0), cfg=5.0, mask=left_half())
    samples, source = edited.args[0]["samples"], pair.latent["samples"]
    assert torch.equal(samples[..., :4], source[..., :4])
    assert (samples - source)[..., 4:].abs().min() > 0.1
    assert edited.args[0]["noise_mask"].shape == (1, 1, 8, 8)
    assert "50.0 %" in edited.ui["report"][0]["text"]
    free = generate(run, model=model, pair=pair, target=analytic.text(-1.0), cfg=5.0).args[0]
    assert relative(samples[..., 4:], free["samples"][..., 4:]) < 1e-6  # cell by cell, this network cannot tell
    assert "noise_mask" not in free


def test_the_same_text_in_a_mask_changes_nothing(run):
    model, latent = tiny_models.damp(tiny_models.sd15()), tiny_models.latent("sd15")
    texts = dict(negative=TEXTS("sd15", ""), model=model)
    pair = run("EDICTInvert", source=TEXTS("sd15", "a cat"), latent=latent, steps=10, **texts).args[0]
    same = run("EDICTSampler", target=TEXTS("sd15", "a cat"), pair=pair, mask=left_half(), **texts).args[0]["samples"]
    other = run("EDICTSampler", target=TEXTS("sd15", "a dog on a chair"), pair=pair, mask=left_half(), **texts).args[0][
        "samples"
    ]
    assert relative(same, latent["samples"]) < 1e-6
    assert torch.equal(other[..., :4], latent["samples"][..., :4])
    assert relative(other, latent["samples"]) > 1e-5


def test_the_latents_own_noise_mask_counts_unless_another_is_connected(run):
    model, _ = analytic.denoiser()
    latent = {**analytic.latent(picture()), "noise_mask": left_half(), "batch_index": [0]}
    pair = invert(run, model=model, latent=latent).args[0]
    assert "noise_mask" not in invert(run, model=model, latent=latent).args[1]
    assert set(latent) == {"samples", "noise_mask", "batch_index"}
    own = generate(run, model=model, pair=pair, target=analytic.text(-1.0)).args[0]
    assert torch.equal(own["samples"][..., :4], latent["samples"][..., :4])
    assert own["batch_index"] == [0]
    whole = generate(run, model=model, pair=pair, target=analytic.text(-1.0), mask=torch.ones(1, 8, 8)).args[0]
    assert not torch.equal(whole["samples"][..., :4], latent["samples"][..., :4])


def test_items_do_not_depend_on_their_batch(run):
    model, batch = tiny_models.damp(tiny_models.sd15()), tiny_models.latent("sd15", batch=2)
    texts = dict(source=TEXTS("sd15", "a cat"), negative=TEXTS("sd15", ""))
    together = run("EDICTInvert", model=model, latent=batch, steps=8, **texts).args[0]
    for k in range(2):
        alone = run("EDICTInvert", model=model, latent={"samples": batch["samples"][k : k + 1]}, steps=8, **texts).args[
            0
        ]
        assert relative(together.states[:, :, k], alone.states[:, :, 0]) < 1e-5


def test_other_weights_are_mentioned(run):
    model, _, pair = analytic_pair(run)
    assert "weights" not in generate(run, model=model.clone(), pair=pair).ui["report"][0]["text"]
    other, _ = analytic.denoiser()
    with torch.inference_mode():
        other.model.diffusion_model.out[2].weight.add_(1)
    assert "weights are not those of the inversion" in generate(run, model=other, pair=pair).ui["report"][0]["text"]


def test_the_user_can_stop_it(run):
    model, calls = analytic.denoiser()
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        invert(run, model=model, latent=analytic.latent(picture()))
    assert len(calls) <= 2


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(steps=0), "got steps 0"),
        (dict(strength=0.0), "got strength 0.0"),
        (dict(mixing=0.5), "EDICTInvert: got mixing 0.5; expected at least 0.51"),
        (dict(mixing=1.1), "got mixing 1.1"),
        (dict(latent={"samples": torch.full((1, 4, 8, 8), float("nan"))}), "EDICTInvert: the latent holds NaN"),
        (dict(latent={"samples": torch.ones(1, 16, 8, 8)}), "16 channels for a model that works on 4"),
    ],
)
def test_what_cannot_be_inverted_is_said_before_the_model_runs(run, change, words):
    model, calls = analytic.denoiser()
    with pytest.raises(ValueError, match=words):
        invert(run, **dict(model=model, latent=analytic.latent(picture())) | change)
    assert not calls


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(sigmas=torch.linspace(5, 0, 4)), "its 4 noise levels"),
        (dict(sigmas=torch.zeros(9)), "no falling noise levels"),
        (dict(latent=analytic.latent(torch.randn(1, 4, 16, 8))), "its latent \\(1, 4, 16, 8\\)"),
        (dict(mixing=0.3), "EDICTSampler: got mixing 0.3"),
        (dict(model=("SDXL", "SDXL")), "made with SDXL / SDXL, this model is BaseModel"),
        (dict(states=torch.zeros(9, 2, 1, 4, 8, 8)), "in torch.float32, .* in torch.float64"),
        (dict(states=torch.full((9, 2, 1, 4, 8, 8), float("nan"), dtype=torch.float64)), "NaN"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(run, change, words):
    model, calls, pair = analytic_pair(run)
    calls.clear()
    with pytest.raises(ValueError, match=words):
        generate(run, model=model, pair=dataclasses.replace(pair, **change))
    assert not calls


def test_a_pair_of_another_model_or_another_kind_is_refused(run):
    _, _, pair = analytic_pair(run)
    with pytest.raises(
        ValueError, match="EDICTSampler: the pair was made with .* EPS .*, this model is .* V_PREDICTION"
    ):
        generate(run, model=tiny_models.sd15_v(), pair=pair)
    with pytest.raises(ValueError, match="EDICTSampler: got dict as pair"):
        generate(run, model=tiny_models.sd15(), pair={"samples": torch.zeros(1, 4, 8, 8)})
    with pytest.raises(ValueError, match="EDICTSampler: got 2 masks for 1 latents"):
        generate(run, model=analytic.denoiser()[0], pair=pair, mask=torch.ones(2, 8, 8))


@pytest.mark.parametrize(
    "good, words", [(0, "step 8 .*sequence y"), (1, "step 8 .*sequence x"), (4, "step 6 .*sequence y")]
)
def test_nan_from_the_network_is_named_by_step_and_sequence(run, good, words):
    """Inverting undoes the 8th of 8 steps first, and in it first what x got from y: y moves first
    in the even ones.
    """
    model, calls = tiny_models.sd15().clone(), []

    def wrapper(apply, arguments):
        calls.append(1)
        return arguments["input"] * (float("nan") if len(calls) > good else 1.0)

    model.set_model_unet_function_wrapper(wrapper)
    with pytest.raises(ValueError, match=f"EDICTInvert: the network predicted NaN or infinite values at {words}"):
        invert(
            run, model=model, source=TEXTS("sd15", "a"), negative=TEXTS("sd15", ""), latent=analytic.latent(picture())
        )


def test_a_pair_far_from_noise_comes_with_advice(run):
    model, _ = analytic.denoiser()
    poor, good = (
        invert(run, model=model, latent=analytic.latent(picture()), steps=200, mixing=mixing, measure_error=True)
        for mixing in (0.93, 0.982)
    )
    assert "try mixing 0.978" in poor.ui["report"][0]["text"]
    assert "try" not in good.ui["report"][0]["text"]
    assert good.args[0].error[0] < 1e-12
