"""Bad inputs of every kind for every node: each is refused with the node's name, the value and a
remedy, before any model is loaded.

The table is made from the nodes' schemas: every input gets every bad value of its type. Cases that
depend on two inputs at once are listed below.
"""

import dataclasses

import calls
import comfy.model_management
import comfy.nested_tensor
import pytest
import tiny_models
import torch
from bad_values import INF, bad_values, with_nan

from lab import common

ALL = {**calls.CALLS, **calls.OTHERS}
COUNTED: set[tuple] = set()


@pytest.fixture(scope="module")
def worlds(pack):
    def run(name, **inputs):
        return common.call(pack[name], **inputs)

    return {"model": calls.World(run), "pictures": calls.Pictures(run)}


@pytest.fixture
def refused(run, worlds, monkeypatch):
    """``refused(node, changes)``: the message with which a call is refused; no model may be
    loaded.
    """
    loads = []

    def call(node: str, changes: dict, words: str = ".") -> str:
        inputs = ALL[node].inputs(worlds["model" if node in calls.CALLS else "pictures"])
        monkeypatch.setattr(comfy.model_management, "load_models_gpu", lambda *args, **kwargs: loads.append(node))
        with pytest.raises(ValueError, match=words) as caught:
            run(node, **inputs | changes)
        message = str(caught.value)
        assert not loads, "a model was loaded"
        assert message.startswith(f"{node}: "), message
        assert message.endswith("."), message
        assert ";" in message, message
        assert "\n" not in message, message
        return message

    return call


@pytest.mark.parametrize("node", list(ALL))
def test_every_input_with_every_bad_value_of_its_kind(pack, worlds, refused, node):
    schema, wrong = pack[node].define_schema(), []
    for item in schema.inputs:
        for label, value in bad_values(item, node in calls.CALLS, node):
            COUNTED.add((node, item.id, label))
            try:
                message = refused(node, {item.id: value})
                named = (
                    item.id in message or item.io_type in ("LATENT", "MASK") and item.io_type.lower() in message.lower()
                )
                if not named:
                    wrong.append((item.id, label, message))
            except BaseException as error:
                wrong.append((item.id, label, f"{type(error).__name__}: {error}"[:300]))
    assert not wrong, "\n".join(map(str, wrong))


def damaged(inversion, **changes):
    return dataclasses.replace(inversion, **changes)


INVERSIONS = {
    "LatentBlendSampler": ("inversion", "DDIMInvert"),
    "EDICTSampler": ("pair", "EDICTInvert"),
    "ExactSampler": ("inversion", "ExactInvert"),
}


@pytest.mark.parametrize("node", list(INVERSIONS))
@pytest.mark.parametrize(
    "label, change",
    [
        ("a state too few", lambda found: damaged(found, states=found.states[1:])),
        ("a level too few", lambda found: damaged(found, sigmas=found.sigmas[1:])),
        ("rising levels", lambda found: damaged(found, sigmas=found.sigmas.flip(0))),
        ("NaN", lambda found: damaged(found, states=with_nan(found.states))),
        ("infinite", lambda found: damaged(found, states=with_nan(found.states, INF))),
        ("one level", lambda found: damaged(found, states=found.states[:1], sigmas=found.sigmas[:1])),
        ("another size", lambda found: damaged(found, states=found.states[..., :4])),
        ("another batch", lambda found: damaged(found, states=found.states[:, :0])),
    ],
)
def test_damaged_inversions(worlds, refused, node, label, change):
    COUNTED.add((node, "inversion", label))
    name, maker = INVERSIONS[node]
    refused(node, {name: change(worlds["model"].inverted(maker))})


