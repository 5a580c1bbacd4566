"""The folder of a run: its state, images, journal and table of metrics.

- ``pictures/KEY.png`` is an edit. It is written under a temporary name and renamed, and contains
  its line of the journal as a text chunk.
- ``journal.jsonl`` has a line per row that is done or failed, in the order in which they finished;
  if a row has several lines, the last one counts. It is written after the image.
- A row is done if its line has the status "done" and its image exists with the recorded size. An
  image without a line gets it from its text chunk; a partial line after a crash is removed.
- ``metrics.parquet`` (or ``metrics.csv`` without pyarrow) is made from the journal, a row per edit.
"""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ..console import Problem
from ..files import Lock, write_file
from . import tables
from .fingerprint import differences
from .rows import Row
from .worker import CHUNK, Outcome, failed

DOCUMENT, JOURNAL, PICTURES, MASKS, OTHERS = "job.json", "journal.jsonl", "pictures", "masks", "others"
OWN = (DOCUMENT, JOURNAL, PICTURES, MASKS, OTHERS)


Ended = tuple[str, int, str, int]
NEVER: Ended = ("", 0, "", 0)


def ended(record: dict[str, Any], place: int) -> Ended:
    return record["status"], place, record["row_digest"], record.get("bytes", 0)


class Store:
    """A run's folder, locked by one process at a time.

    Attributes:
        ended: by key, (status, position of the line in the journal, digest of the row, bytes of its
            image).
        repaired: number of images whose line was added from their text chunk.
        lost: number of lines without a complete image.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.ended: dict[str, Ended] = {}
        self.repaired, self.lost = 0, 0
        self.lock = Lock(folder / ".lock")
        self.journal: io.FileIO | None = None

    # -- beginning ---

    def hold(self) -> dict[str, Any]:
        """Lock the folder; returns the document of an earlier run, or {}.

        Raises:
            Problem: another process uses it, or it contains files that do not belong to a run.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.lock.try_acquire():
            raise Problem(f"Another batch runs in {self.folder}. Wait for it, or choose another --output.")
        path = self.folder / DOCUMENT
        if path.exists():
            try:
                document = json.loads(path.read_text(encoding="utf-8"))
                document["fingerprints"], document["run"]["fingerprint"]
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise Problem(f"{path} is not the file of a batch; choose another --output.") from error
            return document
        present = [name for name in OWN if (self.folder / name).exists()]
        if present:
            raise Problem(
                f"{self.folder} contains {', '.join(present)} but no {DOCUMENT}, so it is not the folder of a batch; "
                "choose another --output."
            )
        return {}

    def changes(self, document: dict[str, Any], run: dict[str, Any], rows: list[Row]) -> list[str]:
        """The differences between this run and the earlier one of `document`. The journal must have
        been read.
        """
        if not document:
            return []
        known = {key: digest for key, (_, _, digest, _) in self.ended.items()}
        changed = (row.id for row in rows if known.get(row.key, row.digest()) != row.digest())
        return differences(document["run"], run, changed)

    def begin(self, document: dict[str, Any], run: dict[str, Any], details: dict[str, Any]) -> None:
        """Write job.json. `details`: information for readers besides the fingerprint."""
        earlier = document.get("fingerprints", [])
        prints = earlier if run["fingerprint"] in earlier else [*earlier, run["fingerprint"]]
        text = json.dumps({"run": run, "fingerprints": prints, **details}, indent=1, ensure_ascii=False, default=str)
        for name in (PICTURES, MASKS):
            (self.folder / name).mkdir(exist_ok=True)
        write_file(self.folder / DOCUMENT, text.encode("utf-8", "backslashreplace"))

    def read_journal(self) -> None:
        """Read which rows have finished. A partial last line after a crash is removed."""
        path = self.folder / JOURNAL
        if path.exists():
            place = 0
            with open(path, "r+b") as file:
                for line in file:
                    try:
                        record = json.loads(line) if line.endswith(b"\n") else None
                    except ValueError:
                        record = None
                    if record is None:
                        file.truncate(place)
                        break
                    self.ended[record["key"]] = ended(record, place)
                    place += len(line)
        self.journal = open(path, "ab", buffering=0)

    def repair(self, rows: list[Row], prints: list[str]) -> None:
        """Make journal and images consistent: temporary files are removed, an image without a line
        gets one from its text chunk, and a line without an image no longer counts.
        """
        self.remove_parts()
        entries = {entry.name: entry for folder in folders(self.folder / PICTURES) for entry in os.scandir(folder)}
        for row in rows:
            status, _, _, recorded = self.ended.get(row.key, NEVER)
            entry = entries.get(f"{row.key}.png")
            size = entry.stat().st_size if entry else 0
            if status == "done" and size != recorded:
                del self.ended[row.key]
                status, self.lost = "", self.lost + 1
            if status != "done" and entry and size:
                record = self.record_in(Path(entry.path), prints)
                if record and record["row_digest"] == row.digest():
                    self.write_line(record | {"bytes": size, "repaired": True})
                    self.repaired += 1

    def remove_parts(self) -> None:
        """Remove temporary files of a killed run."""
        for folder in (
            self.folder,
            *(path for name in (PICTURES, MASKS, OTHERS) for path in folders(self.folder / name)),
        ):
            for path in folder.glob(".*.part"):
                path.unlink(missing_ok=True)

    def record_in(self, path: Path, prints: list[str]) -> dict[str, Any] | None:
        """The record in an image of this run; None if the image is not complete or of another
        run.
        """
        try:
            with Image.open(path) as picture:
                text = json.loads(picture.info[CHUNK])
                picture.load()
            return text["record"] if text["fingerprint"] in prints else None
        except (OSError, SyntaxError, ValueError, KeyError, TypeError):
            return None

    # -- while it runs ---

    def left(self, rows: list[Row], again: bool) -> list[Row]:
        """The rows that still have to run; with `again` also those that failed."""
        keep = ("done",) if again else ("done", "failed")
        return [row for row in rows if not self.is_kept(row, keep)]

    def is_kept(self, row: Row, statuses: tuple[str, ...]) -> bool:
        status, _, digest, _ = self.ended.get(row.key, NEVER)
        return status in statuses and digest == row.digest()

    def commit(self, outcome: Outcome) -> dict[str, Any]:
        """Write a row's files, the edit last, and then its line; returns the record.

        Raises:
            OSError: the disk is full; no partial file is left, and the row counts as not done.
        """
        record = dict(outcome.record)
        for place, data in outcome.files:
            path = self.folder / place
            if path.exists() and outcome.key not in self.ended and not self.is_ours(path, outcome.key):
                record = failed_record(record, f"{place} exists and was not written by this run; move it away")
                break
            write_file(path, data)
            record["bytes"] = len(data)
        self.write_line(record)
        return record

    def is_ours(self, path: Path, key: str) -> bool:
        """Whether a file was written before a crash that prevented its line: a mask, an image with
        the text chunk of a batch, or an empty file, as a power failure may leave it.
        """
        if path.stem != key or PICTURES not in path.parts:
            return True
        with open(path, "rb") as file:
            start = file.read(256)
        return not start or CHUNK.encode() in start

    def write_line(self, record: dict[str, Any]) -> None:
        assert self.journal
        line = json.dumps(record, ensure_ascii=True, default=str).encode() + b"\n"
        place = self.journal.seek(0, os.SEEK_END)
        written = 0
        try:
            written = self.journal.write(line)
        finally:
            if written != len(line):
                self.journal.truncate(place)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / JOURNAL))
        self.ended[record["key"]] = ended(record, place)

    # -- reading ---

    def records(self, rows: list[Row]) -> Iterator[dict[str, Any]]:
        """The records of the rows, in the job's order."""
        with open(self.folder / JOURNAL, "rb") as file:
            for row in rows:
                if row.key in self.ended:
                    file.seek(self.ended[row.key][1])
                    yield json.loads(file.readline())

    def counts(self, rows: list[Row]) -> dict[str, int]:
        totals = {"rows": len(rows), "done": 0, "failed": 0}
        for row in rows:
            status = self.ended.get(row.key, NEVER)[0]
            if status:
                totals[status] += 1
        return totals | {"left": totals["rows"] - totals["done"] - totals["failed"]}

    def write_table(self, rows: list[Row]) -> Path:
        """metrics.parquet, or metrics.csv without pyarrow, a row per edit in the job's order."""
        return tables.write(self.folder, self.records(rows))

    def close(self) -> None:
        if self.journal:
            try:
                os.fsync(self.journal.fileno())
            finally:
                self.journal.close()
        self.lock.release()


def failed_record(record: dict[str, Any], reason: str) -> dict[str, Any]:
    row = Row(record["row"], record["id"], record["key"], {})
    return failed(row, "write", reason).record | {"row_digest": record["row_digest"]}


def folders(folder: Path) -> list[Path]:
    """A folder and its subfolders; none if it does not exist."""
    return [folder, *folder.glob("*/")] if folder.is_dir() else []
