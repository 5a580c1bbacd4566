"""The template for a new user: no download and no choice, only *Run*; with the picture that the
pack copies into the input folder.
"""

from dataclasses import replace

import pytest
import torch
from workflow_graphs import read

import nodes as comfyui_nodes
from demo.world import judge
from lab import common
from tools.make_samples import DOG, FIRST

SAMPLE = common.PACK / "demo" / "samples"


@pytest.fixture
def demo_model(runner, pack_module, monkeypatch):
    """The pack's module of the demo, as in a running server, before the picture is copied."""
    result = pack_module("host.demo_model")
    assert not result.is_serving(), "files are copied only for a server"
    monkeypatch.setattr(result, "is_serving", lambda: True)
    for sample in result.SAMPLES.glob("*.png"):
        (runner.folder / "input" / f"{result.PREFIX}{sample.name}").unlink(missing_ok=True)
    return result


def test_it_runs_at_once_and_the_edit_is_the_one_asked_for(runner, demo_model):
    graph = read("demo", "api")
    assert not runner.validate(graph)[0], "the picture is still there from another test"
    demo_model.bring_pictures()
    graph["92"] = {"class_type": "MaskToImage", "inputs": {"mask": ["7", 0]}, "_meta": {"title": "Mask picture"}}
    graph["93"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["92", 0], "filename_prefix": "mask"},
        "_meta": {"title": "Save mask"},
    }
    made = {title: runner.picture(entries[0]) for title, entries in runner.run(graph).items()}
    [seen] = judge.recognise(made["Edited picture"][None])
    assert seen.shows(replace(DOG, things=(replace(DOG.things[0], kind="cat"),))), (FIRST["target"], seen)
    outside, source = (
        made["Save mask"][0] == 0,
        runner.picture({"type": "input", "subfolder": "", "filename": demo_model.PICTURE}),
    )
    assert outside.float().mean() > 0.1, "the background differs from the source"
    assert torch.equal(made["Edited picture"][:, outside], source[:, outside]), "the background differs from the source"


def test_it_asks_for_nothing_that_the_pack_does_not_bring(demo_model):
    graph = read("demo", "api")
    assert {
        node["inputs"]["ckpt_name"] for node in graph.values() if node["class_type"] == "CheckpointLoaderSimple"
    } == {common.CHECKPOINT.name}
    assert {node["inputs"]["image"] for node in graph.values() if node["class_type"] == "LoadImage"} == {
        demo_model.PICTURE
    }
    assert all(node["class_type"] in comfyui_nodes.NODE_CLASS_MAPPINGS for node in graph.values())


def test_the_pictures_are_brought_once_and_overwrite_nothing(runner, demo_model, monkeypatch):
    place = runner.folder / "input" / demo_model.PICTURE
    demo_model.bring_pictures()
    for sample in SAMPLE.glob("*.png"):
        assert (place.parent / f"{demo_model.PREFIX}{sample.name}").read_bytes() == sample.read_bytes(), sample.name
    place.write_bytes(b"a person's own")
    demo_model.bring_pictures()
    assert place.read_bytes() == b"a person's own"
    place.unlink()
    monkeypatch.setattr(demo_model, "is_serving", lambda: False)
    demo_model.bring_pictures()
    assert not place.exists()


def test_an_input_folder_that_cannot_be_written_stops_nothing(demo_model, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_input_directory", lambda: str(tmp_path / "not there"))
    demo_model.bring_pictures()
    assert not (tmp_path / "not there").exists()


def test_the_pack_adds_one_checkpoint_to_the_list_and_no_more(demo_model):
    """Weights of other kinds do not belong below a folder of checkpoints."""
    import folder_paths

    place = demo_model.MODELS / "checkpoints"
    listed = folder_paths.get_filename_list("checkpoints")
    assert [name for name in listed if (place / name).is_file()] == [common.CHECKPOINT.name]
