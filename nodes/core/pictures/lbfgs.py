"""Limited-memory BFGS in the whitened coordinates of :mod:`curvature`."""

import torch

from .curvature import Whitened

BACK = 0.35
"""A step that raised the loss is shortened to this fraction of its length."""


class WhitenedLbfgs:
    """L-BFGS on V of all ``layers``.

    Each ``step(loss)`` reads the gradients at the current point. If the loss fell it takes the next
    step, otherwise it shortens the last one to ``BACK`` of its length. ``finish`` restores the best
    point seen. Keeps ``2 * memory`` vectors of V's size in bfloat16 and two in float32, and
    allocates a few more during a step.
    """

    def __init__(self, layers: list[Whitened], memory: int = 8, first_step: float = 1e-3):
        self.layers, self.memory, self.first_step = layers, memory, first_step
        self.best_loss = float("inf")
        self.gradient: torch.Tensor | None = None
        self.moved: torch.Tensor | None = None
        self.pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.steps, self.rejected = 0, 0

    @property
    def struggles(self) -> bool:
        """Whether so many steps were rejected that the curvature measured at the start is no longer
        valid.

        Near a good fit about one step in sixteen is rejected; with a decoder far from its goal,
        where the loss is not quadratic, every second or third.
        """
        return self.rejected >= 3 and 4 * self.rejected >= self.steps

    def zero_grad(self) -> None:
        for whitened in self.layers:
            whitened.layer.weight.grad = None
            if whitened.layer.bias is not None:
                whitened.layer.bias.grad = None

    @torch.no_grad()
    def step(self, loss: float) -> None:
        self.steps += 1
        self.rejected += loss >= self.best_loss
        if loss < self.best_loss:
            gradient = torch.cat([whitened.gradient() for whitened in self.layers])
            if self.gradient is not None and self.moved is not None:
                self._remember(self.moved, gradient - self.gradient)
            self.best_loss, self.gradient = loss, gradient
            self.moved = self._direction(gradient).neg_()
            self._move(self.moved)
        elif self.moved is not None:
            self._move(self.moved * (BACK - 1))
            self.moved *= BACK

    @torch.no_grad()
    def finish(self) -> None:
        if self.moved is not None:
            self._move(-self.moved)
            self.moved = None

    def _remember(self, moved: torch.Tensor, change: torch.Tensor) -> None:
        pair = moved.bfloat16(), change.bfloat16()
        if _dot(*pair) > 1e-6 * float(moved.norm() * change.norm()):
            self.pairs = [*self.pairs, pair][-self.memory :]

    def _direction(self, gradient: torch.Tensor) -> torch.Tensor:
        """Two-loop recursion; the initial scale is the largest inverse curvature of the last four
        pairs.
        """
        direction, weights = gradient.clone(), []
        for moved, change in reversed(self.pairs):
            weights.append(_dot(moved, direction) / _dot(moved, change))
            direction.sub_(change.float(), alpha=weights[-1])
        inverse = (_dot(moved, change) / _dot(change, change) for moved, change in self.pairs[-4:])
        direction *= max(inverse, default=self.first_step)
        for (moved, change), weight in zip(self.pairs, reversed(weights), strict=True):
            direction.add_(moved.float(), alpha=weight - _dot(change, direction) / _dot(moved, change))
        return direction

    def _move(self, step: torch.Tensor) -> None:
        start = 0
        for whitened in self.layers:
            stop = start + whitened.scale.numel()
            whitened.move(step[start:stop])
            start = stop


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a.float() @ b.float())
