"""The commands of docs/guide/headless.md, against a running ComfyUI (that of the editor's tests)."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from demo.world import judge
from tools.make_samples import DOG

PACK = pathlib.Path(__file__).resolve().parents[2]
PAGE = (PACK / "docs" / "guide" / "headless.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8188"


def at(server, text: str) -> str:
    """The page's text, with this server's address."""
    assert ADDRESS in text
    return text.replace(ADDRESS, server.address.rstrip("/"))


def python() -> str:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return code


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """The files that the page's commands need in their folder."""
    shutil.copytree(PACK / "workflows" / "api", tmp_path / "workflows" / "api")
    shutil.copytree(PACK / "demo" / "samples", tmp_path / "demo" / "samples")
    return tmp_path


def run(command: list[str], folder: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_python_program_makes_the_edit(server, folder):
    done = run([sys.executable, "-c", at(server, python())], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    with Image.open(folder / "edited.png") as file:
        picture = torch.from_numpy(np.array(file.convert("RGB"))).movedim(-1, 0) / 255
    [seen] = judge.recognise(picture[None])
    assert seen.shows(replace(DOG, things=(replace(DOG.things[0], kind="cat"),))), seen


def test_the_python_program_says_what_is_wrong(server, folder):
    code = at(server, python())
    refused = run([sys.executable, "-c", code.replace("semantic-edit-demo.safetensors", "nowhere.safetensors")], folder)
    assert refused.returncode == 1
    assert "Value not in list" in refused.stderr
    assert "nowhere.safetensors" in refused.stderr
    failed = run(
        [sys.executable, "-c", code.replace('inputs["Size"]', 'inputs["Invert"]["cfg"] = 3\ninputs["Size"]')], folder
    )
    assert failed.returncode == 1, failed.stderr[-500:]
    assert "DDIMInvert: got cfg 3.0 without a negative text" in failed.stderr, failed.stderr[-500:]
    assert not (folder / "edited.png").exists()


def ask(server, path: str, body: dict | None = None) -> dict:
    request = urllib.request.Request(
        server.address + path, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_the_first_picture_of_a_run_is_the_edit(server):
    """Other programs read the first entry of the first ``images`` in the history, of whatever node."""
    graph = json.loads((PACK / "workflows" / "api" / "demo.json").read_text(encoding="utf-8"))
    run, end = ask(server, "prompt", {"prompt": graph})["prompt_id"], time.monotonic() + 240
    while run not in (done := ask(server, f"history/{run}")) and time.monotonic() < end:
        time.sleep(0.5)
    outputs = done[run]["outputs"]
    assert any("semantic_edit" in output for output in outputs.values()), "the pack's own views were sent"
    node, first = next((node, output["images"][0]) for node, output in outputs.items() if output.get("images"))
    assert graph[node]["_meta"]["title"] == "Edited picture"
    assert first["type"] == "output"


def test_curl_is_answered(server, folder):
    """The commands need a shell with $(...)."""
    if not shutil.which("curl") or not shutil.which("bash"):
        pytest.skip("no curl or no bash")
    upload, prompt, view = (line for line in at(server, PAGE).splitlines() if line.startswith("curl "))
    assert '"name": "dog.png"' in run(["bash", "-c", upload], folder).stdout
    assert '"prompt_id"' in run(["bash", "-c", prompt], folder).stdout
    assert run(["bash", "-c", view], folder).returncode == 0
    assert (folder / "edited.png").exists()
