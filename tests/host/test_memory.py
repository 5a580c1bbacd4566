"""No node needs clearly more memory than ComfyUI's own KSampler for the same latent: SDXL at 1024
pixels, counted tensor by tensor.

tools/memory.py makes the table of all nodes, for a video as well.
"""

import pathlib

import calls
import comfy.model_management
import full_size
import live_bytes
import pytest
import torch

import nodes as comfyui_nodes

SIDE = 128


@pytest.fixture(scope="module")
def model():
    return full_size.model("sdxl")


@pytest.fixture(autouse=True, scope="module")
def plenty():
    """ComfyUI uses its largest batches, independent of this machine's free memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.model_management, "get_free_memory", full_size.plenty)
        yield


@pytest.fixture
def world(run, pack_module, model):
    pack_module("edits.masks.contrast").RECENT.clear()
    made = calls.World(
        lambda *a, **k: run(*a, **k).args, "sd15", size=(SIDE, SIDE), model=model
    )  # of sd15: its latents have SDXL's channels, its texts are made quickly and replaced below
    made.target, made.source, made.empty = (full_size.text("sdxl", seed) for seed in range(3))
    return made


@pytest.fixture(scope="module")
def allowed(model):
    """KSampler's peak, plus a thirtieth for states in float64."""
    latent = {"samples": torch.randn(1, 4, SIDE, SIDE)}

    def stock():
        with torch.inference_mode():
            comfyui_nodes.KSampler().sample(
                model, 0, 1, 2.0, "euler", "normal", full_size.text("sdxl", 0), full_size.text("sdxl", 2), latent, 1.0
            )

    stock()
    return live_bytes.peak_of(stock)[0] * 31 / 30


@pytest.mark.parametrize(
    "node, changes",
    [
        ("DiffEditMask", {"noises": 3}),
        ("EDICTInvert", {"steps": 2, "strength": 1.0}),
        ("ExactInvert", {"steps": 2, "strength": 1.0}),
        ("LatentBlendSampler", {"steps": 1}),
        ("FlowEdit", {"steps": 1, "strength": 1.0}),
    ],
)
def test_peak(world, allowed, node, changes):
    inputs = calls.CALLS[node].inputs(world) | changes
    peak, outputs = live_bytes.peak_of(lambda: world.run(node, **inputs))
    assert 0 < peak - live_bytes.trajectory_bytes(outputs) < allowed


def test_more_would_be_noticed(world, allowed, pack_module, monkeypatch):
    """As many noises at once as fit exceed the limit."""
    monkeypatch.setattr(pack_module("edits.masks.contrast"), "EVERYDAY", 10**9)
    assert live_bytes.peak_of(lambda: calls.CALLS["DiffEditMask"].run(world, noises=2))[0] > 1.5 * allowed


def test_the_table_is_of_these_nodes():
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "evidence" / "memory.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[1].strip()
        for line in page.splitlines()
        if line.startswith("| ") and not line.startswith("| node")
    ]
    assert rows == 2 * ["KSampler", *calls.CALLS], "run tools/memory.py"
