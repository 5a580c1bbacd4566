"""Files that runs leave in ComfyUI's folders, and the home folder's models."""

import json
import pathlib

import pytest

from cli import files, run_folder


@pytest.fixture
def comfyui(home, tmp_path) -> pathlib.Path:
    (tmp_path / "ComfyUI" / "custom_nodes").mkdir(parents=True)
    return tmp_path / "ComfyUI"


def test_removing_a_run_does_not_follow_its_link(comfyui):
    folder = run_folder.RunFolder(comfyui)
    link = folder.path / "custom_nodes" / "semantic-edit"
    assert link.resolve() == files.ROOT
    folder.remove()
    assert not folder.path.exists()
    assert (files.ROOT / "run.py").is_file()


def test_a_run_that_was_killed_is_cleaned_up_by_the_next_and_a_living_one_is_not(comfyui):
    killed, living = run_folder.RunFolder(comfyui), run_folder.RunFolder(comfyui)
    killed.lock.release()
    following = run_folder.RunFolder(comfyui)
    assert not killed.path.exists()
    assert living.path.exists()
    assert following.path.exists()
    living.remove()
    following.remove()


def test_models_in_the_home_folder_are_given_to_comfyui(comfyui, home):
    (home / "models" / "checkpoints").mkdir(parents=True)
    folder = run_folder.RunFolder(comfyui)
    config = json.loads(folder.config.read_text())
    folder.remove()
    assert config["models"]["base_path"] == str(home / "models")
    assert config["models"]["checkpoints"] == "checkpoints"
