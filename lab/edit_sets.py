"""Sets of edits on which methods are measured: a user's pictures and texts, or held-out edits of
the demo world with its judge.
"""

import csv
import functools
import json
import pathlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
GRID = 8
"""Pictures are cropped to multiples of this, as by a VAE."""


@dataclass(frozen=True)
class Edit:
    """One edit. ``picture()`` is [1, H, W, 3] in 0..1. ``kind`` is the class of the edited picture,
    for class-conditional FID. ``judge(edited)`` returns further columns, numbers by name.
    """

    key: str
    source: str
    target: str
    kind: str
    picture: Callable[[], torch.Tensor]
    judge: Callable[[torch.Tensor], dict[str, float]] = lambda edited: {}


def read_picture(path: pathlib.Path, longest: int | None = None) -> torch.Tensor:
    """A file as [1, H, W, 3] in 0..1, rotated upright, at most ``longest`` pixels a side, cropped
    around the centre to multiples of 8.
    """
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    if longest and max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    width, height = (side // GRID * GRID for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return torch.from_numpy(np.array(image.crop((left, top, left + width, top + height)))).float()[None] / 255


def rows_of(path: pathlib.Path) -> list[dict]:
    """The rows of a JSON list, of JSON lines, or of a CSV with a header.

    Raises:
        ValueError: another format, or no rows.
    """
    text = path.read_text(encoding="utf-8-sig")
    try:
        if path.suffix.lower() == ".csv":
            rows = list(csv.DictReader(text.splitlines()))
        elif text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read ({error}); expected CSV, a JSON list or JSON lines") from error
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path.name} holds no rows; expected CSV, a JSON list or JSON lines of objects")
    return rows


def of_files(images: pathlib.Path, edits: pathlib.Path, longest: int | None = None) -> list[Edit]:
    """Edits of a user: rows with ``image`` (a file in ``images``), ``target``, and optionally
    ``source`` and ``class``.

    Raises:
        ValueError: a row without an image or a target, or a missing image; the message names the
            row.
    """
    result = []
    for number, row in enumerate(rows_of(edits), 1):
        name, target = str(row.get("image") or ""), str(row.get("target") or "")
        file = images / name
        if not target or not name or not file.is_file():
            raise ValueError(
                f"{edits.name}, row {number}: got image {name!r} and target {target!r}; "
                f"expected a file in {images} and what the edit should show"
            )
        result.append(
            Edit(
                f"{number:05d}",
                str(row.get("source") or ""),
                target,
                str(row.get("class") or ""),
                functools.partial(read_picture, file, longest),
            )
        )
    return result


def real_pictures(folder: pathlib.Path, longest: int | None = None) -> dict[str, list[torch.Tensor]]:
    """Pictures [H, W, 3] by class: each subfolder is a class; the class of the pictures in
    ``folder`` itself is "".
    """
    places = {"": folder} | {place.name: place for place in sorted(folder.iterdir()) if place.is_dir()}
    by_class = {
        name: [read_picture(path, longest)[0] for path in sorted(place.iterdir()) if path.suffix.lower() in SUFFIXES]
        for name, place in places.items()
    }
    return {name: pictures for name, pictures in by_class.items() if pictures}


# ---- the demo world ----


def of_things(count: int, seed: int, kinds: Iterable[str] = ("replace", "recolour")) -> list[Edit]:
    """Held-out edits of one thing in the demo world (demo/world). Their class is the thing in the
    edited picture.
    """
    from demo.measure import edits_of
    from demo.world.scenes import caption

    drawn = edits_of(tuple(kinds), count, seed, 1)
    return [
        Edit(
            f"{number:05d}",
            caption(edit.before),
            caption(edit.after),
            edit.after.things[0].kind,
            functools.partial(rendered, edit.before),
            functools.partial(judged, edit),
        )
        for number, edit in enumerate(drawn)
    ]


def real_things(count: int, seed: int) -> dict[str, list[torch.Tensor]]:
    """The results of a perfect editor: the scenes after the edits, rendered, by class."""
    from demo.measure import edits_of

    pictures: dict[str, list[torch.Tensor]] = {}
    for edit in edits_of(("replace", "recolour"), count, seed, 1):
        pictures.setdefault(edit.after.things[0].kind, []).append(rendered(edit.after)[0])
    return pictures


def rendered(scene) -> torch.Tensor:
    """A scene as [1, 256, 256, 3]."""
    from demo.world.render import render_batch

    return render_batch([scene]).pictures.movedim(1, -1)


@functools.lru_cache(maxsize=4)
def source_and_outside(edit) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture before an edit [S, S, 3], and the pixels [S, S] outside the cells that the thing
    covers before or after.
    """
    from demo.world.render import render_batch

    before, after = render_batch([edit.before]), render_batch([edit.after])
    covered = torch.maximum(before.masks[0].amax(0), after.masks[0].amax(0))
    cells = torch.nn.functional.max_pool2d(covered[None, None], GRID)[0, 0] > 0.5
    return before.pictures[0].movedim(0, -1), ~cells.repeat_interleave(GRID, 0).repeat_interleave(GRID, 1)


def judged(edit, edited: torch.Tensor) -> dict[str, float]:
    """``accepted`` by the judge (0 or 1), and ``background``: PSNR in dB against the source outside
    the cells that the thing covers before or after.
    """
    from demo.world import judge

    from . import common

    picture, outside = source_and_outside(edit)
    [reading] = judge.recognise(edited.movedim(-1, 1))
    return {"accepted": float(reading.shows(edit.after)), "background": common.psnr(edited[0], picture, outside)}
