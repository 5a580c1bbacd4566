"""The job: a CSV, JSONL or Parquet file, or a folder of images, read into rows.

A row that cannot run is kept with the reason, so it is recorded as failed and the others run.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..console import Problem
from ..pictures import check_file

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
LONGEST_CELL = 2**24
SLUG = 48
"""Maximum number of an id's characters in a file name."""


@dataclasses.dataclass(slots=True)
class Row:
    """One edit of the job.

    Attributes:
        number: position in the job, from 1.
        id: as given in the job, or ``row-NUMBER``.
        key: name of its files without an extension, unique in the job.
        values: the row's cells, by column; empty cells are left out.
        problem: the reason why it cannot run, or "".
    """

    number: int
    id: str
    key: str
    values: dict[str, Any]
    problem: str = ""

    def digest(self) -> str:
        """A short hash of the row's values; a different digest means a different edit."""
        text = json.dumps([self.id, self.values], sort_keys=True, ensure_ascii=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def safe_name(name: str) -> str:
    """A file name for any text: its plain letters, at most ``SLUG``, and 16 digits of its SHA-256.

    It has no dot, slash or space, is not a reserved name of Windows, and differs for names that
    differ only in case.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-")[:SLUG].strip("-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{slug}-{digest}" if slug else digest


def read_job(path: Path, output: Path | None = None) -> list[Row]:
    """The rows of a job in its order.

    Args:
        path: a .csv, .jsonl (.ndjson) or .parquet file, or a folder that is searched for images.
        output: the run's folder, which is excluded from the search.

    Raises:
        Problem: no such file, a kind that cannot be read, or a job without rows.
    """
    if path.is_dir():
        entries: Iterable[tuple[Any, str]] = ((values, "") for values in folder_rows(path, output))
    else:
        check_file(path)
        readers = {".csv": csv_rows, ".jsonl": jsonl_rows, ".ndjson": jsonl_rows, ".parquet": parquet_rows}
        if path.suffix.lower() not in readers:
            raise Problem(f"{path}: expected a .csv, .jsonl or .parquet file, or a folder of images.")
        entries = readers[path.suffix.lower()](path)
    rows = list(numbered(entries))
    if not rows:
        what = f"no image ({', '.join(PICTURES)})" if path.is_dir() else "no row"
        raise Problem(f"{path} has {what}; nothing can be run.")
    return rows


def numbered(entries: Iterable[tuple[Any, str]]) -> Iterator[Row]:
    """Rows with ids and keys. If an id occurs again, the row gets another key and a problem."""
    seen: dict[str, int] = {}
    for number, (values, problem) in enumerate(entries, 1):
        values = values if isinstance(values, dict) else {}
        values = {str(name).strip(): value for name, value in values.items() if value is not None and value != ""}
        given = values.pop("id", None)
        if isinstance(given, (dict, list, bool)):
            given, problem = None, problem or f"its id is {json.dumps(given)[:80]}; expected a text or a number"
        name = f"row-{number}" if given is None else str(given)
        key = safe_name(name)
        if name in seen:
            problem = f"its id {shown(name)} is also the id of row {seen[name]}; give every row a different id"
            key = f"{key}-row-{number}"
        elif has_surrogates(name):
            problem = problem or "its id is not UTF-8"
        seen.setdefault(name, number)
        yield Row(number, name, key, values, problem or not_text(values))


def shown(text: str, longest: int = 60) -> str:
    return repr(text if len(text) <= longest else f"{text[:longest]}...")


def has_surrogates(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def not_text(values: dict[str, Any]) -> str:
    broken = [name for name, value in values.items() if has_surrogates(f"{name}{value}")]
    return f"its column {ascii(broken[0])} is not UTF-8" if broken else ""


def folder_rows(folder: Path, output: Path | None) -> Iterator[dict[str, Any]]:
    """A row for every image in a folder and its subfolders, by name; its id is its relative
    path.
    """
    output_folder = output.absolute() if output else None
    for path in sorted(folder.rglob("*")):
        inside = output_folder is not None and output_folder in path.absolute().parents
        if path.suffix.lower() in PICTURES and path.is_file() and not inside:
            name = path.relative_to(folder).as_posix()
            yield {"id": name, "image": name}


def csv_rows(path: Path) -> Iterator[tuple[Any, str]]:
    csv.field_size_limit(LONGEST_CELL)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, None)
        names = [name.strip() for name in header or []]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise Problem(f"{path} has the column {twice[0]!r} twice; give every column a different name.")
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield {}, f"line {reader.line_num} cannot be read as CSV: {error}"
                continue
            if cells:
                wrong = f"it has {len(cells)} cells, and the header has {len(names)}"
                yield dict(zip(names, cells)), "" if len(cells) == len(names) else wrong


def jsonl_rows(path: Path) -> Iterator[tuple[Any, str]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield {}, f"it cannot be read as JSON: {error}"
                continue
            kind = type(values).__name__
            yield values, "" if isinstance(values, dict) else f"it is a JSON {kind}; expected an object"


def parquet_rows(path: Path) -> Iterator[tuple[Any, str]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise Problem(
            f"{path}: reading Parquet needs the package pyarrow. Install it (pip install pyarrow), or convert the job "
            "to CSV or JSONL."
        ) from error
    try:
        for batch in parquet.ParquetFile(path).iter_batches(1024):
            for values in batch.to_pylist():
                yield values, ""
    except ArrowInvalid as error:
        raise Problem(f"{path} cannot be read as Parquet: {error}") from error
