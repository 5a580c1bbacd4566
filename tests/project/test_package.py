"""The zip for the registry: required and excluded files, and that ComfyUI loads the pack from the
zip alone.
"""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import tomllib_compat as tomllib
import yaml
from PIL import Image

PACK = pathlib.Path(__file__).resolve().parents[2]
LOAD = """
import asyncio, json, os, pathlib, sys
place = pathlib.Path(sys.argv[1])
from comfy.cli_args import args
args.cpu = True
import nodes, folder_paths
known = set(nodes.NODE_CLASS_MAPPINGS)
assert asyncio.run(nodes.load_custom_node(str(place), module_parent="custom_nodes"))
made = nodes.NODE_CLASS_MAPPINGS["CheckpointLoaderSimple"]().load_checkpoint("semantic-edit-demo.safetensors")
print(json.dumps({
    "nodes": sorted(set(nodes.NODE_CLASS_MAPPINGS) - known),
    "web": nodes.EXTENSION_WEB_DIRS.get(place.name),
    "model": made[0] is not None,
    "clip": "semantic-edit-demo" in str(nodes.NODE_CLASS_MAPPINGS["CLIPRankModelLoader"].INPUT_TYPES()),
}))
"""


NOT_OURS_TO_CHOOSE = {
    "the device": r"\.cuda\s*\(|\.to\s*\(\s*(torch\.device\s*\(\s*)?[\"']cuda",
    "the precision": r"\btorch\.(cuda\.)?(amp\.)?autocast\b",
    "how weights are kept": r"(?<![\w.])(torch\.)?nn\."
    r"(Linear|Conv[123]d|ConvTranspose[12]d|LayerNorm|GroupNorm|Embedding)\s*\(",
}
"""Settings that ComfyUI chooses for every pack. comfy-test's syntax level searches for the same,
line by line.
"""
TRAINING = {("nodes/edits/background/decoder_stages.py", "the precision")}


@pytest.fixture(scope="module")
def package():
    if not shutil.which("git") or not (PACK / ".git").exists():
        pytest.skip("the zip holds what git tracks, and this is no git checkout")
    spec = importlib.util.spec_from_file_location("package", PACK / "tools" / "package.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(package, tmp_path_factory) -> pathlib.Path:
    target = tmp_path_factory.mktemp("zip") / "semantic-edit.zip"
    package.build(target)
    return target


def test_it_holds_what_a_user_needs_and_nothing_else(package, built):
    with zipfile.ZipFile(built) as archive:
        assert package.faults_of(archive.namelist()) == []
        names = set(archive.namelist())
    assert built.stat().st_size < package.LIMIT
    for folder in ("nodes", "js", "locales", "workflows", "subgraphs"):
        tracked = {name for name in package.git(folder) if (PACK / name).is_file()}
        assert tracked, folder
        assert tracked <= names, folder


@pytest.mark.parametrize(
    "lost",
    [
        "models/checkpoints/semantic-edit-demo.safetensors",
        "models/clip_rank/semantic-edit-demo/config.json",
        "nodes/__init__.py",
        "LICENSE",
    ],
)
def test_a_zip_without_something_needed_is_refused(package, lost):
    assert f"missing: {lost}" in package.faults_of([name for name in package.packed_files() if name != lost])


@pytest.mark.parametrize(
    "found",
    [
        "tests/unit/test_masks.py",
        "lab/common.py",
        "tools/lock.py",
        "demo/train.py",
        "demo/measure.py",
        "demo/world/judge.py",
        "demo/training/loop.py",
        "demo/sprites/1f335.webp",
        "models/judge.safetensors",
        ".github/workflows/publish.yml",
        "nodes/core/__pycache__/a.pyc",
    ],
)
def test_a_zip_with_something_unwanted_is_refused(package, found):
    assert package.faults_of([*package.packed_files(), found]) == [f"unwanted: {found}"]


def test_the_packed_code_leaves_to_comfyui_what_is_comfyuis(package):
    result = set()
    for name in package.packed_files():
        if name.endswith(".py"):
            lines = (
                (PACK / name).read_text(encoding="utf-8").encode("cp1252").decode("cp1252").splitlines()
            )  # Windows consoles show no other characters
            result |= {
                (name, what)
                for what, sign in NOT_OURS_TO_CHOOSE.items()
                for line in lines
                if not line.lstrip().startswith("#") and re.search(sign, line)
            }
    assert result <= TRAINING
    assert re.search(NOT_OURS_TO_CHOOSE["the device"], "x.to('cuda:0')")
    assert not re.search(NOT_OURS_TO_CHOOSE["how weights are kept"], "spnn.Conv3d(")


def test_versions_are_semantic_and_told(package):
    version, told = package.versions()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert version in told
    assert told[0] == "Unreleased", "changes since the last release have the first section"


@pytest.mark.parametrize("field, width, height, most", [("Icon", 1, 1, 400), ("Banner", 21, 9, 2100)])
def test_the_registry_finds_the_pictures_it_is_told_of(package, field, width, height, most):
    project = tomllib.loads((PACK / "pyproject.toml").read_text(encoding="utf-8"))
    repository = project["project"]["urls"]["Repository"].removeprefix("https://github.com/")
    place, _, name = project["tool"]["comfy"][field].partition("/main/")
    assert place == f"https://raw.githubusercontent.com/{repository}"
    assert name in package.git(name)
    with Image.open(PACK / name) as picture:
        assert picture.format in ("PNG", "JPEG", "GIF")
        assert picture.width <= most
        assert abs(picture.width / width - picture.height / height) < 1


def test_a_tag_publishes_after_its_version_and_its_zip_were_looked_at():
    workflow = yaml.safe_load((PACK / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
    [job] = workflow["jobs"].values()
    *checks, last = job["steps"]
    assert last["uses"].startswith("Comfy-Org/publish-node-action@")
    assert last["with"] == {"personal_access_token": "${{ secrets.REGISTRY_ACCESS_TOKEN }}"}
    for step in job["steps"]:  # whoever moves a tag could read the registry's token
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step.get("uses", "a@" + 40 * "0")), step
    commands = "\n".join(step.get("run", "") for step in checks)
    assert "python tools/package.py" in commands
    assert "pyproject.toml" in commands
    assert "CHANGELOG.md" in commands
    assert set(workflow[True]) == {"push"}
    assert workflow[True]["push"] == {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}


def test_comfyui_loads_the_pack_from_the_zip_alone(built, pack, tmp_path):
    place = tmp_path / "custom_nodes" / "semantic-edit"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(place)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(place)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=180,
        env={
            **os.environ,
            "PYTHONPATH": os.environ["COMFYUI_PATH"],
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result == {"nodes": sorted(pack), "web": str(place / "js"), "model": True, "clip": True}
