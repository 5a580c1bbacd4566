"""Shared by benchmarks, tools, training and tests: loading ComfyUI with the pack in this process,
calling nodes as ComfyUI does, and small statistics.

Independent of the editing methods. Pictures are IMAGEs [N, H, W, 3] in 0..1 unless a docstring says
otherwise.
"""

import asyncio
import functools
import importlib
import importlib.util
import json
import math
import os
import pathlib
import platform
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from cli.inside import import_first

PACK = pathlib.Path(__file__).resolve().parents[1]
DEMO = PACK / "demo"
HELPERS = PACK / "tests" / "helpers"
CHECKPOINT = PACK / "models" / "checkpoints" / "semantic-edit-demo.safetensors"


def user_path(text: str) -> pathlib.Path:
    """A path from a command line, relative to the folder in which `run.py` was started."""
    return pathlib.Path(os.environ.get("SEMANTIC_EDIT_FROM", ""), text)


# ---- ComfyUI and its nodes ----


def find_comfyui() -> pathlib.Path:
    """COMFYUI_PATH, or the ComfyUI whose custom_nodes contains this pack."""
    for place in (os.environ.get("COMFYUI_PATH"), *PACK.parents):
        if place and (pathlib.Path(place) / "comfy" / "samplers.py").is_file():
            return pathlib.Path(place)
    raise SystemExit(
        "found no ComfyUI: set COMFYUI_PATH to its folder, or start this by `python run.py`, which installs one"
    )


def use_comfyui(cpu: bool | None = None) -> None:
    """Make ComfyUI, this repository and the tests' helpers importable, and set the device.

    ComfyUI goes first, because the repository's ``nodes/`` would hide ComfyUI's ``nodes.py``.

    Args:
        cpu: run ComfyUI on the CPU; None does so if there is no CUDA.
    """
    import_first([find_comfyui(), PACK, HELPERS])
    options = importlib.import_module("comfy.cli_args").args
    options.cpu = not torch.cuda.is_available() if cpu is None else cpu


_NODES: dict[str, Any] = {}
"""The pack's nodes by id, once ComfyUI has loaded them."""


def pack_nodes(cpu: bool | None = None) -> dict[str, Any]:
    """Start ComfyUI in this process and load the pack by ComfyUI's own loader, once; returns the
    pack's nodes by id.
    """
    if _NODES:
        return _NODES
    use_comfyui(cpu)
    progress: Any = importlib.import_module("comfy.utils")
    progress.PROGRESS_BAR_ENABLED = False
    # As main.py does: ComfyUI 0.18.2's nodes.py puts comfy/ first on sys.path, whose utils.py would hide the package.
    importlib.import_module("utils")
    nodes: Any = importlib.import_module("nodes")
    if not hasattr(nodes, "KSampler"):
        raise SystemExit(f"`import nodes` found {nodes.__file__} instead of ComfyUI's nodes.py; start a new Python")
    known = set(nodes.NODE_CLASS_MAPPINGS)
    loaded = asyncio.run(nodes.load_custom_node(str(PACK), module_parent="custom_nodes"))
    new = sorted(set(nodes.NODE_CLASS_MAPPINGS) - known)
    if not loaded or not new:
        raise SystemExit("ComfyUI could not load the pack; the reason is in the warning above")
    _NODES.update({name: nodes.NODE_CLASS_MAPPINGS[name] for name in new})
    return _NODES


def load_pack(threads: int = 1) -> dict[str, Any]:
    """:func:`pack_nodes` with all nodes of ComfyUI, by id; on a CPU with ``threads`` threads."""
    pack_nodes()
    if not torch.cuda.is_available():
        torch.set_num_threads(threads)
    custom = importlib.import_module("comfy_extras.nodes_custom_sampler")
    extras = {name: value for name, value in vars(custom).items() if hasattr(value, "define_schema")}
    return {**extras, **importlib.import_module("nodes").NODE_CLASS_MAPPINGS}


def pack_module(name: str) -> Any:
    """A module of ``nodes/``, such as ``pack_module("core.sampling.ddim")``: the one that ComfyUI loaded,
    or, if the pack is not loaded, a separate import.
    """
    loaded = [node.__module__.rpartition(".")[0] for node in _NODES.values()]
    return importlib.import_module(f"{loaded[0] if loaded else _alone()}.{name}")


@functools.cache
def _alone() -> str:
    """The name of a package with ``nodes/`` that does not hide ComfyUI's ``nodes.py``, for scripts
    that do not load the pack.
    """
    name, folder = "semantic_edit_nodes", PACK / "nodes"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec
    assert spec.loader
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return name


def execute(node: Any, **inputs) -> Any:
    """Run a V3 node as ComfyUI does, in inference mode; returns its NodeOutput. Omitted widgets
    have their defaults.
    """
    defaults = {
        item.id: item.default for item in node.define_schema().inputs if getattr(item, "default", None) is not None
    }
    with torch.inference_mode():
        return node.PREPARE_CLASS_CLONE({"hidden_inputs": {}}).EXECUTE_NORMALIZED(**{**defaults, **inputs})


def call(node: Any, **inputs) -> tuple:
    """Run a V1 or V3 node as ComfyUI does, in inference mode; returns its outputs."""
    if hasattr(node, "define_schema"):
        return tuple(execute(node, **inputs).args)
    with torch.inference_mode():
        return tuple(getattr(node(), node.FUNCTION)(**{**_defaults_of_v1(node), **inputs}))


