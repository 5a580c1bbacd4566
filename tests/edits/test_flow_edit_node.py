"""FlowEdit through real ComfyUI."""

import analytic
import pytest
import tiny_models
import torch
from latent_cases import left_half, picture, relative

TEXTS = tiny_models.Texts()


def flow_edit(run, **inputs):
    return run(
        "FlowEdit",
        **dict(
            source=analytic.text(0.0), target=analytic.text(0.8), negative=analytic.text(0.0), steps=10, strength=0.8
        )
        | inputs,
    )


def test_flow_edit_moves_the_mean_by_the_difference_of_the_texts(run):
    """For Gaussian data the difference of the two predictions does not depend on the noise, so that
    the edit is the same shift for every seed.
    """
    model, calls = analytic.denoiser()
    latent = analytic.latent(picture())
    first, second = (
        flow_edit(
            run, model=model, latent=latent, seed=seed, steps=200, strength=1.0, source_cfg=1.0, target_cfg=1.0
        ).args[0]
        for seed in (0, 1)
    )
    shift = analytic.model_space(first) - picture()
    assert torch.allclose(first["samples"], second["samples"], atol=1e-3)
    assert float(shift.std()) < 1e-3
    assert 0.7 < float(shift.mean()) < 0.81
    assert set(calls) == {1}
    assert len(calls) == 2 * 2 * 200
    calls.clear()
    flow_edit(run, model=model, latent=latent, source_cfg=3.5, target_cfg=5.0, averages=2)
    assert calls == [2] * (2 * 2 * 8)


@pytest.mark.parametrize("family", ["sd15", "sd3", "flux"])
def test_flow_edit_on_every_kind_of_model(run, family):
    model, latent = tiny_models.damp(tiny_models.FAMILIES[family][0]()), tiny_models.latent(family)
    texts = dict(model=model, latent=latent, source=TEXTS(family, "a cat"), negative=TEXTS(family, ""))
    same = flow_edit(run, target=TEXTS(family, "a cat"), source_cfg=2.0, target_cfg=2.0, **texts).args[0]["samples"]
    assert relative(same, latent["samples"]) < 1e-5
    edited = flow_edit(run, target=TEXTS(family, "a dog on a chair"), mask=left_half(), **texts).args[0]["samples"]
    assert torch.equal(edited[..., :4], latent["samples"][..., :4])
    assert not torch.equal(edited, latent["samples"])


AGAINST = dict(guidance="target against source")


def test_flow_edits_guidance_decides_the_evaluations(run):
    """Four a step; three for guidance against the source, which needs no negative; the adaptive
    factor costs nothing.
    """
    model, calls = analytic.denoiser()
    shared = dict(model=model, latent=analytic.latent(picture()), source_cfg=3.5, target_cfg=5.0)
    for changes, wanted in (({}, 4), (dict(adaptive=0.9), 4), (AGAINST, 3), (AGAINST | dict(adaptive=0.9), 3)):
        calls.clear()
        flow_edit(run, **shared, **changes, **({"negative": None} if "guidance" in changes else {}))
        assert sum(calls) == wanted * 8, changes


@pytest.mark.parametrize("family", ["sd15", "sd3"])
def test_flow_edits_additions_at_their_neutral_values_change_no_bit(run, family):
    model, latent = tiny_models.damp(tiny_models.FAMILIES[family][0]()), tiny_models.latent(family, batch=2)
    texts = dict(model=model, latent=latent, source=TEXTS(family, "a cat"), negative=TEXTS(family, ""))
    inputs = dict(target=TEXTS(family, "a dog on a chair"), target_cfg=6.0, **texts)
    plain = flow_edit(run, **inputs).args[0]["samples"]
    neutral = flow_edit(run, **inputs, guidance="each text", adaptive=0.0, source_term=0.0).args[0]["samples"]
    assert torch.equal(plain, neutral)
    for changes in (dict(adaptive=0.9), AGAINST, dict(source_term=0.05)):
        changed = flow_edit(run, **inputs, **changes).args[0]["samples"]
        assert not torch.allclose(changed, plain, atol=1e-5), changes
        masked = flow_edit(run, **inputs, **changes, mask=left_half()).args[0]["samples"]
        assert torch.equal(masked[..., :4], latent["samples"][..., :4]), changes
        alone = {**latent, "samples": latent["samples"][1:], "batch_index": [1]}
        single = flow_edit(run, **(inputs | dict(latent=alone)), **changes).args[0]["samples"]
        assert relative(single[0], changed[1]) < 1e-4, changes


def test_the_source_term_keeps_more_of_the_source(run):
    model, _ = analytic.denoiser()
    latent = analytic.latent(picture())
    moved = [
        float(
            (flow_edit(run, model=model, latent=latent, source_term=zeta).args[0]["samples"] - latent["samples"]).norm()
        )
        for zeta in (0.0, 0.02, 0.2)
    ]
    assert moved[0] > moved[1] > moved[2]


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(averages=0), "FlowEdit: got averages 0"),
        (dict(negative=None), "FlowEdit: got source_cfg 3.5 without a negative text"),
        (dict(steps=0), "FlowEdit: got steps 0"),
    ],
)
def test_flow_edit_refuses_what_cannot_work(run, change, words):
    model, calls = analytic.denoiser()
    with pytest.raises(ValueError, match=words):
        flow_edit(run, **dict(model=model, latent=analytic.latent(picture())) | change)
    assert not calls
