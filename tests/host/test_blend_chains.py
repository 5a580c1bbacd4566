"""LatentBlendSampler in chains: shrinking masks over a whole run, new background noise at each
step, and refused noise levels.
"""

import pytest
import tiny_models
import torch
from blend_runs import CFG, FAMILIES, MODELS, SEED, SOFT, TEXTS, close, edit, samples, schedule
from comfy_extras.nodes_custom_sampler import SplitSigmas

import nodes as comfyui_nodes


def watched(seen):
    """A model whose mask function records the levels and masks of its calls."""
    model = MODELS["sd15"].clone()
    model.set_model_denoise_mask_function(
        lambda sigma, mask, extra_options: seen.append((float(sigma[0]), int((mask[0, 0] > 0).sum()))) or mask
    )
    return model


def shrinking(run, seen, **settings):
    stroke = torch.zeros(1, 16, 16)
    stroke[:, 8, 8] = 1
    latent = tiny_models.latent("sd15", size=16)
    model, masked, _ = run(
        "ProgressiveMaskShrink", model=watched(seen), latent=latent, mask=stroke, kernels="7, 5, 3", **settings
    ).args
    return dict(model=model, latent=masked, mask=None, steps=8)


def test_a_shrinking_mask_follows_the_place_in_the_whole_run(run):
    """The numbers of free cells at each step: 7 x 7, 5 x 5, 3 x 3, 1."""
    seen = []
    inputs = shrinking(run, seen)
    edit(run, **inputs)
    whole, steps = seen.copy(), [49, 49, 25, 25, 9, 9, 1, 1]
    assert [cells for _, cells in whole] == steps
    seen.clear()
    first = edit(run, **inputs, end_at_step=3)
    edit(run, **inputs, start_at_step=3, noisy_latent=first.args[0])
    assert seen == whole
    seen.clear()
    high, low = SplitSigmas.execute(schedule("sd15", 8), 3).args
    first = edit(run, **inputs, sigmas=high)
    edit(run, **inputs, sigmas=low, noisy_latent=first.args[0])
    # By the model's timesteps: the last step of the "normal" schedule before 0 is the last timestep, so
    # each step is 1/7 of the range.
    assert [cells for _, cells in seen] == [49, 49, 25, 25, 9, 9, 1, 1]


