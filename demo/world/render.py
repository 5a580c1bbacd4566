"""Draw scenes of the demo world with torch, many at once, on any device.

A picture is composed from back to front: the ground's texture; for every thing its soft shadow and
its sprite with alpha, rotated, mirrored, scaled and painted; and light over everything.
"""

import concurrent.futures
import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .grounds import VARIANTS, texture
from .scenes import GROUND_NAMES, Scene, Thing
from .things import CODE_POINTS, COLOURS, KINDS, PAINTED

SIZE = 256
"""Pixels along the side of a picture."""
SPRITES = pathlib.Path(__file__).resolve().parents[1] / "sprites"
SPRITE_SIDE = 256
LEVELS = 3
"""Sprites are stored at 256, 128 and 64 pixels, so that small things are not aliased."""
SHADOW = 0.42
SHADOW_COLOUR = (0.07, 0.05, 0.06)


class Rendered(NamedTuple):
    """Pictures [N, 3, S, S] in 0..1 and, for each, the visible coverage of its things [things, S,
    S] in 0..1.
    """

    pictures: torch.Tensor
    masks: list[torch.Tensor]


# ---- sprites ----


def looks() -> list[tuple[str, str | None]]:
    """Every (kind, colour) of a thing, in the order of the sprite bank."""
    return [(kind, colour) for kind in KINDS for colour in (COLOURS if kind in PAINTED else (None,))]


