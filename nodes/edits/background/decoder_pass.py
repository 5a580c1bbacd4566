"""Forward and backward passes of a private decoder, by its recording, tail and memory plan."""

from collections.abc import Callable

import torch

from ...core.pictures.background import Goal
from ...host.vae_copy import decoder_parts
from .decoder_memory import may_tile, plan_memory
from .decoder_stages import Recording, record
from .decoder_tail import Tail, cut

SCOPES = ("whole decoder", "last blocks")
LOW_MEMORY = ("auto", "off", "tiles", "checkpointing")
Loss = Callable[[torch.Tensor, Goal], torch.Tensor]


class DecoderPass:
    """``lower(loss)`` runs one forward and backward pass of the decoder on a latent and adds the
    gradients to ``parameters``.

    Args:
        network: private (see vae_copy); ``requires_grad`` of its weights is set here.
        scope: "whole decoder", or "last blocks": only the last resolution level is tuned, and its
            input is computed once.
        low_memory: "checkpointing" recomputes blocks of the three upper levels in the backward
            pass; "tiles" runs the last level tile by tile, if that gives the same image; "auto"
            chooses, see :func:`plan_memory`.
        mixed: activations in bfloat16; weights, loss and optimiser stay float32.

    Attributes:
        picture: the decoded image before tuning [B, C, ..., H, W].
        trained: the modules that are tuned, and ``parameters``, their weights.
        memory: the memory plan.
        notes: remarks for the report on settings that could not be used.
    """

    def __init__(
        self, network, latent: torch.Tensor, scope: str = SCOPES[0], low_memory: str = "auto", mixed: bool = False
    ):
        self.network, self.recording = network, record(network, latent, mixed)
        self.picture = self.recording.picture
        self.tail, self.notes = _tail_for(self.recording, scope, low_memory)
        tuned = self.tail if scope == "last blocks" else None
        self.trained = list(decoder_parts(network).values())
        if tuned is not None:
            self.trained = [stage.module for stage in tuned.stages]
        network.requires_grad_(False)
        for module in self.trained:
            module.requires_grad_(True)
        weights = (parameter for module in self.trained for parameter in module.parameters())
        self.parameters = list(dict.fromkeys(weights))
        self.memory = plan_memory(low_memory, self.recording, self.tail, tuned is not None)
        self.notes += self.memory.notes
        self.features: torch.Tensor | None = None if tuned is None else tuned.head().detach()

    def lower(self, loss: Loss, goal: Goal) -> tuple[torch.Tensor, float]:
        """One forward and backward pass of ``loss(piece, goal of the piece)``, on the whole image
        or on its tiles, weighted by their size.

        Returns the decoded image (detached, float32) and the loss.
        """
        if self.tail is not None and self.memory.kind == "tiles":
            return self._lower_tiles(self.tail, loss, goal)
        if self.tail is None or self.features is None:
            decoded = self.recording.run(self.network)
        else:
            decoded = self.tail.decode(self.features)
        value = loss(decoded.float(), goal)
        value.backward()
        return decoded.detach().float(), float(value.detach())

    def _lower_tiles(self, tail: Tail, loss: Loss, goal: Goal) -> tuple[torch.Tensor, float]:
        """Add up the gradients of all tiles at the features, and propagate the sum through the rest
        of the decoder once.
        """
        cached = self.features is not None
        head = tail.head() if self.features is None else self.features
        leaf = head.detach().requires_grad_(not cached)
        decoded, total = torch.empty_like(goal.source), 0.0
        for window in self.memory.windows:
            piece = tail.decode(leaf[(..., *window.features)])[(..., *window.inner)].float()
            value = loss(piece, goal.crop(window.pixels)) * (piece.numel() / decoded.numel())
            value.backward()
            decoded[(..., *window.pixels)] = piece.detach()
            total += float(value.detach())
            del piece, value
        if not cached:
            head.backward(leaf.grad)
        return decoded, total

    def decode(self) -> torch.Tensor:
        """The decoded image with the current weights, entirely in float32."""
        with torch.no_grad():
            return self.network.decode(self.recording.latent)

    def release(self) -> None:
        """Undo the checkpointing of the private network and free features and gradients."""
        self.memory.release()
        self.tail, self.features = None, None
        for parameter in self.parameters:
            parameter.grad = None
        self.network.requires_grad_(False)


def _tail_for(recording: Recording, scope: str, low_memory: str) -> tuple[Tail | None, list[str]]:
    """The tail for "last blocks" or for tiles, and notes; None if neither is requested or
    possible.
    """
    level, last_blocks = recording.last_level, scope == "last blocks"
    if not last_blocks and not (low_memory in ("auto", "tiles") and may_tile(recording, level)):
        return None, []
    tail, notes = cut(recording, level if last_blocks else level - 1)
    if last_blocks and tail is None:
        notes.append("the last blocks of this decoder cannot be run alone, so the whole decoder was tuned")
    return tail, notes
