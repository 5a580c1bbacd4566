"""Patches of one colour in a picture of shapes: the ground with its light, and the objects."""

import numpy as np
from scipy import ndimage

from .scenes import COLOUR_NAMES, COLOURS

GROUND_TOLERANCE = 0.15
"""RGB distance up to which a pixel counts as ground while the light is fitted."""
GROUND_SHARE = 0.55
"""Least share of the picture that a ground covers (objects cover at most 0.28, plus their soft
edges).
"""
FOREGROUND = 0.20
"""RGB distance from the ground from which a pixel belongs to an object."""
COLOUR_TOLERANCE = 0.16
"""Largest distance of a patch's mean RGB from its colour; the two nearest colours are 0.34 apart.
"""
PURITY = 0.85
"""Least share of a patch's inner pixels that are nearest to the patch's colour."""
SMALLEST = 80
"""Least pixels of a patch in a 128 x 128 picture; the smallest object has 450."""

_PALETTE = np.array([COLOURS[name] for name in COLOUR_NAMES], dtype=np.float32)


def fit_ground(pixels: np.ndarray) -> tuple[str | None, np.ndarray, np.ndarray]:
    """Fit each colour of ``scenes.py``, lit by a linear grey gradient, to the majority of the
    pixels [S, S, 3].

    Returns the name of the best (None if it covers less than GROUND_SHARE), the ground without
    objects [S, S, 3], and its light [S, S].
    """
    size = pixels.shape[0]
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    basis = np.stack([*np.meshgrid(axis, axis), np.ones((size, size), np.float32)], -1)  # x, y, 1
    coarse, sample = basis[::4, ::4].reshape(-1, 3), pixels[::4, ::4].reshape(-1, 3)
    usable = (sample > 0.02) & (sample < 0.98)  # a clipped channel does not determine the light
    weight = usable.sum(1)
    best = (-1.0, None, np.zeros(3, np.float32))
    for name, colour in zip(COLOUR_NAMES, _PALETTE, strict=True):
        offset = ((sample - colour) * usable).sum(1) / np.maximum(weight, 1)
        inside = (np.abs(offset) < 0.3) & (
            np.linalg.norm(sample - np.clip(colour + offset[:, None], 0, 1), axis=1) < GROUND_TOLERANCE
        )
        if inside.mean() < 0.4:
            continue
        light = np.zeros(3, np.float32)
        for _ in range(5):
            rows = coarse * (inside * weight)[:, None]
            light = np.linalg.solve(coarse.T @ rows + 0.5 * np.eye(3, dtype=np.float32), rows.T @ offset)
            light = np.clip(light, (-0.4, -0.4, -0.12), (0.4, 0.4, 0.12))
            distance = np.linalg.norm(sample - np.clip(colour + (coarse @ light)[:, None], 0, 1), axis=1)
            inside = distance < GROUND_TOLERANCE
        score = (1 - (distance[inside] / GROUND_TOLERANCE) ** 2).sum() / len(sample)
        if score > best[0] and inside.mean() >= GROUND_SHARE:
            best = (score, name, light)
    _, name, light = best
    if name is None:
        return (
            None,
            np.broadcast_to(np.median(pixels.reshape(-1, 3), axis=0), pixels.shape),
            np.zeros((size, size), np.float32),
        )
    shade = basis @ light
    return name, np.clip(_PALETTE[COLOUR_NAMES.index(name)] + shade[..., None], 0, 1), shade


def split_objects(pixels: np.ndarray, ground: np.ndarray, light: np.ndarray) -> list[tuple[np.ndarray, str | None]]:
    """Divide the pixels that differ from the ground into patches of one colour each; patches of
    different colours may touch.

    Returns each patch's mask [S, S] with the name of its colour, or None if it is not one of
    ``scenes.py``.
    """
    foreground = np.linalg.norm(pixels - ground, axis=2) > FOREGROUND
    labels, count = ndimage.label(foreground)
    patches: list[tuple[np.ndarray, str | None]] = []
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        box = tuple(slice(max(0, side.start - 2), side.stop + 2) for side in box)
        member = labels[box] == label
        if member.sum() < SMALLEST:
            continue
        local = pixels[box]
        palette = np.clip(_PALETTE + 0.5 * light[box][..., None, None], 0, 1)  # light on objects is half as strong
        distance = np.linalg.norm(local[..., None, :] - palette, axis=3)
        nearest = distance.argmin(2)
        sure = member & (distance.min(2) < 1.5 * COLOUR_TOLERANCE)
        # Soft edges between two colours pass through a third one; a third colour without inner pixels is
        # not an object.
        cores = {
            index: ndimage.binary_erosion(sure & (nearest == index), iterations=2) for index in np.unique(nearest[sure])
        }
        cores = {index: core for index, core in cores.items() if core.sum() >= 25}
        if not cores:
            patches.append((_whole(member, box, labels.shape), None))
            continue
        anchors = np.stack(
            [ground[box], *(np.broadcast_to(local[core].mean(0), local.shape) for core in cores.values())]
        )
        owner = np.linalg.norm(local - anchors, axis=3).argmin(0)
        for position, (index, core) in enumerate(cores.items(), 1):
            mean_off = np.linalg.norm((local - palette[:, :, index])[core].mean(0))
            parts, number = ndimage.label(ndimage.binary_dilation(member) & (owner == position))
            for part in range(1, number + 1):
                mask = parts == part
                inner = ndimage.binary_erosion(mask, iterations=2)
                if mask.sum() < SMALLEST:
                    continue
                pure = (
                    inner.any()
                    and ((nearest == index) & (distance[..., index] < 2 * COLOUR_TOLERANCE))[inner].mean() >= PURITY
                )
                patches.append(
                    (
                        _whole(mask, box, labels.shape),
                        COLOUR_NAMES[index] if pure and mean_off < COLOUR_TOLERANCE else None,
                    )
                )
    return patches


def _whole(mask: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, bool)
    whole[box] = mask
    return whole
