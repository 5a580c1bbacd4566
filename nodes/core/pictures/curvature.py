"""A better-conditioned way down a reconstruction loss: limited-memory BFGS in coordinates whitened by each layer's curvature.

Fitting one picture is a deterministic least-squares problem, and Adam spends most of its steps on the bad scaling between layers and channels. K-FAC (Martens
and Grosse 2015; Grosse and Martens 2016 for convolutions) approximates a layer's Gauss-Newton matrix by a product of two small ones: the second moment of
what comes in and that of the derivatives that come back for random signs at the output. Their eigenvectors are the directions in which weights move here; how much each
pair of them curves is their product, corrected by the derivatives of the random signs themselves (in the spirit of George et al. 2018). In units of that
curvature the matrix is about the identity, a quasi-Newton method with a short memory gets by with few passes, and all that it remembers is small, because
few directions matter.
"""
import math
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import torch

Layer = torch.nn.Conv2d | torch.nn.Conv3d | torch.nn.Linear
LAYERS = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)
WIDE = 1024
BACK = 0.35
"""Layers with more inputs than this (times the kernel) are looked at through a sketch of so many rows; and how far a step that made things worse is taken back to."""


@dataclass
class Whitened:
    """A layer seen in the directions that matter to it.

    Its weight, flattened to [out, in * kernel] with the bias as one more column, moves by ``outgoing (scale * V) incoming^T``; V is what the optimiser sees.

    Attributes:
        incoming: [in * kernel (+ 1), r]: what comes in, orthonormal up to half precision (any directions would do, and these weigh half as much).
        outgoing: [out, s]: what the derivatives that come back span, likewise.
        scale: [s, r], the inverse root of the curvature of each pair of directions.
    """
    layer: Layer
    incoming: torch.Tensor
    outgoing: torch.Tensor
    scale: torch.Tensor

    def gradient(self) -> torch.Tensor:
        """Of V, flat, from the gradients that the layer holds."""
        return (self.scale * (self.outgoing.float().T @ _gradient(self.layer) @ self.incoming.float())).flatten()

    def move(self, step: torch.Tensor) -> None:
        """Add the flat ``step`` to V."""
        change = self.outgoing.float() @ (self.scale * step.view_as(self.scale)) @ self.incoming.float().T
        if self.layer.bias is not None:
            self.layer.bias += change[:, -1]
            change = change[:, :-1]
        self.layer.weight += change.reshape(self.layer.weight.shape)


def _gradient(layer: Layer) -> torch.Tensor:
    """[out, in * kernel (+ 1)], the bias's as the last column."""
    weight, bias = layer.weight.grad, None if layer.bias is None else layer.bias.grad
    if weight is None:
        raise RuntimeError("the layer holds no gradient")
    return weight.flatten(1) if bias is None else torch.cat([weight.flatten(1), bias[:, None]], 1)


