"""Large pictures through `run.py edit`: read and written at their own bit depth, edited by a
crop.
"""

import io
import json
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from cli import photographs
from cli.console import Problem

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WIDTH, HEIGHT = 420, 300


def values(channels=3, depth=16, seed=0) -> np.ndarray:
    kind = np.uint16 if depth == 16 else np.uint8
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max + 1, (HEIGHT, WIDTH, channels), kind)


def exif(orientation: int) -> bytes:
    made = Image.Exif()
    made[0x0112], made[0x010F] = orientation, "Maker"
    return made.tobytes()


def deep_tiff(pixels: np.ndarray) -> bytes:
    """An uncompressed 16-bit RGB TIFF file with one strip, written by the TIFF 6.0 standard without
    a library.
    """
    height, width, channels = pixels.shape
    data = pixels.astype("<u2").tobytes()
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, None), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, None), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(data))]
    bits_at = 8 + 2 + 12 * len(entries) + 4
    data_at = bits_at + 2 * channels
    known = {258: bits_at, 273: data_at}
    table = b"".join(
        struct.pack("<HHII", tag, kind, count, known.get(tag, value)) for tag, kind, count, value in entries
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", 0)
    return head + struct.pack(f"<{channels}H", *[16] * channels) + data


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_16_bit_png_comes_back_to_the_last_bit(tmp_path, channels):
    """Read by FFmpeg, independently of the program that wrote it."""
    pixels = values(channels)
    path = tmp_path / "deep.png"
    path.write_bytes(photographs.deep_png(pixels, ICC, exif(1)))
    photo = photographs.read(path)
    assert photo.depth == 16
    assert np.array_equal(photo.pixels, pixels)
    assert photo.icc == ICC
    with Image.open(path) as picture:
        picture.load()
        assert picture.info["icc_profile"] == ICC
        assert picture.getexif()[0x010F] == "Maker"


def test_a_16_bit_tiff_is_read_to_the_last_bit(tmp_path):
    pixels = values()
    (tmp_path / "deep.tif").write_bytes(deep_tiff(pixels))
    assert np.array_equal(photographs.read(tmp_path / "deep.tif").pixels, pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_8_bit_pictures_keep_values_profile_and_exif(tmp_path, mode):
    pixels = values(len(mode), 8)
    Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode).save(
        tmp_path / "plain.png", icc_profile=ICC, exif=exif(1)
    )
    photo = photographs.read(tmp_path / "plain.png")
    assert np.array_equal(photo.pixels, pixels)
    again = tmp_path / "again.png"
    again.write_bytes(photo.png())
    with Image.open(again) as picture:
        assert picture.mode == mode
        assert np.array_equal(np.asarray(picture).reshape(pixels.shape), pixels)
        assert picture.info["icc_profile"] == ICC
        assert picture.getexif()[0x010F] == "Maker"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_pillows_and_applied_once(tmp_path, orientation):
    from PIL import ImageOps

    Image.fromarray(values(3, 8)).save(tmp_path / "turned.png", exif=exif(orientation))
    with Image.open(tmp_path / "turned.png") as picture:
        wanted = np.asarray(ImageOps.exif_transpose(picture))
    photo = photographs.read(tmp_path / "turned.png")
    assert np.array_equal(photo.pixels, wanted)
    with Image.open(io.BytesIO(photo.png())) as again:
        assert again.getexif().get(0x0112, 1) == 1


def test_what_cannot_be_kept_is_said(tmp_path):
    Image.new("CMYK", (40, 30)).save(tmp_path / "print.jpg")
    assert photographs.read(tmp_path / "print.jpg").note == "colours of kind CMYK were converted to RGB"
    Image.new("F", (40, 30)).save(tmp_path / "float.tif")
    with pytest.raises(Problem, match="expected 8 or 16 bits a channel"):
        photographs.read(tmp_path / "float.tif")
    (tmp_path / "broken.tif").write_bytes(b"II*\0" + bytes(40))
    with pytest.raises(Problem, match="not a readable image"):
        photographs.read(tmp_path / "broken.tif")


# ---- the whole command, with the stand-in for ComfyUI, whose mask is the right three quarters ----


def edited_by(cli, name: str, *more) -> np.ndarray:
    done = cli("edit", "--cpu", "--image", name, "--source", "a dog", "--target", "a cat", *more)
    assert done.returncode == 0, done.stderr
    return photographs.read(cli.work / "semantic-edit-output" / "edited.png").pixels


def test_a_16_bit_picture_is_the_same_outside_the_mask(cli):
    pixels = values()
    (cli.work / "deep.png").write_bytes(photographs.deep_png(pixels, ICC, exif(6)))
    edited = edited_by(cli, "deep.png")
    upright = photographs.upright(pixels, 6)
    mask = np.asarray(Image.open(cli.work / "semantic-edit-output" / "mask.png")) > 0
    assert edited.dtype == np.uint16
    assert edited.shape == upright.shape == (WIDTH, HEIGHT, 3)
    assert 0.7 < mask.mean() < 0.8
    assert np.array_equal(edited[~mask], upright[~mask])
    assert (edited[mask] != upright[mask]).mean() > 0.9
    report = json.loads((cli.work / "semantic-edit-output" / "edit.json").read_text())
    assert report["crop"]["bits"] == 16
    with Image.open(cli.work / "semantic-edit-output" / "edited.png") as picture:
        picture.load()
        assert picture.info["icc_profile"] == ICC
        assert picture.getexif().get(0x0112, 1) == 1


def test_a_tiff_and_a_given_mask(cli):
    pixels = values()
    (cli.work / "deep.tif").write_bytes(deep_tiff(pixels))
    mask = Image.new("L", (WIDTH, HEIGHT))
    mask.paste(255, (200, 100, 260, 150))
    mask.save(cli.work / "mask.png")
    edited = edited_by(cli, "deep.tif", "--mask", "mask.png")
    outside = np.asarray(mask) == 0
    assert np.array_equal(edited[outside], pixels[outside])
    assert not np.array_equal(edited[~outside], pixels[~outside])
    sent = cli.sent()
    assert sent["Image"]["inputs"]["image"] == "crop.png"
    crop = json.loads((cli.work / "semantic-edit-output" / "edit.json").read_text())["crop"]
    assert crop["width"] < WIDTH
    assert sent["Size"]["inputs"]["megapixels"] * 1024**2 == pytest.approx(np.prod(crop["edited_at"]))


def test_whole_edits_the_whole_picture_as_before(cli):
    Image.fromarray(values(3, 8)).save(cli.work / "plain.png")
    edited_by(cli, "plain.png", "--whole")
    assert cli.sent()["Image"]["inputs"]["image"] == "source.png"
    assert "crop" not in json.loads((cli.work / "semantic-edit-output" / "edit.json").read_text())
