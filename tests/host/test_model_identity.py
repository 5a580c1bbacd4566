"""The identity by which caches and inversions recognise a model: changes in place of the same
object are noticed.
"""

import calls
import comfy.patcher_extension
import pytest
import tiny_models
import torch
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete, ModelSamplingSD3

import nodes as comfyui_nodes

WRAPPERS = comfy.patcher_extension.WrappersMP


def ramp(prediction: torch.Tensor) -> torch.Tensor:
    """Changes the prediction and the mask; a plain factor would be removed by the normalisation."""
    return prediction * torch.linspace(0.2, 3.0, prediction.shape[-1])


def add_wrapper(model):
    model.add_wrapper_with_key(
        WRAPPERS.APPLY_MODEL, "ramp", lambda executor, *args, **kwargs: ramp(executor(*args, **kwargs))
    )


def patch_sampling(model):
    model.add_object_patch("model_sampling", ModelSamplingSD3().patch(model, 9.0)[0].get_model_object("model_sampling"))


def change_weights(model):
    for weight in model.model.diffusion_model.parameters():
        weight.mul_(1.3)


def change_one_weight(model):
    list(model.model.diffusion_model.parameters())[-2].mul_(3.0)


def change_option(model):
    model.set_model_unet_function_wrapper(
        lambda apply, given: ramp(apply(given["input"], given["timestep"], **given["c"]))
    )


CHANGES = [add_wrapper, patch_sampling, change_weights, change_one_weight, change_option]


@pytest.fixture
def world(run, pack_module):
    pack_module("edits.masks.contrast").RECENT.clear()
    return calls.World(lambda *a, **k: run(*a, **k), "sd3")


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_changed_in_place_gives_its_own_mask(world, pack_module, change):
    inputs = calls.CALLS["DiffEditMask"].inputs(world)
    before = world.run("DiffEditMask", **inputs).args[1]
    with torch.inference_mode():
        change(world.model)
    after = world.run("DiffEditMask", **inputs).args[1]
    pack_module("edits.masks.contrast").RECENT.clear()
    fresh = world.run("DiffEditMask", **inputs).args[1]
    assert torch.equal(after, fresh)
    assert not torch.equal(after, before)


def test_a_clone_that_is_the_same_costs_no_evaluation(run, pack_module):
    pack_module("edits.masks.contrast").RECENT.clear()
    world, asked = calls.World(lambda *a, **k: run(*a, **k), "sd3"), []

    def counting(apply, given):
        asked.append(1)
        return apply(given["input"], given["timestep"], **given["c"])

    world.model.set_model_unet_function_wrapper(counting)
    inputs = calls.CALLS["DiffEditMask"].inputs(world)
    world.run("DiffEditMask", **inputs)
    count = len(asked)
    world.run("DiffEditMask", **inputs | {"model": world.model.clone(), "threshold": 0.3})
    assert count
    assert len(asked) == count


INVERT_AND_EDIT = [
    (
        "DDIMInvert",
        1,
        "LatentBlendSampler",
        lambda w, found: dict(
            model=w.model,
            positive=w.target,
            negative=w.empty,
            latent=w.latent,
            mask=w.mask,
            inversion=found,
            sampler_name="ddim",
        ),
    ),
    (
        "EDICTInvert",
        0,
        "EDICTSampler",
        lambda w, found: dict(model=w.model, target=w.target, negative=w.empty, pair=found),
    ),
    (
        "ExactInvert",
        0,
        "ExactSampler",
        lambda w, found: dict(model=w.model, target=w.target, negative=w.empty, inversion=found),
    ),
    (
        "EditFriendlyInvert",
        0,
        "ExactSampler",
        lambda w, found: dict(model=w.model, target=w.target, negative=w.empty, inversion=found),
    ),
]


@pytest.mark.parametrize(
    "change, words",
    [
        (change_weights, "weights differ from those of the inversion"),
        (change_one_weight, "weights differ from those of the inversion"),
        (add_wrapper, "wrappers of the model differ from those of the inversion"),
        (change_option, "wrappers of the model differ from those of the inversion"),
    ],
)
@pytest.mark.parametrize("invert, place, edit, inputs", INVERT_AND_EDIT)
def test_a_change_between_inversion_and_edit_is_said_for_every_method(
    world, invert, place, edit, inputs, change, words
):
    result = calls.CALLS[invert].run(world).args[place]
    plain = world.run(edit, **inputs(world, result)).ui["report"][0]["text"]
    assert "differ from those of the inversion" not in plain
    with torch.inference_mode():
        change(world.model)
    assert words in world.run(edit, **inputs(world, result)).ui["report"][0]["text"]


def test_a_lora_in_the_weights_and_its_going_are_no_change_of_the_model_itself(run, pack_module):
    """While a patched clone is loaded, ComfyUI writes its patches into the weights that all clones
    share.
    """
    identity = pack_module("host.model_identity").ModelIdentity
    model, text = tiny_models.sd15(), tiny_models.Texts()("sd15", "a cat")
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    patched = model.clone()
    patched.add_patches({key: (torch.ones_like(patched.model_state_dict()[key]),)})
    before, with_lora = identity.of(model), identity.of(patched)
    assert before != with_lora
    assert before == identity.of(model.clone())
    with torch.inference_mode():
        comfyui_nodes.KSampler().sample(
            patched, 1, 2, 2.0, "euler", "normal", text, text, tiny_models.latent("sd15"), 1.0
        )
    assert identity.of(model) == before
    assert identity.of(patched) == with_lora
    assert "weights differ" in str(before.remark(patched))


def test_the_same_model_sampling_made_twice_is_the_same(pack_module):
    identity, model = pack_module("host.model_identity").ModelIdentity, tiny_models.sd15()
    first, second = (ModelSamplingDiscrete().patch(model, "v_prediction", False)[0] for _ in range(2))
    assert identity.of(first) == identity.of(second) != identity.of(model)


def test_a_clip_and_a_picture_encoder_changed_in_place_rank_anew(run, pack_module):
    """CLIPRank's cached embeddings belong to the weights that computed them."""
    pair = run("CLIPRankModelLoader", folder="semantic-edit-demo").args[0]
    images = torch.rand(4, 32, 32, 3, generator=torch.Generator().manual_seed(3))
    inputs = dict(images=images, text="a red circle", region="whole", clip_rank_model=pair)
    before = run("CLIPRank", **inputs).args[3]
    with torch.inference_mode():
        for weight in pair.patcher.model.clip.vision_model.parameters():
            weight.mul_(1.7)
    assert run("CLIPRank", **inputs).args[3] != before
