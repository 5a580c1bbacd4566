"""Experiments that resume: records of any plain values in a JSON file that also holds the settings."""

import json
import os
import pathlib
from typing import Any

from . import common


class JsonRecords:
    """Records of one experiment, each a dict with a ``key`` that no other one has.

    Without a path they are kept in memory alone. A file is taken up where its settings are those
    of this run; ``settings`` are the ones that change a record, so not the number of records.

    Raises:
        SystemExit: the file was made with other settings, or is no file of records.
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
        """Whether there is a record of every one of ``keys``."""
        known = {row["key"] for row in self.rows}
        return all(key in known for key in keys)

    def add(self, new: list[dict]) -> None:
        """Add records, in place of those with the same keys, and write the file."""
        keys = {row["key"] for row in new}
        self.rows = [row for row in self.rows if row["key"] not in keys] + new
        self.write()

    def write(self, **more: Any) -> None:
        """Write everything to the file; a run that is cut off leaves the one before."""
        if self.path:
            document = {"settings": self.settings, "versions": common.versions(), **more, "records": self.rows}
            part = self.path.with_name(self.path.name + ".part")
            common.write_json(part, document)
            os.replace(part, self.path)
