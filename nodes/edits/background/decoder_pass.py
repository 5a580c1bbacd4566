"""One pass through a private decoder and back, with little memory: blocks computed once, blocks recomputed, the last level in tiles.

A decoder is seen as its stages in the order in which they run, whatever its class: what runs is recorded in one decode. Replaying the rest from a stage's
output is done with a view of the network in which all stages before are skipped; where the replay does not give the same picture (video decoders that work
frame by frame, say), the whole decoder is used instead.
"""
import contextlib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

from ...core.pictures.background import Goal
from ...host.vae_copy import decoder_parts, view_with

SCOPES = ("whole decoder", "last blocks")
LOW_MEMORY = ("auto", "off", "tiles", "checkpointing")
TILE = 256
SAME = 2e-3
"""Pixels of a tile's side; and how far a replayed picture may be from the decoded one, in a range of 2."""
Loss = Callable[[torch.Tensor, Goal], torch.Tensor]


@dataclass(frozen=True)
class Stage:
    """A module of the decoder, how often it ran in one decode, and the height of what it gave."""
    module: torch.nn.Module
    runs: int
    height: int


class _Replay(torch.nn.Module):
    """Gives stored features whatever comes in."""
    features: torch.Tensor

    def forward(self, *_, **__):
        return self.features


class _Skip(torch.nn.Module):
    def forward(self, x, *_, **__):
        return x


class _Reached(Exception):
    pass


def record(network: torch.nn.Module, latent: torch.Tensor) -> tuple[torch.Tensor, list[Stage]]:
    """The decoded picture and the stages that made it, in the order of their first run."""
    seen, hooks = {}, []

    def note(module, _, output):
        runs, _ = seen.get(module, (0, 0))
        seen[module] = (runs + 1, output.shape[-2] if isinstance(output, torch.Tensor) and output.ndim > 3 else 0)

    try:
        hooks = [module.register_forward_hook(note) for part in decoder_parts(network).values() for module in _blocks(part)]
        with torch.no_grad():
            picture = network.decode(latent)
    finally:
        for hook in hooks:
            hook.remove()
    return picture, [Stage(module, *found) for module, found in seen.items()]


def _blocks(part: torch.nn.Module, top: bool = True):
    """What a decoder is made of: containers are opened, blocks are not."""
    opened = top or isinstance(part, (torch.nn.Sequential, torch.nn.ModuleList)) or type(part) is torch.nn.Module
    children = list(part.children())
    if not (opened and children):
        yield part
        return
    for child in children:
        yield from _blocks(child, top=False)