@pytest.mark.parametrize("node", list(INVERSIONS))
@pytest.mark.parametrize("other", ["DDIMInvert", "EDICTInvert", "ExactInvert"])
def test_inversions_of_another_kind(worlds, refused, node, other):
    name, maker = INVERSIONS[node]
    if other == maker:
        foreign = tiny_models.sd3()
        COUNTED.add((node, name, "another model"))
        assert "use the same model for both" in refused(
            node,
            {
                "model": foreign,
                name: worlds["model"].inverted(maker),
                **{
                    item: [[torch.zeros(1, 77, 64), {"pooled_output": torch.zeros(1, 64)}]]
                    for item in ("positive", "target", "negative")
                    if item in ALL[node].inputs(worlds["model"])
                },
                **({"latent": {"samples": torch.randn(1, 16, 8, 8)}} if node == "LatentBlendSampler" else {}),
            },
        )
    else:
        COUNTED.add((node, name, f"of {other}"))
        refused(node, {name: worlds["model"].inverted(other)})


MODEL_NODES = [name for name, call in calls.CALLS.items() if name != "ProgressiveMaskShrink"]
TEXTS = {"source", "target", "conditioning", "positive", "negative"}


@pytest.mark.parametrize("node", MODEL_NODES)
def test_texts_of_another_family(worlds, refused, node):
    for name in TEXTS & set(ALL[node].inputs(worlds["model"])):
        for width in (32, 768, 2048):
            COUNTED.add((node, name, f"width {width}"))
            assert f"width {width}" in refused(node, {name: [[torch.zeros(1, 77, width), {}]]})


@pytest.mark.parametrize("node", [name for name in calls.CALLS if name not in ("EDICTSampler", "ExactSampler")])
@pytest.mark.parametrize("family", ["sd3", "flux2", "wan"])
def test_latents_of_another_family(worlds, refused, node, family):
    COUNTED.add((node, "latent", f"of {family}"))
    assert "VAE" in refused(node, {"latent": tiny_models.latent(family)})


@pytest.mark.parametrize(
    "node, changes, words",
    [
        ("DDIMInvert", dict(cfg=3.0), "without a negative text; connect negative, or set cfg to 1"),
        ("ExactInvert", dict(cfg=3.0, negative=None), "without a negative text; connect negative, or set cfg to 1"),
        ("FlowEdit", dict(negative=None), "without a negative text; connect negative"),
        ("ExactInvert", dict(steps=2, strength=0.01), "raise steps or strength"),
        ("LatentBlendSampler", dict(mask=None), "no mask; connect a MASK"),
        ("ProgressiveMaskShrink", dict(mask=None), "no mask; connect a MASK"),
        ("ProgressiveMaskShrink", dict(kernels="4, 2"), "expected odd numbers"),
        ("ProgressiveMaskShrink", dict(kernels="wide"), "expected odd numbers"),
        ("ProgressiveMaskShrink", dict(stages="0.5"), "for 3 kernels"),
        ("BackgroundRestore", dict(latent=None), "neither a latent nor an edited image"),
        ("BackgroundRestore", dict(vae=None), "got no VAE"),
        ("BackgroundRestore", dict(edited=torch.rand(1, 32, 32, 3)), "both a latent and an edited image"),
        ("CLIPRank", dict(text=" "), "empty text"),
        ("CLIPRank", dict(), "connect"),
        ("EditMetrics", dict(edited=torch.rand(1, 16, 32, 3)), "the same size"),
        (
            "EditMetrics",
            dict(mask=torch.ones(3, 8, 8), source=torch.rand(2, 32, 32, 3)),
            "3 masks for 2 images; give 1 or 2",
        ),
    ],
)
def test_inputs_that_do_not_go_together(refused, node, changes, words):
    COUNTED.add((node, *changes, words))
    refused(node, changes, words)


@pytest.mark.parametrize(
    "node", [name for name, call in calls.CALLS.items() if call.takes_mask] + ["ProgressiveMaskShrink"]
)
@pytest.mark.parametrize("count", [2, 5])
def test_too_many_masks(refused, node, count):
    COUNTED.add((node, "mask", f"{count} for one picture"))
    assert f"got {count} masks for 1 latents" in refused(node, {"mask": torch.ones(count, 8, 8)})


def test_at_least_three_hundred(capsys):
    with capsys.disabled():
        print(f"\n{len(COUNTED)} bad inputs refused, {len({node for node, *_ in COUNTED})} nodes")
    assert len(COUNTED) >= 300 or len({node for node, *_ in COUNTED}) < len(
        ALL
    )  # fewer only if a part of this file is run
