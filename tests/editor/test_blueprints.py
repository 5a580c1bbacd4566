"""The subgraph blueprints in the real editor: listed, added by name, linked to the demo's model and
picture, and run.

They are made by tools/make_blueprints.mjs, in the editor itself;
``SEMANTIC_EDIT_WRITE_BLUEPRINTS=1`` rewrites them before the tests.
"""

import json
import os
import pathlib

import pytest
from editor_visits import visited

PACK = pathlib.Path(__file__).resolve().parents[2]
FOLDER = PACK / "subgraphs"
TEXTS = {
    **json.loads((PACK / "demo" / "samples" / "first.json").read_text(encoding="utf-8")),
    "instruction": "make the backpack purple",
}
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
    "Edit by instruction": ["instruction", "threshold", "grow", "noises", "seed", "steps", "cfg", "guidance"],
    "Edit exactly (EDICT)": ["source text", "target text", "strength", "steps", "cfg", "mixing"],
}
MASKED = ("Edit by text (DiffEdit)", "Edit by instruction")
"""Blueprints that compute a mask and show it."""
# Widgets of the boxes, and the inputs of inner nodes that they must set.
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
    "Edit by instruction": {
        ("DiffEditMask", "threshold"): 0.4,
        ("DiffEditMask", "noises"): 4,
        ("LatentBlendSampler", "seed"): 7,
        ("LatentBlendSampler", "steps"): 12,
        ("LatentBlendSampler", "cfg"): 4,
    },
    "Edit exactly (EDICT)": {
        ("EDICTInvert", "strength"): 0.5,
        ("EDICTInvert", "steps"): 12,
        ("EDICTInvert", "cfg"): 4,
        ("EDICTSampler", "cfg"): 4,
        ("EDICTInvert", "mixing"): 0.9,
    },
}
OWN = {
    ("Edit by text (DiffEdit)", "threshold"): 0.6,
    ("Edit by instruction", "steps"): 20,
    ("Edit by instruction", "cfg"): 1,
    ("Edit by instruction", "grow"): 2,
}
"""Widgets whose initial value is not the node's default: the mask of the templates, and values for
distilled models of edits by instruction.
"""


@pytest.fixture(scope="module", autouse=True)
def made(request):
    if os.environ.get("SEMANTIC_EDIT_WRITE_BLUEPRINTS"):
        drive, server = request.getfixturevalue("drive"), request.getfixturevalue("server")
        drive("../../tools/make_blueprints.mjs", server, folder=str(FOLDER))


seen = visited("blueprints.mjs", "shipped-classic", "newest-nodes2", texts=TEXTS, names=sorted(KNOBS))


def read(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def inner(sent: dict, kind: str) -> dict:
    [result] = [node["inputs"] for node in sent.values() if node["class_type"] == kind]
    return result


def test_the_files_are_the_blueprints():
    assert sorted(file.stem for file in FOLDER.glob("*.json")) == sorted(KNOBS)


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_a_box_is_whole(name):
    """One node with its definition; links agree with their ends; the box's widgets have the values
    of the nodes in it.
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


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_the_nodes_in_a_box_have_the_inputs_of_today(name, pack):
    """In the editor's order: required, optional, widgets. The editor of ComfyUI 0.18.2 finds a
    widget's target by its number, so that an added input would shift all of them.
    """
    [definition] = read(name)["definitions"]["subgraphs"]
    for node in (node for node in definition["nodes"] if node["type"] in pack):
        inputs = pack[node["type"]].define_schema().inputs
        widgets = {slot["name"] for slot in node["inputs"] if "widget" in slot}
        assert [slot["name"] for slot in node["inputs"]] == [
            item.id for item in sorted(inputs, key=lambda item: (item.id in widgets, item.optional))
        ], node["title"]


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


def test_every_blueprint_is_listed(seen):
    assert seen["listed"].keys() == KNOBS.keys()
    for name, result in seen["listed"].items():
        assert result["isGlobal"], name
        assert result["category"].startswith("Subgraph Blueprints/Image generation and editing/"), name
        assert result["description"] == read(name)["extra"]["BlueprintDescription"]


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_it_comes_with_the_nodes_own_values(seen, name, pack):
    run = seen["runs"][name]
    assert [knob for knob in run["knobs"] if knob in KNOBS[name]] == KNOBS[name]
    for kind, widget in REACHED[name]:
        [default] = [item.default for item in pack[kind].define_schema().inputs if item.id == widget]
        assert run["knobs"][widget] == OWN.get((name, widget), default), (kind, widget)
    for (box, widget), value in OWN.items():
        assert box != name or run["knobs"][widget] == value, widget


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_its_knobs_reach_the_nodes_inside(seen, name):
    sent = seen["runs"][name]["sent"]
    for (kind, widget), value in REACHED[name].items():
        assert inner(sent, kind)[widget] == value, (kind, widget)
    encoded = [node["inputs"]["text"] for node in sent.values() if node["class_type"] == "CLIPTextEncode"]
    texts = [sent[text[0]]["inputs"]["value"] if isinstance(text, list) else text for text in encoded]
    wanted = ["instruction"] if "instruction" in name else ["target"] if "mask" in name else ["source", "target"]
    assert sorted(texts) == sorted(["", *(TEXTS[text] for text in wanted)])


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_every_text_of_a_box_is_labelled(seen, name):
    """A text area shows no name in the classic canvas: texts are fields of one line."""
    assert seen["runs"][name]["areas"] == []


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_a_box_shows_the_mask_that_it_found(seen, name):
    """Nodes 2.0 shows the previews that a subgraph exposes as pictures, the classic canvas none."""
    run = seen["runs"][name]
    assert run["shown"] == (["$$canvas-image-preview"] if name in MASKED else [])
    if seen["isVue"]:
        assert run["drawn"] == len(run["shown"])
    elif not run["exposes"] and name in MASKED:
        pytest.skip("the frontend of ComfyUI 0.18.2 has no previews of inner nodes on a box")
    else:
        assert (run["drawn"] > 1000) == (name in MASKED), run["drawn"]


@pytest.mark.parametrize("name", sorted(KNOBS))
def test_it_runs_with_the_demos_models(seen, name):
    assert len(seen["runs"][name]["images"]) == (2 if "mask" in name else 1)
