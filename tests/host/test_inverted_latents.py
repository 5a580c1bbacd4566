"""Keys of a LATENT besides its samples: for a picture, for noise, and for several predictions;
seeds and NOISE.
"""

import calls
import comfy.samplers
import matrix
import pytest
import tiny_models
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustom, SamplerCustomAdvanced

import nodes as comfyui_nodes

INVERTERS = [("DDIMInvert", 0), ("EDICTInvert", 1), ("ExactInvert", 1)]


@pytest.fixture
def world(run):
    return calls.World(lambda *a, **k: run(*a, **k).args, "sd15", count=2)


def masked(world) -> dict:
    return {**world.latent, "noise_mask": world.mask.unsqueeze(1), "another pack's": [1, 2]}


@pytest.mark.parametrize("node, place", INVERTERS)
def test_no_noise_mask_rides_on_noise(world, node, place):
    """Outside a mask a stock sampler keeps its input samples, which here are noise."""
    latent = calls.CALLS[node].run(world, latent=masked(world))[place]
    assert set(latent) == {"samples", "batch_index"}
    assert latent["batch_index"] == [0, 1]
    sigmas = calls.CALLS[node].run(world, latent=masked(world))[-1]
    euler = comfy.samplers.sampler_object("euler")
    with torch.inference_mode():
        back, plain = (
            SamplerCustom.execute(world.model, False, 0, 1.0, world.source, world.source, euler, sigmas, one)[0][
                "samples"
            ]
            for one in (latent, calls.CALLS[node].run(world)[place])
        )
    assert torch.equal(back, plain)


@pytest.mark.parametrize(
    "node, edit, name", [("EDICTInvert", "EDICTSampler", "pair"), ("ExactInvert", "ExactSampler", "inversion")]
)
def test_exact_samplers_still_learn_the_mask_of_the_picture(world, node, edit, name):
    result = calls.CALLS[node].run(world, latent=masked(world))[0]
    texts = dict(model=world.model, target=world.target, negative=world.empty, cfg=2.0)
    edited = world.run(edit, **texts, **{name: result})[0]
    assert torch.equal(edited["samples"][..., :4], world.latent["samples"][..., :4])
    assert edited["noise_mask"].shape[0] == 2
    assert edited["another pack's"] == [1, 2]


def test_latent_blend_sampler_learns_the_mask_from_the_inversion(world):
    result = calls.CALLS["DDIMInvert"].run(world, latent=masked(world))[1]
    texts = dict(model=world.model, positive=world.target, negative=world.empty, sampler_name="ddim", cfg=2.0)
    edited = world.run("LatentBlendSampler", **texts, latent=world.latent, inversion=result)[0]["samples"]
    assert torch.equal(edited[..., :4], world.latent["samples"][..., :4])
    assert not torch.equal(edited[..., 4:], world.latent["samples"][..., 4:])


def test_several_predictions_have_no_index_and_nothing_that_counted_pictures(world):
    one, many = (
        calls.CALLS["LatentBlendSampler"].run(world, latent=masked(world), predictions=count)[0] for count in (1, 3)
    )
    assert "batch_index" not in one
    assert one["another pack's"] == [1, 2]
    assert set(many) == {"samples", "noise_mask"}
    assert many["noise_mask"].shape[0] == many["samples"].shape[0] == 6


@pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral"])
def test_prediction_k_is_the_single_run_with_seed_plus_k_also_of_one_taken_out_of_a_batch(run, sampler):
    world = calls.World(lambda *a, **k: run(*a, **k).args, "sd15", count=3)
    with torch.inference_mode():
        world.latent = comfyui_nodes.LatentFromBatch().frombatch({"samples": world.latent["samples"]}, 2, 1)[0]
    call = calls.CALLS["LatentBlendSampler"]
    four = call.run(world, predictions=4, seed=11, sampler_name=sampler)[0]["samples"]
    for k in range(4):
        single = call.run(world, seed=11 + k, sampler_name=sampler)[0]["samples"]
        assert torch.allclose(four[k : k + 1], single, atol=2e-4), k
    assert (four[0] - four[1]).abs().max() > 1e-2


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (3, 4, 8, 8), (2, 4, 8, 16), (2, 4, 16, 16)])
@pytest.mark.parametrize("empty", [True, False])
def test_noise_for_another_batch_or_size_is_refused(world, shape, empty):
    _, _, noise, sigmas = calls.CALLS["DDIMInvert"].run(world)
    latent = {"samples": torch.zeros(shape) if empty else torch.ones(shape)}
    with (
        torch.inference_mode(),
        pytest.raises(ValueError, match=r"DDIMInvert: the sampler that uses its noise got .*; expected \(2, 4, 8, 8\)"),
    ):
        SamplerCustomAdvanced.execute(
            noise, matrix.guider(world.model, world.source), comfy.samplers.sampler_object("euler"), sigmas, latent
        )


@pytest.mark.parametrize("family", ["sd15", "sdxl", "sd3", "flux"])
@pytest.mark.parametrize(
    "node, edit, name",
    [
        ("EDICTInvert", "EDICTSampler", "pair"),
        ("ExactInvert", "ExactSampler", "inversion"),
        ("EditFriendlyInvert", "ExactSampler", "inversion"),
    ],
)
def test_the_picture_comes_back_to_the_last_bit_of_its_latent(run, family, node, edit, name):
    world = calls.World(lambda *a, **k: run(*a, **k).args, family)
    result = calls.CALLS[node].run(world)[0]
    back = world.run(edit, model=world.model, target=world.source, negative=world.empty, cfg=2.0, **{name: result})[0]
    assert torch.equal(back["samples"], world.latent["samples"])


def test_flow_edit_of_a_text_to_itself_is_the_picture_to_the_last_bit(run):
    world = calls.World(lambda *a, **k: run(*a, **k).args, "sd3")
    call = calls.CALLS["FlowEdit"]
    same = call.run(world, target=world.source, source_cfg=2.0, target_cfg=2.0, mask=None)[0]["samples"]
    assert torch.equal(same, world.latent["samples"])


def report_of(run, node: str, **changes) -> str:
    world = calls.World(lambda *a, **k: run(*a, **k), "sd15")
    return calls.CALLS[node].run(world, **changes).ui["report"][0]["text"]


def test_a_mixing_that_outgrows_doubles_is_said(run):
    assert "exceeded the exact range" in report_of(run, "EDICTInvert", mixing=0.51, steps=27, strength=1.0)
    assert "exceeded the exact range" not in report_of(run, "EDICTInvert", mixing=0.93, steps=27, strength=1.0)


def test_advice_on_mixing_is_another_one_than_is_set(run):
    text = report_of(run, "EDICTInvert", mixing=0.93, steps=50, strength=1.0, cfg=30.0)
    assert "far from noise" in text
    assert "mixing" not in text
    assert "try mixing 0.9" in report_of(run, "EDICTInvert", mixing=0.7, steps=50, strength=1.0, cfg=30.0)


def test_exact_invert_gives_advice_where_its_noise_is_far_from_noise(run):
    assert "far from noise, so edits will be poor" in report_of(run, "ExactInvert", steps=40, strength=1.0, cfg=60.0)
    for strength in (0.1, 0.5):
        gentle = tiny_models.damp(tiny_models.sd15(), 0.01)
        assert "far from noise" not in report_of(run, "ExactInvert", model=gentle, steps=40, strength=strength, cfg=1.0)
