"""What all benchmarks share: ComfyUI with the pack loaded by its own loader, nodes called as ComfyUI calls them, and small statistics.

Nothing here knows a method. Pictures are IMAGEs [N, H, W, 3] in 0..1 unless a docstring says otherwise.
"""
import asyncio
import inspect
import json
import math
import os
import pathlib
import platform
import sys
from collections.abc import Iterable, Sequence

PACK = pathlib.Path(__file__).resolve().parents[1]
DEMO = PACK / "demo"
CHECKPOINT = DEMO / "semantic-edit-demo.safetensors"
for _folder in (DEMO,):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

import torch  # noqa: E402

# ---- ComfyUI and its nodes ----

def find_comfyui() -> pathlib.Path:
    """COMFYUI_PATH, or the ComfyUI in whose custom_nodes this pack lies."""
    for place in (os.environ.get("COMFYUI_PATH"), *PACK.parents):
        if place and (pathlib.Path(place) / "comfy" / "samplers.py").is_file():
            return pathlib.Path(place)
    raise SystemExit("benchmark: found no ComfyUI above the pack; set COMFYUI_PATH to a ComfyUI checkout")


def load_pack(threads: int = 1) -> dict[str, type]:
    """Start ComfyUI in this process (on the CPU with ``threads`` threads unless there is CUDA), load the pack; returns all nodes by id."""
    # The pack has its own nodes/: with its root on the path `import nodes` would find it instead of ComfyUI's nodes.py.
    sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry or os.getcwd()).resolve() != PACK]
    sys.path.insert(0, str(find_comfyui()))
    from comfy.cli_args import args
    args.cpu = not torch.cuda.is_available()
    if args.cpu:
        torch.set_num_threads(threads)
    import comfy.utils

    import nodes
    comfy.utils.PROGRESS_BAR_ENABLED = False
    if not hasattr(nodes, "KSampler"):
        raise SystemExit("benchmark: `import nodes` did not find ComfyUI's; run the script by its path, not from a Python started in its folder")
    known = set(nodes.NODE_CLASS_MAPPINGS)
    if not asyncio.run(nodes.load_custom_node(str(PACK), module_parent="custom_nodes")) or set(nodes.NODE_CLASS_MAPPINGS) == known:
        raise SystemExit("benchmark: ComfyUI could not load the pack; the reason is in the warning above")
    import comfy_extras.nodes_custom_sampler as custom
    extras = {name: value for name, value in vars(custom).items() if inspect.isclass(value) and hasattr(value, "define_schema")}
    return {**extras, **nodes.NODE_CLASS_MAPPINGS}


def call(node: type, **inputs) -> tuple:
    """Run a node as ComfyUI does, within inference mode; widgets left out take their defaults. Returns its outputs."""
    with torch.inference_mode():
        if not hasattr(node, "define_schema"):
            return tuple(getattr(node(), node.FUNCTION)(**{**_defaults_of_v1(node), **inputs}))
        given = {item.id: item.default for item in node.define_schema().inputs if getattr(item, "default", None) is not None}
        return tuple(node.PREPARE_CLASS_CLONE({"hidden_inputs": {}}).EXECUTE_NORMALIZED(**{**given, **inputs}).args)


def _defaults_of_v1(node: type) -> dict:
    kinds = node.INPUT_TYPES().get("required", {})
    return {name: kind[1]["default"] for name, kind in kinds.items() if len(kind) > 1 and "default" in kind[1]}


def load_checkpoint(nodes: dict[str, type], path: pathlib.Path | str = CHECKPOINT) -> tuple:
    """MODEL, CLIP and VAE by CheckpointLoaderSimple; the file's folder is made known to ComfyUI first."""
    import folder_paths
    path = pathlib.Path(path).resolve()
    if not path.is_file():
        raise SystemExit(f"benchmark: no checkpoint {path.name} in {path.parent}; make it with `python run.py train` or give --checkpoint")
    folder_paths.add_model_folder_path("checkpoints", str(path.parent))
    return call(nodes["CheckpointLoaderSimple"], ckpt_name=path.name)


def encode_texts(nodes: dict[str, type], clip, texts: Sequence[str]) -> list:
    """CLIPTextEncode for each text, stacked to one CONDITIONING whose row k is text k, for a batch of latents."""
    rows = [call(nodes["CLIPTextEncode"], clip=clip, text=text)[0][0] for text in texts]
    extra = {**rows[0][1], "pooled_output": torch.cat([row[1]["pooled_output"] for row in rows])}
    return [[torch.cat([row[0] for row in rows]), extra]]


class Demo:
    """ComfyUI with the pack and a checkpoint loaded by it, and the calls that most benchmarks make. ``model`` may be replaced."""

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
        return self.run("VAEEncode", pixels=pictures, vae=self.vae)[0]

    def decode(self, latent: dict) -> torch.Tensor:
        return self.run("VAEDecode", samples=latent, vae=self.vae)[0].float().cpu()


class Evaluations:
    """Counts network evaluations of single latents (a batch of 8 counts 8): use ``.model`` and read ``.count``."""

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

def write_json(path: pathlib.Path | str | None, document) -> None:
    """Every number for later, where a file was asked for."""
    if path:
        pathlib.Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


# ---- statistics ----

def psnr(a: torch.Tensor, b: torch.Tensor, where: torch.Tensor | None = None, ceiling: float = 100.0) -> float:
    """Peak signal-to-noise ratio in dB of two pictures [H, W, C] in 0..1, over the pixels ``where`` [H, W] is true; at most ``ceiling``."""
    squares = (a.float() - b.float()).square().mean(-1)
    squares = squares if where is None else squares[where.bool()]
    if squares.numel() == 0:
        return math.nan
    return min(ceiling, -10 * math.log10(max(squares.mean().item(), 1e-12)))


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    """Intersection over union of two binary masks of one shape; two empty ones agree wholly."""
    a, b = a.bool(), b.bool()
    union = (a | b).sum().item()
    return (a & b).sum().item() / union if union else 1.0


def mean(values: Iterable[float]) -> float:
    """The mean without NaNs; NaN of nothing."""
    kept = [float(value) for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan


def not_matched(curve: Iterable[tuple[float, ...]], others: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """The points of ``others`` for which ``curve`` has no point at least as good in every coordinate (more is better)."""
    curve = list(curve)
    return [point for point in others if not any(all(ours >= theirs for ours, theirs in zip(mine, point, strict=True)) for mine in curve)]


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A Markdown table; floats with two decimals, the first column to the left and all others to the right."""
    texts = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(3, *(len(row[column]) for row in [list(headers), *texts])) for column in range(len(headers))]
    def line(cells):
        padded = (cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(zip(cells, widths, strict=True)))
        return "| " + " | ".join(padded) + " |"
    rule = "|" + "|".join(("-" * (width + 2)) if index == 0 else ("-" * (width + 1) + ":") for index, width in enumerate(widths)) + "|"
    return "\n".join([line(headers), rule, *(line(row) for row in texts)])


def versions() -> dict[str, str]:
    """What a reader needs to repeat a run: versions and the kind of device, nothing that names the machine."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    try:
        from comfyui_version import __version__ as comfyui
    except ImportError:
        comfyui = "unknown"
    return {"comfyui": comfyui, "torch": torch.__version__, "python": platform.python_version(), "device": device}
