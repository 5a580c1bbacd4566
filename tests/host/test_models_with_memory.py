"""Models with step caches, which reuse an earlier prediction: ComfyUI's own are disabled during a
run, those of other packs are refused by name.
"""

import calls
import pytest
import torch
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode

ASKING = [
    "DiffEditMask",
    "DDIMInvert",
    "EDICTInvert",
    "EDICTSampler",
    "ExactInvert",
    "EditFriendlyInvert",
    "ExactSampler",
    "FlowEdit",
]
"""The nodes that compare predictions."""
LOOSE = dict(reuse_threshold=3.0, start_percent=0.0, end_percent=1.0, verbose=False)


@pytest.fixture
def world(run, pack_module):
    pack_module("edits.masks.contrast").RECENT.clear()
    return calls.World(lambda *a, **k: run(*a, **k), "sd3")


def inputs_of(world, node: str) -> dict:
    plain = calls.World(lambda *a, **k: world.run(*a, **k).args, model=world.model)
    plain.__dict__ |= {key: value for key, value in world.__dict__.items() if key != "run"}
    return calls.CALLS[node].inputs(plain)


@pytest.mark.parametrize("cache, name", [(EasyCacheNode, "EasyCache"), (LazyCacheNode, "LazyCache")])
@pytest.mark.parametrize("node", ASKING)
def test_a_step_cache_of_comfyui_is_off_and_the_report_says_so(world, pack_module, node, cache, name):
    inputs, call = inputs_of(world, node), calls.CALLS[node]
    wanted = world.run(node, **inputs)
    pack_module("edits.masks.contrast").RECENT.clear()
    with torch.inference_mode():
        cached = cache.execute(world.model, **LOOSE).args[0]
    result = world.run(node, **inputs | {"model": cached})
    assert torch.equal(call.result(result.args), call.result(wanted.args))
    assert f"{name} disabled" in result.ui["report"][0]["text"]
    assert "disabled" not in wanted.ui["report"][0]["text"]
    assert cached.wrappers, "the input model was changed"
    assert "easycache" in cached.model_options["transformer_options"], "the input model was changed"


def foreign(model, kind: str):
    """A MODEL patched by a node of another pack: the wrapper has a cache, or the options have its
    settings.
    """
    marked = model.clone()
    if kind == "an option":
        marked.model_options["transformer_options"]["rel_l1_thresh"] = 0.4
    elif kind == "a variable":

        def unet_wrapper_function(apply, given):
            enable_teacache = True
            given["c"]["transformer_options"]["enable_teacache"] = enable_teacache
            return apply(given["input"], given["timestep"], **given["c"])

        marked.set_model_unet_function_wrapper(unet_wrapper_function)
    elif kind == "a module":

        def patch_forward():
            return None

        patch_forward.__module__ = "/somewhere/custom_nodes/pack.first_block_cache"

        def wrapper(apply, given):
            patch_forward()
            return apply(given["input"], given["timestep"], **given["c"])

        marked.set_model_unet_function_wrapper(wrapper)
    else:
        marked.add_wrapper_with_key(
            "diffusion_model", "magcache", lambda executor, *args, **kwargs: executor(*args, **kwargs)
        )
    return marked


@pytest.mark.parametrize("kind", ["an option", "a variable", "a module", "a key"])
@pytest.mark.parametrize("node", ASKING)
def test_a_step_cache_of_another_pack_is_refused_by_name(world, node, kind):
    inputs = inputs_of(world, node)
    with pytest.raises(ValueError, match=f"{node}: got a model with a step cache .*Connect the model from before"):
        world.run(node, **inputs | {"model": foreign(world.model, kind)})


def test_wrappers_that_remember_nothing_are_left_alone(world, pack_module):
    model = world.model.clone()
    model.set_model_unet_function_wrapper(lambda apply, given: apply(given["input"], given["timestep"], **given["c"]))
    model.set_model_attn1_patch(lambda q, k, v, extra: (q, k, v))
    assert pack_module("host.step_caches").without_step_caches(model) is model
