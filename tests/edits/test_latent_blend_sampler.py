"""LatentBlendSampler through real ComfyUI: the analytic solution of the ODE inside, the source
outside, batches equal to single runs. (All samplers and schedulers: test_samplers.py.)
"""

import analytic
import pytest
import tiny_models
import torch
from blend_calls import TEXTS, edit, half_mask, picture


def test_after_the_largest_seed_comes_the_smallest(run, pack_module):
    model, _ = analytic.denoiser()
    inputs = dict(
        model=model, positive=analytic.text(0.8), negative=analytic.text(0.0), latent=analytic.latent(picture())
    )
    three, smallest = edit(run, seed=2**64 - 2, predictions=3, **inputs), edit(run, seed=0, **inputs)
    assert torch.equal(three["samples"][2:], smallest["samples"])
    assert pack_module("host.latents").item_seeds({"batch_index": [3, 4]}, 2, 2**64 - 4) == [2**64 - 1, 0]


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "euler_ancestral", "dpmpp_2m_sde"])
def test_prediction_k_is_the_single_run_with_seed_plus_k(run, sampler):
    model, latent = tiny_models.damp(tiny_models.sd15()), tiny_models.latent("sd15")
    inputs = dict(
        model=model,
        positive=TEXTS("sd15", "a cat"),
        negative=TEXTS("sd15", ""),
        latent=latent,
        sampler_name=sampler,
        steps=4,
        cfg=2.0,
    )
    batch = edit(run, **inputs, seed=11, predictions=3)
    assert batch["samples"].shape[0] == 3
    assert batch["noise_mask"].shape[0] == 3
    for k in range(3):
        assert torch.allclose(batch["samples"][k], edit(run, **inputs, seed=11 + k)["samples"][0], atol=2e-4)
    assert (batch["samples"][0] - batch["samples"][1]).abs().max() > 1e-2


def test_two_pictures_two_masks_two_predictions(run):
    model, _ = analytic.denoiser()
    latent = analytic.latent(picture(2))
    masks = torch.cat([half_mask(), 1 - half_mask()])
    edited = edit(
        run,
        model=model,
        positive=analytic.text(0.5),
        negative=analytic.text(0),
        latent=latent,
        mask=masks,
        predictions=2,
    )["samples"]
    assert edited.shape[0] == 4
    for row, item, kept in [(0, 0, slice(0, 4)), (1, 0, slice(0, 4)), (2, 1, slice(4, 8)), (3, 1, slice(4, 8))]:
        assert torch.equal(edited[row][..., kept], latent["samples"][item][..., kept])
    assert not torch.equal(edited[0], edited[1])


def test_a_soft_mask_gives_the_blend(run):
    model, _ = analytic.denoiser()
    exact, answers = model.model_options["model_function_wrapper"], []
    model.set_model_unet_function_wrapper(
        lambda apply, arguments: answers.append(exact(apply, arguments)) or answers[-1]
    )
    soft = torch.full((1, 64, 64), 0.25)
    latent = analytic.latent(picture())
    edited = analytic.model_space(
        edit(run, model=model, positive=analytic.text(2.0), negative=analytic.text(0), latent=latent, mask=soft)
    )
    assert torch.allclose(edited, 0.25 * answers[-1] + 0.75 * picture(), atol=1e-5)
    assert float((edited - picture()).mean()) > 0.005  # it has moved towards the text


@pytest.mark.parametrize("value, changed", [(0.0, False), (1.0, True)])
def test_empty_and_full_masks(run, value, changed):
    model, _ = analytic.denoiser()
    latent = analytic.latent(picture())
    edited = edit(
        run,
        model=model,
        positive=analytic.text(0.5),
        negative=analytic.text(0),
        latent=latent,
        mask=torch.full((1, 20, 30), value),
    )["samples"]
    assert torch.equal(edited, latent["samples"]) != changed


def test_the_latents_own_noise_mask_is_used(run):
    model, _ = analytic.denoiser()
    latent = {**analytic.latent(picture()), "noise_mask": half_mask().reshape(1, 1, 64, 64)}
    inputs = dict(model=model, positive=analytic.text(0.5), negative=analytic.text(0), steps=6, cfg=1.0)
    own = run("LatentBlendSampler", **inputs, latent=latent).args[0]["samples"]
    given = edit(run, **inputs, latent=analytic.latent(picture()))["samples"]
    assert torch.equal(own, given)


def test_a_one_pixel_stroke_is_edited(run):
    model, _ = analytic.denoiser()
    stroke = torch.zeros(1, 64, 64)
    stroke[:, 21] = 1
    latent = analytic.latent(picture())
    edited = edit(run, model=model, positive=analytic.text(0.5), negative=analytic.text(0), latent=latent, mask=stroke)[
        "samples"
    ]
    assert (edited != latent["samples"]).any(1)[0].nonzero()[:, 0].unique().tolist() == [2]


