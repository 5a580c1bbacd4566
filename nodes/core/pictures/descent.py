"""The loop that minimises a reconstruction loss, with early stopping, the interface of optimisers,
and Adam.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch

from ..errors import NodeError
from .background import Goal, masked_psnr


@dataclass
class EarlyStopping:
    """True once the value has not improved by ``gain`` for ``patience`` calls. Disabled when
    ``patience`` is 0.
    """

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
    """The PSNR of the background in dB before every step, and whether early stopping or an
    optimiser that ``struggles`` ended the loop.
    """

    values: list[float | None] = field(default_factory=list)
    stopped_early: bool = False
    struggled: bool = False


class Optimiser(Protocol):
    """An optimiser for :func:`descend`; the loop ends when ``struggles`` is true."""

    @property
    def struggles(self) -> bool: ...

    def zero_grad(self) -> None: ...
    def step(self, loss: float) -> None: ...
    def finish(self) -> None: ...


class Adam:
    """The optimiser of the paper, at a constant learning rate."""

    struggles = False

    def __init__(self, parameters: list[torch.nn.Parameter], learning_rate: float):
        self.adam = torch.optim.Adam(parameters, lr=learning_rate)

    def zero_grad(self) -> None:
        self.adam.zero_grad(set_to_none=True)

    def step(self, loss: float) -> None:
        self.adam.step()

    def finish(self) -> None:
        """Keep the last step; its loss is not evaluated."""


def descend(
    lower: Callable[[], tuple[torch.Tensor, float]],
    optimiser: Optimiser,
    goal: Goal,
    steps: int,
    patience: int = 0,
    callback: Callable[[torch.Tensor, float | None], None] | None = None,
) -> Curve:
    """Minimise the loss for ``steps`` passes, or until the background no longer improves.

    Args:
        lower: one forward and backward pass: leaves gradients on the parameters, returns the
            decoded image (detached) and its loss.
        optimiser: gets ``zero_grad()`` and ``step(loss)`` in every pass, and ``finish()`` once at
            the end.
        callback: called after every pass with the decoded image and its PSNR outside the mask.

    Raises:
        NodeError: the decoded image is no longer finite.
    """
    curve, stopping = Curve(), EarlyStopping(patience)
    for i in range(steps):
        optimiser.zero_grad()
        decoded, loss = lower()
        if not math.isfinite(loss):
            raise NodeError(
                f"the decoded image contains NaN or infinite values after {i} steps; lower the learning rate"
            )
        background = masked_psnr(decoded, goal.source, 1 - goal.mask)
        optimiser.step(loss)
        curve.values.append(background)
        if callback is not None:
            callback(decoded, background)
        if background is not None and stopping.reached(background):
            curve.stopped_early = True
            break
        if optimiser.struggles:
            curve.struggled = True
            break
    optimiser.finish()
    return curve