class _Incoming:
    """The second moment of what a layer's outputs look at: [size, size], or of wide layers a sketch of it, sums of rows with random signs [WIDE, size]."""

    def __init__(self, size: int):
        self.count, self.wide, self.signs = 0, size > WIDE, torch.Generator().manual_seed(0)
        self.moment = torch.zeros(min(size, WIDE), size)

    def add(self, rows: torch.Tensor) -> None:
        self.count, self.moment = self.count + len(rows), self.moment.to(rows)
        if not self.wide:
            self.moment += rows.T @ rows
            return
        signs = torch.randint(0, 2, (len(rows), 1), generator=self.signs).to(rows) * 2 - 1
        for part in torch.split(rows * signs, WIDE):
            self.moment[:len(part)] += part

    def directions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(values, vectors as columns)."""
        if not self.wide:
            return _eigen(self.moment / self.count)
        values, vectors = _eigen(self.moment @ self.moment.T / self.count)
        keep = values > 1e-6 * values.amax()
        values, vectors = values[keep], vectors[:, keep]
        return values, self.moment.T @ vectors / (values * self.count).sqrt()


def whiten(modules: list[torch.nn.Module], probe: Callable[[], None], damping: float = 1e-4, samples: int = 6144,
           recomputed: Container[torch.nn.Module] = ()) -> list[Whitened]:
    """Measure the curvature of the convolutions (stride 1) and linear layers of ``modules``, whose gradients must be empty before.

    Args:
        probe: one forward and backward pass, whole or in tiles, of an output times random signs. The output is scaled so that its squared length, without the
            signs, is the loss up to what the goal adds.
        damping: added to the curvature of every pair of directions; where a direction's own is far below, it is left out.
        samples: places per layer and tile at which inputs are looked at.
        recomputed: layers that run again on the way back, and of which only the first run counts.
    """
    layers = list(dict.fromkeys(layer for module in modules for layer in module.modules() if isinstance(layer, LAYERS) and _is_simple(layer)))
    incoming: dict[Layer, _Incoming] = {}
    outgoing: dict[Layer, torch.Tensor] = {}

    def watch(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if not output.requires_grad or (layer in incoming and layer in recomputed):
            return
        rows = _patches(inputs[0].detach().float(), layer, samples)
        if layer.bias is not None:
            rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
        incoming.setdefault(layer, _Incoming(rows.shape[1])).add(rows)
        output.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: outgoing.__setitem__(layer, outgoing.get(layer, 0) + _second_moment(gradient.float(), layer)))

    hooks = [layer.register_forward_hook(watch) for layer in layers]
    try:
        probe()
    finally:
        for hook in hooks:
            hook.remove()
    # What ran may be views of the layers that share all but their identity.
    found = (_whitened(layer, incoming.pop(layer), moment, damping) for layer, moment in list(outgoing.items())[::-1])
    return [one for one in found if one is not None]


def _is_simple(layer: Layer) -> bool:
    if isinstance(layer, torch.nn.Linear):
        return True
    return layer.groups == 1 and set(layer.stride) == {1} and set(layer.dilation) == {1} and all(side % 2 for side in layer.kernel_size)


def _second_moment(tensor: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Of a layer's channels, [channels, channels], summed over places."""
    rows = tensor.flatten(0, -2) if isinstance(layer, torch.nn.Linear) else tensor.movedim(1, 0).flatten(1).T
    return rows.T @ rows


