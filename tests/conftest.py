"""Starts ComfyUI on one device and loads the pack by ComfyUI's own loader (lab.common), except if
only tests/unit runs.

``pythonpath`` in pyproject.toml makes the repository and tests/helpers importable.
"""

import functools
import os
import pathlib
import time

import hypothesis
import psutil
import pytest
import torch

from lab import common

# The same examples in every run, so that a failure is caused by a change; SEMANTIC_EDIT_TEST_RANDOM=1
# draws new ones.
hypothesis.settings.register_profile(
    "suite", derandomize=not os.environ.get("SEMANTIC_EDIT_TEST_RANDOM"), deadline=None
)
hypothesis.settings.load_profile("suite")

UNIT = common.PACK / "tests" / "unit"
SLOWEST = (
    "tests/editor/",
    "tests/cli/test_batch_ray.py",
    "tests/cli/test_batch_runs.py",
    "tests/workflows/",
    "tests/cli/",
)
"""Parts of the suite that take longest, in the order in which parallel processes begin them."""
LOADED: dict[str, type] = {}
"""The pack's nodes; empty if only tests/unit runs, which needs no ComfyUI."""
# ComfyUI's attention on a CPU asks for the free memory at every call, which takes a tenth of a tiny
# network's time: once a second is enough.
virtual_memory = psutil.virtual_memory
memory_of_second = functools.lru_cache(maxsize=1)(lambda second: virtual_memory())
psutil.virtual_memory = lambda: memory_of_second(int(time.monotonic()))
# Networks this small are faster with one thread than with two.
torch.set_num_threads(int(os.environ.get("SEMANTIC_EDIT_TEST_THREADS", "1")))


def pytest_configure(config: pytest.Config) -> None:
    """Start ComfyUI, unless all requested tests are in tests/unit. With pytest-xdist only the
    workers start it.
    """
    asked = [
        pathlib.Path(config.invocation_params.dir, str(argument).partition("::")[0]).resolve()
        for argument in config.args
    ]
    if all(place == UNIT or UNIT in place.parents for place in asked):
        return
    distributes = config.getoption("dist", "no") != "no" and not config.option.collectonly
    try:
        os.environ["COMFYUI_PATH"] = str(common.find_comfyui())
        if not distributes:  # in a worker "dist" is "no"
            LOADED.update(common.pack_nodes(os.environ.get("SEMANTIC_EDIT_TEST_DEVICE", "cpu") == "cpu"))
    except SystemExit as error:
        pytest.exit(f"{error}; tests/unit needs none", returncode=4)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a parallel run the slowest files come first, so that no process is left with them at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: next((i for i, p in enumerate(SLOWEST) if item.nodeid.startswith(p)), len(SLOWEST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """`--dist loadfile` in the order of the collection, and with tests/editor in two processes: one for each
    frontend, whose tests share a ComfyUI server.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if not nodeid.startswith("tests/editor/"):
                return super()._split_scope(nodeid)
            return "tests/editor, newest" if "[newest" in nodeid else "tests/editor, shipped"

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def pack() -> dict[str, type]:
    """Node id to node class, as ComfyUI loaded them."""
    return LOADED


@pytest.fixture(scope="session")
def pack_module():
    """``pack_module("core.sampling.ddim")``: a module of the pack as ComfyUI loaded it, or, without
    ComfyUI, as a plain import.
    """
    return common.pack_module


@pytest.fixture
def run(pack):
    """``run("DDIMInvert", model=..., ...)``: a node's outputs, called as by ComfyUI, inside
    inference mode; omitted widgets have their defaults.
    """
    return lambda name, **inputs: common.execute(pack[name], **inputs)


@pytest.fixture(autouse=True)
def global_generator_untouched():
    """No test, and hence no node in it, may change the global generator, unless ComfyUI does."""
    torch.manual_seed(20221020)
    yield
