"""`run.py workflow` and `ui` as processes, against the stand-in for ComfyUI."""

import json
import signal

import pytest
from live_processes import gone, needs_signals
from PIL import Image

from cli.client import Result
from cli.outputs import fetch_outputs

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}, "_meta": {"title": "In. picture"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}, "_meta": {"title": "Out"}},
}


def test_workflow_brings_its_pictures_and_fetches_its_files(cli):
    (cli.work / "graph").mkdir()
    (cli.work / "graph" / "g.json").write_text(json.dumps(GRAPH))
    Image.new("RGB", (8, 8)).save(cli.work / "graph" / "in.png")
    for _ in range(2):
        done = cli("workflow", "graph/g.json", "--cpu", "--output", "out", "--set", "2.filename_prefix=7")
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (cli.work / "out").iterdir()) == ["2_00001_-2.png", "2_00001_.png"]
    assert cli.sent()["Out"]["inputs"]["filename_prefix"] == 7


@pytest.mark.parametrize(
    "setting, words",
    [
        ("3.x=1", "has no such node. It has: 'In. picture' (LoadImage, id 1), 'Out' (SaveImage, id 2)"),
        ("Out.colour=1", "has no input 'colour'. It has: filename_prefix, images"),
        ("nonsense", "expected NODE.INPUT=VALUE"),
        ("In. picture.image=none.png", "loads 'none.png', which is not in any of"),
    ],
)
def test_settings_that_do_not_fit(cli, setting, words):
    (cli.work / "g.json").write_text(json.dumps(GRAPH))
    Image.new("RGB", (8, 8)).save(cli.work / "in.png")
    done = cli("workflow", "g.json", "--cpu", "--set", setting)
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize("kinds, fetched", [(("output", "temp"), ["0.png"]), (("temp", "temp"), ["0.png", "1.png"])])
def test_previews_are_fetched_only_where_nothing_was_saved(tmp_path, capsys, kinds, fetched):
    shown = {
        "1": {"images": [{"filename": "0.png", "type": kinds[0]}], "text": ["words"], "captions": ["small print"]},
        "2": {"images": [{"filename": "1.png", "type": kinds[1]}]},
    }

    class Client:
        view = staticmethod(lambda entry: b"picture")

    assert len(fetch_outputs(Client, {"1": {"_meta": {"title": "Node"}}}, Result(outputs=shown), tmp_path)) == len(
        fetched
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == fetched
    said = capsys.readouterr().out
    assert "words" in said
    assert "small print" not in said


def test_previews_of_this_packs_views_are_fetched_as_others_are(tmp_path):
    """They are one level deeper, under the pack's own key."""
    shown = {
        "1": {
            "semantic_edit": [
                {"images": [{"filename": "0.png", "type": "temp"}], "before": [{"filename": "1.png", "type": "temp"}]}
            ]
        }
    }

    class Client:
        view = staticmethod(lambda entry: b"picture")

    assert len(fetch_outputs(Client, {"1": {"_meta": {"title": "Node"}}}, Result(outputs=shown), tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["0.png"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "is not a ComfyUI workflow"),
        ("{}", "is not a ComfyUI workflow"),
        (None, "no such file"),
    ],
)
def test_files_that_are_no_workflow(cli, text, words):
    if text is not None:
        (cli.work / "g.json").write_text(text)
    done = cli("workflow", "g.json")
    assert done.returncode == 1
    assert words in done.stderr
    assert not (cli.record / "start.json").exists()


def test_a_node_type_that_comfyui_lacks(cli):
    (cli.work / "g.json").write_text('{"1": {"class_type": "Exotic", "inputs": {}}}')
    done = cli("workflow", "g.json", "--cpu")
    assert done.returncode == 1
    assert "no node of the type Exotic" in done.stderr


@needs_signals
def test_ui_runs_until_ctrl_c(cli):
    process = cli.start("ui", "--cpu", "--no-browser")
    pid = cli.recorded("start.json", patience=120)["pid"]
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    assert cli.recorded("start.json")["input"] == ["semantic-edit-dog.png"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert gone([pid])
