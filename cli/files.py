"""Folders, locks and atomic writes. Standard library only, because run.py uses this before anything
is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

WINDOWS = os.name == "nt"
ROOT = Path(__file__).resolve().parents[1]
PACK = "semantic-edit"


def home_folder() -> Path:
    """The folder of environments and runs: SEMANTIC_EDIT_HOME, else the system's folder for
    caches.
    """
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


def venv_python(folder: Path) -> Path:
    return folder / "Scripts" / "python.exe" if WINDOWS else folder / "bin" / "python"


def project_field(folder: Path, name: str) -> str:
    """A text field of a pyproject.toml, by a regular expression, because Python 3.10 cannot read
    TOML.
    """
    path = folder / "pyproject.toml"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    match = re.search(rf'^{name}\s*=\s*"([^"]*)"', text, re.MULTILINE)
    return match.group(1) if match else ""


class Lock:
    """A file that one process can lock at a time. The system releases the lock when the process
    ends, also if it is killed.
    """

    def __init__(self, path: Path):
        self.path = path
        self.file: BinaryIO | None = None

    def try_acquire(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "a+b")
        try:
            if sys.platform == "win32":
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
    def held(self, while_waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the lock; call `while_waiting` once if another process has it."""
        if not self.try_acquire():
            while_waiting()
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


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically; an interruption leaves no partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, part = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=".part", dir=path.parent)
    try:
        with open(number, "wb") as file:
            file.write(data)
        if not WINDOWS:
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def link_folder(link: Path, target: Path) -> None:
    """A symbolic link to a folder; on Windows, where that may need special rights, a junction."""
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:
        if not WINDOWS:
            raise
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(target)], check=True, capture_output=True)


def unlink_folder(link: Path) -> None:
    with contextlib.suppress(OSError):
        link.unlink() if link.is_symlink() else link.rmdir()
