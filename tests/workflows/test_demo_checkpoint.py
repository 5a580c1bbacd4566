"""The checkpoint that ships: ComfyUI's stock loader takes it, and it is good enough to judge edits
by (demo/measure.py measures it in full).
"""

import pathlib
import random

import folder_paths
import pytest
import torch
from graph_runner import folders_at

from demo import measure
from demo.scenes import random_scene

DEMO = pathlib.Path(__file__).resolve().parents[2] / "demo"
CHECKPOINT = DEMO / "semantic-edit-demo.safetensors"


def held_out_scenes(count):
    return [random_scene(random.Random(f"checkpoint test {index}"), 1, unseen=True) for index in range(count)]


@pytest.fixture(scope="module")
def loaded():
    import nodes

    with torch.inference_mode():
        return nodes.CheckpointLoaderSimple().load_checkpoint(CHECKPOINT.name)


def test_the_stock_loader_knows_it_by_name_and_kind(loaded):
    model, clip, vae = loaded
    assert type(model.model.model_config).__name__ == "DemoSD15"
    assert type(vae.first_stage_model).__name__ == "TAESD"
    assert CHECKPOINT.stat().st_size < 25e6


@pytest.mark.parametrize("place", ["a folder that is known", "a new one"])
def test_folders_for_a_while_are_given_back(tmp_path, place):
    known = folder_paths.folder_names_and_paths["checkpoints"][0]
    before, output = list(known), folder_paths.get_output_directory()
    checkpoints = DEMO if place == "a folder that is known" else tmp_path
    with folders_at(tmp_path, checkpoints):
        assert known[0] == str(checkpoints)
        assert folder_paths.get_output_directory() == str(tmp_path / "output")
    assert known == before
    assert str(DEMO) in known
    assert folder_paths.get_output_directory() == output


def test_the_vae_brings_held_out_scenes_back(loaded):
    assert measure.reconstruction_psnr(loaded[2], held_out_scenes(24)) >= 28


def test_it_draws_what_held_out_captions_say(loaded):
    """The full measure finds nine tenths of 200; fewer than 17 of 24 would then come once in a
    thousand times.
    """
    acceptance, pictures = measure.caption_acceptance(*loaded, held_out_scenes(24), steps=30, cfg=5.0, seed=3)
    assert pictures.shape == (24, 3, 128, 128)
    assert acceptance.accepted >= 17