def _defaults_of_v1(node: Any) -> dict:
    kinds = node.INPUT_TYPES().get("required", {})
    return {name: kind[1]["default"] for name, kind in kinds.items() if len(kind) > 1 and "default" in kind[1]}


def load_checkpoint(nodes: dict[str, Any], path: pathlib.Path | str = CHECKPOINT) -> tuple:
    """MODEL, CLIP and VAE by CheckpointLoaderSimple, after adding the file's folder to ComfyUI's
    folders.
    """
    folder_paths = importlib.import_module("folder_paths")
    path = pathlib.Path(path).resolve()
    if not path.is_file():
        raise SystemExit(
            f"no checkpoint {path.name} in {path.parent}; make it with `python run.py train` or give --checkpoint"
        )
    folder_paths.add_model_folder_path("checkpoints", str(path.parent))
    return call(nodes["CheckpointLoaderSimple"], ckpt_name=path.name)


def encode_texts(nodes: dict[str, Any], clip, texts: Sequence[str]) -> list:
    """CLIPTextEncode for each text, stacked to one CONDITIONING whose row k is text k, for a batch
    of latents.
    """
    rows = [call(nodes["CLIPTextEncode"], clip=clip, text=text)[0][0] for text in texts]
    extra = {**rows[0][1], "pooled_output": torch.cat([row[1]["pooled_output"] for row in rows])}
    return [[torch.cat([row[0] for row in rows]), extra]]


class Demo:
    """ComfyUI with the pack and a checkpoint, and the calls that most benchmarks need. ``model``
    may be replaced.
    """

    def __init__(self, checkpoint: pathlib.Path | str = CHECKPOINT):
        self.nodes = load_pack()
        self.model, self.clip, self.vae = load_checkpoint(self.nodes, checkpoint)

    def run(self, name: str, **inputs) -> tuple:
        """A node's outputs."""
        return call(self.nodes[name], **inputs)

    def texts(self, *texts: str) -> list:
        """One CONDITIONING whose row k is text k."""
        return encode_texts(self.nodes, self.clip, texts)

    def encode(self, pictures: torch.Tensor) -> dict:
        """The LATENT of an IMAGE by VAEEncode."""
        return self.run("VAEEncode", pixels=pictures, vae=self.vae)[0]

    def decode(self, latent: dict) -> torch.Tensor:
        """The IMAGE [N, H, W, 3] of a LATENT by VAEDecode, float32 on the CPU."""
        return self.run("VAEDecode", samples=latent, vae=self.vae)[0].float().cpu()


class Evaluations:
    """Counts network evaluations of single latents (a batch of 8 counts 8): use ``.model`` and read
    ``.count``.
    """

    def __init__(self, model):
        self.count, self.model = 0, model.clone()
        self.model.set_model_unet_function_wrapper(self._counted)

    def _counted(self, apply_model, given: dict):
        self.count += given["input"].shape[0]
        return apply_model(given["input"], given["timestep"], **given["c"])

    def take(self) -> int:
        """The count since the last call."""
        count, self.count = self.count, 0
        return count


# ---- results ----


def without_nan(value):
    """A copy with None for every NaN, for JSON."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_json(path: pathlib.Path | str | None, document) -> None:
    """Write a document as JSON, if a path is given."""
    if path:
        pathlib.Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


# ---- statistics ----


def psnr(a: torch.Tensor, b: torch.Tensor, where: torch.Tensor | None = None) -> float:
    """PSNR in dB, at most 100, of two pictures [H, W, C] in 0..1 over the set pixels of ``where``
    [H, W], by ``nodes/core``; NaN if no pixel is set.
    """
    region = torch.ones(a.shape[:2]) if where is None else where
    return float(pack_module("core.pictures.metrics").psnr(a[None].cpu(), b[None].cpu(), region[None].float().cpu()))


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    """Intersection over union of two binary masks of one shape; 1 if both are empty."""
    a, b = a.bool(), b.bool()
    union = (a | b).sum().item()
    return (a & b).sum().item() / union if union else 1.0


def mean(values: Iterable[float]) -> float:
    """The mean of the values that are not NaN; NaN if there are none."""
    numbers = [float(value) for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def not_matched(curve: Iterable[tuple[float, ...]], others: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The points of ``others`` for which ``curve`` has no point at least as good in every
    coordinate (more is better).
    """
    curve = list(curve)
    return [
        point
        for point in others
        if not any(all(ours >= theirs for ours, theirs in zip(mine, point, strict=True)) for mine in curve)
    ]


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A Markdown table; floats with two decimals, the first column left-aligned, all others
    right-aligned.
    """
    texts = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(3, *(len(row[column]) for row in [list(headers), *texts])) for column in range(len(headers))]

    def line(cells):
        padded = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = (
        "|"
        + "|".join(
            ("-" * (width + 2)) if index == 0 else ("-" * (width + 1) + ":") for index, width in enumerate(widths)
        )
        + "|"
    )
    return "\n".join([line(headers), rule, *(line(row) for row in texts)])


def versions() -> dict[str, str]:
    """Versions and kind of device, for repeating a run; nothing that identifies the machine."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    try:
        from comfyui_version import __version__ as comfyui
    except ImportError:
        comfyui = "unknown"
    return {"comfyui": comfyui, "torch": torch.__version__, "python": platform.python_version(), "device": device}
