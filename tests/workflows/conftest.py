"""A running ComfyUI in small for whole graphs."""

import os
import pathlib

import pytest
from workflow_graphs import CHECKPOINT, PACK, demo_modules, easy_scene


@pytest.fixture(scope="session", autouse=True)
def extras():
    from graph_runner import load_extras  # needs ComfyUI, which starts after this file is read

    load_extras()


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory, extras):
    """A running ComfyUI in small, with the demo checkpoint and the easy scene as its input picture."""
    from graph_runner import Kitchen, folders_at

    given = os.environ.get("SEMANTIC_EDIT_DEMO_CHECKPOINT")
    file = pathlib.Path(given) if given else PACK / "demo" / CHECKPOINT
    if not file.is_file():
        pytest.fail(
            f"the demo checkpoint {file} is not there; it belongs to the repository (demo/train.py makes it), "
            "or SEMANTIC_EDIT_DEMO_CHECKPOINT names another file",
            pytrace=False,
        )
    folder = tmp_path_factory.mktemp("comfyui")
    (folder / "checkpoints").mkdir()
    try:
        (folder / "checkpoints" / CHECKPOINT).symlink_to(file.resolve())
    except OSError:  # Windows without the right to make links
        (folder / "checkpoints" / CHECKPOINT).write_bytes(file.read_bytes())
    made = Kitchen(folder)
    scenes, _ = demo_modules()
    made.put_picture("scene.png", scenes.render(easy_scene()[0])[0])
    with folders_at(folder, folder / "checkpoints"):
        yield made
