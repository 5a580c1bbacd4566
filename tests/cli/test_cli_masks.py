"""A user's masks for `run.py edit`: transparency, grey, colour, and empty ones."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from cli import pictures


def painted(path: pathlib.Path) -> np.ndarray:
    """Write a photograph with an erased square; returns True for transparent pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[10:20, 30:50, 3] = 0
    Image.fromarray(pixels).save(path)
    return pixels[..., 3] == 0


def test_a_mask_painted_transparent_is_its_transparency(tmp_path):
    where = painted(tmp_path / "mask.png")
    assert np.array_equal(np.asarray(pictures.read_mask(tmp_path / "mask.png")) == 255, where)
    palette = Image.fromarray(np.where(where, 0, 1).astype(np.uint8)).convert("P")
    palette.putpalette([200, 0, 0, 0, 0, 200])
    palette.save(tmp_path / "palette.png", transparency=0)
    assert np.array_equal(np.asarray(pictures.read_mask(tmp_path / "palette.png")) == 255, where)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA", "I;16", "jpg"])
def test_a_grey_mask_is_its_grey(tmp_path, mode):
    grey = np.zeros((16, 24), np.uint8)
    grey[4:8, 5:20] = 255
    picture, path = Image.fromarray(grey), tmp_path / ("mask.jpg" if mode == "jpg" else "mask.png")
    picture = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else picture
    (picture.convert("RGB") if mode == "jpg" else picture if mode == "I;16" else picture.convert(mode)).save(path)
    read = np.asarray(pictures.read_mask(path))
    assert np.array_equal(read > 127, grey > 127) if mode == "jpg" else np.array_equal(read, grey)


def test_a_colour_picture_is_no_mask(cli):
    colours = np.zeros((48, 64, 3), np.uint8)
    colours[..., 0] = 255
    Image.fromarray(colours).save(cli.work / "red.png")
    done = cli("edit", "--cpu", "--mask", "red.png")
    assert done.returncode == 1
    assert "red.png is a colour image, not a mask" in done.stderr
    assert not (cli.record / "start.json").exists()


def test_a_mask_that_marks_nothing_is_refused(cli):
    Image.new("L", (64, 48)).save(cli.work / "black.png")
    assert "black.png is empty" in cli("edit", "--cpu", "--mask", "black.png").stderr
