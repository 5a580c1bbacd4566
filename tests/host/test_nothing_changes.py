"""Objects that ComfyUI keeps between runs: no sampler, wrapper or later node changes a node's
inputs or its cache.
"""

import calls
import comfy.patcher_extension
import comfy.samplers
import matrix
import pytest
import tiny_models
import torch
from snapshots import snapshot

WRAPPERS = comfy.patcher_extension.WrappersMP
MODEL_NODES = list(calls.CALLS)
NAMES = comfy.samplers.SAMPLER_NAMES
FAMILIES = {family: tiny_models.damp(tiny_models.FAMILIES[family].make()) for family in ("sd15", "sd3")}
OTHER_NODES = [name for name in calls.OTHERS if name != "CLIPRankModelLoader"]


def edit(run, family: str, **changes) -> torch.Tensor:
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1
    texts = dict(positive=matrix.TEXTS(family, "a cat"), negative=matrix.TEXTS(family, ""))
    inputs = dict(
        model=FAMILIES[family], latent=tiny_models.latent(family), steps=3, cfg=2.0, seed=7, mask=mask, **texts
    )
    return run("LatentBlendSampler", **inputs | changes).args[0]["samples"]


@pytest.fixture(scope="module")
def inversions() -> dict:
    return {}


def inversion(run, family: str, made: dict):
    """(A DDIM inversion, ddim's edit along it), made once for all samplers, so that a change by one
    of them would affect the next.
    """
    if family not in made:
        latent, empty = tiny_models.latent(family), matrix.TEXTS(family, "")
        states = run("DDIMInvert", model=FAMILIES[family], conditioning=empty, latent=latent, steps=6).args[1]
        made[family] = states, edit(run, family, inversion=states, sampler_name="ddim")
    return made[family]


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_leaves_the_inversion_as_it_was_and_the_next_run_too(run, pack_module, inversions, family, name):
    """ComfyUI's uni_pc writes 0.001 into the last of its noise levels."""
    if pack_module("host.sampling").is_stochastic(name):
        pytest.skip("draws noise, so it cannot follow an inversion")
    states, first = inversion(run, family, inversions)
    before, inputs = snapshot(states), dict(inversion=states, sampler_name=name)
    assert torch.equal(edit(run, family, **inputs), edit(run, family, **inputs))
    assert snapshot(states) == before
    assert torch.equal(edit(run, family, inversion=states, sampler_name="ddim"), first)


@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_leaves_the_latent_the_mask_and_the_texts_as_they_were(run, name):
    family, mask = "sd3", torch.ones(1, 8, 8)
    given = dict(latent=tiny_models.latent(family), mask=mask, positive=matrix.TEXTS(family, "a cat"))
    before = snapshot(given)
    first = edit(run, family, sampler_name=name, **given)
    assert snapshot(given) == before
    assert torch.equal(edit(run, family, sampler_name=name, **given), first)


def scribbling(model, *kinds: str):
    """A clone with wrappers that overwrite every input tensor after the call."""
    marked = model.clone()

    def scribble(executor, *args, **kwargs):
        answer = executor(*args, **kwargs)
        answer = answer.clone() if isinstance(answer, torch.Tensor) else answer
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor):
                value.fill_(7)
        return answer

    for kind in kinds:
        marked.add_wrapper_with_key(kind, "scribbling", scribble)
    return marked


@pytest.fixture
def world(run, pack_module):
    pack_module("edits.masks.contrast").RECENT.clear()
    return calls.World(lambda *a, **k: run(*a, **k).args, "sd3")


@pytest.mark.parametrize("node", [name for name in MODEL_NODES if name != "ProgressiveMaskShrink"])
def test_wrappers_that_write_into_what_they_are_given_change_nothing(world, pack_module, node):
    call, inputs = calls.CALLS[node], calls.CALLS[node].inputs(world)
    wanted, before = call.result(world.run(node, **inputs)).clone(), snapshot(inputs)
    pack_module("edits.masks.contrast").RECENT.clear()
    kinds = (WRAPPERS.OUTER_SAMPLE, WRAPPERS.PREDICT_NOISE, WRAPPERS.CALC_COND_BATCH, WRAPPERS.APPLY_MODEL)
    marked = scribbling(world.model, *kinds)
    assert torch.equal(call.result(world.run(node, **inputs | {"model": marked})), wanted)
    assert snapshot(inputs) == before


def tensors_of(value) -> list[torch.Tensor]:
    """Every tensor in a value that a later node can access."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in tensors_of(item)]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_of(item)]
    if hasattr(value, "__dataclass_fields__"):
        return tensors_of(vars(value))
    return tensors_of(value.x) if hasattr(value, "generate_noise") else []


def contents(outputs) -> list:
    return [(tuple(tensor.shape), tensor.double().numpy().tobytes()) for tensor in tensors_of(outputs)]


def scribbled_outputs_are_made_again(node: str, make, inputs: dict) -> None:
    outputs = make()
    wanted, given = contents(outputs), snapshot(inputs)
    with torch.inference_mode():
        for place, output in enumerate(outputs):
            rest = [other for number, other in enumerate(outputs) if number != place]
            before = contents(rest)
            for tensor in tensors_of(output):
                tensor.fill_(7)
            assert contents(rest) == before, f"{node}: output {place} shares memory with another output"
            assert snapshot(inputs) == given, f"{node}: output {place} shares memory with an input"
    assert contents(make()) == wanted, f"{node}: the same call gave other values"


@pytest.mark.parametrize("node", MODEL_NODES)
def test_the_same_call_gives_the_same_bytes_after_its_outputs_were_overwritten(world, node):
    inputs = calls.CALLS[node].inputs(world)
    scribbled_outputs_are_made_again(node, lambda: world.run(node, **inputs), inputs)


@pytest.mark.parametrize("node", OTHER_NODES)
def test_the_same_call_without_a_model_gives_the_same_bytes_after_its_outputs_were_overwritten(run, node):
    pictures = calls.Pictures(lambda *a, **k: run(*a, **k).args)
    inputs = calls.OTHERS[node].inputs(pictures)
    if node == "CLIPRank":
        inputs |= dict(
            clip_rank_model=run("CLIPRankModelLoader", folder="semantic-edit-demo").args[0], latent=pictures.latent
        )
    scribbled_outputs_are_made_again(
        node,
        lambda: pictures.run(node, **inputs),
        {key: value for key, value in inputs.items() if isinstance(value, (torch.Tensor, dict))},
    )
