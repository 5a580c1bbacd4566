"""A CSV of records that a benchmark adds to and goes on from, used by benchmarks that take hours."""

import csv
import math
import pathlib
from collections.abc import Sequence


class Records:
    """Records by their ``keys``, kept in ``path``.

    Args:
        fields: all columns; ``error`` is added as the last one. A record with an error is not done.
        keys: the columns that name a record.
        texts: the columns that are no numbers; keys are texts.

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
        return tuple(str(record[name]) for name in self.keys)

    def _parsed(self, row: dict) -> dict:
        return {
            name: value if name in self.texts else (float(value) if value else math.nan) for name, value in row.items()
        }

    def is_done(self, *key) -> bool:
        record = self.records.get(tuple(map(str, key)))
        return record is not None and not record["error"]

    def add(self, record: dict) -> None:
        """Add or replace a record and write the file anew beside the old one, then in its place: a stop
        leaves one of both whole.
        """
        numbers = {name: math.nan for name in self.fields if name not in self.texts}
        record = {"error": ""} | numbers | record
        self.records[self.key(record)] = record
        part = self.path.with_suffix(".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.fields)
            writer.writeheader()
            writer.writerows(self.records.values())
        part.replace(self.path)

    def good(self, **wanted) -> list[dict]:
        """The records without an error whose columns are ``wanted``."""
        return [
            record
            for record in self.records.values()
            if not record["error"] and all(str(record[name]) == str(value) for name, value in wanted.items())
        ]

    def failed(self) -> list[dict]:
        return [record for record in self.records.values() if record["error"]]
