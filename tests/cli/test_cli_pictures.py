"""Properties that run.py reads from files before anything is started."""

import pytest
from PIL import Image

from cli import pictures
from cli.console import Problem

SIZES = [(3, 5), (640, 480), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "kind, options",
    [
        ("png", {}),
        ("gif", {}),
        ("bmp", {}),
        ("jpeg", {}),
        ("jpeg", {"progressive": True}),
        ("jpeg", {"exif": b"Exif\0\0" + bytes(500)}),
        ("webp", {"lossless": True}),
        ("webp", {"quality": 50}),
        ("webp", {"quality": 50, "exif": b"Exif\0\0" + bytes(50)}),
    ],
)
def test_size_agrees_with_pillow(tmp_path, kind, options, size):
    path = tmp_path / "picture"
    Image.new("RGB", size, "red").save(path, kind, **options)
    assert pictures.picture_size(path) == ("jpg" if kind == "jpeg" else kind, *size)


def test_transparent_webp(tmp_path):
    Image.new("RGBA", (33, 7), (0, 0, 0, 9)).save(tmp_path / "p.webp", quality=50)
    assert pictures.picture_size(tmp_path / "p.webp") == ("webp", 33, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"BM123",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(16),
    ],
)
def test_what_is_no_picture(tmp_path, data):
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(Problem, match="not a readable image; expected a PNG, JPEG, WebP, GIF or BMP"):
        pictures.picture_size(tmp_path / "p")


def test_huge_picture(tmp_path):
    Image.new("1", (20000, 10000)).save(tmp_path / "p.png")
    with pytest.raises(Problem, match=r"20000 x 10000 pixels \(200 megapixels\); expected at most 64"):
        pictures.picture_size(tmp_path / "p.png")


def test_missing_and_folder(tmp_path):
    with pytest.raises(Problem, match="no such file"):
        pictures.picture_size(tmp_path / "none.png")
    with pytest.raises((Problem, PermissionError)):
        pictures.picture_size(tmp_path)


@pytest.mark.parametrize(
    "name, size",
    [
        ("model.diffusion_model.input_blocks.0.0.weight", 512),
        ("conditioner.embedders.1.model.x", 1024),
        ("model.diffusion_model.joint_blocks.0.x", 1024),
        ("model.diffusion_model.double_blocks.0.x", 1024),
    ],
)
def test_checkpoint_size(tmp_path, safetensors, name, size):
    assert pictures.checkpoint_size(safetensors(tmp_path / "m.safetensors", name)) == size


def test_checkpoint_size_of_other_files(tmp_path):
    (tmp_path / "m.ckpt").write_bytes(b"PK\3\4" + bytes(100))
    assert pictures.checkpoint_size(tmp_path / "m.ckpt") is None
    assert pictures.checkpoint_size(tmp_path / "none") is None
    assert pictures.checkpoint_size(None) is None