class DecoderPass:
    """``lower(loss)`` runs the decoder on a latent and back: gradients stay on ``parameters``, the picture [B, C, ..., H, W] and the loss come out.

    Args:
        network: private (see vae_copy); ``requires_grad`` of its weights is set here.
        scope: "whole decoder", or "last blocks": the last resolution level, what comes before computed once.
        low_memory: "checkpointing" computes blocks of the three upper levels again on the way back; "tiles" runs the last level piece by piece instead, which
            changes nothing where a pixel depends on its surroundings only; "auto" does nothing below 512 pixels, and takes tiles where they are exact, else
            checkpointing.
        mixed: activations in bfloat16; weights, loss and optimiser stay float32.
    """

    def __init__(self, network, latent: torch.Tensor, scope: str = SCOPES[0], low_memory: str = "auto", mixed: bool = False):
        self.network, self.latent, self.mixed, self.notes = network, latent, mixed, []
        self.picture, self.stages = record(network, latent)
        self.replay = self.tail = self.features = self.head_stage = None
        self.windows, self.copies, self.recomputed, level = [], {}, set(), self._last_level()
        if scope == "last blocks" or (low_memory in ("auto", "tiles") and self._may_tile(level)):
            self._cut(level if scope == "last blocks" else level - 1)
        if scope == "last blocks" and self.tail is None:
            self.notes.append("this decoder cannot be replayed from its last blocks, so the whole decoder was tuned")
        self.cached = scope == "last blocks" and self.tail is not None
        self.trained = self._trained_modules()
        network.requires_grad_(False)
        for module in self.trained:
            module.requires_grad_(True)
        self.parameters = list(dict.fromkeys(parameter for module in self.trained for parameter in module.parameters()))
        self.low_memory = self._save_memory(low_memory)
        if self.cached:
            self.features = self._head().detach()

    def lower(self, loss: Loss, goal: Goal) -> tuple[torch.Tensor, float]:
        """``loss(piece, goal of the piece)`` of the whole picture or of its tiles, weighted by their size; one backward pass."""
        if self.low_memory != "tiles":
            decoded = self._tail(self.features) if self.cached else self._run(self.network)
            value = loss(decoded.float(), goal)
            value.backward()
            return decoded.detach().float(), float(value.detach())
        head = self.features if self.cached else self._head()
        leaf = head.detach().requires_grad_(not self.cached)
        decoded, total = torch.empty_like(goal.source), 0.0
        for window, around, inner in self.windows:
            piece = self._tail(leaf[(..., *around)])[(..., *inner)].float()
            value = loss(piece, goal.crop(window)) * (piece.numel() / decoded.numel())
            value.backward()
            decoded[(..., *window)] = piece.detach()
            total += float(value.detach())
            del piece, value
        if not self.cached:
            head.backward(leaf.grad)
        return decoded, total

    def decode(self) -> torch.Tensor:
        """The picture as the network stands, float32 throughout."""
        with torch.no_grad():
            return self.network.decode(self.latent)

    def _trained_modules(self) -> list[torch.nn.Module]:
        if not self.cached:
            return list(decoder_parts(self.network).values())
        cut = [stage.module for stage in self.stages].index(self.head_stage)
        return [stage.module for stage in self.stages[cut + 1:]]

    def _last_level(self) -> int:
        heights = [stage.height for stage in self.stages]
        return heights.index(max(heights)) if heights else 0

    def _cut(self, index: int) -> None:
        """Prepare to replay everything after stage ``index``, unless that would not be the same decoder."""
        if index < 0 or index + 1 >= len(self.stages) or any(stage.runs != 1 for stage in self.stages):
            return
        replay = _Replay()
        skipped = {id(stage.module): _Skip() for stage in self.stages[:index]}
        self.copies = {}
        tail = view_with(self.network, {**skipped, id(self.stages[index].module): replay}, self.copies)
        self.replay, self.head_stage = replay, self.stages[index].module
        try:
            with torch.no_grad():
                replay.features = self._head()
                same = self._run(tail).float()
            if same.shape == self.picture.shape and float((same - self.picture).abs().amax()) < self._same():
                self.tail = tail
        except Exception as error:  # any class of decoder may come; what cannot be replayed is run whole
            self.notes.append(f"not replayed ({type(error).__name__})")
        replay.features = None

    def _same(self) -> float:
        return 0.2 if self.mixed else SAME

    def _head(self) -> torch.Tensor:
        """What the stage before the tail gives, with its graph."""
        caught = []

        def catch(module, inputs, output):
            caught.append(output)
            raise _Reached

        hook = self.head_stage.register_forward_hook(catch)
        try:
            with contextlib.suppress(_Reached):
                self._run(self.network)
        finally:
            hook.remove()
        return caught[0]

    def _tail(self, features: torch.Tensor) -> torch.Tensor:
        self.replay.features = features
        try:
            return self._run(self.tail)
        finally:
            self.replay.features = None

    def _run(self, network) -> torch.Tensor:
        with torch.autocast(self.latent.device.type, torch.bfloat16, enabled=self.mixed):
            return network.decode(self.latent)

    def _save_memory(self, wanted: str) -> str:
        if wanted in ("auto", "tiles") and self._plan_tiles():
            if not self.cached:
                self._recompute(self.stages[:[stage.module for stage in self.stages].index(self.head_stage) + 1])
            return "tiles"
        if wanted == "auto" and max(self.picture.shape[-2:]) < 2 * TILE:
            return "off"
        if wanted == "off" or any(stage.runs != 1 for stage in self.stages):
            if wanted in ("tiles", "checkpointing"):
                self.notes.append(f"{wanted} does not work with a decoder that runs in several pieces")
            return "off"
        if wanted == "tiles":
            self.notes.append("tiles would change what this decoder gives, so blocks were recomputed instead")
        self._recompute(self.stages)
        return "checkpointing"

    def _recompute(self, stages: list[Stage]) -> None:
        """Have the blocks of the three upper levels computed again on the way back."""
        limit = max(stage.height for stage in self.stages) // 4
        for stage in stages:
            if stage.height >= limit and any(True for _ in stage.module.parameters()):
                module = self.copies.get(id(stage.module), stage.module) if self.cached else stage.module
                module.forward = functools.partial(checkpoint, module.forward, use_reentrant=False)
                self.recomputed.update(module.modules())

    def _may_tile(self, level: int) -> bool:
        """Large enough to need it, and nothing from ``level`` on looks at the whole picture."""
        looks = any(isinstance(module, torch.nn.GroupNorm) for stage in self.stages[level:] for module in stage.module.modules())
        return max(self.picture.shape[-2:]) >= 2 * TILE and self.picture.ndim <= 5 and not looks

    def _plan_tiles(self) -> bool:
        """Divide the features into tiles with as much around them as the tail looks at; true if the tail gives the same picture tile by tile."""
        height = self.picture.shape[-2]
        if self.tail is None or not self._may_tile([stage.module for stage in self.stages].index(self.head_stage) + 1):
            return False
        with torch.no_grad():
            features = self._head()
        scale, halo = height // features.shape[-2], self._reach(height // features.shape[-2])
        for top in range(0, features.shape[-2], TILE // scale):
            for left in range(0, features.shape[-1], TILE // scale):
                self.windows.append(_window((top, left), TILE // scale, features.shape[-2:], halo, scale))
        window, around, inner = self.windows[0]
        with torch.no_grad():
            piece = self._tail(features[(..., *around)])[(..., *inner)]
        return piece.shape == self.picture[(..., *window)].shape and float((piece.float() - self.picture[(..., *window)]).abs().amax()) < self._same()

    def _reach(self, scale: int) -> int:
        cut = [stage.module for stage in self.stages].index(self.head_stage)
        sizes = [layer.kernel_size[-1] // 2 for stage in self.stages[cut + 1:] for layer in stage.module.modules() if hasattr(layer, "kernel_size")]
        return math.ceil(sum(sizes) / scale) + 1

    def release(self) -> None:
        """Undo what checkpointing did to the private network and forget all features and gradients."""
        for stage in self.stages:
            stage.module.__dict__.pop("forward", None)
        self.tail = self.replay = self.features = None
        self.copies = {}
        for parameter in self.parameters:
            parameter.grad = None
        self.network.requires_grad_(False)


def _window(start: tuple[int, int], size: int, shape, halo: int, scale: int):
    """(pixels of a tile, features of the tile and around it, where the tile's pixels are in what those give), rows and columns each."""
    parts = []
    for first, length in zip(start, shape, strict=True):
        last, before = min(length, first + size), max(0, first - halo)
        parts.append((slice(first * scale, last * scale), slice(before, min(length, last + halo)), slice((first - before) * scale, (last - before) * scale)))
    return tuple(zip(*parts, strict=True))
