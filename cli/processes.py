"""Child processes that end with this process, together with their own children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from .console import Problem, Terminated, ignoring_ctrl_c
from .files import WINDOWS
from .install import own_group

STOP_GRACE = 8.0
MARK = "SEMANTIC_EDIT_RUN"
"""Environment variable with the run folder that a process belongs to."""


def tether(number: int) -> list[str]:
    """The prefix of a command to which the system sends signal `number` when this process ends
    (Linux).
    """
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py")), str(int(number)), str(os.getpid())]


def start(command: list, **options: Any) -> subprocess.Popen:
    """Start a child in its own group, so that it and all its children can be ended together."""
    group = own_group()
    words = [str(part) for part in command]
    try:
        return subprocess.Popen((tether(signal.SIGKILL) if not WINDOWS else []) + words, **group, **options)
    except OSError as error:
        raise Problem(f"{command[0]} cannot be started: {error.strerror or error}.") from error


def stop_tree(process: subprocess.Popen) -> None:
    """End a child of `start` and all its children: by SIGTERM, then by force. Ctrl-C does not
    interrupt this.
    """
    with ignoring_ctrl_c():
        family = []
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            family = [root, *root.children(recursive=True)]
        end_all(family)
        if not WINDOWS:  # orphans: their parent has ended already
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_all(family: list[psutil.Process]) -> None:
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(family, STOP_GRACE)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, STOP_GRACE)


def end_left(run: Path) -> None:
    """End the processes of a killed run, identified by the folder in their environment."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(run):
                left.append(process)
    end_all(left)


def hand_over(command: list, **options: Any) -> int:
    """Run a command that uses the terminal itself, such as pytest. After Ctrl-C it may finish by
    itself.
    """
    process = subprocess.Popen(tether(signal.SIGINT) + [str(part) for part in command], **options)
    try:
        return process.wait()
    except KeyboardInterrupt as interrupt:
        with ignoring_ctrl_c():
            if isinstance(interrupt, Terminated) and not WINDOWS:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(2 * STOP_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
        raise
