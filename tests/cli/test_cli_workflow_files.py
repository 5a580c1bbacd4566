"""Files that are not workflows, and faults inside saved workflows."""

import copy
import json
import os

import pytest
from PIL import Image

from cli import workflow
from cli.console import Problem

GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8}, "_meta": None},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        '{"nodes": ' + DEEP + "}",
        '{"1": null}',
        '{"1": {"class_type": 5, "inputs": {}}}',
        '{"1": {"class_type": "SaveImage", "inputs": []}}',
        '{"1": {"class_type": "SaveImage", "inputs": {}, "_meta": "x"}}',
        '{"nodes": [1]}',
        '{"nodes": [{"id": null, "type": "x"}]}',
        '{"nodes": [{"id": [], "type": "x"}]}',
        '{"nodes": [], "links": [7]}',
        '{"nodes": [], "links": [[1, 2]]}',
        '{"nodes": [], "links": {"a": 1}}',
        '{"nodes": [], "definitions": []}',
        '{"nodes": [], "definitions": {"subgraphs": [{"id": "a"}]}}',
        "\ud800",
    ],
)
def test_files_that_are_no_workflow_are_told_as_such(cli, text):
    (cli.work / "g.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    done = cli("workflow", "g.json")
    assert done.returncode == 1
    assert "g.json" in done.stderr
    assert "an error in run.py" not in done.stderr
    assert not (cli.record / "start.json").exists()


SAVED = {
    "nodes": [
        {"id": 1, "type": "EmptyImage", "mode": 0, "widgets_values": [8, 8], "outputs": [{"type": "IMAGE"}]},
        {
            "id": 2,
            "type": "box",
            "inputs": [{"name": "image", "type": "IMAGE", "link": 1}],
            "outputs": [{"type": "IMAGE"}],
        },
        {
            "id": 3,
            "type": "SaveImage",
            "widgets_values": ["x"],
            "inputs": [{"name": "images", "type": "IMAGE", "link": 2}],
        },
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
    "definitions": {
        "subgraphs": [
            {
                "id": "box",
                "name": "Box",
                "inputs": [{"name": "image", "type": "IMAGE", "linkIds": [1]}],
                "outputs": [{"name": "image", "type": "IMAGE", "linkIds": [2]}],
                "nodes": [{"id": 1, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 1}]}],
                "links": [
                    {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
                    {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
                ],
            }
        ]
    },
}
DEFINITIONS = {
    "EmptyImage": {"input": {"required": {"width": ["INT", {}], "height": ["INT", {}]}}},
    "SaveImage": {"input": {"required": {"images": ["IMAGE"], "prefix": ["STRING", {}]}}},
}


def places(value, path=()):
    """The paths of all values in a JSON document."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*path, key))


def test_whatever_is_wrong_in_a_saved_workflow_is_answered_in_words(tmp_path):
    """Each value of a saved workflow in turn is replaced by values of other types, or removed."""
    file = tmp_path / "g.json"
    answered = 0
    for path in list(places(SAVED))[1:]:
        for wrong in (None, -1, 1.5, "x", [], {}, [None], {"a": 1}, True, "left out"):
            changed = copy.deepcopy(SAVED)
            owner = changed
            for key in path[:-1]:
                owner = owner[key]
            if wrong == "left out":
                del owner[path[-1]]
            else:
                owner[path[-1]] = wrong
            file.write_text(json.dumps(changed))
            try:
                read = workflow.read_workflow(file)
                graph = read.to_api(DEFINITIONS) if not isinstance(read, dict) else read
                json.dumps(graph)
            except Problem:
                answered += 1
    assert answered > 100


def test_names_that_are_no_utf8_and_meta_null_are_taken(cli):
    name = os.fsdecode(b"caf\xe9.png") if os.name != "nt" else "caf\u00e9.png"
    Image.new("RGB", (64, 48)).save(cli.work / name)
    done = cli("edit", "--cpu", "--image", name, "--source", "a", "--target", "b", "--output", name + "-out")
    assert done.returncode == 0, done.stderr
    folder = cli.work / (name + "-out")
    assert (folder / "edited.png").is_file()
    assert json.loads((folder / "edit.json").read_text(encoding="utf-8"))["image"] == name
    (cli.work / (name + ".json")).write_text(json.dumps(GRAPH))
    assert cli("workflow", name + ".json", "--cpu").returncode == 0


# -- processes -----------------------------------------------------------------------------------
