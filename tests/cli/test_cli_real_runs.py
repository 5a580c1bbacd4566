"""The shipped blueprints through `run.py workflow`, and third-party clients from PyPI with the demo
workflow.
"""

import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from cli import workflow
from cli.environment import Environment
from cli.files import ROOT
from cli.run_folder import RunFolder
from cli.server import serving

STEPS = 4
BLUEPRINTS = sorted(path.stem for path in (ROOT / "subgraphs").glob("*.json"))
SOURCES = {
    "image": ("reroute", 0),
    "mask": ("mask", 0),
    "model": ("model", 0),
    "clip": ("model", 1),
    "vae": ("model", 2),
}
NODES = {
    "picture": ("LoadImage", ["semantic-edit-dog.png", "image"]),
    "model": ("CheckpointLoaderSimple", ["semantic-edit-demo.safetensors"]),
    "instructed": ("UNETLoader", ["semantic-edit-things-instruct.safetensors", "default"]),
    "mask": ("SolidMask", [1.0, 256, 256]),
    "note": ("MarkdownNote", ["words"]),
    "reroute": ("Reroute", []),
}
NUMBERS = {name: index for index, name in enumerate(NODES, 100)}


def node(number: int, kind: str, values: list, name: str = "", link: int | None = None) -> dict:
    inputs = [{"name": name, "type": "*", "link": link}] if link else []
    return {"id": number, "type": kind, "widgets_values": values, "inputs": inputs, "outputs": [{"type": "*"}]}


def with_all_blueprints() -> dict:
    """A workflow in the editor's format: the demo's picture and model, a reroute, a note, and each
    blueprint with a node that saves its picture.
    """
    nodes = [node(NUMBERS[name], *made) for name, made in NODES.items() if name != "reroute"]
    nodes.append(node(NUMBERS["reroute"], "Reroute", [], "", 1))
    links, subgraphs = [[1, NUMBERS["picture"], 0, NUMBERS["reroute"], 0, "IMAGE"]], []
    for index, name in enumerate(BLUEPRINTS, 1):
        saved = json.loads((ROOT / "subgraphs" / f"{name}.json").read_text(encoding="utf-8"))
        [box] = saved["nodes"]
        box["id"] = index
        subgraphs += saved["definitions"]["subgraphs"]
        for slot, entry in enumerate(box["inputs"]):
            if entry["name"] in SOURCES:
                source, place = SOURCES[entry["name"]]
                if entry["name"] == "model" and "instruction" in name:
                    source = "instructed"
                entry["link"] = 1000 * index + slot
                links.append([entry["link"], NUMBERS[source], place, index, slot, entry["type"]])
        image = next(slot for slot, entry in enumerate(box["outputs"]) if entry["type"] == "IMAGE")
        links.append([1000 * index + 900, index, image, 200 + index, 0, "IMAGE"])
        nodes += [box, node(200 + index, "SaveImage", [f"blueprint-{index}"], "images", 1000 * index + 900)]
    return {"version": 0.4, "nodes": nodes, "links": links, "definitions": {"subgraphs": subgraphs}}


def test_the_shipped_blueprints_run(tmp_path):
    (tmp_path / "saved.json").write_text(json.dumps(with_all_blueprints()), encoding="utf-8")
    command = [sys.executable, ROOT / "run.py", "--json", "workflow", tmp_path / "saved.json", "--cpu"]
    command += ["--output", tmp_path / "out"]
    for name in BLUEPRINTS:
        command += ["--set", f"{name}.steps={STEPS}"]
    texts = json.loads((ROOT / "demo" / "samples" / "first.json").read_text(encoding="utf-8"))
    # unknown words have no effect on the demo model: the result would be the source
    for name in ("source", "target"):
        command += ["--set", f"Edit by text (DiffEdit).{name} text={texts[name]}"]
    command += ["--set", "Edit by instruction.instruction=make the dog purple"]
    places = {"SEMANTIC_EDIT_HOME": str(tmp_path / "home"), "COMFYUI_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    variables = os.environ | places
    done = subprocess.run([str(word) for word in command], env=variables, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert len(files) == len(BLUEPRINTS) == 4
    with Image.open(ROOT / "demo" / "samples" / "dog.png") as source:
        before = source.convert("RGB").tobytes()
    for file in files:
        with Image.open(file) as edited:
            assert edited.size == (256, 256)
            assert edited.convert("RGB").tobytes() != before


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A real server with the pack and the project's samples."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMANTIC_EDIT_HOME", str(home))
        tree = pathlib.Path(os.environ["COMFYUI_PATH"])
        run = RunFolder(tree)
        for name, picture in workflow.samples().items():
            run.bring(picture, name)
        environment = Environment(pathlib.Path(sys.executable), tree, private=False)
        with serving(environment, tree, run, ["--disable-api-nodes"], cpu=True) as server:
            yield server.client.address


@pytest.fixture
def demo(tmp_path) -> pathlib.Path:
    """The demo's graph with few steps."""
    graph = json.loads((ROOT / "workflows" / "api" / "demo.json").read_text(encoding="utf-8"))
    for node in graph.values():
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = STEPS
    (tmp_path / "demo.json").write_text(json.dumps(graph))
    return tmp_path / "demo.json"


def check_picture(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (256, 256)


def test_comfy_api_simplified_runs_the_demo(address, demo):
    client = pytest.importorskip("comfy_api_simplified", reason="the optional packages of [clients] are not here")
    graph = client.ComfyWorkflowWrapper(str(demo))
    graph.set_node_param("Target text", "text", "a cat on grass")
    images = client.ComfyApiWrapper(address).queue_and_wait_images(graph, "Edited picture")
    assert len(images) == 1
    check_picture(*images.values())


def test_comfyui_autograph_runs_the_demo(address, demo):
    client = pytest.importorskip("autograph", reason="the optional packages of [clients] are not here")
    result = client.ApiFlow(str(demo)).submit(server_url=address, wait=True)
    images = list(result.fetch_images())
    assert images, "it takes no picture"
    folder = demo.parent / "fetched"
    folder.mkdir()
    result.fetch_images().save(str(folder / "frame.###.png"))
    for file in folder.iterdir():
        check_picture(file.read_bytes())
    assert list(folder.iterdir())
