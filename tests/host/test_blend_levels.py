"""LatentBlendSampler over given noise levels and over a part of them: SIGMAS, start and end steps,
two models one after the other, and the background's noise.
"""

import comfy.samplers
import pytest
import tiny_models
import torch
from blend_runs import CFG, FAMILIES, MODELS, SEED, SOFT, STEPS, TEXTS, close, edit, report, samples, schedule
from comfy_extras.nodes_align_your_steps import AlignYourStepsScheduler
from comfy_extras.nodes_custom_sampler import SamplerCustom, SplitSigmas
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion

import nodes as comfyui_nodes


@pytest.mark.parametrize("family", FAMILIES)
def test_the_schedules_own_sigmas_give_the_same_bytes_whatever_the_widgets_say(run, family):
    plain = edit(run, family)
    given = edit(run, family, sigmas=schedule(family), steps=3, scheduler="karras", denoise=0.3)
    assert torch.equal(samples(plain), samples(given))
    assert "6 steps from sigmas; not used: steps, scheduler, denoise" in report(given)["text"]
    assert report(given)["unused"] == ["steps", "scheduler", "denoise"]
    assert report(plain)["unused"] == []
    assert "not used" not in report(plain)["text"]


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "euler_ancestral"])
def test_align_your_steps_is_samplercustoms(run, sampler):
    """The levels of Sabour et al. 2024, by ComfyUI's node, compared with the stock sampler that has
    a SIGMAS input.
    """
    with torch.inference_mode():
        sigmas = AlignYourStepsScheduler.execute("SD1", 10, 1.0)[0]
        wanted = SamplerCustom.execute(
            MODELS["sd15"],
            True,
            SEED,
            CFG,
            TEXTS("sd15", "a cat"),
            TEXTS("sd15", ""),
            comfy.samplers.sampler_object(sampler),
            sigmas,
            {**tiny_models.latent("sd15"), "noise_mask": SOFT.unsqueeze(1)},
        )[0]["samples"]
    given = sigmas.clone()
    close(samples(edit(run, sigmas=sigmas, sampler_name=sampler)), wanted)
    assert torch.equal(sigmas, given)


@pytest.mark.parametrize("background", ["one per run", "one per step"])
@pytest.mark.parametrize("sampler", ["euler", "heun", "ddim"])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_parts_are_the_whole_run(run, family, sampler, background):
    settings = dict(sampler_name=sampler, background_noise=background, predictions=2)
    whole = edit(run, family, **settings)
    first = edit(run, family, **settings, end_at_step=2)
    second = edit(run, family, **settings, start_at_step=2, noisy_latent=first.args[0])
    close(samples(second), samples(whole), 2e-5)
    assert second.args[0]["noise_mask"].shape[0] == 2
    assert "noise_mask" not in first.args[0]
    assert "still contains noise" in report(first)["text"]
    assert "2 of 6 steps" in report(first)["text"]
    assert "4 of 6 steps" in report(second)["text"]


@pytest.mark.parametrize("family", FAMILIES)
def test_split_sigmas_are_the_whole_run(run, family):
    high, low = SplitSigmas.execute(schedule(family), 3).args
    first = edit(run, family, sigmas=high)
    close(samples(edit(run, family, sigmas=low, noisy_latent=first.args[0])), samples(edit(run, family)), 2e-5)


