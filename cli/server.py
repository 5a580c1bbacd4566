"""The ComfyUI of one run: its process, its port and what it says of itself."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from . import processes
from .client import UNREACHABLE, Client
from .console import Problem, Progress, Terminated, detail, indented, last_line, say
from .environment import Environment
from .files import WINDOWS
from .run_folder import RunFolder

START_TIMEOUT = 600.0
PORTS = 3
"""How many ports are tried when the port is ours to choose."""


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


class PortTaken(Problem):
    """Another program listens on the port that ComfyUI was to use."""


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

    def end(self) -> None:
        processes.stop_tree(self.process)
        self.show_log()

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
            raise self.port_taken()
        memory = " It was killed; the usual cause is too little memory." if code in (-9, 137) else ""
        last = indented(lines[-15:])
        raise Problem(f"ComfyUI stopped by itself (exit code {code}).{memory} Its last lines:\n{last}")

    def port_taken(self) -> PortTaken:
        return PortTaken(
            f"Port {self.port} was taken by another program while ComfyUI started. Run this again, or choose another "
            "--port."
        )

    def answer(self) -> dict[str, Any] | None:
        """What this ComfyUI says of itself; None while it does not answer.

        Raises:
            PortTaken: another ComfyUI answers; its command line does not name this run's folder.
        """
        try:
            stats = self.client.get("/system_stats")["system"]
        except (*UNREACHABLE, Problem, KeyError, TypeError):
            return None
        if "argv" in stats and str(self.run.config) not in stats["argv"]:
            raise self.port_taken()
        return stats

    def wait_ready(self) -> None:
        """Wait until this ComfyUI answers.

        Raises:
            PortTaken: another program has the port.
            Problem: ComfyUI ended, or does not answer within ``START_TIMEOUT`` seconds.
        """
        progress, began = Progress("ComfyUI is starting"), time.monotonic()
        while time.monotonic() - began < START_TIMEOUT:
            self.check()
            if (stats := self.answer()) is not None:
                self.stats = stats
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
    environment: Environment,
    base: Path,
    run: RunFolder,
    flags: list[str],
    cpu: bool,
    port: int | None = None,
    preferred: int = 0,
) -> Iterator[Server]:
    """Start ComfyUI without its window, wait until it answers, and clean up afterwards: no process
    and no run folder is left.

    Without a ``port`` it is ``preferred`` if that is free, or a free one, and another if a program
    takes it before ComfyUI does.
    """
    try:
        if not cpu:
            say("asking torch for a device ...")
            cpu = device_of(environment) == "cpu"
        server = started(environment, base, run, flags + (["--cpu"] if cpu else []), port, preferred)
        try:
            yield server
        finally:
            server.end()
    finally:
        run.remove()


def started(
    environment: Environment, base: Path, run: RunFolder, flags: list[str], port: int | None, preferred: int
) -> Server:
    """A ComfyUI that answers, on the given port, or on one that is chosen here."""
    taken = 0
    while True:
        chosen = port or (preferred if preferred and port_is_free(preferred) else free_port())
        server = Server(environment, base, run, chosen, flags)
        try:
            server.wait_ready()
            return server
        except BaseException as error:
            server.end()
            taken += 1
            if not isinstance(error, PortTaken) or port or taken == PORTS:
                raise
            say(f"port {chosen} was taken by another program; trying another one")


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
