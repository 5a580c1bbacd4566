"""The folder of one run, which ComfyUI gets as its folders, and cleaning up after a killed run."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from . import files, processes
from .console import Problem, say
from .environment import Environment
from .files import PACK, ROOT, Lock, home_folder

MODEL_KINDS = (
    "checkpoints", "clip_vision", "controlnet", "diffusion_models", "embeddings", "loras", "text_encoders", "vae",
)  # fmt: skip


def base_directory(environment: Environment, options: argparse.Namespace) -> Path:
    """The folder of models/, custom_nodes/ and input/: --base-directory, COMFYUI_BASE_DIRECTORY, or
    ComfyUI's own.
    """
    given = options.base_directory or os.environ.get("COMFYUI_BASE_DIRECTORY")
    if not given:
        return environment.comfyui
    folder = Path(given).expanduser().absolute()
    if not folder.is_dir():
        raise Problem(
            f"--base-directory {given} is not a folder; expected the folder with your models/ and custom_nodes/, which "
            "the desktop app shows as its base path."
        )
    return folder


class RunFolder:
    """Input, output, temp and user folders of one run, outside ComfyUI, and the link through which
    ComfyUI loads this pack.

    The folder is removed when the run ends. The folder of a killed run is recognised by its free
    lock; the next run ends the processes that belong to it and removes it.
    """

    def __init__(self, base: Path, checkpoints: Path | None = None, keep: Path | None = None):
        runs = home_folder() / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        remove_left_runs(runs)
        self.path = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
        self.lock = Lock(self.path / "lock")
        self.lock.try_acquire()
        kept = keep or self.path  # files that were saved in the editor are kept
        self.input, self.output, self.user = kept / "input", kept / "output", kept / "user"
        self.temp, self.log, self.config = self.path / "temp", self.path / "comfyui.log", self.path / "folders.yaml"
        for folder in (self.input, self.output, self.user, self.temp):
            folder.mkdir(parents=True, exist_ok=True)
        self.pack_name = self.give_pack(base)
        self.write_config(checkpoints)

    def give_pack(self, base: Path) -> str:
        """The name of the custom-node folder of the pack: an installed one, or a link that is
        created here.
        """
        (self.path / "custom_nodes").mkdir()
        for folder in sorted((base / "custom_nodes").glob("*/")):
            if is_this_pack(folder):
                if folder.resolve() != ROOT:
                    say(f"the pack that is installed in {folder} is used, not the one in {ROOT}")
                return folder.name
        files.link_folder(self.path / "custom_nodes" / PACK, ROOT)
        return PACK

    def write_config(self, checkpoints: Path | None) -> None:
        """Write the model paths as JSON, which is valid YAML."""
        models = home_folder() / "models"
        config: dict[str, Any] = {"pack": {"custom_nodes": str(self.path / "custom_nodes")}}
        if models.is_dir():
            config["models"] = {"base_path": str(models)} | {kind: kind for kind in MODEL_KINDS}
        if checkpoints:
            config["checkpoint"] = {"is_default": True, "checkpoints": str(checkpoints)}
        text = json.dumps(config, ensure_ascii=False, indent=1)
        self.config.write_text(text, encoding="utf-8", errors="backslashreplace")

    def bring(self, source: Path, name: str) -> str:
        """Copy a file to the input folder under the given name; the original is never opened for
        writing.
        """
        target = self.input / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return name

    def remove(self) -> None:
        self.lock.release()
        remove_run(self.path)


def is_this_pack(folder: Path) -> bool:
    if folder.name.endswith(".disabled"):
        return False
    name = files.project_field(ROOT, "name")
    return folder.resolve() == ROOT or (bool(name) and files.project_field(folder, "name") == name)


def remove_run(path: Path) -> None:
    link = path / "custom_nodes" / PACK
    files.unlink_folder(link)  # removed first, separately: it points to this clone
    if not link.exists():
        shutil.rmtree(path, ignore_errors=True)


def remove_left_runs(runs: Path) -> None:
    for path in runs.glob("run-*"):
        lock = Lock(path / "lock")
        if (path / "lock").exists() and lock.try_acquire():
            processes.end_left(path)
            lock.release()
            remove_run(path)
