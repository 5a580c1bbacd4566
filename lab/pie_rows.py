"""The rows of PIE-Bench (Ju et al. 2024: mapping_file.json beside annotation_images) and of
PIE-Bench++ (parquet files in a folder per category), read as by their own scripts.

Neither data set is part of this repository; the user provides the folder.
"""

import ast
import functools
import io
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

SIDE = 512
"""Side of the masks in pixels. Pictures of another size are resized to it."""
CATEGORIES = (
    "random",
    "change object",
    "add object",
    "delete object",
    "change content",
    "change pose",
    "change colour",
    "change material",
    "change background",
    "change style",
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Row:
    """One edit. ``mask`` [512, 512] is the annotation without the border that the metrics set;
    ``open`` opens the picture.
    """

    key: str
    category: int
    image_path: str
    source: str
    target: str
    mask: torch.Tensor
    open: Callable[[], Image.Image]

    def picture(self) -> tuple[torch.Tensor, bool]:
        """The source [1, 512, 512, 3] in 0..1, and whether it had to be resized."""
        with self.open() as image:
            return fitted(image)


def fitted(image: Image.Image) -> tuple[torch.Tensor, bool]:
    """A picture as [1, 512, 512, 3] in 0..1, resized by Lanczos if it has another size."""
    image = image.convert("RGB")
    resized = image.size != (SIDE, SIDE)
    if resized:
        image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).float()[None] / 255, resized


def decode_mask(runs: Sequence[int]) -> torch.Tensor:
    """A mask [512, 512] of 0 and 1 from flat ``[start, length, ...]`` runs: 0-based, row by row,
    cut at the picture's end.

    Raises:
        ValueError: an odd number of entries, or a negative one.
    """
    if len(runs) % 2 or any(not isinstance(entry, int) or entry < 0 for entry in runs):
        raise ValueError(
            f"got a mask of {len(runs)} entries from {min(runs, default=0)}; expected pairs of start and length, from 0"
        )
    flat = torch.zeros(SIDE * SIDE)
    for start, length in zip(runs[::2], runs[1::2]):
        flat[start : start + length] = 1
    return flat.view(SIDE, SIDE)


def encode_mask(mask: torch.Tensor) -> list[int]:
    """The runs of a mask [512, 512], the inverse of :func:`decode_mask`."""
    flat = torch.nn.functional.pad((mask > 0.5).int().flatten(), (1, 1)).diff()
    starts, ends = (flat == 1).nonzero()[:, 0], (flat == -1).nonzero()[:, 0]
    return torch.stack([starts, ends - starts], 1).flatten().tolist()


def plain_text(prompt: str) -> str:
    """A prompt without the brackets around the edited words."""
    return prompt.replace("[", "").replace("]", "")


def read(folder: pathlib.Path, categories: Sequence[int] | None = None) -> tuple[str, list[Row]]:
    """The data set's name and its rows in the original order, of all or some categories.

    Raises:
        ValueError: neither data set is there, or a row is invalid; the message names the row.
    """
    folder = pathlib.Path(folder)
    parquet = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    if (folder / "mapping_file.json").is_file():
        name, rows = "PIE-Bench", read_mapping(folder)
    elif parquet:
        name, rows = "PIE-Bench++", read_parquet(folder, parquet)
    else:
        raise ValueError(
            f"{folder} holds no mapping_file.json (PIE-Bench) and no parquet files (PIE-Bench++); "
            "give the unpacked folder of one of them"
        )
    chosen = [row for row in rows if categories is None or row.category in categories]
    if not chosen:
        raise ValueError(f"{folder} holds no rows of the categories {categories}")
    return name, chosen


def checked_row(key: str, make: Callable[[], Row]) -> Row:
    """The row that ``make`` returns, checked; error messages get its key."""
    try:
        row = make()
        parts = pathlib.PurePosixPath(row.image_path)
        if parts.is_absolute() or ".." in parts.parts or row.category not in range(len(CATEGORIES)):
            raise ValueError(f"image_path {row.image_path!r} or category {row.category} is not one of the data set's")
        return row
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"row {key}: {problem}") from error


