"""Records of experiments that can be interrupted and resumed: plain values in a CSV file
(:class:`CsvRecords`) or, with the experiment's settings, in a JSON file (:class:`JsonRecords`).
"""

import csv
import json
import math
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from . import common


def replace_file(path: pathlib.Path, write: Callable[[pathlib.Path], None]) -> None:
    """Call ``write`` with a path beside ``path`` and move the result there. An interruption leaves
    either the complete old file or the complete new one.
    """
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


class CsvRecords:
    """Records of an experiment in a CSV file, one per line, identified by the columns ``keys``.

    Args:
        path: the file; it is read if it exists.
        fields: all columns; ``error`` is added as the last one. A record with an error is not done.
        keys: the columns that identify a record.
        texts: columns that are not numbers; keys are texts.

    Raises:
        SystemExit: the file has other columns.
    """

    def __init__(self, path: pathlib.Path, fields: Sequence[str], keys: Sequence[str], texts: Sequence[str] = ()):
        self.path, self.fields, self.keys = path, (*fields, "error"), tuple(keys)
        self.texts = {*keys, *texts, "error"}
        self.records: dict[tuple, dict] = {}
        if not path.is_file():
            return
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != self.fields:
                raise SystemExit(f"{path} has other columns than this version writes; give another --out")
            for row in reader:
                if row["error"] is not None:  # None: the line was cut off
                    record = self._parsed(row)
                    self.records[self.key(record)] = record

    def key(self, record: dict) -> tuple:
        """The values of ``keys`` in a record, as texts."""
        return tuple(str(record[name]) for name in self.keys)

    def _parsed(self, row: dict) -> dict:
        return {
            name: value if name in self.texts else (float(value) if value else math.nan) for name, value in row.items()
        }

    def is_done(self, *key) -> bool:
        """Whether there is a record with these values of ``keys``, without an error."""
        record = self.records.get(tuple(map(str, key)))
        return record is not None and not record["error"]

    def add(self, record: dict) -> None:
        """Add a record, in place of the one with the same keys, and write the file. Missing numbers
        are NaN.
        """
        numbers = {name: math.nan for name in self.fields if name not in self.texts}
        record = {"error": ""} | numbers | record
        self.records[self.key(record)] = record
        replace_file(self.path, self._write)

    def _write(self, path: pathlib.Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.fields)
            writer.writeheader()
            writer.writerows(self.records.values())

    def good(self, **wanted) -> list[dict]:
        """The records without an error whose columns have the values ``wanted``."""
        return [
            record
            for record in self.records.values()
            if not record["error"] and all(str(record[name]) == str(value) for name, value in wanted.items())
        ]

    def failed(self) -> list[dict]:
        """The records with an error."""
        return [record for record in self.records.values() if record["error"]]


class JsonRecords:
    """Records of an experiment in a JSON file, each a dict with a unique ``key``.

    Without a path they are kept in memory only. An existing file is continued if its settings equal
    those of this run.

    Args:
        path: the file, or None.
        settings: everything that changes a record, hence not the number of records.

    Raises:
        SystemExit: the file was made with other settings, or is not a file of records.
    """

    def __init__(self, path: pathlib.Path | str | None, settings: dict[str, Any]):
        self.path = pathlib.Path(path) if path else None
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.rows: list[dict] = self._read()

    def _read(self) -> list[dict]:
        if not self.path or not self.path.is_file():
            return []
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            before, rows = document["settings"], document["records"]
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{self.path} holds no records of a measurement ({error!r}); give another file") from error
        if before != self.settings:
            raise SystemExit(f"{self.path} was made with {before}, this run has {self.settings}; give another file")
        return rows

    def has(self, *keys: str) -> bool:
        """Whether there is a record for each of ``keys``."""
        known = {row["key"] for row in self.rows}
        return all(key in known for key in keys)

    def add(self, new: list[dict]) -> None:
        """Add records, in place of those with the same keys, and write the file."""
        keys = {row["key"] for row in new}
        self.rows = [row for row in self.rows if row["key"] not in keys] + new
        self.write()

    def write(self, **more: Any) -> None:
        """Write the settings, the versions, ``more`` and the records, if there is a path."""
        if self.path:
            document = {"settings": self.settings, "versions": common.versions(), **more, "records": self.rows}
            replace_file(self.path, lambda part: common.write_json(part, document))
