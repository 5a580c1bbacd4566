"""Things with the typical errors of generators, as counterexamples for the judge and for CLIP."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from ..world.render import blur, draw_sprites
from ..world.scenes import COLOUR_NAMES, Scene, Thing
from ..world.things import KINDS, PAINTED

FAULTS = ("warped", "halved", "blended", "cut", "smeared", "miscoloured")


def other_thing(thing: Thing, rng: random.Random) -> Thing:
    """The thing with another kind, in the same place."""
    kind = rng.choice([kind for kind in KINDS if kind != thing.kind])
    return replace(thing, kind=kind, colour=rng.choice(COLOUR_NAMES) if kind in PAINTED else None)


def half_plane(thing: Thing, rng: random.Random, pixels: int, device) -> torch.Tensor:
    """1 on one side of a line through the thing's centre, with a soft edge, [1, pixels, pixels]."""
    angle, shift = rng.uniform(0, 2 * math.pi), rng.uniform(-0.1, 0.1) * thing.size
    axis = (torch.arange(pixels, device=device) + 0.5) / pixels
    across, down = axis[None, :] - thing.x, axis[:, None] - thing.y
    return (((across * math.cos(angle) + down * math.sin(angle) - shift) * pixels / 3) + 0.5).clamp(0, 1)[None]


def warp(layer: torch.Tensor, thing: Thing, rng: random.Random) -> torch.Tensor:
    """Bend a layer [4, S, S] by waves a third as long as the thing."""
    pixels, device = layer.shape[-1], layer.device
    axis = (torch.arange(pixels, device=device) + 0.5) / pixels * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    reach, turns = rng.uniform(0.16, 0.28) * thing.size, math.pi / thing.size
    phases = [rng.uniform(0, 2 * math.pi) for _ in range(4)]
    dx = torch.sin(turns * rng.uniform(0.8, 1.6) * y + phases[0]) + torch.sin(
        turns * rng.uniform(0.8, 1.6) * x + phases[1]
    )
    dy = torch.sin(turns * rng.uniform(0.8, 1.6) * x + phases[2]) + torch.sin(
        turns * rng.uniform(0.8, 1.6) * y + phases[3]
    )
    grid = torch.stack([x + reach * dx, y + reach * dy], -1)
    return F.grid_sample(layer[None], grid[None], align_corners=False)[0]


def spoil_layer(layer: torch.Tensor, other: torch.Tensor, thing: Thing, fault: str, rng: random.Random) -> torch.Tensor:
    """A premultiplied layer [4, S, S] with a fault; ``other`` is another thing's layer in the same
    place.
    """
    pixels, device = layer.shape[-1], layer.device
    if fault == "warped":
        return warp(layer, thing, rng)
    if fault == "halved":
        return torch.lerp(layer, other, half_plane(thing, rng, pixels, device))
    if fault == "blended":
        return torch.lerp(layer, other, rng.uniform(0.4, 0.6))
    if fault == "cut":
        return layer * half_plane(thing, rng, pixels, device)
    if fault == "smeared":
        return blur(layer[:, None], rng.uniform(0.07, 0.12) * thing.size * pixels)[:, 0]
    order = rng.choice([(1, 2, 0, 3), (2, 0, 1, 3)])
    return layer[list(order)]


class Spoiler:
    """A ``change`` for ``render_batch`` that spoils thing number ``places[row]`` of each scene
    (None: nothing).
    """

    def __init__(self, scenes: Sequence[Scene], places: Sequence[int | None], rng: random.Random):
        self.scenes, self.places, self.rng = scenes, places, rng

    def __call__(self, place: int, layers: torch.Tensor) -> torch.Tensor:
        rows = [row for row, chosen in enumerate(self.places) if chosen == place]
        if not rows:
            return layers
        things = [self.scenes[row].things[place] for row in rows]
        others = draw_sprites([other_thing(thing, self.rng) for thing in things], layers.shape[-1], layers.device)
        for row, thing, other in zip(rows, things, others):
            faults = [fault for fault in FAULTS if fault != "miscoloured" or not thing.colour]
            layers[row] = spoil_layer(layers[row], other, thing, self.rng.choice(faults), self.rng)
        return layers


def weather(pictures: torch.Tensor, rng: random.Random, strength: float = 1.0) -> torch.Tensor:
    """Pictures with the blur, loss of resolution, noise and tint of small autoencoders and
    denoisers; a third of them is unchanged.
    """
    out = pictures.clone()
    for row in range(len(out)):
        if rng.random() < 0.33:
            continue
        picture = out[row : row + 1]
        if rng.random() < 0.6:
            picture = blur(picture.movedim(1, 0), strength * rng.uniform(0.4, 1.6) * picture.shape[-1] / 256).movedim(
                0, 1
            )
        if rng.random() < 0.4:
            small = round(picture.shape[-1] / rng.uniform(1.2, 1 + 1.2 * strength))
            picture = F.interpolate(picture, (small, small), mode="bilinear", antialias=True, align_corners=False)
            picture = F.interpolate(picture, out.shape[-2:], mode="bicubic", align_corners=False)
        noise = strength * rng.uniform(0, 0.04)
        tint = 0.03 * torch.randn(1, 3, 1, 1, device=out.device)
        out[row] = (picture * rng.uniform(0.92, 1.08) + noise * torch.randn_like(picture) + tint)[0]
    return out.clamp(0, 1)