def _patches(inputs: torch.Tensor, layer: Layer, samples: int) -> torch.Tensor:
    """What ``samples`` places of the output see, [samples, in * kernel]; a kernel's time axis looks back."""
    if isinstance(layer, torch.nn.Linear):
        rows = inputs.flatten(0, -2)
        return rows[::max(1, len(rows) // samples)]
    kernel = layer.kernel_size
    padding = [side for axis, size in reversed(list(enumerate(kernel))) for side in ((size - 1, 0) if len(kernel) == 3 and axis == 0 else (size // 2, size // 2))]
    volume, places = torch.nn.functional.pad(inputs[:1], padding)[0], inputs[0, 0].numel()
    chosen = torch.linspace(0, places - 1, min(samples, places)).long().to(inputs.device)
    where = torch.unravel_index(chosen, inputs.shape[2:])
    offsets = [[int(offset) for offset in tap] for tap in zip(*torch.unravel_index(torch.arange(math.prod(kernel)), kernel), strict=True)]
    taps = [volume[(slice(None), *(position + offset for position, offset in zip(where, tap, strict=True)))]  # type: ignore[index]
            for tap in offsets]
    return torch.stack(taps, 1).flatten(0, 1).T


@torch.no_grad()
def _whitened(layer: Layer, seen: _Incoming, moment: torch.Tensor, damping: float) -> Whitened | None:
    """None for a dead layer, into which nothing comes or from which nothing comes back."""
    (into, incoming), (back, outgoing) = seen.directions(), _eigen(moment)
    balance = (max(float(into.sum()) / len(incoming), 1e-9) / max(float(back.mean()), 1e-9)) ** 0.5
    into_kept, back_kept = into > 0.05 * damping ** 0.5 * balance, back > 0.05 * damping ** 0.5 / balance
    if not (into_kept.any() and back_kept.any()):
        return None
    incoming, outgoing = incoming[:, into_kept], outgoing[:, back_kept]
    measured = (outgoing.T @ _gradient(layer) @ incoming).square()
    curvature = fit_scales(measured, back[back_kept, None] * into[None, into_kept])
    return Whitened(layer, incoming.bfloat16(), outgoing.bfloat16(), (curvature + damping).rsqrt())


def fit_scales(measured: torch.Tensor, expected: torch.Tensor, trust: float = 2.0, rounds: int = 5) -> torch.Tensor:
    """``expected`` with its rows and columns scaled so that their means fit those of ``measured`` (iterative proportional fitting).

    The squared derivative of one random probe is a fair but noisy measure of each entry's curvature; sums over rows and columns are less noisy, and correct
    what the product of two second moments gets wrong: that inputs and derivatives depend on each other, and that derivatives of neighbouring places do.

    Args:
        trust: how many entries the expectation itself counts for in each row and column.
    """
    rows, columns = measured.new_ones(len(measured), 1), measured.new_ones(1, measured.shape[1])
    for _ in range(rounds):
        rows = ((measured / (expected * columns)).sum(1, keepdim=True) + trust) / (measured.shape[1] + trust)
        columns = ((measured / (expected * rows)).sum(0, keepdim=True) + trust) / (len(measured) + trust)
    return expected * rows * columns


def _eigen(moment: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, vectors as columns) of a matrix without negative eigenvalues."""
    matrix = moment.double().cpu()
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        # LAPACK gives up on some matrices with many equal eigenvalues, which dead channels make; singular values are the same.
        vectors, values, _ = torch.linalg.svd(matrix)
    return values.clamp_min(0).to(moment), vectors.to(moment)


class WhitenedLbfgs:
    """L-BFGS on V of all ``layers``. Each ``step(loss)`` reads the gradients at the current point and goes on from there, or back if it got worse.

    ``finish`` leaves the weights at the best point seen. Holds 2 * memory vectors of V's size in half precision and two in full, and a few more while it works.
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
        """Whether so many steps made things worse that the curvature measured at the start cannot hold here.

        Near a good fit about one step in sixteen is taken back; a decoder far from its goal, whose loss is no parabola,
        takes back every second or third.
        """
        return self.rejected >= 3 and 4 * self.rejected >= self.steps

    def zero_grad(self) -> None:
        for one in self.layers:
            one.layer.weight.grad = None
            if one.layer.bias is not None:
                one.layer.bias.grad = None

    @torch.no_grad()
    def step(self, loss: float) -> None:
        self.steps += 1
        self.rejected += loss >= self.best_loss
        if loss < self.best_loss:
            gradient = torch.cat([one.gradient() for one in self.layers])
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
            self.pairs = [*self.pairs, pair][-self.memory:]

    def _direction(self, gradient: torch.Tensor) -> torch.Tensor:
        """The two-loop recursion. What the pairs say nothing of is scaled as the flattest of the last few."""
        direction, weights = gradient.clone(), []
        for moved, change in reversed(self.pairs):
            weights.append(_dot(moved, direction) / _dot(moved, change))
            direction.sub_(change.float(), alpha=weights[-1])
        direction *= max((_dot(moved, change) / _dot(change, change) for moved, change in self.pairs[-4:]), default=self.first_step)
        for (moved, change), weight in zip(self.pairs, reversed(weights), strict=True):
            direction.add_(moved.float(), alpha=weight - _dot(change, direction) / _dot(moved, change))
        return direction

    def _move(self, step: torch.Tensor) -> None:
        start = 0
        for one in self.layers:
            stop = start + one.scale.numel()
            one.move(step[start:stop])
            start = stop


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a.float() @ b.float())
