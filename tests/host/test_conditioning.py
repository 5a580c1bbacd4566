"""Conditionings and model patches: at the same state and noise level a node's prediction equals
that of ComfyUI's own samplers.

A stock prediction comes from SamplerCustom: one Euler step from sigma to 0 ends at the prediction
of the clean latent. A node's predictions are recorded by a wrapper around the guider's, or, if a
node evaluates its texts separately, computed from its result.
"""

import types

import comfy.gligen
import comfy.hooks
import comfy.samplers
import comfy.sd
import pytest
import torch
from conditioning_kinds import CFG, KINDS, TEXTS, noise, plain
from stock_predictions import assert_equal, model_space, recorded, stock

MADE: dict[str, types.SimpleNamespace] = {}


@pytest.fixture(params=list(KINDS))
def kind(request):
    if request.param not in MADE:
        MADE[request.param] = KINDS[request.param]()
    return MADE[request.param]


def ddim(run, model, kind):
    run(
        "DDIMInvert",
        model=model,
        conditioning=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=4,
        strength=0.8,
    )


def blend(run, model, kind):
    run(
        "LatentBlendSampler",
        model=model,
        positive=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=2,
        denoise=0.5,
        sampler_name="heun",
        mask=torch.ones(1, 64, 64),
    )


def edict(run, model, kind):
    pair = run(
        "EDICTInvert",
        model=model,
        source=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=3,
        strength=0.7,
    ).args[0]
    run("EDICTSampler", model=model, target=kind.positive, negative=kind.negative, pair=pair, cfg=CFG)


def exact(run, model, kind):
    result = run(
        "ExactInvert",
        model=model,
        source=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=4,
        strength=0.8,
    ).args[0]
    run("ExactSampler", model=model, target=kind.positive, negative=kind.negative, inversion=result, cfg=CFG)


def edit_friendly(run, model, kind):
    run(
        "EditFriendlyInvert",
        model=model,
        source=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=3,
        strength=0.7,
    )


GUIDED = [ddim, blend, edict, exact, edit_friendly]


@pytest.mark.parametrize("node", GUIDED, ids=lambda node: node.__name__)
def test_guided_predictions_are_the_stock_samplers(run, kind, node):
    model, seen = recorded(kind)
    node(run, model, kind)
    assert len({sigma for _, sigma, _ in seen}) > 1
    for x, sigma, answer in [*seen[:: 1 + len(seen) // 3], seen[-1]]:
        assert_equal(answer, stock(kind, x, sigma))


WITHOUT_GUIDANCE = pytest.mark.parametrize(
    "kind", [name for name in KINDS if name != "guidance patches"], indirect=True
)


@WITHOUT_GUIDANCE
def test_diffedits_contrast_is_of_the_stock_predictions(run, pack_module, kind):
    pack_module("edits.masks.contrast").RECENT.clear()
    with torch.inference_mode():
        result = pack_module("edits.masks.contrast").contrast_of_texts(
            kind.model, kind.negative, kind.positive, kind.latent, 5, 1, 0.5
        )
    sigma, shape = pack_module("host.sampling").sigma_at_strength(kind.model, 0.5), kind.latent["samples"].shape
    x = kind.model.get_model_object("model_sampling").noise_scaling(
        torch.tensor([sigma]), noise(*shape, seed=5), model_space(kind)
    )
    change = (stock(kind, x, sigma, cfg=0.0) - stock(kind, x, sigma, cfg=1.0)) / sigma
    assert change.abs().mean(1).max() > 1e-5
    for found, wanted in zip(result, (change.abs().mean(1), change), strict=True):
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-5 * float(x.abs().max()) / sigma)


@WITHOUT_GUIDANCE
def test_flow_edit_moves_by_the_stock_predictions(run, kind):
    edited = run(
        "FlowEdit",
        model=kind.model,
        source=kind.negative,
        target=kind.positive,
        negative=TEXTS("sdxl" if "SDXL" in type(kind.model.model).__name__ else "sd15", ""),
        latent=kind.latent,
        steps=2,
        strength=0.5,
        source_cfg=1.0,
        target_cfg=1.0,
        seed=5,
    ).args[0]["samples"]
    sigma = float(comfy.samplers.calculate_sigmas(kind.model.get_model_object("model_sampling"), "normal", 2)[1])
    x0 = model_space(kind)
    x = kind.model.get_model_object("model_sampling").noise_scaling(torch.tensor([sigma]), noise(*x0.shape, seed=5), x0)
    # One step from sigma to 0, without guidance: the source moves by the difference of the two
    # clean predictions. Regions, ControlNets and GLIGEN of one text apply to the other as from
    # positive to negative; guidance 0 is the negative alone.
    wanted = x0 + stock(kind, x, sigma, cfg=1.0) - stock(kind, x, sigma, cfg=0.0)
    assert_equal(kind.model.get_model_object("process_latent_in")(edited), wanted)


def test_a_conditioning_without_entries_is_answered_or_is_ksamplers(run):
    """For a negative without entries ComfyUI predicts zeros, and so do the nodes; DiffEditMask
    refuses it.
    """
    kind = plain()
    kind.negative = []
    model, seen = recorded(kind)
    for node in GUIDED:
        node(run, model, kind)
    for x, sigma, answer in seen:
        assert_equal(answer, stock(kind, x, sigma))
    with pytest.raises(ValueError, match="DiffEditMask: the source conditioning does not apply"):
        run("DiffEditMask", model=kind.model, source=[], target=kind.positive, latent=kind.latent)