def test_denoise_walks_like_ksampler(run):
    model, calls = analytic.denoiser()
    for denoise, steps in [(1.0, 10), (0.5, 10), (0.25, 4)]:
        calls.clear()
        edit(
            run,
            model=model,
            positive=analytic.text(0.5),
            negative=analytic.text(0),
            latent=analytic.latent(picture()),
            steps=steps,
            denoise=denoise,
        )
        assert len(calls) == steps


def test_differential_diffusion_steers_the_mask(run):
    from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion

    model, _ = analytic.denoiser()
    ramp = torch.linspace(0, 1, 8).repeat_interleave(8).expand(1, 64, 64)
    inputs = dict(
        positive=analytic.text(0.5), negative=analytic.text(0), latent=analytic.latent(picture()), mask=ramp, steps=20
    )
    plain, steered = (
        edit(run, model=model, **inputs)["samples"],
        edit(run, model=DifferentialDiffusion.execute(model)[0], **inputs)["samples"],
    )
    assert torch.equal(steered[..., 0], inputs["latent"]["samples"][..., 0])
    assert not torch.allclose(plain, steered, atol=1e-3)


def test_nothing_given_is_changed(run):
    model, _ = analytic.denoiser()
    latent, mask = {**analytic.latent(picture()), "batch_index": [0]}, half_mask()
    before = latent["samples"].clone(), mask.clone()
    edit(
        run,
        model=model,
        positive=analytic.text(0.5),
        negative=analytic.text(0),
        latent=latent,
        mask=mask,
        predictions=2,
    )
    assert torch.equal(latent["samples"], before[0])
    assert torch.equal(mask, before[1])
    assert set(latent) == {"samples", "batch_index"}


def test_previews_and_interruption(run, pack_module, monkeypatch):
    import comfy.model_management

    model, calls = analytic.denoiser()
    inputs = dict(
        model=model, positive=analytic.text(0.5), negative=analytic.text(0), latent=analytic.latent(picture()), steps=10
    )
    seen = []
    original = pack_module("host.progress").Progress.advance
    monkeypatch.setattr(
        pack_module("host.progress").Progress,
        "advance",
        lambda self, steps=1, denoised=None: (seen.append(denoised is not None), original(self, steps, denoised)),
    )
    edit(run, **inputs)
    assert seen == [True] * 10
    calls.clear()
    comfy.model_management.interrupt_current_processing(True)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        edit(run, **inputs)
    assert len(calls) < 10
    edit(run, **inputs)  # the next run is correct


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(mask=None), "no mask; connect a MASK"),
        (dict(mask=torch.full((1, 8, 8), float("nan"))), "the mask contains NaN"),
        (dict(mask=torch.ones(3, 64, 64)), "got 3 masks for 1 latents"),
        (dict(predictions=0), "got predictions 0"),
        (
            dict(latent={"samples": torch.full((1, 4, 8, 8), float("nan"))}),
            "LatentBlendSampler: the latent contains NaN",
        ),
        (
            dict(sampler_name="euler_ancestral", inversion=True),
            "got sampler_name euler_ancestral with an inversion.*euler, ",
        ),
        (dict(predictions=2, inversion=True), "set predictions to 1"),
        (dict(latent=analytic.latent(picture(2)), inversion=True), "with an inversion of a latent of shape"),
        (dict(latent=analytic.latent(picture(seed=9)), inversion=True), "the inversion belongs to another image"),
    ],
)
def test_what_cannot_work_is_said_before_the_model_runs(run, change, words):
    model, calls = analytic.denoiser()
    inputs = dict(
        model=model, positive=analytic.text(0.5), negative=analytic.text(0), latent=analytic.latent(picture())
    )
    if change.get("inversion"):
        change = {
            **change,
            "inversion": run(
                "DDIMInvert", model=model, conditioning=analytic.text(0), latent=inputs["latent"], steps=4
            ).args[1],
        }
        calls.clear()
    with pytest.raises(ValueError, match=words):
        edit(run, **inputs | change)
    assert not calls


def test_nan_from_the_model_is_not_passed_on(run):
    model = tiny_models.sd15().clone()
    model.set_model_unet_function_wrapper(lambda apply, arguments: arguments["input"] * float("nan"))
    with pytest.raises(ValueError, match="LatentBlendSampler: the sampler produced NaN"):
        edit(
            run, model=model, positive=analytic.text(0.5), negative=analytic.text(0), latent=analytic.latent(picture())
        )
