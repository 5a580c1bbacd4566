"""The subgraph blueprints in the real editor: listed, added by their name as a person does, joined
to the demo's model and picture, and run.

They are made by tools/make_blueprints.mjs, in the editor itself;
``SEMANTIC_EDIT_WRITE_BLUEPRINTS=1`` makes them anew before the tests.
"""

import json
import os
import pathlib

import pytest

PACK = pathlib.Path(__file__).resolve().parents[2]
FOLDER = PACK / "subgraphs"
TEXTS = json.loads((PACK / "demo" / "samples" / "first.json").read_text(encoding="utf-8"))
KNOBS = {
    "Edit by text (DiffEdit)": [
        "source text",
        "target text",
        "threshold",
        "noises",
        "seed",
        "strength",
        "steps",
        "cfg",
    ],
    "Edit in a mask (Blended Latent Diffusion)": [
        "text",
        "negative text",
        "seed",
        "steps",
        "cfg",
        "denoise",
        "predictions",
    ],
    "Edit exactly (EDICT)": ["source text", "target text", "strength", "steps", "cfg", "mixing"],
}
# The knob, and the inner nodes' inputs that it must reach.
REACHED = {
    "Edit by text (DiffEdit)": {
        ("DiffEditMask", "threshold"): 0.4,
        ("DiffEditMask", "noises"): 4,
        ("DiffEditMask", "seed"): 7,
        ("DDIMInvert", "strength"): 0.5,
        ("DDIMInvert", "steps"): 12,
        ("LatentBlendSampler", "cfg"): 4,
    },
    "Edit in a mask (Blended Latent Diffusion)": {
        ("LatentBlendSampler", "seed"): 7,
        ("LatentBlendSampler", "steps"): 12,
        ("LatentBlendSampler", "cfg"): 4,
        ("LatentBlendSampler", "predictions"): 2,
    },
    "Edit exactly (EDICT)": {
        ("EDICTInvert", "strength"): 0.5,
        ("EDICTInvert", "steps"): 12,
        ("EDICTInvert", "cfg"): 4,
        ("EDICTSampler", "cfg"): 4,
        ("EDICTInvert", "mixing"): 0.9,
    },
}
VISITS = {"shipped-classic": ("server", False), "newest-nodes2": ("newest_server", True)}


@pytest.fixture(scope="module", autouse=True)
def made(request):
    if os.environ.get("SEMANTIC_EDIT_WRITE_BLUEPRINTS"):
        drive, server = request.getfixturevalue("drive"), request.getfixturevalue("server")
        drive("../../tools/make_blueprints.mjs", server, folder=str(FOLDER))


@pytest.fixture(scope="module", params=sorted(VISITS, reverse=True))
def seen(request, drive, made) -> dict:
    fixture, is_vue = VISITS[request.param]
    return drive(
        "blueprints.mjs",
        request.getfixturevalue(fixture),
        label=request.param,
        isVue=is_vue,
        texts=TEXTS,
        names=sorted(KNOBS),
    )


def read(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def inner(sent: dict, kind: str) -> dict:
    [found] = [node["inputs"] for node in sent.values() if node["class_type"] == kind]
    return found


def test_the_files_are_the_blueprints():
    assert sorted(file.stem for file in FOLDER.glob("*.json")) == sorted(KNOBS)


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_a_box_is_whole(name):
    """One node; its definition beside it; links that agree with their ends; what the box shows is
    what the nodes in it have.
    """
    saved = read(name)
    [box], [definition] = saved["nodes"], saved["definitions"]["subgraphs"]
    assert box["type"] == definition["id"]
    assert box["title"] == definition["name"] == name
    assert definition["description"] == saved["extra"]["BlueprintDescription"]
    assert definition["category"]
    links = {link["id"]: link for link in definition["links"]}
    assert sorted(links) == sorted(
        {link for slot in definition["inputs"] + definition["outputs"] for link in slot["linkIds"]}
        | {slot["link"] for node in definition["nodes"] for slot in node["inputs"] if slot["link"] is not None}
    )
    by_id = {node["id"]: node for node in definition["nodes"]}
    for link in links.values():
        if link["target_id"] in by_id:
            assert by_id[link["target_id"]]["inputs"][link["target_slot"]]["link"] == link["id"]
    assert [slot["name"] for slot in box["inputs"]] == [slot["name"] for slot in definition["inputs"]]
    assert [slot["name"] for slot in box["inputs"] if "widget" in slot] == KNOBS[name]
    assert len(box["widgets_values"]) == len(KNOBS[name])


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


def test_every_blueprint_is_listed(seen):
    assert seen["listed"].keys() == KNOBS.keys()
    for name, found in seen["listed"].items():
        assert found["isGlobal"], name
        assert found["category"].startswith("Subgraph Blueprints/Image generation and editing/"), name
        assert found["description"] == read(name)["extra"]["BlueprintDescription"]


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_it_comes_with_the_nodes_own_values(seen, name, pack):
    run = seen["runs"][name]
    assert [knob for knob in run["knobs"] if knob in KNOBS[name]] == KNOBS[name]
    for kind, widget in REACHED[name]:
        [default] = [item.default for item in pack[kind].define_schema().inputs if item.id == widget]
        assert run["knobs"][widget] == default, (kind, widget)


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_its_knobs_reach_the_nodes_inside(seen, name):
    sent = seen["runs"][name]["sent"]
    for (kind, widget), value in REACHED[name].items():
        assert inner(sent, kind)[widget] == value, (kind, widget)
    encoded = [node["inputs"]["text"] for node in sent.values() if node["class_type"] == "CLIPTextEncode"]
    texts = [sent[text[0]]["inputs"]["value"] if isinstance(text, list) else text for text in encoded]
    assert TEXTS["target"] in texts
    assert TEXTS["source"] in texts or "mask" in name
    assert "" in texts


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_every_text_of_a_box_is_labelled_and_diffedits_mask_is_shown(seen, name):
    """A text area shows no name in the classic canvas: texts are fields of one line."""
    run = seen["runs"][name]
    assert run["areas"] == []
    assert run["shown"] == (["$$canvas-image-preview"] if "DiffEdit" in name else [])
    assert run["drawn"] >= len(run["shown"])


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_it_runs_with_the_demo_checkpoint(seen, name):
    assert len(seen["runs"][name]["images"]) == (2 if "mask" in name else 1)
