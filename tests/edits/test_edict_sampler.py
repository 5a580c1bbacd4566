"""EDICTSampler: masks, batches, other weights, and refused pairs."""

import dataclasses

import analytic
import comfy.model_management
import comfy.samplers
import pytest
import tiny_models
import torch
from edict_calls import TEXTS, analytic_pair, generate, invert
from latent_cases import left_half, picture, relative


def test_outside_the_mask_is_the_source_bit_for_bit(run):
    model, _, pair = analytic_pair(run)
    edited = generate(run, model=model, pair=pair, target=analytic.text(-1.0), cfg=5.0, mask=left_half())
    samples, source = edited.args[0]["samples"], pair.latent["samples"]
    assert torch.equal(samples[..., :4], source[..., :4])
    assert (samples - source)[..., 4:].abs().min() > 0.1
    assert edited.args[0]["noise_mask"].shape == (1, 1, 8, 8)
    assert "50.0 %" in edited.ui["report"][0]["text"]
    free = generate(run, model=model, pair=pair, target=analytic.text(-1.0), cfg=5.0).args[0]
    assert relative(samples[..., 4:], free["samples"][..., 4:]) < 1e-6  # this network works cell by cell
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
    assert "weights differ from those of the inversion" in generate(run, model=other, pair=pair).ui["report"][0]["text"]


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
        (dict(latent={"samples": torch.full((1, 4, 8, 8), float("nan"))}), "EDICTInvert: the latent contains NaN"),
        (dict(latent={"samples": torch.ones(1, 16, 8, 8)}), "16 channels for a model with 4"),
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
        (dict(sigmas=torch.linspace(5, 0, 4)), "and 4 noise levels; expected one state per level"),
        (dict(sigmas=torch.zeros(9)), "the noise levels of the pair do not descend"),
        (dict(latent=analytic.latent(torch.randn(1, 4, 16, 8))), "its latent of shape \\(1, 4, 16, 8\\)"),
        (dict(mixing=0.3), "EDICTSampler: got a pair with mixing 0.3"),
        (dict(model=("SDXL", "SDXL")), "computed with SDXL / SDXL, and this model is BaseModel"),
        (dict(states=torch.zeros(9, 2, 1, 4, 8, 8)), "in torch.float32; .* in torch.float64"),
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
        ValueError, match="EDICTSampler: the pair was computed with .* EPS .*, and this model is .* V_PREDICTION"
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
    """Inversion undoes the 8th of 8 steps first, in it first the part that x got from y: y moves
    first in even steps.
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
