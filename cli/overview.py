"""An image that summarises an edit: both texts, and below them source, heat map, mask and edit side
by side.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

HEIGHT, GAP, MARGIN = 320, 8, 12
"""In pixels: the height to which small images are enlarged, the space between images, the white
margin.
"""
LARGEST = 1024
"""Maximum side of an image in the overview, in pixels."""
LABEL_SIZE, SENTENCE_SIZE = 14, 18
INK, GREY = "#1a1a1a", "#666666"


def overview(panels: list[tuple[str, Path]], edited: Path, sentences: Sequence[tuple[str, str]] = ()) -> Image.Image:
    """The images in a row below their labels, each at the size of the edited one, with the texts
    above them.

    Args:
        panels: (label, file) of each image, in order.
        edited: the edited image, whose size is used, enlarged by an integer factor to a height of
            about 320 pixels if it is smaller.
        sentences: (name, text), such as ("source", "a dog on grass"). Empty texts are left out.
    """
    with Image.open(edited) as file:
        size = file.size
    scale = max(1, round(HEIGHT / size[1])) if max(size) <= LARGEST else LARGEST / max(size)
    width, height = round(size[0] * scale), round(size[1] * scale)
    total = 2 * MARGIN + len(panels) * (width + GAP) - GAP
    lines = [line for name, sentence in sentences if sentence for line in wrapped(name, sentence, total - 2 * MARGIN)]
    top = MARGIN + len(lines) * (SENTENCE_SIZE + 6) + (MARGIN if lines else 0)
    sheet = Image.new("RGB", (total, top + LABEL_SIZE + 6 + height + MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (name, words, indent) in enumerate(lines):
        place = MARGIN + number * (SENTENCE_SIZE + 6)
        pen.text((MARGIN, place), name, font=font(SENTENCE_SIZE), fill=GREY)
        pen.text((MARGIN + indent, place), words, font=font(SENTENCE_SIZE), fill=INK)
    for number, (label, path) in enumerate(panels):
        left = MARGIN + number * (width + GAP)
        pen.text((left, top), label, font=font(LABEL_SIZE), fill=GREY)
        sheet.paste(panel(path, size, (width, height)), (left, top + LABEL_SIZE + 6))
    return sheet


def panel(path: Path, edited: tuple[int, int], shown: tuple[int, int]) -> Image.Image:
    """One image at its size in the overview: images of the edit's size are enlarged without
    smoothing, others are resampled.
    """
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    sharp = picture.size == edited and shown[0] >= edited[0]
    way = Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS
    return picture.resize(shown, way)


def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's default font; without FreeType it has only one size."""
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError, ImportError):
        return ImageFont.load_default()


def wrapped(name: str, sentence: str, width: int) -> list[tuple[str, str, int]]:
    """A text in lines of at most ``width`` pixels, each as (name, words, indent); the name is empty
    after the first line.
    """
    chosen = font(SENTENCE_SIZE)
    indent = round(max(chosen.getlength(label) for label in ("source", "target", name))) + 14
    lines: list[tuple[str, str, int]] = []
    words = sentence.split()
    while words:
        count = len(words)
        while count > 1 and chosen.getlength(" ".join(words[:count])) > width - indent:
            count -= 1
        lines.append(("" if lines else name, " ".join(words[:count]), indent))
        words = words[count:]
    return lines
