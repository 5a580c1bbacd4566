"""Checks of images, masks and checkpoints before ComfyUI is started, so that an invalid file is
reported at once.
"""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open

from .console import Problem

KINDS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp"}
MAX_MEGAPIXELS = 64
USUAL_SIZE, LARGE_SIZE = 512, 1024
LARGE_MODELS = ("conditioner.embedders", "joint_blocks", "double_blocks")
"""Parts of the tensor names of SDXL, SD3 and Flux."""
GREY_TOLERANCE = 12
"""Maximum difference between the channels of a grey image, of 255; JPEG compression causes some."""


def check_file(path: Path) -> None:
    """Check that a path is a plain file: opening a FIFO would wait for a writer, and reading a
    device may never end.

    Raises:
        Problem: it is not.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise Problem(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        raise Problem(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise Problem(f"{path} is {kind}; expected a plain file.")


def open_picture(path: Path) -> Image.Image:
    """Decode an image, after checking its size.

    Raises:
        Problem: not a plain file, not an image of a known format, damaged, or too large.
    """
    check_file(path)
    Image.MAX_IMAGE_PIXELS = None  # the limit is set here
    wrong = Problem(f"{path} is not a readable image; expected a PNG, JPEG, WebP, GIF or BMP file.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(path, formats=[kind for kind in KINDS if kind != "MPO"])
        except PermissionError as error:
            raise Problem(f"{path} cannot be read: {error.strerror}.") from error
        except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
            raise wrong from error
        width, height = picture.size
        if width < 1 or height < 1 or picture.format not in KINDS:
            raise wrong
        if width * height > MAX_MEGAPIXELS * 1e6:
            raise Problem(
                f"{path} has {width} x {height} pixels ({width * height / 1e6:.0f} megapixels); expected at most "
                f"{MAX_MEGAPIXELS} megapixels. Reduce it first."
            )
        try:
            picture.load()
        except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
            raise wrong from error
    return picture


def picture_size(path: Path) -> tuple[str, int, int]:
    """(file name extension, width, height) of an image, after decoding it."""
    picture = open_picture(path)
    return KINDS[picture.format or ""], *picture.size


def read_mask(path: Path) -> Image.Image:
    """A mask image as "L" in 0..255, 255 where the image may change: its transparency if it has
    some, else its grey values.

    Raises:
        Problem: not an image, or a colour image.
    """
    picture = ImageOps.exif_transpose(open_picture(path))
    alpha = transparency(picture)
    return Image.fromarray(255 - alpha if alpha is not None else grey(picture, path))


def transparency(picture: Image.Image) -> np.ndarray | None:
    """The alpha channel, uint8 of (height, width); None if there is none or it is constant."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return None
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    return None if alpha.min() == alpha.max() else alpha


def grey(picture: Image.Image, path: Path) -> np.ndarray:
    """Grey values, uint8 of (height, width).

    Raises:
        Problem: the image has colours.
    """
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, dtype=np.float64)
        return np.clip(values / 257 if values.max() > 255 else values, 0, 255).astype(np.uint8)
    colours = np.asarray(picture.convert("RGB"), dtype=np.int16)
    spread = colours.max(2) - colours.min(2)
    if spread.max() > GREY_TOLERANCE:
        raise Problem(
            f"--mask {path} is a colour image, not a mask: its channels differ by up to {spread.max()} of 255. Give "
            "a greyscale image that is white where the image may change, or one that is transparent there."
        )
    return colours.mean(2).round().astype(np.uint8)


def as_png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def checkpoint_size(path: Path | None) -> int | None:
    """The working size of a checkpoint, by its tensors' names; None if they cannot be read."""
    try:
        with safe_open(str(path), framework="numpy") as tensors:
            names = list(tensors.keys())
    except (OSError, SafetensorError, ValueError):
        return None
    return LARGE_SIZE if any(mark in name for name in names for mark in LARGE_MODELS) else USUAL_SIZE


def covered_share(mask: Path) -> float:
    """The fraction of a mask's area that is at least half white, in 0..1."""
    counts = Image.open(mask).convert("L").histogram()
    return sum(counts[128:]) / sum(counts)
