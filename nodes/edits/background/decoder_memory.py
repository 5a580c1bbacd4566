"""Reduce the memory of one forward and backward pass of a decoder: process the last level in tiles,
recompute blocks, or neither.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch.utils.checkpoint import checkpoint

from .decoder_stages import Recording, Stage
from .decoder_tail import Tail

TILE = 256
"""Side of a tile in pixels."""
Slices = tuple[slice, slice]


@dataclass(frozen=True)
class Tile:
    """Rows and columns of a tile.

    Attributes:
        pixels: the tile in the image.
        features: the features at the cut for the tile and its surroundings.
        inner: the tile in the piece to which these features decode.
    """

    pixels: Slices
    features: Slices
    inner: Slices


@dataclass
class MemoryPlan:
    """The method that a pass uses to save memory.

    Attributes:
        kind: "off", "tiles" or "checkpointing".
        windows: the tiles that cover the image, for "tiles".
        notes: remarks for the report.
        recomputed: modules that run again in the backward pass.
    """

    kind: str
    windows: list[Tile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    recomputed: set[torch.nn.Module] = field(default_factory=set)
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def recompute(self, stages: list[Stage], copies: dict[int, torch.nn.Module]) -> None:
        """Checkpoint the blocks of the three upper levels among ``stages``, or their views in
        ``copies``.
        """
        limit = max(stage.height for stage in stages) // 4
        for stage in stages:
            if stage.height >= limit and any(True for _ in stage.module.parameters()):
                module = copies.get(id(stage.module), stage.module)
                self._undo.append(functools.partial(_restore_forward, module, module.__dict__.get("forward")))
                module.forward = functools.partial(checkpoint, module.forward, use_reentrant=False)
                self.recomputed.update(module.modules())

    def release(self) -> None:
        """Undo the checkpointing and restore the modules."""
        for undo in self._undo:
            undo()
        self._undo.clear()
        self.recomputed = set()


def _restore_forward(module: torch.nn.Module, forward: Callable | None) -> None:
    module.__dict__.pop("forward", None)
    if forward is not None:
        module.__dict__["forward"] = forward


def may_tile(recording: Recording, level: int) -> bool:
    """Whether the image is large enough for tiles and no stage from ``level`` on depends on the
    whole image.
    """
    modules = (module for stage in recording.stages[level:] for module in stage.module.modules())
    global_norm = any(isinstance(module, torch.nn.GroupNorm) for module in modules)
    return max(recording.picture.shape[-2:]) >= 2 * TILE and recording.picture.ndim <= 5 and not global_norm


def plan_memory(wanted: str, recording: Recording, tail: Tail | None, cached: bool) -> MemoryPlan:
    """Choose how to save memory.

    Args:
        wanted: "auto" (nothing below 512 pixels, else tiles where they are exact, else
            checkpointing), "off", "tiles" or "checkpointing".
        cached: only the tail runs, from features computed once.
    """
    if wanted in ("auto", "tiles") and tail is not None and (windows := exact_tiles(recording, tail)):
        plan = MemoryPlan("tiles", windows)
        if not cached:
            plan.recompute(recording.stages[: tail.index + 1], {})
        return plan
    if wanted == "auto" and max(recording.picture.shape[-2:]) < 2 * TILE:
        return MemoryPlan("off")
    if wanted == "off" or not recording.runs_once:
        refused = wanted in ("tiles", "checkpointing")
        notes = [f"{wanted} was not used, because this decoder runs in several pieces"] if refused else []
        return MemoryPlan("off", notes=notes)
    plan = MemoryPlan("checkpointing")
    if wanted == "tiles":
        plan.notes.append("tiles would change the result of this decoder, so checkpointing was used instead")
    plan.recompute(recording.stages, tail.copies if cached and tail is not None else {})
    return plan


def exact_tiles(recording: Recording, tail: Tail) -> list[Tile]:
    """Tiles with the surroundings on which the tail depends; empty if the first tile decodes to
    another result than the whole image.
    """
    if not may_tile(recording, tail.index + 1):
        return []
    with torch.no_grad():
        features = tail.head()
    scale = recording.picture.shape[-2] // features.shape[-2]
    windows = tiles(features.shape[-2:], TILE // scale, tail.reach(scale), scale)
    first = windows[0]
    with torch.no_grad():
        piece = tail.decode(features[(..., *first.features)])[(..., *first.inner)]
    return windows if recording.is_same(piece, first.pixels) else []


def tiles(shape: Iterable[int], size: int, halo: int, scale: int) -> list[Tile]:
    """Cover features of ``shape`` (rows, columns) with tiles of ``size``, enlarged by up to
    ``halo`` on every side.

    Args:
        scale: pixels per feature.
    """
    rows, columns = ([_span(first, size, length, halo, scale) for first in range(0, length, size)] for length in shape)
    return [Tile(*zip(row, column, strict=True)) for row in rows for column in columns]


def _span(first: int, size: int, length: int, halo: int, scale: int) -> tuple[slice, slice, slice]:
    """Pixels, features and inner pixels of a tile along one axis."""
    last, before = min(length, first + size), max(0, first - halo)
    pixels, features = slice(first * scale, last * scale), slice(before, min(length, last + halo))
    return pixels, features, slice((first - before) * scale, (last - before) * scale)
