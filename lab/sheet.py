"""Rows of pictures in one PNG, for inspecting measurements."""

import pathlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

GAP, LINE, TEXT, GROUND = 4, 14, (230, 230, 230), (32, 32, 32)


def contact_sheet(
    rows: Sequence[Sequence[torch.Tensor]],
    path: pathlib.Path | str,
    titles: Sequence[str],
    labels: Sequence[str],
    side: int = 160,
) -> None:
    """Save rows of IMAGEs [H, W, 3] or maps [H, W] in 0..1, drawn at ``side`` pixels, with
    ``titles`` above the columns and ``labels`` below the rows.
    """
    step = side + GAP + LINE
    sheet = Image.new("RGB", (len(titles) * (side + GAP) + GAP, LINE + GAP + step * len(rows)), GROUND)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((GAP + column * (side + GAP), 2), title, fill=TEXT)
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        top = LINE + GAP + place * step
        for column, picture in enumerate(row):
            values = picture.detach().float().cpu().clamp(0, 1)
            values = values[..., None].expand(*values.shape, 3) if values.ndim == 2 else values
            drawn = Image.fromarray((values.numpy() * 255).round().astype(np.uint8))
            sheet.paste(drawn.resize((side, side), Image.Resampling.BICUBIC), (GAP + column * (side + GAP), top))
        draw.text((GAP, top + side + 1), label, fill=TEXT)
    sheet.save(path)


def read_picture(path: pathlib.Path | str) -> torch.Tensor:
    """A file as IMAGE [H, W, 3] in 0..1; the alpha channel is ignored."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).float() / 255


def save_picture(picture: torch.Tensor, path: pathlib.Path) -> None:
    """Write an IMAGE [H, W, 3] to a file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((picture.detach().float().cpu().clamp(0, 1) * 255).round().byte().numpy()).save(path)


FRAMES = {True: (0, 158, 115), False: (213, 94, 0), None: (255, 255, 255)}
"""Colours of the frames of accepted, refused and unjudged pictures; the first two are Okabe and
Ito's.
"""
FRAME, SPACE, POINTS = 4, 8, 17


def ranked_rows(
    rows: Sequence[Sequence[torch.Tensor]],
    verdicts: Sequence[Sequence[bool | None]],
    labels: Sequence[str],
    titles: Sequence[str] = (),
    side: int = 112,
) -> Image.Image:
    """Rows of IMAGEs [H, W, 3] on white, each row under its label, in frames that show the
    verdicts; ``titles`` are above the columns.
    """
    font, line = ImageFont.load_default(POINTS), POINTS + 8
    step, columns = side + 2 * FRAME + SPACE, max(map(len, rows))
    above = line if titles else 0
    sheet = Image.new("RGB", (columns * step + SPACE, above + len(rows) * (step + line) + SPACE), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((SPACE + column * step, 5), title, (20, 20, 20), font)
    for place, (row, judged, label) in enumerate(zip(rows, verdicts, labels, strict=True)):
        top = above + place * (step + line)
        draw.text((SPACE, top + 5), label, (20, 20, 20), font)
        for column, (picture, verdict) in enumerate(zip(row, judged, strict=True)):
            left, down = SPACE + column * step, top + line
            outer = (left, down, left + side + 2 * FRAME - 1, down + side + 2 * FRAME - 1)
            draw.rectangle(outer, FRAMES[verdict])
            pixels = (picture.detach().float().cpu().clamp(0, 1) * 255).round().byte().numpy()
            small = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (left + FRAME, down + FRAME))
    return sheet
