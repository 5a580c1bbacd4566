"""The ComfyUI of one run: its folders, its process, and cleaning up after a killed run."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from . import files, processes
from .client import UNREACHABLE, Client
from .console import Problem, Progress, Terminated, detail, indented, last_line, say
from .environment import Environment
from .files import PACK, ROOT, WINDOWS, Lock, home_folder

START_TIMEOUT = 600.0
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        if not WINDOWS:  # as the server does: a port whose last connection has just ended counts as free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Server:
    """A running ComfyUI. Created and ended by `serving`."""

    def __init__(self, environment: Environment, base: Path, run: RunFolder, port: int, flags: list[str]):
        self.run, self.port, self.shown = run, port, 0
        self.client = Client(port)
        self.stats: dict[str, Any] = {}
        folders = {"input": run.input, "output": run.output, "temp": run.temp, "user": run.user}
        command = [environment.python, environment.comfyui / "main.py", "--listen", "127.0.0.1", "--port", port]
        command += ["--disable-auto-launch", "--database-url", "sqlite:///:memory:"]
        command += ["--extra-model-paths-config", run.config]
        command += ["--base-directory", base] if base != environment.comfyui else []
        command += [word for name, folder in folders.items() for word in (f"--{name}-directory", folder)]
        variables = environment.variables() | {processes.MARK: str(run.path)}
        with open(run.log, "wb") as log:
            self.process = processes.start(
                command + flags, cwd=run.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables
            )

    def log_lines(self) -> list[str]:
        return self.run.log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()

    def show_log(self) -> None:
        """With -v: print the lines that ComfyUI has written since the last call."""
        lines = self.log_lines()
        for line in lines[self.shown :]:
            detail(f"    ComfyUI: {line}")
        self.shown = len(lines)

    def check(self) -> None:
        """Raise if ComfyUI has ended by itself."""
        self.show_log()
        if WINDOWS and psutil.Process().parent() is None:  # run.py, whose child this is there, was ended
            raise Terminated
        code = self.process.poll()
        if code is None:
            return
        lines = [line for line in self.log_lines() if line.strip()]
        if any("address already in use" in line.lower() or "10048" in line for line in lines):
            raise Problem(
                f"Port {self.port} was taken by another program while ComfyUI started. Run this again, or choose "
                "another --port."
            )
        memory = " It was killed; the usual cause is too little memory." if code in (-9, 137) else ""
        last = indented(lines[-15:])
        raise Problem(f"ComfyUI stopped by itself (exit code {code}).{memory} Its last lines:\n{last}")

    def wait_ready(self) -> None:
        progress, began = Progress("ComfyUI is starting"), time.monotonic()
        while time.monotonic() - began < START_TIMEOUT:
            self.check()
            with contextlib.suppress(*UNREACHABLE, Problem):
                self.stats = self.client.get("/system_stats").get("system", {})
                progress.end()
                version = self.stats.get("comfyui_version", "")
                say(f"ComfyUI {version} is ready after {time.monotonic() - began:.0f} s")
                return
            progress.show(0, 0, f"({time.monotonic() - began:.0f} s)")
            time.sleep(0.25)
        last = indented(self.log_lines()[-15:])
        raise Problem(f"ComfyUI did not answer within {START_TIMEOUT:.0f} s. Its last lines:\n{last}")


def device_of(environment: Environment) -> str:
    """The device that torch can compute on: cuda, mps, xpu or cpu."""
    script = Path(__file__).with_name("device.py")
    command = [str(environment.python), str(script)]
    done = subprocess.run(
        command, env=environment.variables(), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    last = last_line(done.stdout)
    if done.returncode or last not in ("cuda", "mps", "xpu", "cpu"):
        way = (
            "Remove its folder to create it again."
            if environment.private
            else "Give another Python with COMFYUI_PYTHON."
        )
        raise Problem(f"{environment.python} cannot import torch: {last_line(done.stderr, last or 'no output')}. {way}")
    return last


@contextlib.contextmanager
def serving(
    environment: Environment, base: Path, run: RunFolder, flags: list[str], cpu: bool, port: int = 0
) -> Iterator[Server]:
    """Start ComfyUI without its window, wait until it answers, and clean up afterwards: no process
    and no run folder is left.
    """
    try:
        if not cpu:
            say("asking torch for a device ...")
            cpu = device_of(environment) == "cpu"
        server = Server(environment, base, run, port or free_port(), flags + (["--cpu"] if cpu else []))
        try:
            server.wait_ready()
            yield server
        finally:
            processes.stop_tree(server.process)
            server.show_log()
    finally:
        run.remove()


def check_node_types(server: Server, graph: dict) -> dict[str, dict]:
    """The definition of each node type in the graph.

    Raises:
        Problem: an unknown type; the message includes ComfyUI's reasons.
    """
    kinds = sorted({node["class_type"] for node in graph.values()})
    known = {kind: server.client.node_info(kind) or {} for kind in kinds}
    unknown = [kind for kind, definition in known.items() if not definition]
    if unknown:
        raise Problem(no_node_types(server, ", ".join(unknown)))
    return known


def no_node_types(server: Server, kinds: str) -> str:
    signs = "IMPORT FAILED|Cannot import|Error while calling comfy_entrypoint"
    lines = [line for line in server.log_lines() if re.search(signs, line)][-8:]
    reasons = f"\n{indented(lines)}" if lines else ""
    return (
        f"This ComfyUI has no node of the type {kinds}. A custom-node pack is missing or could not be loaded.{reasons}"
    )
