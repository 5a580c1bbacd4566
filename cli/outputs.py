"""Output folders: results are written beside the user's files without replacing any of them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .client import Client, Result
from .console import Problem, deliver, is_disk_full
from .files import sha256_of, write_file
from .graphs import named
from .pictures import check_file


def read_json(path: Path) -> Any:
    check_file(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        json.dumps(value)  # raises RecursionError if it is nested too deeply to be sent
        return value
    except RecursionError as error:
        raise Problem(f"{path} cannot be used, because it is nested too deeply.") from error
    except (ValueError, OSError) as error:
        raise Problem(f"{path} cannot be read as JSON: {error}") from error


@contextlib.contextmanager
def usable_folder(folder: Path) -> Iterator[Path]:
    """Create an output folder and test writing to it, before any work. Folders that stay empty are
    removed.
    """
    made: list[Path] = []
    try:
        made += itertools.takewhile(lambda path: not path.exists(), (folder, *folder.parents))
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".semantic-edit-"):
            pass
    except (OSError, ValueError) as error:
        remove_empty(made)
        if is_disk_full(error):
            raise
        reason = getattr(error, "strerror", None) or error
        raise Problem(f"--output {folder} cannot be used: {reason}. Choose a writable folder.") from error
    try:
        yield folder
    finally:
        remove_empty(made)


def remove_empty(folders: list[Path]) -> None:
    for path in folders:
        with contextlib.suppress(OSError):
            path.rmdir()


class EditFolder:
    """The files of one edit in an output folder.

    `edit.json` lists the files of an edit with their SHA-256. A listed file that is unchanged
    belongs to an earlier edit and is replaced; any other file, and every input of this edit,
    belongs to the user. If one name is taken by a user's file, all names of this edit get the same
    number.
    """

    REPORT = "edit.json"

    def __init__(self, folder: Path, names: list[str], inputs: list[Path]):
        self.folder, self.inputs = folder, [path for path in inputs if path.exists()]
        self.files: dict[str, Path] = {}
        self.number = 1
        while not self.is_free(names):
            self.number += 1
        self.earlier = self.listed()

    def path(self, name: str) -> Path:
        stem, suffix = os.path.splitext(name)
        return self.folder / (f"{stem}-{self.number}{suffix}" if self.number > 1 else name)

    def is_free(self, names: list[str]) -> bool:
        ours = self.listed()
        report = self.path(self.REPORT)
        if os.path.lexists(report) and (ours is None or self.is_input(report)):
            return False
        return all(not os.path.lexists(self.path(name)) or self.path(name) in (ours or []) for name in names)

    def is_input(self, path: Path) -> bool:
        return any(path.exists() and path.samefile(other) for other in self.inputs)

    def listed(self) -> list[Path] | None:
        """The unchanged files of an earlier edit of this number; None if there was none."""
        try:
            report = json.loads(self.path(self.REPORT).read_text(encoding="utf-8"))
            entries = [(self.folder / name, digest) for name, digest in report["files"].items()]
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        plain = [(path, digest) for path, digest in entries if path.parent == self.folder and path.is_file()]
        return [path for path, digest in plain if sha256_of(path) == digest and not self.is_input(path)]

    def write(self, name: str, data: bytes) -> Path:
        self.files[name] = self.path(name)
        write_file(self.files[name], data)
        return self.files[name]

    def finish(self, report: dict) -> None:
        """Write the report, and remove the earlier edit's files that this edit did not write."""
        for path in self.earlier or []:
            if path not in self.files.values():
                path.unlink(missing_ok=True)
        report = report | {"files": {path.name: sha256_of(path) for path in self.files.values()}}
        text = json.dumps(report, indent=2, ensure_ascii=False)
        write_file(self.path(self.REPORT), text.encode("utf-8", "backslashreplace"))  # also valid escapes in JSON


def fetch_outputs(client: Client, graph: dict, result: Result, output: Path) -> list[Path]:
    """Write every file that the nodes saved into the output folder; print the paths and the nodes'
    texts. Previews only if nothing was saved.
    """
    outputs = [
        (node_id, name, entry)
        for node_id, lists in result.outputs.items()
        for name, entries in lists.items()
        if isinstance(entries, list)
        for entry in entries
    ]
    files = [file for _, _, entry in outputs if isinstance(entry, dict) for file in listed_files(entry)]
    saved = [entry for entry in files if entry.get("type") != "temp"]
    made = []
    for entry in saved or files:
        path = unused(output / Path(*safe_parts(entry.get("subfolder", "")), *safe_parts(entry["filename"])))
        write_file(path, client.view(entry))
        made.append(path)
        deliver(str(path))
    for node_id, text in texts_of(result):
        deliver(f"{named(graph, node_id)}: {text}")
    return made


def listed_files(entry: dict) -> list[dict]:
    """The file in a node's entry, or the images of a preview of this pack, which are one level
    deeper.
    """
    nested = entry.get("images")
    entries = [entry] if entry.get("filename") else nested if isinstance(nested, list) else []
    return [file for file in entries if isinstance(file, dict) and file.get("filename")]


def texts_of(result: Result) -> list[tuple[str, str]]:
    """(node id, text) of the nodes' text outputs."""
    entries = [(node_id, entry) for node_id, lists in result.outputs.items() for entry in lists.get("text") or []]
    return [(node_id, entry) for node_id, entry in entries if isinstance(entry, str)]


def safe_parts(name: str) -> list[str]:
    return [part for part in re.split(r"[\\/]", name) if part not in ("", ".", "..")]


def unused(path: Path) -> Path:
    """The path, numbered if a file of that name exists."""
    number, free = 2, path
    while os.path.lexists(free):
        number, free = number + 1, path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
