"""The tail of a decoder: everything after one stage, replayed from the output of that stage.

The tail is a view of the network (shared weights) that skips the stages before. Decoders that
cannot be replayed this way (video decoders that work frame by frame, for example) have no tail.
"""

import contextlib
import math

import torch

from ...host.vae_copy import view_with
from .decoder_stages import Recording, Stage


class _Replay(torch.nn.Module):
    """Returns stored features, whatever its input."""

    features: torch.Tensor | None = None

    def forward(self, *_, **__):
        return self.features


class _Skip(torch.nn.Module):
    def forward(self, x, *_, **__):
        return x


class _Reached(Exception):
    """Ends a decode once the features are known."""


class Tail:
    """The decoder after stage ``index``.

    Attributes:
        copies: by id of a module of the network, its view in the tail.
    """

    def __init__(self, recording: Recording, index: int):
        self.recording, self.index = recording, index
        self.copies: dict[int, torch.nn.Module] = {}
        self._replay = _Replay()
        replaced: dict[int, torch.nn.Module] = {id(stage.module): _Skip() for stage in recording.stages[:index]}
        replaced[id(recording.stages[index].module)] = self._replay
        self._view = view_with(recording.network, replaced, self.copies)

    @property
    def stages(self) -> list[Stage]:
        """The stages that the tail runs."""
        return self.recording.stages[self.index + 1 :]

    def head(self) -> torch.Tensor:
        """The features at the cut [B, C, ..., h, w], with their graph."""
        caught = []

        def catch(module, inputs, output):
            caught.append(output)
            raise _Reached

        hook = self.recording.stages[self.index].module.register_forward_hook(catch)
        try:
            with contextlib.suppress(_Reached):
                self.recording.run(self.recording.network)
        finally:
            hook.remove()
        return caught[0]

    def decode(self, features: torch.Tensor) -> torch.Tensor:
        """The picture, or a piece of it, from features at the cut."""
        self._replay.features = features
        try:
            return self.recording.run(self._view)
        finally:
            self._replay.features = None

    def reach(self, scale: int) -> int:
        """How many features around its own a pixel depends on, with ``scale`` pixels per
        feature.
        """
        layers = (layer for stage in self.stages for layer in stage.module.modules())
        kernels = (getattr(layer, "kernel_size", None) for layer in layers)
        halves = [kernel[-1] // 2 for kernel in kernels if kernel is not None]
        return math.ceil(sum(halves) / scale) + 1


def cut(recording: Recording, index: int) -> tuple[Tail | None, list[str]]:
    """The tail after stage ``index``, and notes; None if replaying it does not give the same
    picture.
    """
    if index < 0 or index + 1 >= len(recording.stages) or not recording.runs_once:
        return None, []
    tail = Tail(recording, index)
    try:
        with torch.no_grad():
            same = recording.is_same(tail.decode(tail.head()))
    except Exception as error:  # decoders of any class come here; those that cannot be replayed run whole
        return None, [f"the last blocks cannot be run alone ({type(error).__name__})"]
    return (tail if same else None), []
