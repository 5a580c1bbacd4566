"""Puts ComfyUI (not this pack) first on sys.path, keeps to one device, and loads the pack the way ComfyUI does."""
import asyncio
import importlib
import os
import pathlib
import sys

import hypothesis
import pytest

# The same examples in every run, so that a change is judged by itself; SEMANTIC_EDIT_TEST_RANDOM=1 looks for new ones.
hypothesis.settings.register_profile("suite", derandomize=not os.environ.get("SEMANTIC_EDIT_TEST_RANDOM"), deadline=None)
hypothesis.settings.load_profile("suite")

PACK = pathlib.Path(__file__).resolve().parents[1]


def find_comfyui() -> pathlib.Path:
    for candidate in (os.environ.get("COMFYUI_PATH"), *PACK.parents):
        if candidate and (pathlib.Path(candidate) / "comfy" / "samplers.py").is_file():
            return pathlib.Path(candidate)
    pytest.exit("no ComfyUI found: set COMFYUI_PATH to its folder, or run the suite by `python run.py test`", returncode=4)


COMFYUI = find_comfyui()
os.environ["COMFYUI_PATH"] = str(COMFYUI)
# The pack has its own nodes/ and tests/: with its root on the path `import nodes` would find it instead of ComfyUI's nodes.py.
sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry or os.getcwd()).resolve() != PACK]
sys.path[:0] = [str(COMFYUI), str(PACK / "tests" / "helpers")]

from comfy.cli_args import args  # noqa: E402

args.cpu = os.environ.get("SEMANTIC_EDIT_TEST_DEVICE", "cpu") == "cpu"

import torch  # noqa: E402

# For nets this small one thread is faster than two.
torch.set_num_threads(int(os.environ.get("SEMANTIC_EDIT_TEST_THREADS", "1")))

import comfy.utils  # noqa: E402

import nodes as comfyui_nodes  # noqa: E402

comfy.utils.PROGRESS_BAR_ENABLED = False
assert hasattr(comfyui_nodes, "KSampler"), comfyui_nodes.__file__


def load_pack() -> dict[str, type]:
    before = set(comfyui_nodes.NODE_CLASS_MAPPINGS)
    assert asyncio.run(comfyui_nodes.load_custom_node(str(PACK), module_parent="custom_nodes")), "ComfyUI could not load the pack"
    return {name: comfyui_nodes.NODE_CLASS_MAPPINGS[name] for name in sorted(set(comfyui_nodes.NODE_CLASS_MAPPINGS) - before)}


LOADED = load_pack()
ROOM = next(iter(LOADED.values())).__module__.rsplit(".", 1)[0]  # the module name under which ComfyUI knows nodes/


@pytest.fixture(scope="session")
def pack() -> dict[str, type]:
    """Node id to node class, through ComfyUI's own loader."""
    return LOADED


@pytest.fixture(scope="session")
def room():
    """``room("core.ddim")``: a module of the pack as ComfyUI loaded it."""
    return lambda name: importlib.import_module(f"{ROOM}.{name}")


@pytest.fixture
def run(pack):
    """``run("DDIMInvert", model=..., ...)``: a node as ComfyUI calls it, inside inference mode; widgets left out take their defaults."""
    def call(name: str, **inputs):
        node = pack[name]
        defaults = {item.id: item.default for item in node.define_schema().inputs if getattr(item, "default", None) is not None}
        with torch.inference_mode():
            return node.PREPARE_CLASS_CLONE({"hidden_inputs": {}}).EXECUTE_NORMALIZED(**{**defaults, **inputs})
    return call


@pytest.fixture(autouse=True)
def global_generator_untouched():
    """No test, and so no node in it, may move the global generator, unless ComfyUI itself does."""
    torch.manual_seed(20221020)
    yield
