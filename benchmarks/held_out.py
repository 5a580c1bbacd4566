"""Shared by the benchmarks of edits: held-out edits of the demo world, their pictures and masks,
and the judge's verdicts.

Training never saw the (thing, ground) pairs of these scenes. The edits are those of
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
    """``count`` edits, their ``kinds`` in turn, of scenes of ``things`` things (None: one to
    three).
    """
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
    """Pictures and masks of N edits: IMAGEs ``before`` and ``after`` [N, S, S, 3], and masks [N, S,
    S] of 0 and 1: ``thing`` covers the edited things of the source, ``either`` the latent cells
    that the edited things touch in either picture.
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
    """Render both pictures of every edit and their masks."""
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
    """Whether each IMAGE [N, S, S, 3] shows exactly its scene: the things, their colours, the
    ground.
    """
    readings = judge.recognise(pictures.movedim(-1, 1).clamp(0, 1))
    return [reading.shows(scene) for reading, scene in zip(readings, scenes, strict=True)]


def judged(pictures: torch.Tensor, base: torch.Tensor, edits: Sequence[HeldOut], either: torch.Tensor) -> list[dict]:
    """Evaluate the results [N, S, S, 3] of edits.

    Returns:
        Per edit, 0 or 1: ``accepted``, the picture shows exactly the target's scene; ``in place``, it is
        accepted and more than half of the cells that show each edited thing lie in ``either`` [N, S, S].
        And ``background``: PSNR in dB outside ``either`` against ``base``; NaN if the ground is edited.
    """
    outcomes = []
    readings = judge.recognise(pictures.movedim(-1, 1).clamp(0, 1))
    for number, (reading, edit) in enumerate(zip(readings, edits, strict=True)):
        after, inside = edit.edit.after, either[number] > 0.5
        accepted = reading.shows(after)
        names = [after.things[place].kind for place in edit.edit.changed_after]
        grid = inside[CELL // 2 :: CELL, CELL // 2 :: CELL]
        placed = accepted and all(float(grid[reading.cells[name]].float().mean()) > 0.5 for name in names)
        is_ground = edit.kind == "ground"
        background = math.nan if is_ground else common.psnr(pictures[number], base[number], ~inside)
        outcomes.append({"accepted": float(accepted), "in place": float(placed), "background": background})
    return outcomes


def groups(edits: Sequence[HeldOut], batch: int) -> list[list[HeldOut]]:
    """The edits in groups of at most ``batch``."""
    return [list(edits[start : start + batch]) for start in range(0, len(edits), batch)]
