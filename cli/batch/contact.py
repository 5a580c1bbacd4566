"""The contact sheet: source, mask and edit of some rows, with their ids and target texts."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from ..files import write_file
from ..overview import GREY, INK, font

MOST, ACROSS, SIDE, GAP, LINE = 48, 3, 132, 8, 16


def choose(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MOST rows that are done, spread evenly over the job."""
    done = [record for record in records if record["status"] == "done"]
    count = min(MOST, len(done))
    return [done[index * len(done) // count] for index in range(count)]


def thumbnail(path: Path | None) -> Image.Image | None:
    """A picture within SIDE x SIDE; None where there is none."""
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        if path and path.is_file():
            with Image.open(path) as file:
                return ImageOps.contain(ImageOps.exif_transpose(file).convert("RGB"), (SIDE, SIDE))
    return None


def shortened(text: str, width: int) -> str:
    chosen = font(12)
    printable = "".join(letter if letter.isprintable() else " " for letter in text)[:200]
    while printable and chosen.getlength(printable) > width:
        printable = printable[:-4] + "..." if len(printable) > 4 else ""
    return printable


def sheet(folder: Path, chosen: list[dict[str, Any]], sources: dict[str, Path]) -> Path | None:
    """Write contact.jpg; None where no row is done.

    Args:
        folder: the run's.
        chosen: records of the rows to show.
        sources: their pictures before the edit, by key.
    """
    if not chosen:
        return None
    cell = (3 * SIDE + 2 * GAP, SIDE + 2 * LINE + GAP)
    across = min(ACROSS, len(chosen))
    down = -(-len(chosen) // across)
    size = (across * (cell[0] + 2 * GAP) + 2 * GAP, down * (cell[1] + GAP) + 2 * GAP)
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for index, record in enumerate(chosen):
        left = 2 * GAP + index % across * (cell[0] + 2 * GAP)
        top = 2 * GAP + index // across * (cell[1] + GAP)
        pen.text((left, top), shortened(record["id"], cell[0]), font=font(12), fill=GREY)
        pen.text((left, top + LINE), shortened(str(record.get("target") or ""), cell[0]), font=font(12), fill=INK)
        mask = folder / str(record["picture"]).replace("pictures", "masks", 1)
        for place, path in enumerate((sources.get(record["key"]), mask, folder / record["picture"])):
            picture = thumbnail(path)
            if picture:
                page.paste(picture, (left + place * (SIDE + GAP), top + 2 * LINE))
    data = io.BytesIO()
    page.save(data, "JPEG", quality=88)
    write_file(folder / "contact.jpg", data.getvalue())
    return folder / "contact.jpg"
