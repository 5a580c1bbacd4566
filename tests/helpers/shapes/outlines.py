"""Outlines of shapes: template matching of one patch."""

import math

import numpy as np
import torch

from .scenes import SHAPES, Shape, coverage, signed_distance

# Least intersection over union of a patch with an outline: between that of outlines half way to
# another shape (0.86, round ones 0.89) and that of the worst of 600 blurred and noisy objects (sigma
# 1.5 px, 0.03: 0.98, 0.95, 0.93, 0.89, 0.95 and 0.92 in the order below).
OVERLAP = {"circle": 0.91, "square": 0.89, "triangle": 0.87, "star": 0.87, "ring": 0.89, "cross": 0.87}

MARGIN = 0.03  # least difference of intersection over union between the best outline and the second best

_CELLS, _SPAN = 32, 1.4  # width of a template, and its extent from the centre in radii

_TURNS = np.linspace(-0.45, 0.45, 13)

_SCALES = (0.93, 1.0, 1.07)


def _make_templates() -> dict[str, tuple[np.ndarray, float]]:
    """Per shape: binary templates [turn * scale, cell * cell] as float32, and the area of the shape
    of radius 1.
    """
    bank = {}
    for shape in SHAPES:
        rows = [
            coverage(Shape(shape, "red", 0.5, 0.5, 0.5 / _SPAN * scale, turn), _CELLS).numpy() > 0.5
            for turn in _TURNS
            for scale in _SCALES
        ]
        area = coverage(Shape(shape, "red", 0.5, 0.5, 0.25, 0.0), 512).sum().item() / (0.25 * 512) ** 2
        bank[shape] = (np.stack(rows).reshape(len(rows), -1).astype(np.float32), area)
    return bank


_TEMPLATES = _make_templates()


def _refine(
    shape: str, mask: torch.Tensor, start: tuple[float, float, float, float]
) -> tuple[float, tuple[float, float, float, float]]:
    """Maximise the intersection over union of ``shape`` with a mask [H, W], starting at (x, y,
    radius, turn) in pixels and radians; returns the maximum and its parameters.
    """
    rows, columns = torch.meshgrid(torch.arange(mask.shape[0]) + 0.5, torch.arange(mask.shape[1]) + 0.5, indexing="ij")
    current, best, step = torch.tensor(start), -1.0, 0.06
    while step > 0.01:
        moves = (
            torch.cat([torch.zeros(1, 4), torch.eye(4), -torch.eye(4)])
            * step
            * torch.tensor([current[2], current[2], current[2], 1.5])
        )
        tries = current + moves
        tries[:, 3].clamp_(-0.5, 0.5)
        x, y, radius, turn = (tries[:, index, None, None] for index in range(4))
        right, down = (columns - x) / radius, (rows - y) / radius
        inside = (
            signed_distance(shape, turn.cos() * right + turn.sin() * down, turn.cos() * down - turn.sin() * right, 1.0)
            < 0
        )
        overlap = (inside & mask).sum((1, 2)) / (inside | mask).sum((1, 2))
        top = int(overlap.argmax())
        if overlap[top] <= best + 1e-4:
            step /= 2
        else:
            best, current = overlap[top].item(), tries[top]
    return best, tuple(current.tolist())


def fit_shape(mask: np.ndarray) -> tuple[str | None, float, tuple[float, float, float, float]]:
    """Match every shape to a patch [S, S]: templates with the patch's area and centroid, the two
    best of which are refined.

    Returns the shape (None if no outline overlaps enough, or two do), its intersection over union,
    and (x, y, radius, turn) in pixels and radians.
    """
    rows, columns = np.nonzero(mask)
    area, x, y = len(rows), columns.mean() + 0.5, rows.mean() + 0.5
    ticks = (np.arange(_CELLS) + 0.5) / _CELLS * 2 - 1
    guesses = []
    for shape, (templates, unit) in _TEMPLATES.items():
        radius = math.sqrt(area / unit)
        down, right = (np.floor(centre + ticks * _SPAN * radius).astype(int) for centre in (y, x))
        window = mask[np.ix_(down.clip(0, mask.shape[0] - 1), right.clip(0, mask.shape[1] - 1))].copy()
        window[(down < 0) | (down >= mask.shape[0])] = False
        window[:, (right < 0) | (right >= mask.shape[1])] = False
        window = window.reshape(-1).astype(np.float32)
        common = templates @ window
        overlap = common / (templates.sum(1) + window.sum() - common)
        top = int(overlap.argmax())
        turn, scale = _TURNS[top // len(_SCALES)], _SCALES[top % len(_SCALES)]
        guesses.append((overlap[top], shape, (float(x), float(y), radius * scale, float(turn))))
    guesses.sort(reverse=True)
    left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    pad = int(0.25 * max(right - left, bottom - top)) + 2
    left, top = max(0, left - pad), max(0, top - pad)
    crop = torch.from_numpy(mask[top : bottom + pad, left : right + pad].copy())
    fits = []
    for _, shape, (x, y, radius, turn) in guesses[:2]:
        overlap, (x, y, radius, turn) = _refine(shape, crop, (x - left, y - top, radius, turn))
        fits.append((overlap, shape, (x + left, y + top, radius, turn)))
    fits.sort(reverse=True)
    (overlap, shape, where), (second, *_) = fits
    return shape if overlap >= OVERLAP[shape] and overlap - second >= MARGIN else None, overlap, where
