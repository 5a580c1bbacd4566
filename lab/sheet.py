"""Rows of pictures in one PNG, for inspecting measurements."""

import pathlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

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
