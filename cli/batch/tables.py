"""The table of metrics: Parquet with pyarrow, else CSV. Rows are streamed, so a million take no
more memory than a few thousand.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..files import write_file

AT_ONCE = 4096
TEXT, WHOLE, NUMBER = "text", "whole", "number"
COLUMNS = {
    **dict.fromkeys(("id", "key", "status", "stage", "reason", "picture", "method", "checkpoint"), TEXT),
    **dict.fromkeys(("source", "target", "left_out", "pixels_sha256", "image_sha256", "mask_sha256"), TEXT),
    **dict.fromkeys(("row", "pictures", "width", "height", "bytes", "steps", "size"), WHOLE),
    "seed": TEXT,  # up to 2**64 - 1, too large for a signed column
    **dict.fromkeys(("strength", "threshold", "cfg"), NUMBER),
    **{f"{name}_{side}": NUMBER for side in ("outside", "inside") for name in ("psnr", "ssim", "mse", "lpips")},
    **dict.fromkeys(("clip_whole", "clip_inside"), NUMBER),
    **{f"seconds_{stage}": NUMBER for stage in ("read", "waited", "edit", "finish", "total")},
}
"""The columns by name, in their order, with their type."""


def write(folder: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write the table under a temporary name and rename it.

    Returns:
        Its path: metrics.parquet, or metrics.csv without pyarrow.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return write_csv(folder / "metrics.csv", records)
    return write_parquet(folder / "metrics.parquet", records)


def plain(record: dict[str, Any]) -> dict[str, Any]:
    makers = {TEXT: str, WHOLE: int, NUMBER: float}
    return {name: None if record.get(name) is None else makers[kind](record[name]) for name, kind in COLUMNS.items()}


def portions(records: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(records)
    while portion := [plain(record) for record in itertools.islice(left, AT_ONCE)]:
        yield portion


def write_parquet(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    import pyarrow
    from pyarrow import parquet

    kinds = {TEXT: pyarrow.string(), WHOLE: pyarrow.int64(), NUMBER: pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    part = path.with_name(f".{path.name}.part")
    with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
        for portion in portions(records):
            writer.write_table(pyarrow.Table.from_pylist(portion, schema=schema))
    os.replace(part, path)
    return path


def write_csv(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(COLUMNS))
    writer.writeheader()
    for portion in portions(records):
        writer.writerows(portion)
    write_file(path, text.getvalue().encode("utf-8", "backslashreplace"))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a table that `write` made, with their types."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path).to_pylist()
    with open(path, encoding="utf-8", newline="") as file:
        return [plain({name: value or None for name, value in row.items()}) for row in csv.DictReader(file)]