def load_sprite(kind: str, folder: pathlib.Path = SPRITES) -> np.ndarray:
    """A thing's sprite, cropped to its opaque pixels and centred in a square, [side, side, 4] in
    0..1.
    """
    sprite = Image.open(folder / f"{CODE_POINTS[kind]}.webp").convert("RGBA")
    sprite = sprite.crop(sprite.getchannel("A").getbbox())
    square = Image.new("RGBA", (max(sprite.size),) * 2)
    square.paste(sprite, ((square.width - sprite.width) // 2, (square.height - sprite.height) // 2))
    pixels = (
        np.asarray(square.convert("RGBa").resize((SPRITE_SIDE, SPRITE_SIDE), Image.Resampling.LANCZOS), np.float32)
        / 255
    )
    alpha = np.clip(pixels[..., 3:], 1e-6, 1)
    return np.concatenate([np.clip(pixels[..., :3] / alpha, 0, 1), pixels[..., 3:]], axis=-1)


def hsv(rgb: np.ndarray) -> np.ndarray:
    """Hue, saturation and value in 0..1 of colours [..., 3] in 0..1."""
    high, low = rgb.max(-1), rgb.min(-1)
    spread = np.maximum(high - low, 1e-6)
    r, g, b = (rgb[..., channel] for channel in range(3))
    hue = np.where(high == r, (g - b) / spread, np.where(high == g, 2 + (b - r) / spread, 4 + (r - g) / spread)) / 6 % 1
    return np.stack([hue, np.where(high > 0, (high - low) / np.maximum(high, 1e-6), 0), high], -1)


def rgb(colours: np.ndarray) -> np.ndarray:
    """The inverse of :func:`hsv`."""
    hue, saturation, value = (colours[..., channel] for channel in range(3))
    sector = (hue % 1)[..., None] * 6
    wheel = np.clip(np.abs((sector + np.array((0, 4, 2))) % 6 - 3) - 1, 0, 1)
    return value[..., None] * (1 - saturation[..., None] * (1 - wheel))


def paint(sprite: np.ndarray, colour: str) -> np.ndarray:
    """The sprite with its main hue turned to ``colour``; light, shade and all other colours are
    unchanged.
    """
    colours, alpha = hsv(sprite[..., :3]), sprite[..., 3]
    vivid = colours[..., 1] * alpha * (colours[..., 2] > 0.15)
    bins = np.bincount((colours[..., 0] * 36).astype(int).ravel() % 36, vivid.ravel(), 36)
    main = (int(np.argmax(bins + np.roll(bins, 1) + np.roll(bins, -1))) + 0.5) / 36
    offset = (colours[..., 0] - main + 0.5) % 1 - 0.5
    share = np.clip((0.13 - np.abs(offset)) / 0.04, 0, 1) * np.clip((colours[..., 1] - 0.12) / 0.12, 0, 1)
    weight = share * alpha
    saturation = (weight * colours[..., 1]).sum() / weight.sum()
    value = (weight * colours[..., 2]).sum() / weight.sum()
    target = COLOURS[colour]
    new = np.stack(
        [
            target.hue + 0.35 * offset,
            np.clip(colours[..., 1] * target.saturation / saturation, 0, 1),
            np.clip(colours[..., 2] * target.value / value, 0, 1),
        ],
        -1,
    )
    mixed = sprite[..., :3] * (1 - share[..., None]) + rgb(new) * share[..., None]
    return np.concatenate([mixed, sprite[..., 3:]], -1).astype(np.float32)


@functools.cache
def sprite_bank(device: torch.device) -> tuple[torch.Tensor, ...]:
    """All sprites with premultiplied alpha, [looks, 4, side, side] for each level, on
    ``device``.
    """
    rows = []
    for kind, colour in looks():
        sprite = load_sprite(kind)
        sprite = paint(sprite, colour) if colour else sprite
        rows.append(
            torch.from_numpy(np.concatenate([sprite[..., :3] * sprite[..., 3:], sprite[..., 3:]], -1)).permute(2, 0, 1)
        )
    bank = torch.stack(rows).float()
    return tuple(F.avg_pool2d(bank, 2**level).to(device) if level else bank.to(device) for level in range(LEVELS))


@functools.cache
def look_index(kind: str, colour: str | None) -> int:
    """Index of a kind and colour in the sprite bank."""
    return looks().index((kind, colour))


# ---- drawing ----


def level_of(size: float, pixels: int) -> int:
    """The level of the sprite bank for a thing of ``size`` (share) in a picture of ``pixels``."""
    return min(LEVELS - 1, max(0, round(math.log2(SPRITE_SIDE / (1.25 * size * pixels)))))


def placement(thing: Thing) -> list[list[float]]:
    """The affine map from the picture's coordinates (-1..1) to the sprite's."""
    cos, sin, scale = math.cos(thing.turn), math.sin(thing.turn), 1 / thing.size
    x, y = 2 * thing.x - 1, 2 * thing.y - 1
    mirror = -1.0 if thing.flip else 1.0
    rows = [[mirror * cos * scale, mirror * sin * scale], [-sin * scale, cos * scale]]
    return [[a, b, -(a * x + b * y)] for a, b in rows]


def draw_sprites(things: Sequence[Thing | None], pixels: int, device: torch.device) -> torch.Tensor:
    """One premultiplied layer [N, 4, pixels, pixels] per thing; None gives an empty one."""
    layers = torch.zeros(len(things), 4, pixels, pixels, device=device)
    bank = sprite_bank(device)
    for level in range(LEVELS):
        at_level = {row: thing for row, thing in enumerate(things) if thing and level_of(thing.size, pixels) == level}
        if not at_level:
            continue
        rows, chosen = list(at_level), list(at_level.values())
        sprites = bank[level][[look_index(thing.kind, thing.colour) for thing in chosen]]
        maps = torch.tensor([placement(thing) for thing in chosen], device=device)
        grid = F.affine_grid(maps, [len(rows), 4, pixels, pixels], align_corners=False)
        layers[rows] = F.grid_sample(sprites, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return layers


def blur(alpha: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of [N, 1, S, S], ``sigma`` in pixels."""
    radius = math.ceil(2.5 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=alpha.device) / sigma) ** 2)
    taps = taps / taps.sum()
    alpha = F.conv2d(alpha, taps.view(1, 1, 1, -1), padding=(0, radius))
    return F.conv2d(alpha, taps.view(1, 1, -1, 1), padding=(radius, 0))


def shadow_shift(scene: Scene, thing: Thing) -> tuple[float, float]:
    """Offset of a thing's shadow away from the light, in shares of the picture."""
    reach = 0.05 * thing.size + 0.012
    return -math.cos(scene.light) * reach, -math.sin(scene.light) * reach


def shadows(scenes: Sequence[Scene], things: Sequence[Thing | None], layers: torch.Tensor) -> torch.Tensor:
    """Soft shadows [N, 1, S, S] in 0..1; none in the sky."""
    pixels, device = layers.shape[-1], layers.device
    shifts, strengths = [], []
    for scene, thing in zip(scenes, things, strict=True):
        across, down = shadow_shift(scene, thing) if thing else (0.0, 0.0)
        shifts.append([[1.0, 0.0, -2 * across], [0.0, 1.0, -2 * down]])
        strengths.append(SHADOW if thing and scene.ground != "sky" else 0.0)
    grid = F.affine_grid(torch.tensor(shifts, device=device), [len(scenes), 1, pixels, pixels], align_corners=False)
    fallen = F.grid_sample(layers[:, 3:], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return blur(fallen, pixels / 45) * torch.tensor(strengths, device=device).view(-1, 1, 1, 1)


@functools.cache
def ground_bank(device: torch.device) -> torch.Tensor:
    """All textures [grounds * VARIANTS, 3, SIDE, SIDE] on ``device``, for training; 170 MB on a
    GPU.
    """
    names = [name for name in GROUND_NAMES for _ in range(VARIANTS)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        textures = pool.map(texture, names, [*range(VARIANTS)] * len(GROUND_NAMES))
        return torch.stack([values.half() for values in textures]).to(device)


def draw_grounds(scenes: Sequence[Scene], pixels: int, device: torch.device) -> torch.Tensor:
    """The visible parts of the scenes' textures, [N, 3, pixels, pixels]."""
    maps = []
    for scene in scenes:
        _, left, top, side = scene.patch
        maps.append([[side, 0.0, (1 - side) * (2 * left - 1)], [0.0, side, (1 - side) * (2 * top - 1)]])
    grid = F.affine_grid(torch.tensor(maps, device=device), [len(scenes), 3, pixels, pixels], align_corners=False)
    if device.type == "cuda":
        rows = [GROUND_NAMES.index(scene.ground) * VARIANTS + scene.patch[0] for scene in scenes]
        textures = ground_bank(device)[rows].float()
    else:
        textures = torch.stack([texture(scene.ground, scene.patch[0]) for scene in scenes])
    return F.grid_sample(textures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def lights(scenes: Sequence[Scene], pixels: int, device: torch.device) -> torch.Tensor:
    """The factor [N, 1, pixels, pixels] of light and shade."""
    axis = (torch.arange(pixels, device=device) + 0.5) / pixels - 0.5
    values = torch.tensor(
        [[math.cos(s.light) * s.shade, math.sin(s.light) * s.shade, s.bright] for s in scenes], device=device
    )
    across, down, bright = (values[:, column].view(-1, 1, 1, 1) for column in range(3))
    return bright * (1 + across * axis.view(1, 1, 1, -1) + down * axis.view(1, 1, -1, 1))


@torch.no_grad()
def render_batch(
    scenes: Sequence[Scene], pixels: int = SIZE, device: torch.device | str = "cpu", change: Callable | None = None
) -> Rendered:
    """Draw many scenes at once. ``change(place, layers)`` may replace the layers [N, 4, S, S] of
    thing number ``place`` of all scenes.
    """
    device = torch.device(device)
    pictures = draw_grounds(scenes, pixels, device)
    most = max(len(scene.things) for scene in scenes)
    cover = torch.zeros(len(scenes), most, pixels, pixels, device=device)
    for place in range(most):
        things = [scene.things[place] if place < len(scene.things) else None for scene in scenes]
        layers = draw_sprites(things, pixels, device)
        layers = change(place, layers) if change else layers
        dark = shadows(scenes, things, layers)
        pictures = pictures * (1 - dark) + torch.tensor(SHADOW_COLOUR, device=device).view(1, 3, 1, 1) * dark
        alpha = layers[:, 3:]
        pictures = pictures * (1 - alpha) + layers[:, :3]
        cover[:, :place] *= 1 - alpha
        cover[:, place] = alpha[:, 0]
    pictures = (pictures * lights(scenes, pixels, device)).clamp(0, 1)
    return Rendered(pictures, [cover[row, : len(scene.things)] for row, scene in enumerate(scenes)])


def render(scene: Scene, pixels: int = SIZE) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Draw one scene: the picture [3, pixels, pixels] in 0..1, and each thing's visible coverage
    [pixels, pixels].
    """
    drawn = render_batch([scene], pixels)
    return drawn.pictures[0], list(drawn.masks[0])
