"""run.py and the package cli as modules and as a command, with a small clone of the project and a
stand-in for ComfyUI.
"""

import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time
from types import ModuleType

import pytest
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
RUN = HERE.parents[1] / "run.py"
OURS = ("COMFYUI_PATH", "COMFYUI_PYTHON", "SEMANTIC_EDIT_HOME", "PYTHONPATH")
# A test run in the background may ignore Ctrl-C, which child processes inherit; a terminal does not
# ignore it.
WITH_CTRL_C = (
    "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def load(name: str, path: pathlib.Path, **package) -> ModuleType:
    """A module by its path, so that the repository's root is not added to sys.path."""
    spec = importlib.util.spec_from_file_location(name, path, **package)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load("cli", RUN.parent / "cli" / "__init__.py", submodule_search_locations=[str(RUN.parent / "cli")])


def node(kind: str, title: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


def small_graphs() -> dict[str, dict]:
    """Minimal graphs of the methods, with the titles that run.py searches for."""
    common = {
        "1": node("CheckpointLoaderSimple", "Model", ckpt_name="x"),
        "2": node("LoadImage", "Image", image="x.png"),
        "3": node("ImageScaleToTotalPixels", "Size", image=["2", 0], megapixels=1.0, upscale_method="lanczos"),
        "4": node("CLIPTextEncode", "Target text", clip=["1", 1], text="t"),
        "5": node("CLIPTextEncode", "Empty text", clip=["1", 1], text=""),
        "6": node("VAEEncode", "Encode", vae=["1", 2], pixels=["3", 0]),
        "90": node("VAEDecode", "Decode", vae=["1", 2], samples=["50", 0]),
        "91": node("SaveImage", "Edited picture", images=["90", 0]),
    }
    return {
        "sdedit": common
        | {
            "50": node(
                "KSampler", "Edit", model=["1", 0], latent_image=["6", 0], seed=1, steps=20, cfg=7.5, denoise=0.6
            )
        },
        "encode_decode": common
        | {
            "8": node("DDIMInvert", "Invert", model=["1", 0], latent=["6", 0], steps=50, strength=0.8),
            "9": node("KSamplerSelect", "Sampler"),
            "50": node(
                "SamplerCustom", "Edit", model=["1", 0], latent_image=["8", 0], sigmas=["8", 3], noise_seed=0, cfg=7.5
            ),
        },
        "edict_edit": common
        | {
            "7": node("CLIPTextEncode", "Source text", clip=["1", 1], text="s"),
            "8": node(
                "EDICTInvert", "Invert", model=["1", 0], source=["7", 0], latent=["6", 0], steps=50, strength=0.8, cfg=3
            ),
            "50": node(
                "EDICTSampler", "Edit", model=["1", 0], target=["4", 0], negative=["5", 0], pair=["8", 0], cfg=3
            ),
        },
        "diffedit": common
        | {
            "7": node("CLIPTextEncode", "Source text", clip=["1", 1], text="s"),
            "10": node("DiffEditMask", "Mask", model=["1", 0], latent=["6", 0], seed=0, threshold=0.5),
            "8": node("DDIMInvert", "Invert", model=["1", 0], latent=["10", 2], steps=50, strength=0.8),
            "50": node(
                "LatentBlendSampler",
                "Edit",
                model=["1", 0],
                latent=["10", 2],
                mask=["10", 0],
                inversion=["8", 1],
                seed=0,
                steps=50,
                cfg=7.5,
            ),
            "11": node("MaskToImage", "Mask picture", mask=["10", 0]),
            "12": node("SaveImage", "Save mask", images=["11", 0]),
            "13": node("MaskToImage", "Heat map picture", mask=["10", 1]),
            "14": node("SaveImage", "Save heat map", images=["13", 0]),
        },
    }


def write_safetensors(path: pathlib.Path, *names: str) -> pathlib.Path:
    header = json.dumps({name: {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]} for name in names}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


@pytest.fixture
def safetensors():
    """Writes a checkpoint whose header alone matters: the names of its tensors."""
    return write_safetensors


@pytest.fixture(scope="session")
def run() -> ModuleType:
    """run.py as a module."""
    return load("semantic_edit_run", RUN)


@pytest.fixture
def home(tmp_path, monkeypatch) -> pathlib.Path:
    """An empty home folder, without environment variables that point to a ComfyUI."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEMANTIC_EDIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@dataclasses.dataclass
class Cli:
    """run.py of a small clone, run as a command, with the stand-in as its ComfyUI."""

    folder: pathlib.Path

    def __post_init__(self):
        self.clone, self.comfyui, self.home, self.record, self.work = (
            self.folder / name for name in ("clone", "ComfyUI", "home", "record", "work")
        )
        for path in (
            "clone/workflows/api",
            "clone/demo/samples",
            "clone/models/checkpoints",
            "ComfyUI/custom_nodes",
            "home",
            "record",
            "work",
        ):
            (self.folder / path).mkdir(parents=True)
        shutil.copy(RUN, self.clone / "run.py")
        shutil.copytree(RUN.parent / "cli", self.clone / "cli", ignore=shutil.ignore_patterns("__pycache__"))
        plan = pathlib.Path("nodes", "core", "pictures", "windows.py")
        (self.clone / plan).parent.mkdir(parents=True)
        shutil.copy(RUN.parent / plan, self.clone / plan)
        for name, graph in small_graphs().items():
            (self.clone / "workflows" / "api" / f"{name}.json").write_text(json.dumps(graph))
        (self.clone / "pyproject.toml").write_text(
            '[project]\nname = "semantic-edit"\nversion = "1.2.3"\n\n'
            '[project.optional-dependencies]\ntest = ["pytest>=7", "surely-not-installed>=1"]\n'
        )
        (self.clone / "demo" / "samples" / "first.json").write_text(
            '{"picture": "dog.png", "source": "a red disc", "target": "a blue disc", "seed": 5}'
        )
        Image.new("RGB", (64, 48), "red").save(self.clone / "demo" / "samples" / "dog.png")
        write_safetensors(
            self.clone / "models" / "checkpoints" / "semantic-edit-demo.safetensors", "model.diffusion_model.x"
        )
        shutil.copy(HERE / "fake_comfyui.py", self.comfyui / "main.py")
        shutil.copy(HERE / "fake_replies.py", self.comfyui)
        (self.comfyui / "comfyui_version.py").write_text('__version__ = "9.9.9"\n')

    def variables(self, **changes: str | None) -> dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if name not in OURS}
        variables.update(
            COMFYUI_PATH=str(self.comfyui),
            COMFYUI_PYTHON=sys.executable,
            SEMANTIC_EDIT_HOME=str(self.home),
            FAKE_RECORD=str(self.record),
        )
        return {name: value for name, value in (variables | changes).items() if value is not None}

    def start(self, *arguments, **changes: str | None) -> subprocess.Popen:
        command = [sys.executable, "-c", WITH_CTRL_C, str(self.clone / "run.py"), *map(str, arguments)]
        return subprocess.Popen(
            command,
            cwd=self.work,
            env=self.variables(**changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments, **changes: str | None) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **changes)
        try:
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
        assert "Traceback" not in err.replace("Traceback ...", ""), err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def recorded(self, name: str, patience: float = 0.0):
        """A record of the stand-in; waits until it exists."""
        deadline = time.monotonic() + patience
        while not (self.record / name).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return json.loads((self.record / name).read_text())

    def sent(self) -> dict[str, dict]:
        """The graph that the stand-in received, by title."""
        return {entry["_meta"]["title"]: entry for entry in self.recorded("prompt.json")["prompt"].values()}

    def left_runs(self) -> list[pathlib.Path]:
        return list((self.home / "runs").glob("*"))


@pytest.fixture
def cli(tmp_path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def private(run, home):
    """A private home whose steps only record that they were done."""
    private = run.PrivateHome()
    private.done = []

    def work(name):
        private.done.append(name)
        if name == "one":
            private.python.parent.mkdir(parents=True, exist_ok=True)
            private.python.touch()

    private.test_steps = [run.Step(name, name, functools.partial(work, name)) for name in ("one", "two", "three")]
    return private
