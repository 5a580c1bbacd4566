"""Separate regions of a mask."""

import torch
import torch.nn.functional as F

from .windows import Window

GRID = 192
"""Cells along the longer side, at most, on which regions are separated; closer regions are merged.
"""


def bounding_box(marked: torch.Tensor) -> Window | None:
    """The smallest window around the set cells of [H, W] bool; None if there are none."""
    rows, columns = (marked.any(axis).nonzero().flatten() for axis in (1, 0))
    if len(rows) == 0:
        return None
    top, left = int(rows[0]), int(columns[0])
    return Window(top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1)


def regions(marked: torch.Tensor) -> list[tuple[Window, torch.Tensor]]:
    """The connected regions of [H, W] bool, from top to bottom: the window of each, and its part of
    ``marked`` in the window, [height, width] bool.
    """
    height, width = marked.shape
    cell = max(1, -(-max(height, width) // GRID))
    coarse = F.max_pool2d(marked[None, None].float(), cell, ceil_mode=True)[0, 0] > 0
    labels = _labels(coarse)
    parts = []
    for label in torch.unique(labels[coarse]).tolist():
        box = bounding_box(labels == label)
        assert box is not None
        rows = slice(box.top * cell, min(height, (box.top + box.height) * cell))
        columns = slice(box.left * cell, min(width, (box.left + box.width) * cell))
        members = (labels == label)[box.index].repeat_interleave(cell, 0).repeat_interleave(cell, 1)
        part = marked[rows, columns] & members[: rows.stop - rows.start, : columns.stop - columns.start]
        inner = bounding_box(part)
        if inner is not None:
            window = Window(rows.start + inner.top, columns.start + inner.left, *inner.size)
            parts.append((window, part[inner.index]))
    return parts


def _labels(marked: torch.Tensor) -> torch.Tensor:
    """A number for each connected region (eight neighbours) of [H, W] bool: that of its last cell;
    0 elsewhere.
    """
    labels = torch.arange(1, marked.numel() + 1, dtype=torch.float32).view(marked.shape) * marked
    while True:
        spread = F.max_pool2d(labels[None, None], 3, 1, 1)[0, 0] * marked
        if torch.equal(spread, labels):
            return labels
        labels = spread
