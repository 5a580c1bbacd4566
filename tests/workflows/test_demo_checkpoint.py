"""The demo's models: ComfyUI's stock loaders load them, and they follow captions and instructions
(demo/measure.py measures this in full).
"""

import random

import folder_paths
import pytest
import torch
from graph_runner import folders_at

from demo.world import judge
from demo.world.edits import Edit
from demo.world.render import render, render_batch
from demo.world.scenes import Scene, Thing, caption, random_scene
from lab import common

CHECKPOINT = common.CHECKPOINT
INSTRUCT = CHECKPOINT.parents[1] / "diffusion_models" / "semantic-edit-things-instruct.safetensors"


@pytest.fixture(scope="module")
def loaded():
    import nodes

    with torch.inference_mode():
        return nodes.CheckpointLoaderSimple().load_checkpoint(CHECKPOINT.name)


@pytest.fixture(scope="module")
def instructed():
    import nodes

    with torch.inference_mode():
        return nodes.UNETLoader().load_unet(INSTRUCT.name, "default")[0]


def encoded(clip, text):
    import nodes

    return nodes.CLIPTextEncode().encode(clip, text)[0]


def test_the_stock_loaders_know_them_by_name_and_kind(loaded, instructed):
    model, _, vae = loaded
    assert type(model.model.model_config).__name__ == "DemoSD15"
    assert type(vae.first_stage_model).__name__ == "TAESD"
    assert type(instructed.model).__name__ == "SD15_instructpix2pix"
    assert instructed.model.diffusion_model.input_blocks[0][0].weight.shape[1] == 8
    assert CHECKPOINT.stat().st_size < 48e6
    assert INSTRUCT.stat().st_size < 24e6


@pytest.mark.parametrize("place", ["a folder that is known", "a new one"])
def test_folders_for_a_while_are_given_back(tmp_path, place):
    known = folder_paths.folder_names_and_paths["checkpoints"][0]
    before, output = list(known), folder_paths.get_output_directory()
    checkpoints = CHECKPOINT.parent if place == "a folder that is known" else tmp_path
    with folders_at(tmp_path, checkpoints):
        assert known[0] == str(checkpoints)
        assert folder_paths.get_output_directory() == str(tmp_path / "output")
    assert known == before
    assert str(CHECKPOINT.parent) in known
    assert folder_paths.get_output_directory() == output


def test_the_autoencoder_brings_pictures_back(loaded):
    _, _, vae = loaded
    scenes = [random_scene(random.Random(f"autoencoder {index}"), 1, unseen=True) for index in range(4)]
    pictures = render_batch(scenes).pictures.movedim(1, -1)
    with torch.inference_mode():
        back = vae.decode(vae.encode(pictures))
    error = (back - pictures).square().mean((1, 2, 3))
    assert (-10 * torch.log10(error)).mean() > 32


def test_a_caption_becomes_its_picture(loaded):
    import nodes

    model, clip, vae = loaded
    scene = Scene((Thing("penguin", None, 0.5, 0.5, 0.5),), "tiles")
    latent = {"samples": torch.zeros(1, 4, 32, 32)}
    with torch.inference_mode():
        made = nodes.KSampler().sample(
            model, 2, 20, 5.0, "euler", "normal", encoded(clip, caption(scene)), encoded(clip, ""), latent, 1.0
        )[0]
        picture = vae.decode(made["samples"])
    [seen] = judge.recognise(picture.movedim(-1, 1).clamp(0, 1))
    assert seen.shows(scene)


def test_an_instruction_is_followed(loaded, instructed):
    from comfy_extras.nodes_ip2p import InstructPixToPixConditioning

    import nodes

    _, clip, vae = loaded
    before = Scene((Thing("car", "red", 0.5, 0.55, 0.55),), "snow")
    after = Scene((Thing("car", "blue", 0.5, 0.55, 0.55),), "snow")
    edit = Edit("recolour", before, after, (0,), (0,), "make the car blue")
    picture = render(before)[0].movedim(0, -1)[None]
    with torch.inference_mode():
        positive, negative, latent = InstructPixToPixConditioning.execute(
            encoded(clip, edit.instruction), encoded(clip, ""), picture, vae
        ).args
        made = nodes.KSampler().sample(instructed, 0, 20, 4.0, "euler", "normal", positive, negative, latent, 1.0)[0]
        edited = vae.decode(made["samples"])
    [seen] = judge.recognise(edited.movedim(-1, 1).clamp(0, 1))
    assert seen.shows(after)
