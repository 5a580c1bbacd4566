"""The tail of a decoder: all stages after one stage, run from the output of that stage.

The tail is a view of the network (shared weights) that skips the earlier stages. Decoders that
cannot be run this way (for example video decoders that work frame by frame) have no tail.
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
    """Returns its first argument."""

    def forward(self, x, *_, **__):
        return x


class _Reached(Exception):
    """Ends a decode once the features are known."""


class Tail:
    """The decoder after stage ``index``.

    Attributes:
        copies: the view of each module in the tail, by the id of the module in the network.
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
        """The features at the cut [B, C, ..., h, w], with their autograd graph."""
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
        """Decode features at the cut, or a window of them, to the image or a piece of it."""
        self._replay.features = features
        try:
            return self.recording.run(self._view)
        finally:
            self._replay.features = None

    def reach(self, scale: int) -> int:
        """The distance in features up to which a pixel depends on its surroundings, with ``scale``
        pixels per feature.
        """
        layers = (layer for stage in self.stages for layer in stage.module.modules())
        kernels = (getattr(layer, "kernel_size", None) for layer in layers)
        halves = [kernel[-1] // 2 for kernel in kernels if kernel is not None]
        return math.ceil(sum(halves) / scale) + 1


def cut(recording: Recording, index: int) -> tuple[Tail | None, list[str]]:
    """The tail after stage ``index``, and notes; None if it does not decode to the same image."""
    if index < 0 or index + 1 >= len(recording.stages) or not recording.runs_once:
        return None, []
    tail = Tail(recording, index)
    try:
        with torch.no_grad():
            same = recording.is_same(tail.decode(tail.head()))
    except Exception as error:  # the class of the decoder is unknown, so any error is possible
        return None, [f"the last blocks cannot be run alone ({type(error).__name__})"]
    return (tail if same else None), []
