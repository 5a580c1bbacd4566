"""The pack's workflows in the real editor."""
import json
import pathlib

import pytest

PACK = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = PACK / "workflows"
NAMES = sorted(file.stem for file in WORKFLOWS.glob("*.json"))


@pytest.fixture(scope="module")
def seen(drive, server) -> dict:
    """What the editor made of the workflows; one visit for all tests."""
    return drive("editor.mjs", server, workflows={name: json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES})


def test_the_server_loads_the_pack(server):
    """(A ComfyUI with another release's packages may lack some for nodes of its own.)"""
    lines = [line for line in server.text().splitlines() if "seconds" in line and "semantic-edit" in line]
    assert lines and not any("IMPORT FAILED" in line for line in lines), server.text()[-3000:]


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_loads_complete(seen, name):
    found, saved = seen["workflows"][name], json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    assert found["missing"] == []
    assert found["count"] == len(saved["nodes"]) and sorted(found["titles"]) == sorted(node["title"] for node in saved["nodes"])
    assert found["groups"] == [group["title"] for group in saved["groups"]]
    assert found["tight"] == [], "these nodes are too small for what is in them"


@pytest.mark.parametrize("name", NAMES)
def test_the_editor_sends_the_api_form(seen, name):
    assert seen["workflows"][name]["api"] == json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
