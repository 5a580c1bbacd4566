"""Downloads, archives and pip, for run.py. Standard library only, because this runs before anything
is installed.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .console import Problem, Progress, detail, human_bytes, ignoring_ctrl_c, indented, say
from .files import ROOT, WINDOWS, Lock, sha256_of

LOCKS = ROOT / "cli" / "locks"


def check_free_space(folder: Path) -> None:
    """Check that the disk has enough space. On Linux torch may include CUDA's libraries.

    Raises:
        Problem: it has not.
    """
    needed = 10e9 if sys.platform == "linux" else 4e9
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Problem(
            f"The disk of {folder} has {human_bytes(free)} free; the environment needs about {human_bytes(needed)}. "
            "Free some space, or set SEMANTIC_EDIT_HOME to a folder on another disk."
        )


def comfyui_files() -> dict[str, str]:
    """Path to SHA-256 of each file of ComfyUI, in the format of sha256sum."""
    lines = (LOCKS / "comfyui.sha256").read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def difference(tree: Path, expected: dict[str, str]) -> str:
    """The first missing or different file of an unpacked tree, or ""."""
    wrong = [
        name for name, digest in expected.items() if not (tree / name).is_file() or sha256_of(tree / name) != digest
    ]
    return f"{len(wrong)} of its files are not those of the pinned release, such as {wrong[0]}" if wrong else ""


def download(url: str, path: Path, timeout: float, label: str) -> None:
    """Fetch a file and show the progress. OSError if the server cannot be reached or the disk is
    full.
    """
    progress = Progress(label)
    with urllib.request.urlopen(url, timeout=timeout) as answer, open(path, "wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        while block := answer.read(1 << 18):
            file.write(block)
            of = f" of {human_bytes(total)}" if total else ""
            progress.show(file.tell(), total, f"{human_bytes(file.tell())}{of}")
    progress.end()


def is_safe(path: str) -> bool:
    return not any(part in ("", "..") or "\\" in part or ":" in part for part in path.split("/"))


def unpack(archive: Path, below: str, target: Path, wanted: Iterable[str]) -> None:
    """Write the wanted plain files of a tar archive, whose paths there are `*/below...`. Everything
    else is skipped: other files, compiled ones, links, devices, paths that lead out of the target.
    """
    wanted = set(wanted)
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = member.name.partition("/")[2]  # without the archive's one top folder
            if member.isfile() and inside.startswith(below) and inside[len(below) :] in wanted and is_safe(inside):
                path = target / inside[len(below) :]
                path.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                if source:
                    with source, open(path, "wb") as file:
                        shutil.copyfileobj(source, file)


# -- processes and pip ---

PIPED: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
    "errors": "replace",
}


def own_group() -> dict[str, Any]:
    """Options of Popen for a child in a separate process group."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


@contextlib.contextmanager
def child(command: list, **options) -> Iterator[subprocess.Popen]:
    """A process in its own group that is ended when the block ends, for any reason."""
    group = own_group()
    try:
        process = subprocess.Popen([str(part) for part in command], **PIPED, **group, **options)
    except OSError as error:
        raise Problem(f"{command[0]} cannot be started: {error.strerror or error}.") from error
    try:
        yield process
    finally:
        with ignoring_ctrl_c():
            if WINDOWS and process.poll() is None:
                subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True)
            elif not WINDOWS:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def output_of(command: list, **options) -> tuple[int, str]:
    """(exit code, stdout and stderr together) of a short command."""
    with child(command, **options) as process:
        text = process.communicate()[0]
    return process.returncode, text


# Lines of pip's output to show, and lines that tell why it failed.
PIP_STEPS = re.compile(
    r"\s*(Collecting|Downloading|Building wheel for|Installing collected packages|Successfully installed)\b"
)
NETWORK_SIGNS = re.compile(
    "NewConnectionError|Failed to establish a new connection|Name or service not known|name resolution|"
    "getaddrinfo failed|nodename nor servname|ConnectTimeout|ReadTimeout|"
    "Connection refused|Max retries exceeded|ProxyError|unreachable|"
    "No route to host|RemoteDisconnected|Connection broken|SSLError"
)
DISK_SIGNS = re.compile("No space left on device|Errno 28|not enough space on the disk|Disk quota exceeded")


def run_pip(python: Path, arguments: list, temp: Path, variables: dict[str, str], lock: Lock | None = None) -> None:
    """Run pip, condense its output, and turn its failures into messages with advice.

    Its temporary files are beside the environment, because the system's temporary folder is often
    too small for torch. pip holds the environment's lock as well, so a pip that outlives this
    process (kill -9) is waited for.
    """
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PIP_REQUIRE_HASHES", "PIP_CONSTRAINT"):
        variables.pop(name, None)
    variables.update(
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PIP_USER="0",
        TMPDIR=str(temp),
        TEMP=str(temp),
        TMP=str(temp),
    )
    script = "import pip, sys; sys.exit(tuple(map(int, pip.__version__.split('.')[:2])) < (24, 1))"
    bar = "raw" if output_of([python, "-c", script], env=variables)[0] == 0 else "off"
    command = [python, "-m", "pip", arguments[0], "--progress-bar", bar, "--retries", "2", *arguments[1:]]
    kept: dict[str, Any] = {"pass_fds": (lock.file.fileno(),)} if lock and lock.file and not WINDOWS else {}
    said: collections.deque = collections.deque(maxlen=60)
    with child(command, env=variables, **kept) as process:
        show_pip(process.stdout or (), said)
        code = process.wait()
    if code:
        raise Problem(explain_pip(said, temp))


def show_pip(lines: Iterable[str], said: collections.deque) -> None:
    progress = Progress("    downloading")
    for line in lines:
        count = re.match(r"Progress (\d+) of (\d+)", line)
        if count:
            done, total = int(count[1]), int(count[2])
            if total > 10e6:
                progress.show(done, total, f"{human_bytes(done)} of {human_bytes(total)}")
            continue
        progress.end()
        progress = Progress("    downloading")
        said.append(line)
        (say if PIP_STEPS.match(line) else detail)(f"    {line.strip()[:140]}")
    progress.end()


def explain_pip(said: Iterable[str], folder: Path) -> str:
    text, last = "".join(said), indented([line for line in said if line.strip()][-6:])
    if DISK_SIGNS.search(text):
        return (
            f"The disk of {folder} is full. Free some space or set SEMANTIC_EDIT_HOME to a folder on another disk, "
            f"then run this again.\n{last}"
        )
    if NETWORK_SIGNS.search(text):
        return (
            "pip could not reach the package index: there is no network, or a proxy is needed (HTTPS_PROXY). Restore "
            f"the connection and run this again; completed steps are kept. pip said:\n{last}"
        )
    return f"pip failed (Python {sys.version.split()[0]} on {sys.platform}). It said:\n{last}"
