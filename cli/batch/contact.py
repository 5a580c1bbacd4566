"""The contact sheet: source, mask and edit of some rows, with their ids and target texts."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from ..files import write_file
from ..overview import GREY, INK, font

MOST, TOTAL, SIDE, GAP, LINE = 48, 9, 132, 8, 16
"""Maximum number of rows on the sheet, images per line, and in pixels: side of an image, gap,
height of a line of text.
"""


def choose(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MOST finished rows, spread evenly over the job."""
    done = [record for record in records if record["status"] == "done"]
    count = min(MOST, len(done))
    return [done[index * len(done) // count] for index in range(count)]


def thumbnail(path: Path | None) -> Image.Image | None:
    """An image within SIDE x SIDE; None if the file is missing."""
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        if path and path.is_file():
            with Image.open(path) as file:
                return ImageOps.contain(ImageOps.exif_transpose(file).convert("RGB"), (SIDE, SIDE))
    return None


def panels_of(folder: Path, record: dict[str, Any], sources: dict[str, Path]) -> list[Image.Image]:
    """Source, mask and edit of a row; missing files are left out."""
    mask = folder / str(record["picture"]).replace("pictures", "masks", 1)
    panels = [thumbnail(path) for path in (sources.get(record["key"]), mask, folder / record["picture"])]
    return [picture for picture in panels if picture]


def shortened(text: str, width: int) -> str:
    chosen = font(12)
    printable = "".join(letter if letter.isprintable() else " " for letter in text)[:200]
    while printable and chosen.getlength(printable) > width:
        printable = printable[:-4] + "..." if len(printable) > 4 else ""
    return printable


def sheet(folder: Path, chosen: list[dict[str, Any]], sources: dict[str, Path]) -> Path | None:
    """Write contact.jpg; None if no row is finished.

    Args:
        folder: the folder of the run.
        chosen: records of the rows to show.
        sources: their source images, by key.
    """
    if not chosen:
        return None
    panels = {record["key"]: panels_of(folder, record, sources) for record in chosen}
    wide = max(1, *map(len, panels.values())) if panels else 1
    cell = (wide * (SIDE + GAP) - GAP, SIDE + 2 * LINE + 2 * GAP)
    across = min(TOTAL // wide, len(chosen))
    down = -(-len(chosen) // across)
    size = (across * (cell[0] + 2 * GAP) + 2 * GAP, down * (cell[1] + GAP) + 2 * GAP)
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for index, record in enumerate(chosen):
        left = 2 * GAP + index % across * (cell[0] + 2 * GAP)
        top = 2 * GAP + index // across * (cell[1] + GAP)
        pen.text((left, top), shortened(record["id"], cell[0]), font=font(12), fill=GREY)
        pen.text((left, top + LINE), shortened(str(record.get("target") or ""), cell[0]), font=font(12), fill=INK)
        for place, picture in enumerate(panels[record["key"]]):
            page.paste(picture, (left + place * (SIDE + GAP), top + 2 * LINE + GAP // 2))
    data = io.BytesIO()
    page.save(data, "JPEG", quality=88)
    write_file(folder / "contact.jpg", data.getvalue())
    return folder / "contact.jpg"
