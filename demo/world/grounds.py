"""Procedural grounds: wood, grass, sand, snow, water, bricks, stone, sky and tiles, each in
:data:`VARIANTS` variants.

A texture depends only on its name and variant (numpy's PCG64 with a fixed seed), so that it is the
same on every machine.
"""

import functools

import numpy as np
import torch
from PIL import Image

from .things import GROUNDS

SIDE = 512
"""Pixels along the side of a texture. A scene shows a part of it."""
VARIANTS = 20


def fractal(rng, cells: int, octaves: int, fall: float = 1.0, stretch: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """Noise [SIDE, SIDE] of zero mean and unit variance: octaves of smooth noise, each finer and
    ``2**-fall`` times as strong as the previous one.

    ``cells`` is the number of cells along the side in the first octave, divided by ``stretch``
    (down, across).
    """
    total = np.zeros((SIDE, SIDE), np.float32)
    for octave in range(octaves):
        count = cells * 2**octave
        shape = [max(2, min(SIDE, round(count / share))) for share in stretch]
        coarse = Image.fromarray(rng.standard_normal(shape).astype(np.float32))
        total += np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 2 ** (fall * octave)
    return (total - total.mean()) / (total.std() + 1e-6)


def palette(level: np.ndarray, *stops: tuple[float, float, float]) -> np.ndarray:
    """Colours [SIDE, SIDE, 3] interpolated between ``stops``; ``level`` is noise of unit variance,
    and the middle stop is at 0.
    """
    place = np.clip(level * 0.22 + 0.5, 0, 1) * (len(stops) - 1)
    lower = np.clip(place.astype(int), 0, len(stops) - 2)
    share = (place - lower)[..., None]
    colours = np.array(stops, np.float32)
    return colours[lower] * (1 - share) + colours[lower + 1] * share


def soft_line(distance: np.ndarray, width: float, softness: float = 1.5 / SIDE) -> np.ndarray:
    """1 within ``width`` of a line and 0 beyond, with a soft edge; ``distance`` is in sides of the
    texture.
    """
    return np.clip((width - distance) / softness + 0.5, 0, 1)[..., None]


def coordinates() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return y, x


def wood(rng) -> np.ndarray:
    y, _ = coordinates()
    count = int(rng.integers(3, 6))
    plank = np.minimum((y * count).astype(int), count - 1)
    grain = fractal(rng, 3, 5, 0.8, stretch=(0.3, 6)) * 0.75 + (rng.standard_normal(count) * 0.5)[plank]
    tones = (
        ((0.36, 0.21, 0.11), (0.58, 0.37, 0.20), (0.74, 0.52, 0.31)),
        ((0.45, 0.28, 0.15), (0.68, 0.46, 0.26), (0.82, 0.62, 0.40)),
        ((0.26, 0.15, 0.09), (0.43, 0.27, 0.16), (0.58, 0.40, 0.26)),
    )
    picture = palette(grain, *tones[rng.integers(len(tones))])
    gap = np.abs((y * count + 0.5) % 1 - 0.5) / count
    return picture * (1 - 0.5 * soft_line(gap, 2.0 / SIDE))


def grass(rng) -> np.ndarray:
    blades = fractal(rng, 5, 6, 0.85, stretch=(1.5, 0.8))
    yellow = rng.uniform(0.0, 0.14)
    return palette(blades, (0.12 + yellow / 2, 0.30, 0.07), (0.27 + yellow, 0.51, 0.13), (0.50 + yellow, 0.70, 0.26))


def sand(rng) -> np.ndarray:
    y, x = coordinates()
    dunes = fractal(rng, 3, 6, 0.9, stretch=(0.6, 2))
    angle, waves = rng.uniform(-0.5, 0.5), rng.uniform(5, 11)
    bent = fractal(rng, 2, 3) * 0.05
    ripples = np.sin(2 * np.pi * waves * (y * np.cos(angle) + x * np.sin(angle) + bent))
    warm = rng.uniform(-0.04, 0.04)
    return palette(
        dunes * 0.8 + ripples * rng.uniform(0.2, 0.7),
        (0.78 + warm, 0.64, 0.42 - warm),
        (0.88 + warm, 0.76, 0.54 - warm),
        (0.96, 0.87, 0.68 - warm),
    )


def snow(rng) -> np.ndarray:
    drifts = fractal(rng, int(rng.integers(2, 4)), 5, 1.1)
    cold = rng.uniform(0, 0.05)
    return palette(drifts, (0.78 - cold, 0.85 - cold / 2, 0.94), (0.91 - cold, 0.94 - cold / 2, 0.98), (1.0, 1.0, 1.0))


def water(rng) -> np.ndarray:
    waves = fractal(rng, int(rng.integers(3, 5)), 5, 0.9, stretch=(0.4, 2.5))
    green = rng.uniform(-0.03, 0.10)
    return palette(waves, (0.04, 0.28 + green, 0.52), (0.13, 0.48 + green, 0.72), (0.52, 0.80 + green / 2, 0.92))


def bricks(rng) -> np.ndarray:
    y, x = coordinates()
    rows = int(rng.integers(6, 10))
    columns = max(3, rows // 2)
    row = np.minimum((y * rows).astype(int), rows - 1)
    across = x * columns + (row % 2) * 0.5
    tone = rng.standard_normal((rows, columns + 2))[row, across.astype(int)]
    tones = (
        ((0.48, 0.19, 0.13), (0.64, 0.29, 0.20), (0.77, 0.43, 0.31)),
        ((0.55, 0.30, 0.20), (0.71, 0.43, 0.30), (0.82, 0.57, 0.42)),
        ((0.40, 0.20, 0.18), (0.55, 0.28, 0.24), (0.68, 0.40, 0.34)),
    )
    picture = palette(fractal(rng, 6, 5, 0.9) * 0.6 + tone * 0.6, *tones[rng.integers(len(tones))])
    upright = np.abs((across + 0.5) % 1 - 0.5) / columns
    flat = np.abs((y * rows + 0.5) % 1 - 0.5) / rows
    joint = np.maximum(soft_line(flat, 4.0 / SIDE), soft_line(upright, 4.0 / SIDE))
    return picture * (1 - joint) + np.array((0.76, 0.72, 0.66), np.float32) * joint


def stone(rng) -> np.ndarray:
    dark, warm = rng.uniform(-0.08, 0.08), rng.uniform(-0.03, 0.04)
    stops = [tuple(np.array((1 + warm, 1.0, 1 - warm)) * (level + dark)) for level in (0.34, 0.52, 0.70)]
    return palette(fractal(rng, 4, 6, 0.8), *stops)


def sky(rng) -> np.ndarray:
    y, _ = coordinates()
    clouds = fractal(rng, int(rng.integers(2, 4)), 5, 1.1, stretch=(0.8, 1.6)) + rng.uniform(-0.3, 0.6) + (y - 0.5)
    return palette(clouds, (0.25, 0.50, 0.85), (0.45, 0.68, 0.93), (0.97, 0.98, 1.0))


def tiles(rng) -> np.ndarray:
    y, x = coordinates()
    count = int(rng.integers(4, 8))
    place = (np.minimum((y * count).astype(int), count - 1), np.minimum((x * count).astype(int), count - 1))
    pairs = (
        ((0.93, 0.91, 0.86), (0.35, 0.52, 0.55)),
        ((0.95, 0.93, 0.90), (0.62, 0.36, 0.33)),
        ((0.90, 0.90, 0.92), (0.33, 0.36, 0.48)),
        ((0.96, 0.92, 0.80), (0.50, 0.60, 0.42)),
    )
    light, dark = (np.array(colour, np.float32) for colour in pairs[rng.integers(len(pairs))])
    odd = ((place[0] + place[1]) % 2)[..., None]
    picture = light * (1 - odd) + dark * odd
    picture = picture * (1 + 0.03 * (fractal(rng, 3, 4) + rng.standard_normal((count, count))[place]))[..., None]
    edge = np.minimum(np.abs((x * count + 0.5) % 1 - 0.5), np.abs((y * count + 0.5) % 1 - 0.5)) / count
    joint = soft_line(edge, 2.5 / SIDE)
    return picture * (1 - joint) + np.array((0.70, 0.69, 0.66), np.float32) * joint


PAINTERS = {
    "wood": wood,
    "grass": grass,
    "sand": sand,
    "snow": snow,
    "water": water,
    "bricks": bricks,
    "stone": stone,
    "sky": sky,
    "tiles": tiles,
}


@functools.lru_cache(maxsize=64)
def texture(name: str, variant: int) -> torch.Tensor:
    """The texture ``variant`` (0 .. VARIANTS - 1) of a ground, [3, SIDE, SIDE] in 0..1, float32."""
    rng = np.random.default_rng(1000 * list(GROUNDS).index(name) + variant)
    picture = np.clip(PAINTERS[name](rng), 0, 1).astype(np.float32)
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous()