def test_several_pictures_and_predictions_go_on_as_they_were(run):
    settings = dict(latent=tiny_models.latent("sd15", batch=3), predictions=2)
    first = edit(run, **settings, end_at_step=3)
    close(
        samples(edit(run, **settings, start_at_step=3, noisy_latent=first.args[0])),
        samples(edit(run, **settings)),
        2e-5,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_two_models_are_two_ksampler_advanced(run, family):
    """Wan 2.2: a model for high noise, then one for low noise. With a white mask the result is that
    of the stock chain.
    """
    low = tiny_models.damp(tiny_models.FAMILIES[family].make(), 0.5)
    texts, latent, white = (TEXTS(family, "a cat"), TEXTS(family, "")), tiny_models.latent(family), torch.ones(1, 8, 8)
    first = edit(run, family, mask=white, end_at_step=2)
    second = samples(edit(run, family, mask=white, model=low, start_at_step=2, noisy_latent=first.args[0]))
    advanced = comfyui_nodes.KSamplerAdvanced()
    with torch.inference_mode():
        halfway = advanced.sample(
            MODELS[family], "enable", SEED, STEPS, CFG, "euler", "normal", *texts, latent, 0, 2, "enable"
        )[0]
        wanted = advanced.sample(
            low, "disable", SEED, STEPS, CFG, "euler", "normal", *texts, halfway, 2, STEPS, "disable"
        )[0]["samples"]
        finished_by_stock = advanced.sample(
            low, "disable", SEED, STEPS, CFG, "euler", "normal", *texts, first.args[0], 2, STEPS, "disable"
        )[0]["samples"]
    close(samples(first), halfway["samples"])
    close(second, wanted)
    close(finished_by_stock, wanted)
    assert float((samples(edit(run, family, mask=white)) - second).norm() / second.norm()) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_two_models_keep_the_source_outside_the_mask(run, family):
    low, hard = tiny_models.damp(tiny_models.FAMILIES[family].make(), 0.5), (SOFT > 0.5).float()
    first = edit(run, family, mask=hard, end_at_step=2)
    second = samples(edit(run, family, mask=hard, model=low, start_at_step=2, noisy_latent=first.args[0]))
    source = tiny_models.latent(family)["samples"]
    assert torch.equal(second[..., :4], source[..., :4])
    assert (second - source)[..., 4:].abs().max() > 1e-3
    assert not torch.equal(samples(first)[..., :4], source[..., :4])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_later_start_without_a_noisy_latent_is_ksampler_advanced(run, family):
    with torch.inference_mode():
        wanted = comfyui_nodes.KSamplerAdvanced().sample(
            MODELS[family],
            "enable",
            SEED,
            STEPS,
            CFG,
            "euler",
            "normal",
            TEXTS(family, "a cat"),
            TEXTS(family, ""),
            {**tiny_models.latent(family), "noise_mask": SOFT.unsqueeze(1)},
            2,
            10000,
            "disable",
        )[0]["samples"]
    close(samples(edit(run, family, start_at_step=2)), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_along_an_inversion_two_parts_are_the_whole_run(run, family):
    inversion, sigmas = (
        run(
            "DDIMInvert",
            model=MODELS[family],
            conditioning=TEXTS(family, ""),
            latent=tiny_models.latent(family),
            steps=8,
        ).args[k]
        for k in (1, 3)
    )
    whole = edit(run, family, inversion=inversion)
    first = edit(run, family, inversion=inversion, end_at_step=3)
    close(
        samples(edit(run, family, inversion=inversion, start_at_step=3, noisy_latent=first.args[0])),
        samples(whole),
        2e-5,
    )
    close(samples(edit(run, family, inversion=inversion, sigmas=sigmas)), samples(whole), 2e-5)
    later = samples(
        edit(
            run,
            family,
            inversion=inversion,
            start_at_step=3,
            positive=TEXTS(family, ""),
            cfg=1.0,
            mask=torch.ones(1, 8, 8),
        )
    )
    close(later, tiny_models.latent(family)["samples"], 0.3)  # it starts at the state of that level
    note = report(whole)
    assert "steps from inversion; not used: steps, scheduler, denoise, seed, background_noise" in note["text"]
    assert note["unused"] == ["steps", "scheduler", "denoise", "seed", "background_noise"]
    assert note["sigmas"] == inversion.sigmas.tolist()


def test_differential_diffusion_goes_over_both_parts(run):
    model = DifferentialDiffusion.execute(MODELS["sd15"])[0]
    first = edit(run, model=model, end_at_step=3)
    close(
        samples(edit(run, model=model, start_at_step=3, noisy_latent=first.args[0])),
        samples(edit(run, model=model)),
        2e-5,
    )
