"""Restoring what lies outside the mask: the loss of Blended Latent Diffusion (section 4.2), the loop that lowers it, and its measures.

Decoded pictures are [B, C, ..., H, W] in the decoder's range -1..1; masks are [B, 1, ..., H, W] in 0..1, 1 where the edit counts.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch

from ..masks.operations import gaussian_blur, grow_mask


@dataclass(frozen=True)
class Goal:
    """What a decoded picture should be: ``source`` outside the mask, ``edited`` (the decode that the optimisation starts from) inside."""
    source: torch.Tensor
    edited: torch.Tensor
    mask: torch.Tensor
    background_weight: float = 100.0

    def crop(self, window: tuple[slice, slice]) -> "Goal":
        """The goal of a part of the picture, rows and columns."""
        source, edited, mask = (part[(..., *window)] for part in (self.source, self.edited, self.mask))
        return Goal(source, edited, mask, self.background_weight)


def reconstruction_loss(decoded: torch.Tensor, goal: Goal) -> torch.Tensor:
    """MSE(m * edited, m * decoded) + weight * MSE((1 - m) * source, (1 - m) * decoded); both means are over all pixels, so the weight does not depend on
    the mask's area."""
    inside = (goal.mask * (decoded - goal.edited)).square().mean()
    outside = ((1 - goal.mask) * (decoded - goal.source)).square().mean()
    return inside + goal.background_weight * outside


def masked_psnr(decoded: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor) -> float | None:
    """PSNR in dB of pictures as one sees them (clamped), over where ``weight`` is; None where it is nowhere. 100 at most."""
    total = float(weight.expand_as(decoded[:, :1]).sum())
    if total == 0:
        return None
    squares = ((decoded.clamp(-1, 1) - wanted.clamp(-1, 1)) / 2).square().mean(1, keepdim=True)
    return min(100.0, -10 * math.log10(max(float((weight * squares).sum()) / total, 1e-12)))


@dataclass
class Plateau:
    """Says when a rising number has stopped to rise: less than ``gain`` over the best of the last ``patience`` looks. Never with a patience of 0."""
    patience: int
    gain: float = 0.02
    best: float = -math.inf
    waited: int = 0

    def reached(self, value: float) -> bool:
        if value >= self.best + self.gain:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return 0 < self.patience <= self.waited


@dataclass
class Curve:
    """Background PSNR at every look, and why the loop ended: no longer improving, or an optimiser that struggles."""
    values: list[float | None] = field(default_factory=list)
    stopped_early: bool = False
    struggled: bool = False


class Optimiser(Protocol):
    """What :func:`descend` asks of an optimiser; where it ``struggles``, the loop ends."""

    @property
    def struggles(self) -> bool: ...

    def zero_grad(self) -> None: ...
    def step(self, loss: float) -> None: ...
    def finish(self) -> None: ...


class Adam:
    """The paper's optimiser: a constant learning rate."""
    struggles = False

    def __init__(self, parameters: list[torch.nn.Parameter], learning_rate: float):
        self.adam = torch.optim.Adam(parameters, lr=learning_rate)

    def zero_grad(self) -> None:
        self.adam.zero_grad(set_to_none=True)

    def step(self, loss: float) -> None:
        self.adam.step()

    def finish(self) -> None:
        """The last step counts, seen or not."""


def descend(lower: Callable[[], tuple[torch.Tensor, float]], optimiser: Optimiser, goal: Goal, steps: int, patience: int = 0,
            look: Callable[[torch.Tensor, float | None], None] | None = None) -> Curve:
    """Lower the loss for ``steps`` passes, or until the background no longer improves.

    Args:
        lower: one forward and backward pass: leaves gradients on the parameters, returns the decoded picture without a graph, and its loss.
        optimiser: ``zero_grad()``, ``step(loss)`` and, once at the end, ``finish()``; the loop ends where it ``struggles``.
        look: called after every pass with its picture and that picture's PSNR outside the mask.

    Raises:
        ValueError: the picture is no longer finite.
    """
    curve, plateau = Curve(), Plateau(patience)
    for i in range(steps):
        optimiser.zero_grad()
        decoded, loss = lower()
        if not math.isfinite(loss):
            raise ValueError(f"the decoded picture holds NaN or infinite values after {i} steps; lower the learning rate")
        background = masked_psnr(decoded, goal.source, 1 - goal.mask)
        optimiser.step(loss)
        curve.values.append(background)
        if look is not None:
            look(decoded, background)
        if background is not None and plateau.reached(background):
            curve.stopped_early = True
            break
        if optimiser.struggles:
            curve.struggled = True
            break
    optimiser.finish()
    return curve


def feather_inwards(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """A mask [N, H, W] that rises from 0 at its border to its own values ``pixels`` further in; what was 0 stays 0."""
    if pixels <= 0:
        return mask
    return torch.minimum(mask, gaussian_blur(grow_mask(mask, -pixels), pixels / 3))
