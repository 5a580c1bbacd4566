"""Evaluations and errors of the methods, without timing. No method may need more network
evaluations than the recorded numbers, and exact round trips must stay exact.
"""

import analytic
import pytest
import torch
from older_comfyui import needs_cfg_override

import nodes as comfyui_nodes
from benchmarks import crop_evaluations
from lab import common

SCHEDULE = dict(steps=10, strength=0.8)
STEPS = 8


def picture():
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3)) * 0.6


def texts():
    return dict(source=analytic.text(0.3), negative=analytic.text(0.0))


@pytest.fixture
def counted(run):
    """``counted(name, **inputs)``: a node's outputs and its evaluations of single latents."""
    model, calls = analytic.denoiser()

    def call(name, **inputs):
        calls.clear()
        outputs = run(name, model=model, **inputs).args
        return outputs, sum(calls)

    return call


@pytest.mark.parametrize("sampler_name", ["ddim", "dpmpp_2m", "heun"])
def test_a_blend_asks_as_often_as_the_stock_sampler_with_a_noise_mask(counted, sampler_name):
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1
    sampled = dict(positive=analytic.text(0.8), negative=analytic.text(0.0), seed=0, steps=6, cfg=7.5)
    sampled |= dict(sampler_name=sampler_name, scheduler="normal", denoise=1.0)
    latent = analytic.latent(picture())
    _, blended = counted("LatentBlendSampler", latent=latent, mask=mask, **sampled)
    model, calls = analytic.denoiser()
    common.call(comfyui_nodes.KSampler, model=model, latent_image={**latent, "noise_mask": mask}, **sampled)
    assert blended == sum(calls)


def test_diffedit_asks_no_more_than_today(counted):
    """A mask of n noises takes 2 n evaluations; a guided one, as diffusers has it, takes 4 n."""
    latent = analytic.latent(picture())
    (_, _, masked), result = counted(
        "DiffEditMask", source=analytic.text(0.3), target=analytic.text(0.8), latent=latent, seed=0, noises=10
    )
    (_, inversion, *_), up = counted("DDIMInvert", conditioning=analytic.text(0.0), latent=latent, **SCHEDULE)
    _, down = counted(
        "LatentBlendSampler",
        positive=analytic.text(0.8),
        negative=analytic.text(0.0),
        latent=masked,
        inversion=inversion,
        cfg=7.5,
        mask=torch.ones(1, 64, 64),
    )
    assert result <= 2 * 10
    assert up <= STEPS
    assert down <= 2 * STEPS


@pytest.mark.parametrize(
    "node, settings, most_up, most_down",
    [
        ("ExactInvert", dict(method="O-BELM"), 2 * STEPS, 2 * (STEPS - 1)),
        ("ExactInvert", dict(method="BDIA"), 2 * STEPS, 2 * (STEPS - 1)),
        ("ExactInvert", dict(method="DirectEdit"), 2 * STEPS, 2 * STEPS),
        ("EditFriendlyInvert", dict(seed=0), 2 * STEPS, 2 * STEPS),
        ("EDICTInvert", {}, 4 * STEPS, 4 * STEPS),
    ],
)
def test_exact_methods_ask_no_more_and_lose_no_bit(counted, node, settings, most_up, most_down):
    given = dict(latent=analytic.latent(picture()), cfg=3.0, **texts(), **SCHEDULE, **settings)
    (inversion, *_), up = counted(node, **given)
    name, key = ("EDICTSampler", "pair") if node == "EDICTInvert" else ("ExactSampler", "inversion")
    _, down = counted(name, target=analytic.text(0.8), negative=analytic.text(0.0), cfg=3.0, **{key: inversion})
    assert up <= most_up
    assert down <= most_down
    measured = counted(node, **given, measure_error=True)[0][0]
    assert measured.error == [0.0]


def test_edict_of_16_steps_asks_a_third_of_the_published_loop(counted):
    """The published loop has 50 steps at strength 0.8: 4 evaluations in each of 40 steps, in both
    directions.
    """
    given = dict(latent=analytic.latent(picture()), cfg=3.0, **texts())
    (pair, *_), up = counted("EDICTInvert", steps=16, strength=0.8, **given)
    _, down = counted("EDICTSampler", target=analytic.text(0.8), negative=analytic.text(0.0), cfg=3.0, pair=pair)
    assert 3 * (up + down) <= 2 * 4 * 40
    unguided = counted("EDICTInvert", steps=16, strength=0.8, **given | {"cfg": 1.0})[1]
    assert unguided + down <= 78


@pytest.mark.parametrize("changes, most", [({}, 4), ({"guidance": "target against source"}, 3), ({"adaptive": 0.9}, 4)])
def test_flow_edit_asks_no_more_than_today(counted, changes, most):
    _, result = counted(
        "FlowEdit",
        target=analytic.text(0.8),
        latent=analytic.latent(picture()),
        source_cfg=3.5,
        target_cfg=5.0,
        **texts(),
        **SCHEDULE,
        **changes,
    )
    assert result <= most * STEPS


def test_ddims_round_trip_is_no_worse(counted):
    """For Gaussian data the errors are deterministic numbers; refinements make them smaller."""
    errors = []
    for refinements in (0, 2):
        given = dict(conditioning=analytic.text(0.3), latent=analytic.latent(picture()), refinements=refinements)
        errors.append(counted("DDIMInvert", measure_error=True, **given, **SCHEDULE)[0][1].error[0])
    assert errors[0] <= 0.2703
    assert errors[1] <= 0.0258


@needs_cfg_override
def test_a_small_thing_in_a_large_picture_takes_few_whole_evaluations():
    """DiffEdit with 10 steps and 4 noises: the mask on the whole picture, inversion and edit on the
    crop.
    """
    assert crop_evaluations.count(0.1, 10, 4, crop=True, side=512) <= 9.2
    assert crop_evaluations.count(0.2, 10, 4, crop=True, side=512) <= 12.2
    assert crop_evaluations.count(0.1, 10, None, crop=True, side=512) <= 1.2
    assert crop_evaluations.count(0.2, 16, 4, crop=True, guided=0.5, side=512) <= 13.5
