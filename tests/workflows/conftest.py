"""ComfyUI's executor in this process, for whole graphs."""

import os
import pathlib

import pytest
from shapes import scenes
from workflow_graphs import easy_scene

from lab import common


@pytest.fixture(scope="session", autouse=True)
def extras():
    from graph_runner import load_extras  # needs ComfyUI, which starts after the import of this file
    from shapes import model

    load_extras()
    model.register()


@pytest.fixture(scope="module")
def runner(tmp_path_factory, extras):
    """ComfyUI's executor in this process, with the demo's checkpoint, that of the shapes, and the
    easy scene as its input picture. SEMANTIC_EDIT_DEMO_CHECKPOINT names another file for the
    demo's.
    """
    from graph_runner import GraphRunner, folders_at
    from shapes.model import CHECKPOINT

    folder = tmp_path_factory.mktemp("comfyui")
    (folder / "checkpoints").mkdir()
    demo = pathlib.Path(os.environ.get("SEMANTIC_EDIT_DEMO_CHECKPOINT") or common.CHECKPOINT)
    for name, file in ((common.CHECKPOINT.name, demo), (CHECKPOINT.name, CHECKPOINT)):
        if not file.is_file():
            pytest.fail(f"the checkpoint {file} is not there; it belongs to the repository", pytrace=False)
        try:
            (folder / "checkpoints" / name).symlink_to(file.resolve())
        except OSError:  # Windows without the permission to create links
            (folder / "checkpoints" / name).write_bytes(file.read_bytes())
    made = GraphRunner(folder)
    made.put_picture("scene.png", scenes.render(easy_scene()[0])[0])
    with folders_at(folder, folder / "checkpoints"):
        yield made
