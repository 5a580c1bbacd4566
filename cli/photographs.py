"""Photographs at the bit depth of their file: read in upright orientation, written as PNG with
their ICC profile and EXIF data.

Pillow reads 8 bits a channel; 16-bit PNG and TIFF files are read by PyAV, one of ComfyUI's
requirements. Pillow does not support 16-bit colour, so 16-bit PNG files are written here.
"""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from .console import Problem
from .pictures import KINDS, MAX_MEGAPIXELS, as_png, check_file, picture_size
from .run_folder import RunFolder

PLAIN = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "1": "L", "I;16": "I;16", "I;16B": "I;16B"}
"""Pillow's modes that preserve the values of a file, and the modes to which they are converted."""
ORIENTATION, BITS, SAMPLE_FORMAT = 0x0112, 258, 339
DEEP = {"gray16": 1, "ya16": 2, "rgb48": 3, "rgba64": 4}
"""Channels of FFmpeg's 16-bit formats, by their name without the suffix be or le."""
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type by the number of channels."""


@dataclasses.dataclass
class Photograph:
    """An image in upright orientation.

    ``pixels`` are [height, width, channels] in uint8 or uint16, grey or RGB, with or without alpha.
    ``note`` describes what could not be preserved.
    """

    pixels: np.ndarray
    icc: bytes | None = None
    exif: bytes | None = None
    note: str = ""

    @property
    def depth(self) -> int:
        return 8 * self.pixels.dtype.itemsize

    def rgb8(self, rows: slice = slice(None), columns: slice = slice(None)) -> Image.Image:
        """A part as Pillow's 8-bit RGB, without alpha."""
        part = self.pixels[rows, columns]
        if self.depth == 16:
            part = ((part.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(_three(part)))

    def png(self) -> bytes:
        """The file's contents, as PNG."""
        if self.depth == 16:
            return deep_png(self.pixels, self.icc, self.exif)
        channels = self.pixels.shape[2]
        picture = Image.fromarray(self.pixels[..., 0] if channels == 1 else self.pixels)
        data = io.BytesIO()
        picture.save(data, "PNG", icc_profile=self.icc, exif=self.exif or b"", compress_level=4)
        return data.getvalue()


def _three(part: np.ndarray) -> np.ndarray:
    return np.repeat(part[..., :1], 3, axis=2) if part.shape[2] < 3 else part[..., :3]


def in_colour(photo: Photograph) -> Photograph:
    """The same values as RGB; alpha stays."""
    if photo.pixels.shape[2] > 2:
        return photo
    parts = [np.repeat(photo.pixels[..., :1], 3, axis=2), photo.pixels[..., 1:]]
    return dataclasses.replace(photo, pixels=np.concatenate(parts, axis=2))


def read(path: Path) -> Photograph:
    """Read a photograph, with its EXIF rotation applied and removed from its EXIF data.

    Raises:
        Problem: not a readable image, too many pixels, or an unsupported number format.
    """
    check_file(path)
    Image.MAX_IMAGE_PIXELS = None  # the limit is set here
    try:
        with Image.open(path, formats=[*(kind for kind in KINDS if kind != "MPO"), "TIFF"]) as picture:
            if picture.width * picture.height > MAX_MEGAPIXELS * 1e6:
                raise Problem(
                    f"{path} has {picture.width} x {picture.height} pixels; expected at most {MAX_MEGAPIXELS} "
                    "megapixels. Reduce it first."
                )
            bits = _bits(path, picture)
            exif, icc = picture.getexif(), picture.info.get("icc_profile")
            turned = exif.get(ORIENTATION, 1)
            if ORIENTATION in exif:
                del exif[ORIENTATION]
            note = ""
            pixels = _deep(path) if bits == 16 else None
            if pixels is None:
                pixels, note = _plain(picture)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, StopIteration) as error:
        raise Problem(f"{path} is not a readable image; expected a PNG, TIFF, JPEG, WebP, GIF or BMP file.") from error
    kept = None if note else icc
    return Photograph(np.ascontiguousarray(upright(pixels, turned)), kept, exif.tobytes() if len(exif) else None, note)