def test_a_shrinking_mask_follows_the_whole_noise_range_of_a_stock_chain(run):
    for stages_over, wanted in (
        ("whole noise range", [49, 49, 25, 25, 9, 9, 1, 1]),
        ("this run", [49, 25, 9, 1, 49, 25, 9, 1]),
    ):
        seen = []
        inputs = shrinking(run, seen, stages_over=stages_over)
        advanced, texts = comfyui_nodes.KSamplerAdvanced(), (TEXTS("sd15", "a cat"), TEXTS("sd15", ""))
        with torch.inference_mode():
            halfway = advanced.sample(
                inputs["model"], "enable", SEED, 8, CFG, "euler", "normal", *texts, inputs["latent"], 0, 4, "enable"
            )[0]
            advanced.sample(
                inputs["model"],
                "disable",
                SEED,
                8,
                CFG,
                "euler",
                "normal",
                *texts,
                {**inputs["latent"], **halfway},
                4,
                8,
                "disable",
            )
        assert [cells for _, cells in seen] == wanted


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_last_step_of_the_whole_noise_range_has_the_mask_itself(run, steps):
    seen = []
    inputs = shrinking(run, seen, stages_over="whole noise range")
    edit(run, **inputs | {"steps": steps})
    assert seen[-1][1] == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_place_in_the_noise_range_is_comfyuis_percent(pack_module, family):
    sampling, place = (
        MODELS[family].get_model_object("model_sampling"),
        pack_module("host.sampling").place_in_noise_range,
    )
    for percent in (0.001, 0.1, 0.25, 0.5, 0.77, 0.999):
        assert place(sampling, float(sampling.percent_to_sigma(percent))) == pytest.approx(percent, abs=1e-4)
    assert place(sampling, float(sampling.sigma_max)) < 1e-4
    assert place(sampling, 0.0) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_fresh_background_noise_is_another_at_every_level_and_the_runs_own_at_the_first(pack_module, family):
    """Blended Latent Diffusion, algorithm 1: z_bg ~ noise(z_init, t), drawn again at each t."""
    model, source = MODELS[family].model, tiny_models.latent(family, batch=2)["samples"]
    seeded, levels = pack_module("host.latents").seeded_noise, schedule(family, 4)[:4]
    noise = seeded(source.shape[1:], [3, 4])

    def noises(background):
        """The noise at each level: a noised source of zeros divided by the level."""
        zero = background(model, torch.zeros_like(source))
        return [zero(level.expand(2)) / level for level in levels]

    def of_item(background):
        zero = background(model, torch.zeros_like(source[1:]))
        return [zero(level.expand(1)) / level for level in levels]

    blending = pack_module("host.blending")
    fixed, fresh = (
        noises(blending.noised_source(noise)),
        noises(blending.freshly_noised_source(noise, [3, 4], float(levels[0]))),
    )
    assert all(torch.allclose(one, noise, atol=1e-5) for one in fixed[1:])
    assert torch.equal(fixed[0], fresh[0])
    for k, one in enumerate(fresh[1:], 1):
        assert 0.8 < float(one.std()) < 1.2
        assert all(abs(float((one * other).mean())) < 0.2 for other in fresh[:k])
    alone = of_item(blending.freshly_noised_source(noise[1:], [4], float(levels[0])))
    assert all(torch.equal(one[1:], single) for one, single in zip(fresh, alone))


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "euler_ancestral"])
def test_fresh_background_noise_changes_the_inside_and_keeps_the_outside(run, sampler):
    mask, source = (SOFT > 0.5).float(), tiny_models.latent("sd15")["samples"]
    one, fresh, again = (
        samples(edit(run, mask=mask, sampler_name=sampler, background_noise=name))
        for name in ("one per run", "one per step", "one per step")
    )
    assert torch.equal(fresh, again)
    assert not torch.equal(one, fresh)
    assert torch.equal(fresh[..., :4], source[..., :4])
    batch = samples(
        edit(run, mask=mask, sampler_name=sampler, background_noise="one per step", predictions=3, seed=SEED - 1)
    )
    close(batch[1:2], fresh, 1e-4)


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            dict(sigmas=torch.tensor([1.0, 2.0, 0.0])),
            r"got sigmas \[1.0, 2.0, 0.0\]; expected finite, descending noise levels.*Flip Sigmas",
        ),
        (dict(sigmas=torch.tensor([2.0, float("nan"), 0.0])), "expected finite, descending noise levels"),
        (dict(sigmas=torch.tensor([2.0, 1.0, -1.0])), "expected finite, descending noise levels"),
        (dict(sigmas=torch.tensor([2.0])), "expected at least two noise levels"),
        (dict(sigmas=torch.tensor([])), "expected at least two noise levels"),
        (dict(sigmas=torch.ones(2, 2)), r"got a tensor of shape \(2, 2\) as sigmas; expected SIGMAS"),
        (dict(sigmas=3), "got int as sigmas; expected SIGMAS"),
        (
            dict(start_at_step=6),
            "got start_at_step 6 and end_at_step 10000 for 6 steps; expected at least one step.*lower start_at_step "
            "below 6",
        ),
        (dict(start_at_step=4, end_at_step=4), "expected at least one step"),
        (
            dict(noisy_latent=tiny_models.latent("sd15", batch=2)),
            r"got a noisy_latent of shape \(2, 4, 8, 8\); expected \(1, 4, 8, 8\).*set predictions to the same number",
        ),
        (dict(noisy_latent={"samples": torch.full((1, 4, 8, 8), float("nan"))}), "the latent contains NaN"),
        (dict(noisy_latent=3), "got 3 as noisy_latent; expected a LATENT"),
        (dict(background_noise="two"), "got background_noise 'two'; expected one of one per run, one per step"),
    ],
)
def test_what_cannot_work_is_said(run, changes, words):
    with pytest.raises(ValueError, match=f"LatentBlendSampler: .*{words}"):
        edit(run, **changes)


def test_a_flow_models_noisy_latent_at_pure_noise_is_refused(run):
    with pytest.raises(ValueError, match="pure noise; expected a lower noise level; raise start_at_step"):
        edit(run, "sd3", noisy_latent=tiny_models.latent("sd3"))


def test_sigmas_above_the_inversion_are_refused(run):
    inversion = run(
        "DDIMInvert",
        model=MODELS["sd15"],
        conditioning=TEXTS("sd15", ""),
        latent=tiny_models.latent("sd15"),
        steps=4,
        strength=0.5,
    ).args[1]
    with pytest.raises(ValueError, match="expected levels within the range of the inversion"):
        edit(run, inversion=inversion, sigmas=schedule("sd15"))
