"""The pack's workflows in the real editor."""

import json
import urllib.request

import pytest
from editor_visits import visited
from older_comfyui import runnable
from workflow_graphs import TITLES, read

NAMES = sorted(TITLES)
FILES = {name: read(name) for name in NAMES}
SEARCHED = {
    "semantic edit": "DiffEditMask",
    "mask from text": "DiffEditMask",
    "remove object": "LatentBlendSampler",
    "change object": "EDICTSampler",
    "replace object": "LatentBlendSampler",
}
"""Search words, and a node that each must find."""


@pytest.fixture(scope="module")
def seen(drive, server) -> dict:
    """The editor's state of all workflows, from one visit."""
    return drive("editor.mjs", server, workflows=FILES, searched=SEARCHED)


def test_the_server_loads_the_pack(server):
    """(A ComfyUI with another release's packages may lack packages for its own nodes.)"""
    lines = [line for line in server.text().splitlines() if "seconds" in line and "semantic-edit" in line]
    assert lines, server.text()[-3000:]
    assert not any("IMPORT FAILED" in line for line in lines), server.text()[-3000:]


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


@pytest.mark.parametrize("words", sorted(SEARCHED))
def test_the_search_box_finds_what_people_type(seen, words):
    assert SEARCHED[words] in seen["searched"][words]


@pytest.mark.parametrize("name", runnable(NAMES))
def test_a_workflow_loads_complete(seen, name):
    result, saved = seen["workflows"][name], read(name)
    assert result["missing"] == []
    assert result["count"] == len(saved["nodes"])
    assert sorted(result["titles"]) == sorted(node["title"] for node in saved["nodes"])
    assert result["groups"] == [group["title"] for group in saved["groups"]]
    assert result["tight"] == [], "these nodes are smaller than their content"


@pytest.mark.parametrize("name", NAMES)
def test_after_a_run_every_node_is_as_high_as_the_file_says(seen, name):
    """If a view were higher, the node would grow over the one below it and out of its group."""
    assert seen["workflows"][name]["grown"] == {}


@pytest.mark.parametrize("name", NAMES)
def test_after_a_run_every_node_is_in_its_group(seen, name):
    assert seen["workflows"][name]["outside"] == {}


seen_in_nodes2 = visited("editor.mjs", "newest-nodes2", workflows=FILES, searched={})


@pytest.mark.parametrize("name", runnable(NAMES))
def test_after_a_run_every_node_is_in_its_group_in_nodes2(seen_in_nodes2, name):
    """Nodes 2.0 draws some nodes higher than the classic canvas. (The pack's views and Save Image are
    filled; nothing is run.)
    """
    assert seen_in_nodes2["workflows"][name]["outside"] == {}


@pytest.fixture(scope="module")
def stock_inputs(server, pack) -> dict[str, set[str]]:
    """ComfyUI's own nodes and their inputs. Older releases lack some, such as CFGNorm's `pre_cfg`."""
    with urllib.request.urlopen(f"{server.address}object_info", timeout=60) as answer:
        nodes = json.load(answer)
    return {
        name: {key for group in node["input"].values() for key in group}
        for name, node in nodes.items()
        if name not in pack
    }


@pytest.mark.parametrize("name", runnable(NAMES))
def test_the_editor_sends_the_api_form(seen, name, stock_inputs):
    expected = read(name, "api")
    for node in expected.values():
        known = stock_inputs.get(node["class_type"])
        if known is not None:
            node["inputs"] = {key: value for key, value in node["inputs"].items() if key.partition(".")[0] in known}
    assert seen["workflows"][name]["api"] == expected
