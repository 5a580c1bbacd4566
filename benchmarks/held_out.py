"""What the benchmarks of edits share: held-out edits of the world of things, drawn, and judged.

Every (thing, ground) pair of these scenes is one that training never saw. The edits are those of
``demo/measure.py``: the same seed and index give the same edit.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from demo.world import judge
from demo.world.edits import Edit, random_edit
from demo.world.render import render_batch
from demo.world.scenes import Scene, caption
from lab import common

CELL = 8
"""Pixels along the side of a latent cell."""
KINDS = ("replace", "recolour")


@dataclass(frozen=True)
class HeldOut:
    """An edit with its number, which also seeds its noises."""

    index: int
    edit: Edit

    @property
    def kind(self) -> str:
        return self.edit.kind

    @property
    def source(self) -> str:
        return caption(self.edit.before)

    @property
    def target(self) -> str:
        return caption(self.edit.after)


def make_edits(count: int, seed: int, kinds: Sequence[str] = KINDS, things: int | None = 1) -> list[HeldOut]:
    """``count`` edits, their ``kinds`` in turn, of scenes of ``things`` things (None: one to three)."""
    return [
        HeldOut(
            index,
            random_edit(
                random.Random(f"edit {seed} {index}"), kinds[index % len(kinds)], unseen=True, count=things, vary=False
            ),
        )
        for index in range(count)
    ]


class Drawn(NamedTuple):
    """IMAGEs ``before`` and ``after`` [N, S, S, 3] and masks [N, S, S] of 0 and 1: ``thing`` covers what is
    edited as it is before, ``either`` the latent cells of it before and after.
    """

    before: torch.Tensor
    after: torch.Tensor
    thing: torch.Tensor
    either: torch.Tensor


def cells_of(cover: torch.Tensor) -> torch.Tensor:
    """The latent cells with a pixel that belongs mostly to ``cover`` [N, S, S], as a mask [N, S, S]."""
    cells = (torch.nn.functional.max_pool2d(cover[:, None], CELL)[:, 0] > 0.5).float()
    return cells.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)


def draw(edits: Sequence[HeldOut], pixels: int = 256) -> Drawn:
    """Both pictures of every edit, and where it is."""
    before, after = (
        render_batch(scenes, pixels) for scenes in zip(*((e.edit.before, e.edit.after) for e in edits), strict=True)
    )
    empty = torch.zeros(1, pixels, pixels)
    old, new = (
        torch.stack([torch.cat([empty, drawn.masks[row][list(places[row])]]).amax(0) for row in range(len(edits))])
        for drawn, places in (
            (before, [e.edit.changed_before for e in edits]),
            (after, [e.edit.changed_after for e in edits]),
        )
    )
    pictures = [drawn.pictures.movedim(1, -1) for drawn in (before, after)]
    return Drawn(pictures[0], pictures[1], (old > 0.5).float(), cells_of(torch.maximum(old, new)))


def shown(pictures: torch.Tensor, scenes: Sequence[Scene]) -> list[bool]:
    """Whether each IMAGE [N, S, S, 3] shows exactly its scene: the things, their colours, the ground."""
    seen = judge.look(pictures.movedim(-1, 1).clamp(0, 1))
    return [one.shows(scene) for one, scene in zip(seen, scenes, strict=True)]


def judged(pictures: torch.Tensor, base: torch.Tensor, edits: Sequence[HeldOut], either: torch.Tensor) -> list[dict]:
    """What is measured of the results [N, S, S, 3] of edits.

    Per edit, 0 or 1: ``accepted``, the picture shows exactly the target's scene; ``in place``, and more than
    half of the cells that show what was edited lie in ``either`` [N, S, S]. And ``background``: PSNR in dB
    outside ``either`` against ``base``, NaN where the edit is of the ground.
    """
    found = []
    seen = judge.look(pictures.movedim(-1, 1).clamp(0, 1))
    for number, (one, edit) in enumerate(zip(seen, edits, strict=True)):
        after, inside = edit.edit.after, either[number] > 0.5
        accepted = one.shows(after)
        names = [after.things[place].kind for place in edit.edit.changed_after]
        grid = inside[CELL // 2 :: CELL, CELL // 2 :: CELL]
        placed = accepted and all(float(grid[one.cells[name]].float().mean()) > 0.5 for name in names)
        is_ground = edit.kind == "ground"
        background = math.nan if is_ground else common.psnr(pictures[number], base[number], ~inside)
        found.append({"accepted": float(accepted), "in place": float(placed), "background": background})
    return found


def groups(edits: Sequence[HeldOut], batch: int) -> list[list[HeldOut]]:
    """The edits in groups of at most ``batch``."""
    return [list(edits[start : start + batch]) for start in range(0, len(edits), batch)]
