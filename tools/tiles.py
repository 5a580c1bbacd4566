"""Pictures side by side under labels, for the README and the help pages."""

import torch
from PIL import Image, ImageDraw, ImageFont

PANEL = 506
"""Width of a help picture in pixels: twice that of the panel, for screens with two pixels per
point.
"""
WIDE = 1012
GAP = 10
Tiles = list[tuple[str, torch.Tensor]]
"""Pictures, IMAGE [H, W, 3] or MASK [H, W] in 0..1, each with its label."""


def square(picture: torch.Tensor, side: int) -> Image.Image:
    """A picture or mask as a square of ``side`` pixels; masks are not smoothed."""
    is_mask = picture.ndim == 2
    colours = picture.unsqueeze(-1).expand(-1, -1, 3) if is_mask else picture[..., :3]
    pixels = (colours.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX if is_mask else Image.Resampling.LANCZOS)


def grid(tiles: Tiles, columns: int = 2, width: int = PANEL, words: str = "") -> Image.Image:
    """Tiles in reading order, each under its label, and one line of text below them all."""
    side = (width - GAP * (columns + 1)) // columns
    points = 23 if width == PANEL else 19
    font, label = ImageFont.load_default(points), points + 12
    rows = -(-len(tiles) // columns)
    height = rows * (side + label) + GAP + (label if words else 0)
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for place, (text, picture) in enumerate(tiles):
        left, top = GAP + place % columns * (side + GAP), place // columns * (side + label)
        draw.text((left, top + 4), text, (20, 20, 20), font)
        canvas.paste(square(picture, side), (left, top + label))
    if words:
        draw.text((GAP, height - label), words, (90, 90, 90), font)
    return canvas


def veiled(picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The picture [H, W, 3] with the mask [H, W] shown as a veil."""
    return torch.where(mask[..., None] > 0, 0.45 * picture + 0.55, picture)


def loss(made: torch.Tensor, base: torch.Tensor, times: int, where: torch.Tensor | float = 1.0) -> torch.Tensor:
    """The absolute difference of two pictures as a MASK, amplified ``times``."""
    return ((made - base).abs().mean(-1) * where * times).clamp(0, 1)
