"""Puts ComfyUI (not this pack) first on sys.path, keeps to one device, and loads the pack the way ComfyUI does; none of it for tests/unit alone."""
import asyncio
import importlib
import os
import pathlib
import sys

import hypothesis
import pytest
import torch

# The same examples in every run, so that a change is judged by itself; SEMANTIC_EDIT_TEST_RANDOM=1 looks for new ones.
hypothesis.settings.register_profile("suite", derandomize=not os.environ.get("SEMANTIC_EDIT_TEST_RANDOM"), deadline=None)
hypothesis.settings.load_profile("suite")

PACK = pathlib.Path(__file__).resolve().parents[1]
UNIT = PACK / "tests" / "unit"
sys.path.insert(0, str(PACK / "tests" / "helpers"))


def find_comfyui() -> pathlib.Path:
    for candidate in (os.environ.get("COMFYUI_PATH"), *PACK.parents):
        if candidate and (pathlib.Path(candidate) / "comfy" / "samplers.py").is_file():
            return pathlib.Path(candidate)
    pytest.exit("no ComfyUI found: set COMFYUI_PATH to its folder, or run the suite by `python run.py test`; tests/unit needs none", returncode=4)


def start_comfyui():
    """ComfyUI first on ``sys.path``, and its ``nodes`` module."""
    comfyui = find_comfyui()
    os.environ["COMFYUI_PATH"] = str(comfyui)
    # The pack has its own nodes/ and tests/: with its root on the path `import nodes` would find it instead of ComfyUI's nodes.py.
    sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry or os.getcwd()).resolve() != PACK]
    sys.path.insert(0, str(comfyui))
    from comfy.cli_args import args
    args.cpu = os.environ.get("SEMANTIC_EDIT_TEST_DEVICE", "cpu") == "cpu"
    import comfy.utils

    import nodes
    comfy.utils.PROGRESS_BAR_ENABLED = False
    assert hasattr(nodes, "KSampler"), nodes.__file__
    return nodes


def load_pack() -> dict[str, type]:
    """Node id to node class, through ComfyUI's own loader."""
    nodes = start_comfyui()
    before = set(nodes.NODE_CLASS_MAPPINGS)
    assert asyncio.run(nodes.load_custom_node(str(PACK), module_parent="custom_nodes")), "ComfyUI could not load the pack"
    return {name: nodes.NODE_CLASS_MAPPINGS[name] for name in sorted(set(nodes.NODE_CLASS_MAPPINGS) - before)}


LOADED: dict[str, type] = {}
"""The pack's nodes; empty where only tests/unit runs, which needs no ComfyUI."""
# For nets this small one thread is faster than two.
torch.set_num_threads(int(os.environ.get("SEMANTIC_EDIT_TEST_THREADS", "1")))


def pytest_configure(config: pytest.Config) -> None:
    """Start ComfyUI, unless all tests that are asked for are in tests/unit."""
    asked = [pathlib.Path(config.invocation_params.dir, str(argument).partition("::")[0]).resolve() for argument in config.args]
    if all(place == UNIT or UNIT in place.parents for place in asked):
        sys.path.append(str(PACK))
    else:
        LOADED.update(load_pack())


@pytest.fixture(scope="session")
def pack() -> dict[str, type]:
    """Node id to node class, as ComfyUI loaded them."""
    return LOADED


@pytest.fixture(scope="session")
def room():
    """``room("core.sampling.ddim")``: a module of the pack as ComfyUI loaded it; without ComfyUI, as any program imports it."""
    package = next(iter(LOADED.values())).__module__.rsplit(".", 1)[0] if LOADED else "nodes"
    return lambda name: importlib.import_module(f"{package}.{name}")


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