def read_mapping(folder: pathlib.Path) -> Iterator[Row]:
    """PIE-Bench's rows, in the order of its file."""
    items = json.loads((folder / "mapping_file.json").read_text(encoding="utf-8"))
    for key, item in items.items():
        yield checked_row(key, functools.partial(mapping_row, folder, key, item))


def mapping_row(folder: pathlib.Path, key: str, item: dict) -> Row:
    """A row of PIE-Bench from an item of its file."""
    path = folder / "annotation_images" / item["image_path"]
    return Row(
        key,
        int(item["editing_type_id"]),
        item["image_path"],
        plain_text(item["original_prompt"]),
        plain_text(item["editing_prompt"]),
        decode_mask(item["mask"]),
        lambda: Image.open(path),
    )


def read_parquet(folder: pathlib.Path, files: list[pathlib.Path]) -> Iterator[Row]:
    """PIE-Bench++'s rows, file by file.

    Raises:
        ValueError: pyarrow is missing, or a file is outside a category's folder.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            "PIE-Bench++ comes as parquet files, which need the optional package pyarrow (pip install pyarrow)"
        ) from error
    for file in files:
        names = [part for part in file.relative_to(folder.parent).parts if re.match(r"\d_", part)]
        if not names:
            raise ValueError(f"{file}: expected a folder named as its category, such as 1_change_object_80")
        for number, item in enumerate(parquet.read_table(file).to_pylist()):
            key = str(item.get("id") or f"{names[-1]}_{number:03d}")
            yield checked_row(key, functools.partial(parquet_row, names[-1], key, item))


def parquet_row(name: str, key: str, item: dict) -> Row:
    """A row of PIE-Bench++ from an item of the category folder ``name``."""
    data = item["image"]["bytes"] if isinstance(item["image"], dict) else item["image"]
    return Row(
        key,
        int(name.split("_")[0]),
        f"{name}/{key}.jpg",
        plain_text(item["source_prompt"]),
        plain_text(item["target_prompt"]),
        decode_mask(parsed_runs(item["mask"])),
        lambda: Image.open(io.BytesIO(data)),
    )


def parsed_runs(mask: str | Sequence[int]) -> list[int]:
    """Runs from a list, from the text of a list, or from numbers between spaces or commas."""
    if not isinstance(mask, str):
        return [int(entry) for entry in mask]
    if mask.strip().startswith("["):
        return [int(entry) for entry in ast.literal_eval(mask)]
    return [int(entry) for entry in mask.replace(",", " ").split()]


def find_edit(folder: pathlib.Path, row: Row) -> pathlib.Path | None:
    """The file of a row's picture in a folder of edits, or None: at its image_path, with or without
    annotation_images, or named by its file name or key alone; with any picture suffix.
    """
    path = pathlib.PurePosixPath(row.image_path)
    for stem in (pathlib.Path("annotation_images") / path, path, pathlib.Path(path.name), pathlib.Path(row.key)):
        place = folder / (stem.with_suffix("") if stem.suffix.lower() in SUFFIXES else stem)
        for suffix in (path.suffix, *SUFFIXES):
            file = place.with_name(place.name + suffix)
            if file.is_file():
                return file
    return None


def read_edit(path: pathlib.Path) -> tuple[torch.Tensor, bool]:
    """An edited picture as [1, 512, 512, 3] in 0..1, and whether it was resized. If a picture is
    not square, its lower right 512 x 512 pixels are the edit, as in PIE-Bench's script.

    Raises:
        ValueError: a picture that is neither square nor large enough.
    """
    with Image.open(path) as image:
        width, height = image.size
        if width == height:
            return fitted(image)
        if min(width, height) < SIDE:
            raise ValueError(f"{path.name} is {width} x {height}; expected a square picture, or at least 512 a side")
        return fitted(image.crop((width - SIDE, height - SIDE, width, height)))