def _bits(path: Path, picture: Image.Image) -> int:
    """Bits a channel of the file."""
    if picture.format == "PNG":
        with path.open("rb") as file:
            return 16 if file.read(25)[24] == 16 else 8
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return 8
    bits = max(picture.tag_v2.get(BITS, (1,)))
    if bits > 16 or picture.tag_v2.get(SAMPLE_FORMAT, (1,))[0] != 1:
        raise Problem(
            f"{path} has {bits} bits a channel, or signed or floating-point values; expected 8 or 16 bits a channel, "
            "unsigned. Convert it first."
        )
    return 16 if bits == 16 else 8


def _plain(picture: Image.Image) -> tuple[np.ndarray, str]:
    """Pixels of 8 bits, and a description of what could not be preserved."""
    note = ""
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode not in PLAIN:
        note = f"colours of kind {picture.mode} were converted to RGB"
        picture = picture.convert("RGB")
    values = np.asarray(picture.convert(PLAIN[picture.mode]))
    return (values[..., None] if values.ndim == 2 else values), note


def _deep(path: Path) -> np.ndarray:
    """Pixels of 16 bits, by FFmpeg."""
    import av

    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
    except av.FFmpegError as error:
        raise Problem(f"{path} cannot be read with 16 bits a channel: {error}.") from error
    name = frame.format.name
    if name[:-2] not in DEEP:
        raise Problem(
            f"{path} has 16-bit values in the format {name}; expected grey or RGB, with or without alpha. Convert it "
            "first."
        )
    channels, plane = DEEP[name[:-2]], frame.planes[0]
    lines = np.frombuffer(memoryview(plane), ">u2" if name.endswith("be") else "<u2").reshape(-1, plane.line_size // 2)
    return (
        lines[: frame.height, : frame.width * channels].reshape(frame.height, frame.width, channels).astype(np.uint16)
    )


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels rotated according to EXIF's orientation (1 to 8)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def deep_png(pixels: np.ndarray, icc: bytes | None, exif: bytes | None) -> bytes:
    """A PNG file of [height, width, channels] in uint16 (ISO/IEC 15948, filter Up)."""
    height, width, channels = pixels.shape
    packer, parts, above = zlib.compressobj(4), [], np.zeros(2 * width * channels, np.uint8)
    for top in range(0, height, 256):
        lines = pixels[top : top + 256].astype(">u2").view(np.uint8).reshape(-1, 2 * width * channels)
        filtered = np.empty((len(lines), lines.shape[1] + 1), np.uint8)
        filtered[:, 0] = 2
        filtered[:, 1:] = lines - np.concatenate([above[None], lines[:-1]])
        above = lines[-1].copy()
        parts.append(packer.compress(filtered.tobytes()))
    parts.append(packer.flush())
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    made = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header)]
    if icc:
        made.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if exif:
        made.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    return b"".join([*made, _chunk(b"IDAT", b"".join(parts)), _chunk(b"IEND", b"")])


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def kind_and_size(path: Path) -> tuple[str, int, int]:
    """(file name extension, width, height) of an image, TIFF included, after decoding it."""
    check_file(path)
    with path.open("rb") as file:
        is_tiff = file.read(4) in (b"II*\0", b"MM\0*")
    if not is_tiff:
        return picture_size(path)
    height, width = read(path).pixels.shape[:2]
    return "tiff", width, height


def bring(path: Path, run: RunFolder, kind: str) -> str:
    """Copy an image to ComfyUI's input folder: the file itself, or an 8-bit PNG of a TIFF file."""
    if kind != "tiff":
        return run.bring(path, f"source.{kind}")
    (run.input / "source.png").write_bytes(as_png(read(path).rgb8()))
    return "source.png"


def small_png(photo: Photograph, pixels: float) -> bytes:
    """The whole photograph as 8-bit PNG of about this many pixels."""
    picture = photo.rgb8()
    factor = min(1.0, (pixels / (picture.width * picture.height)) ** 0.5)
    size = tuple(max(8, round(side * factor / 8) * 8) for side in picture.size) if factor < 1 else picture.size
    return as_png(picture.resize(size, Image.Resampling.LANCZOS))
