"""Progress of a run: rows done, failed and left, rate, time left; on stderr and in
progress.jsonl.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, TextIO

from ..console import Progress, say

EVERY = 2.0
"""Seconds between two lines of progress.jsonl."""
WINDOW = 200
"""Number of recent rows of this run from which the rate is computed."""


def clock(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


class Report:
    """Counts rows as they finish.

    Args:
        path: progress.jsonl, to which lines are added.
        counts: rows, done, failed and left at the start of the run.
        lines: show JSON lines on stderr in place of a progress line.
    """

    def __init__(self, path: Path, counts: dict[str, int], lines: bool):
        self.counts, self.lines = dict(counts), lines
        self.began, self.spoken = time.monotonic(), 0.0
        self.ended: deque[float] = deque(maxlen=WINDOW)
        self.bar = Progress("edits")
        self.file: TextIO = open(path, "a", encoding="utf-8")
        self.event("begin")

    def take(self, record: dict[str, Any], known: str = "") -> None:
        """Count a finished row. `known`: its status before this run."""
        if known:
            self.counts[known] -= 1
            self.counts["left"] += 1
        self.counts[record["status"]] += 1
        self.counts["left"] -= 1
        if record.get("stage") != "check":  # rows that did not run do not count for the rate
            self.ended.append(time.monotonic())
        if record["status"] == "failed":
            self.event("failed", id=record["id"], row=record["row"], stage=record["stage"], reason=record["reason"])
            if not self.lines:
                self.bar.end()
                say(f"row {record['row']} ({record['id'][:60]}) failed: {record['reason']}")
        if time.monotonic() - self.spoken >= EVERY or not self.counts["left"]:
            self.event("progress")
        if not self.lines:
            ended = self.counts["done"] + self.counts["failed"]
            self.bar.show(ended, self.counts["rows"], self.text())

    def rate(self) -> float:
        """Rows per minute."""
        if len(self.ended) < 2 or self.ended[-1] == self.ended[0]:
            return 0.0
        return 60 * (len(self.ended) - 1) / (self.ended[-1] - self.ended[0])

    def seconds_left(self) -> float | None:
        return 60 * self.counts["left"] / self.rate() if self.rate() else None

    def text(self) -> str:
        left = self.seconds_left()
        failed = f", {self.counts['failed']} failed" if self.counts["failed"] else ""
        more = f", {self.rate():.1f} rows a minute, {clock(left)} left" if left is not None else ""
        return f"{self.counts['done']} done{failed}, {self.counts['left']} left{more}"

    def event(self, kind: str, **values: Any) -> None:
        self.spoken = time.monotonic() if kind == "progress" else self.spoken
        left = self.seconds_left()
        numbers = {"rows_per_minute": round(self.rate(), 2), "seconds_left": None if left is None else round(left, 1)}
        line = json.dumps({"event": kind, "time": round(time.time(), 2), **self.counts, **numbers, **values})
        with contextlib.suppress(OSError):  # a full disk ends the run when a row is written
            print(line, file=self.file, flush=True)
        if self.lines:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Close the file and end the progress line."""
        self.bar.end()
        self.event("end", seconds=round(time.monotonic() - self.began, 2))
        with contextlib.suppress(OSError):
            self.file.close()
