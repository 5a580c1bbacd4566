"""Interruption, running out of memory and exceptions at every step of every node: the inputs are
unchanged, no model stays patched, and the next run is correct.
"""

import gc

import calls
import comfy.hooks
import comfy.model_management
import pytest
import tiny_models
import torch
from snapshots import snapshot

import nodes as comfyui_nodes

NODES = list(calls.CALLS)
SAMPLING = [name for name in NODES if name != "ProgressiveMaskShrink"]


class Fault(Exception):
    pass


FAULTS = {
    "interruption": lambda: comfy.model_management.InterruptProcessingException(),
    "out of memory": lambda: comfy.model_management.OOM_EXCEPTION("out of memory, on purpose"),
    "exception": lambda: Fault("on purpose"),
}


class Faulty:
    """A model whose network fails at its ``at``-th evaluation; counts them."""

    def __init__(self, model, make=None, at: int = 0):
        self.calls, self.make, self.at = 0, make, at
        self.model = model.clone()
        self.model.set_model_unet_function_wrapper(self._call)

    def _call(self, apply, given):
        self.calls += 1
        if self.make is not None and self.calls == self.at:
            raise self.make()
        return apply(given["input"], given["timestep"], **given["c"])


def assert_unpatched(model):
    assert not model.hook_backup
    assert model.current_hooks is None
    assert not model.object_patches_backup
    assert not model.is_injected
    assert not model.cached_hook_patches


@pytest.fixture(autouse=True)
def noise_by_noise(pack_module, monkeypatch):
    """Makes DiffEditMask evaluate one noise at a time."""
    monkeypatch.setattr(pack_module("edits.masks.contrast"), "affordable_batch", lambda *args: 1)


@pytest.fixture
def world(run, pack_module):
    pack_module("edits.masks.contrast").RECENT.clear()
    return calls.World(lambda *a, **k: run(*a, **k).args, "sd3")


@pytest.mark.parametrize("node", NODES)
def test_nothing_given_is_changed_by_a_run(world, node):
    inputs = calls.CALLS[node].inputs(world)
    before = snapshot(inputs)
    world.run(node, **inputs)
    assert snapshot(inputs) == before
    assert_unpatched(world.model)


@pytest.mark.parametrize("fault", ["out of memory", "exception"])  # interruption is tested below
@pytest.mark.parametrize("node", SAMPLING)
def test_at_every_evaluation(world, pack_module, node, fault):
    call = calls.CALLS[node]
    inputs = call.inputs(world)
    counting = Faulty(world.model)
    wanted, before = call.result(world.run(node, **inputs | {"model": counting.model})), snapshot(inputs)
    assert counting.calls >= 2
    for at in range(1, counting.calls + 1):
        pack_module("edits.masks.contrast").RECENT.clear()
        faulty = Faulty(world.model, FAULTS[fault], at)
        with pytest.raises(type(FAULTS[fault]())):
            world.run(node, **inputs | {"model": faulty.model})
        assert faulty.calls == at, "the network was evaluated again after it had failed"
        assert snapshot(inputs) == before
        assert_unpatched(world.model)
        assert_unpatched(faulty.model)
    pack_module("edits.masks.contrast").RECENT.clear()
    assert torch.equal(call.result(world.run(node, **inputs | {"model": Faulty(world.model).model})), wanted)


@pytest.mark.parametrize("node", SAMPLING)
def test_interrupted_by_the_user_between_steps(world, pack_module, monkeypatch, node):
    """ComfyUI's interruption, requested after each step in turn."""
    call, progress = calls.CALLS[node], pack_module("host.progress").Progress
    inputs, advance, steps = call.inputs(world), progress.advance, []
    monkeypatch.setattr(progress, "advance", lambda self, *a, **k: steps.append(1) or advance(self, *a, **k))
    wanted, before = call.result(world.run(node, **inputs)), snapshot(inputs)
    total = len(steps)
    assert total
    for at in range(1, total + 1):
        pack_module("edits.masks.contrast").RECENT.clear()
        steps.clear()

        def press(self, *a, at=at, **k):
            steps.append(1)
            if len(steps) == at:
                comfy.model_management.interrupt_current_processing(True)
            return advance(self, *a, **k)

        monkeypatch.setattr(progress, "advance", press)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            world.run(node, **inputs)
        assert len(steps) == at
        assert not comfy.model_management.processing_interrupted()
        assert snapshot(inputs) == before
    monkeypatch.setattr(progress, "advance", advance)
    pack_module("edits.masks.contrast").RECENT.clear()
    assert torch.equal(call.result(world.run(node, **inputs)), wanted)


@pytest.mark.parametrize("node", SAMPLING)
@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_lora_hook_does_not_stay_in_the_weights(run, pack_module, node, fault):
    """Hooks write into the network's weights while they run."""
    pack_module("edits.masks.contrast").RECENT.clear()
    world = calls.World(lambda *a, **k: run(*a, **k).args, "sd15")
    key = "middle_block.1.transformer_blocks.0.attn1.to_q"
    weight = world.model.model.diffusion_model.get_submodule(key).weight
    generator = torch.Generator().manual_seed(1)
    lora = {
        f"diffusion_model.{key}.lora_up.weight": torch.randn(weight.shape[0], 2, generator=generator),
        f"diffusion_model.{key}.lora_down.weight": torch.randn(2, weight.shape[1], generator=generator),
    }
    world.target = comfy.hooks.set_hooks_for_conditioning(world.target, comfy.hooks.create_hook_lora(lora, 1.0, 0.0))
    world.source = comfy.hooks.set_hooks_for_conditioning(world.source, comfy.hooks.create_hook_lora(lora, 0.5, 0.0))
    inputs, before = calls.CALLS[node].inputs(world), weight.clone()
    pack_module("edits.masks.contrast").RECENT.clear()
    faulty = Faulty(world.model, FAULTS[fault], 2)
    with pytest.raises(type(FAULTS[fault]())):
        world.run(node, **inputs | {"model": faulty.model})
    assert torch.equal(weight, before)
    world.run(node, **inputs)
    assert torch.equal(weight, before)
    assert_unpatched(world.model)


def test_memory_is_back_after_faults(world, pack_module):
    """After failed runs the same tensors are alive as before."""
    inputs = {node: calls.CALLS[node].inputs(world) for node in SAMPLING}

    def fail(node):
        pack_module("edits.masks.contrast").RECENT.clear()
        with pytest.raises(Fault):
            world.run(node, **inputs[node] | {"model": Faulty(world.model, FAULTS["exception"], 2).model})

    def living() -> int:
        gc.collect()
        return sum(1 for thing in gc.get_objects() if type(thing) is torch.Tensor)

    for node in SAMPLING:
        fail(node)
    before = living()
    for node in SAMPLING * 2:
        fail(node)
    assert living() <= before + 2


@pytest.mark.parametrize("node", SAMPLING)
def test_stock_nodes_work_right_after_a_fault(world, pack_module, node):
    def stock():
        with torch.inference_mode():
            return comfyui_nodes.KSampler().sample(
                world.model, 1, 2, 2.0, "euler", "normal", world.target, world.empty, world.latent, 1.0
            )[0]["samples"]

    wanted, inputs = stock(), calls.CALLS[node].inputs(world)
    with pytest.raises(Fault):
        world.run(node, **inputs | {"model": Faulty(world.model, FAULTS["exception"], 2).model})
    assert torch.equal(stock(), wanted)


def test_the_families_that_this_runs_on_are_there():
    assert {"sd3", "sd15"} <= set(tiny_models.FAMILIES)
