"""The files of a CLIP folder in Hugging Face's layout: their locations, settings and weights."""

import json
import logging
import os
import pathlib

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch

from ..core.errors import NodeError

FOLDERS = "clip_rank"
DEMO = pathlib.Path(__file__).resolve().parents[2] / "models" / "clip_rank"
"""The folder of the demo's CLIP; outside demo/, because ComfyUI lists every weights file in there
as a checkpoint.
"""
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
ADVICE = "Copy the whole folder of the model again."


def register_clip_folders() -> None:
    """Register ``models/clip_rank`` and the demo's folder with ComfyUI. Never raises."""
    try:
        import folder_paths

        folder_paths.add_model_folder_path(FOLDERS, os.path.join(folder_paths.models_dir, FOLDERS), is_default=True)
        folder_paths.add_model_folder_path(FOLDERS, str(DEMO))
    except Exception:
        logging.warning(
            "Semantic Edit: the folders for CLIP rank models could not be registered with this ComfyUI; everything "
            "else works.",
            exc_info=True,
        )


def list_folders() -> dict[str, pathlib.Path]:
    """Folders that contain a ``config.json``, at most two levels below a registered folder, by
    name. If a name occurs several times, the first folder is used.
    """
    import folder_paths

    folders: dict[str, pathlib.Path] = {}
    roots = folder_paths.get_folder_paths(FOLDERS) if FOLDERS in folder_paths.folder_names_and_paths else []
    for root in map(pathlib.Path, roots):
        for depth in ("*", "*/*"):
            for config in sorted(root.glob(f"{depth}/config.json")):
                folders.setdefault(config.parent.relative_to(root).as_posix(), config.parent)
    return folders


def read_settings(name: str, file: pathlib.Path) -> dict:
    """Read a JSON file that contains one object.

    Raises:
        NodeError: it cannot be read, or contains something else.
    """
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refusal(f"{file.name} of {name} cannot be read ({error})", "a JSON file") from None
    if not isinstance(settings, dict):
        raise refusal(f"{file.name} of {name} contains a {type(settings).__name__}", "a JSON object")
    return settings


def read_weights(name: str, folder: pathlib.Path) -> dict[str, torch.Tensor]:
    """Read all weights of a folder, copied to float32. Pickle files may contain only tensors.

    Raises:
        NodeError: a file is missing or cannot be read.
    """
    file = next(file for file in WEIGHTS if (folder / file).is_file())
    files = [file]
    if file.endswith(".json"):
        parts = read_settings(name, folder / file).get("weight_map")
        if not isinstance(parts, dict) or not parts:
            raise refusal(f"{file} of {name} lists no files", "a weight_map")
        files = sorted({str(part) for part in parts.values()})
    weights = {}
    for part in files:
        if pathlib.PurePath(part).name != part or not (folder / part).is_file():
            raise refusal(f"{name} lacks {part}, which {file} lists", "this file in the same folder")
        weights.update(_read_file(name, folder / part))
    return weights


def _read_file(name: str, file: pathlib.Path) -> dict[str, torch.Tensor]:
    try:
        tensors = comfy.utils.load_torch_file(str(file), safe_load=True)
        return {
            key: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
            for key, value in tensors.items()
        }
    except Exception as error:
        what = f"{file.name} of {name} cannot be read ({brief(error)})"
        raise refusal(what, "a complete file that contains only tensors") from error


def refusal(what: str, expected: str) -> ValueError:
    """An error with the problem, the expected content and advice."""
    return NodeError(f"{what}; expected {expected}. {ADVICE}")


def brief(error: Exception) -> str:
    """The last line of an error's message, or its class if it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:200]}" if lines else type(error).__name__


def few(names: list[str], most: int = 4) -> str:
    """The first ``most`` names, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
