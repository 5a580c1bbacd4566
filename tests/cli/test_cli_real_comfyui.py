"""run.py with the real ComfyUI: behaviour that the stand-in cannot show."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import urllib.request

import pytest
from PIL import Image

from cli import edit, graphs, methods
from cli.outputs import read_json

ROOT = pathlib.Path(__file__).resolve().parents[2]
METHODS = ("diffedit", "diffedit-fast", "sdedit", "encode-decode", "edict", "directedit")

# In the editor's format: a note, a reroute, a bypassed scaling and a muted second output.
SAVED = {
    "version": 0.4,
    "last_node_id": 6,
    "last_link_id": 5,
    "nodes": [
        {
            "id": 1,
            "type": "EmptyImage",
            "mode": 0,
            "widgets_values": [48, 32, 1, 255],
            "title": "Blank",
            "inputs": [{"name": "width", "type": "INT", "link": None, "widget": {"name": "width"}}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
        },
        {
            "id": 2,
            "type": "Reroute",
            "mode": 0,
            "inputs": [{"name": "", "type": "*", "link": 1}],
            "outputs": [{"name": "", "type": "IMAGE"}],
        },
        {
            "id": 3,
            "type": "ImageScaleBy",
            "mode": 4,
            "widgets_values": ["nearest-exact", 3.0],
            "inputs": [{"name": "image", "type": "IMAGE", "link": 2}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
        },
        {
            "id": 4,
            "type": "SaveImage",
            "mode": 0,
            "widgets_values": ["folder/blank"],
            "inputs": [{"name": "images", "type": "IMAGE", "link": 3}],
        },
        {
            "id": 5,
            "type": "SaveImage",
            "mode": 2,
            "widgets_values": ["muted"],
            "inputs": [{"name": "images", "type": "IMAGE", "link": 4}],
        },
        {"id": 6, "type": "Note", "mode": 0, "widgets_values": ["words"]},
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [3, 3, 0, 4, 0, "IMAGE"], [4, 1, 0, 5, 0, "IMAGE"]],
}


def command(*arguments) -> list[str]:
    return [sys.executable, str(ROOT / "run.py"), *map(str, arguments)]


def variables(tmp_path) -> dict[str, str]:
    return os.environ | {
        "SEMANTIC_EDIT_HOME": str(tmp_path / "home"),
        "COMFYUI_PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1",
    }


def test_a_saved_workflow_of_stock_nodes_runs_and_comfyui_stays_as_it_was(tmp_path):
    tree = pathlib.Path(os.environ["COMFYUI_PATH"])
    before = {path.name for path in tree.iterdir()} | {path.name for path in (tree / "custom_nodes").iterdir()}
    (tmp_path / "saved.json").write_text(json.dumps(SAVED))
    done = subprocess.run(
        command("workflow", tmp_path / "saved.json", "--cpu", "--output", tmp_path / "out", "--set", "Blank.height=40"),
        env=variables(tmp_path),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    (picture,) = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert picture.parent.name == "folder"
    assert Image.open(picture).size == (48, 40)
    assert str(picture) in done.stdout
    assert Image.open(picture).getpixel((0, 0)) == (0, 0, 255)
    assert {path.name for path in tree.iterdir()} | {path.name for path in (tree / "custom_nodes").iterdir()} == before
    assert not list((tmp_path / "home" / "runs").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX systems send them")
def test_the_editor_comes_up_with_the_pack_and_ends(tmp_path):
    process = subprocess.Popen(
        command("ui", "--cpu", "--no-browser"),
        env=variables(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            address + "object_info/DiffEditMask", timeout=300
        ) as answer:
            assert json.load(answer)["DiffEditMask"]["input"]["required"]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)
        assert process.returncode == 143
        with pytest.raises(OSError):
            urllib.request.urlopen(address, timeout=5)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("method", METHODS)
def test_the_graphs_have_the_nodes_that_run_fills_in(method):
    graph = read_json(methods.method_file(method))
    settings = edit.EditSettings(
        pathlib.Path("a.png"),
        "source words",
        "target words",
        method=method,
        seed=11,
        strength=0.7,
        threshold=0.4,
        steps=9,
        cfg=2.5,
    )
    edit.fill_edit_graph(graph, settings, "model", 256, {"image": "a.png"})
    titles = {node["_meta"]["title"] for node in graph.values()}
    assert {edit.PICTURES[name] for name in (edit.PICTURES if method == "diffedit" else ["edited.png"])} <= titles
    for places in edit.PLACES[method].values():
        for title, name in places:
            assert not graphs.is_link(graph[graphs.by_title(graph, title)[0]]["inputs"][name])
    if method in edit.MASKED["mask"]:
        edit.use_given_mask(graph, "mask.png")
        links = {value[0] for node in graph.values() for value in node["inputs"].values() if graphs.is_link(value)}
        assert links <= set(graph)
        assert {"Edit", "Edited picture", "Save mask"} <= {node["_meta"]["title"] for node in graph.values()}
        assert graph[graphs.by_title(graph, "Keep")[0]]["inputs"]["mask"] == ["given-mask", 0]
        assert graph[graphs.by_title(graph, "Edited picture")[0]]["inputs"]["images"] == [
            graphs.by_title(graph, "Keep")[0],
            0,
        ]
