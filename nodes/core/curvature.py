"""A better-conditioned way down a reconstruction loss: limited-memory BFGS in coordinates whitened by each layer's curvature.

Fitting one picture is a deterministic least-squares problem, and Adam spends most of its steps on the bad scaling between layers and channels. K-FAC (Martens
and Grosse 2015; Grosse and Martens 2016 for convolutions) approximates a layer's Gauss-Newton matrix by a product of two small ones: the second moment of
what comes in and that of the derivatives that come back for random signs at the output. With weights written as W0 + G^-1/2 V A^-1/2 that matrix becomes
about the identity, and a quasi-Newton method with a short memory gets by with few passes.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

LAYERS = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)


@dataclass
class InverseRoot:
    """(M + damping)^-1/2 of a positive matrix of which only the eigenvectors well above the damping are kept: ``floor`` * 1 + Q diag(excess) Q^T."""
    floor: float
    basis: torch.Tensor
    excess: torch.Tensor

    def apply(self, rows: torch.Tensor) -> torch.Tensor:
        """Times each row of [N, size]."""
        return rows * self.floor + ((rows @ self.basis) * self.excess) @ self.basis.T


@dataclass
class Whitened:
    """A layer, its starting weight and bias, and the inverse roots of its two curvature factors."""
    layer: torch.nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None
    incoming: InverseRoot
    outgoing: InverseRoot

    def turn(self, weight: torch.Tensor) -> torch.Tensor:
        """Both factors applied to a weight or its gradient [out, in, *kernel]; symmetric, so one function serves both ways."""
        return self.outgoing.apply(self.incoming.apply(weight.flatten(1)).T).T.reshape(weight.shape)

    def turn_bias(self, bias: torch.Tensor) -> torch.Tensor:
        return self.outgoing.apply(bias[None])[0]


def whiten(modules: list[torch.nn.Module], probe: Callable[[], None], damping: float = 1e-3, samples: int = 1536) -> list[Whitened]:
    """Measure the curvature of the convolutions (stride 1) and linear layers of ``modules``.

    Args:
        probe: one forward and backward pass, whole or in tiles, of an output times random signs. The output is scaled so that its squared length, without the
            signs, is the loss up to what the goal adds.
        damping: added to the product of the factors, split by their traces.
        samples: places per layer and tile at which inputs are looked at.
    """
    layers = list(dict.fromkeys(layer for module in modules for layer in module.modules() if isinstance(layer, LAYERS) and _is_simple(layer)))
    incoming, outgoing, hooks = {}, {}, []

    def watch(layer, inputs, output):
        if output.requires_grad:
            incoming.setdefault(layer, []).append(_patches(inputs[0].detach().float(), layer, samples))
            output.register_hook(lambda gradient: outgoing.__setitem__(layer, outgoing.get(layer, 0) + _second_moment(gradient.float(), layer)))

    try:
        hooks = [layer.register_forward_hook(watch) for layer in layers]
        probe()
    finally:
        for hook in hooks:
            hook.remove()
    return [_factors(layer, torch.cat([rows[::len(parts)] for rows in parts]), outgoing[layer], damping) for layer, parts in incoming.items() if layer in outgoing]


def _is_simple(layer) -> bool:
    if isinstance(layer, torch.nn.Linear):
        return True
    return layer.groups == 1 and set(layer.stride) == {1} and set(layer.dilation) == {1} and all(side % 2 for side in layer.kernel_size)


def _second_moment(tensor: torch.Tensor, layer) -> torch.Tensor:
    """Of a layer's channels, [channels, channels], summed over places."""
    rows = tensor.flatten(0, -2) if isinstance(layer, torch.nn.Linear) else tensor.movedim(1, 0).flatten(1).T
    return rows.T @ rows


def _patches(inputs: torch.Tensor, layer, samples: int) -> torch.Tensor:
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
    taps = [volume[(slice(None), *(position + offset for position, offset in zip(where, tap, strict=True)))] for tap in offsets]
    return torch.stack(taps, 1).flatten(0, 1).T


def _factors(layer, patches: torch.Tensor, outgoing: torch.Tensor, damping: float) -> Whitened:
    # A dead layer (zero inputs or derivatives) must not get an infinite step.
    traces = [max(float(value), 1e-9) for value in (patches.square().mean(), outgoing.diagonal().mean())]
    balance = (traces[0] / traces[1]) ** 0.5
    bias = getattr(layer, "bias", None)
    return Whitened(layer, layer.weight.detach().clone(), None if bias is None else bias.detach().clone(),
                    _root_of_samples(patches, damping ** 0.5 * balance), _root_of_moment(outgoing, damping ** 0.5 / balance))


def _root_of_samples(rows: torch.Tensor, damping: float) -> InverseRoot:
    """Of the second moment of ``rows`` [N, size], by whichever of its two Gram matrices is smaller."""
    count, size = rows.shape
    if size > count // 2:
        rows = rows[::max(1, count // 768)]
        count = len(rows)
    if size <= count:
        return _root_of_moment(rows.T @ rows / count, damping)
    values, vectors = torch.linalg.eigh((rows @ rows.T / count).double().cpu())
    kept = values > 0.05 * damping
    values, vectors = values[kept].to(rows), vectors[:, kept].to(rows)
    return _low_rank(values, rows.T @ vectors / (values * count).sqrt(), damping)


def _root_of_moment(moment: torch.Tensor, damping: float) -> InverseRoot:
    values, vectors = torch.linalg.eigh(moment.double().cpu())
    kept = values > 0.05 * damping
    return _low_rank(values[kept].to(moment), vectors[:, kept].to(moment), damping)


def _low_rank(values: torch.Tensor, basis: torch.Tensor, damping: float) -> InverseRoot:
    floor = damping ** -0.5
    return InverseRoot(floor, basis.contiguous(), (values + damping).rsqrt() - floor)


class WhitenedLbfgs:
    """L-BFGS on the weights of ``layers``. Each ``step(loss)`` reads the gradients at the current point and goes on from there, or back if it got worse.

    ``finish`` leaves the weights at the best point seen. Holds 2 * memory + 4 vectors of the weights' size.
    """

    def __init__(self, layers: list[Whitened], memory: int = 4, first_step: float = 3e-3):
        self.layers, self.memory, self.first_step, self.shrink = layers, memory, first_step, 1.0
        self.point = self.best = torch.zeros(sum(layer.weight.numel() + (0 if layer.bias is None else layer.bias.numel()) for layer in layers),
                                             device=layers[0].weight.device)
        self.best_loss, self.gradient, self.direction, self.pairs = float("inf"), None, None, []

    def zero_grad(self) -> None:
        for layer in self.layers:
            layer.layer.weight.grad = None
            if layer.bias is not None:
                layer.layer.bias.grad = None

    @torch.no_grad()
    def step(self, loss: float) -> None:
        if loss < self.best_loss:
            gradient = self._gradient()
            if self.gradient is not None:
                moved, change = self.point - self.best, gradient - self.gradient
                if float(moved @ change) > 1e-12 * float(moved.norm() * change.norm()):
                    self.pairs = [*self.pairs, (moved, change)][-self.memory:]
            self.best, self.best_loss, self.gradient, self.shrink = self.point, loss, gradient, 1.0
            self.direction = self._direction()
        else:
            self.shrink *= 0.35
        self._go_to(self.best - self.shrink * self.direction)

    @torch.no_grad()
    def finish(self) -> None:
        self._go_to(self.best)

    def _direction(self) -> torch.Tensor:
        """The two-loop recursion."""
        direction, weights = self.gradient.clone(), []
        for moved, change in reversed(self.pairs):
            weights.append(float(moved @ direction) / float(moved @ change))
            direction -= weights[-1] * change
        moved, change = self.pairs[-1] if self.pairs else (None, None)
        direction *= float(moved @ change) / float(change @ change) if self.pairs else self.first_step
        for (moved, change), weight in zip(self.pairs, reversed(weights), strict=True):
            direction += moved * (weight - float(change @ direction) / float(moved @ change))
        return direction

    def _gradient(self) -> torch.Tensor:
        parts = []
        for one in self.layers:
            parts.append(one.turn(one.layer.weight.grad).flatten())
            if one.bias is not None:
                parts.append(one.turn_bias(one.layer.bias.grad))
        return torch.cat(parts)

    def _go_to(self, point: torch.Tensor) -> None:
        self.point, start = point, 0
        for one in self.layers:
            stop = start + one.weight.numel()
            one.layer.weight.copy_(one.weight + one.turn(point[start:stop].view_as(one.weight)))
            start = stop
            if one.bias is not None:
                stop = start + one.bias.numel()
                one.layer.bias.copy_(one.bias + one.turn_bias(point[start:stop]))
                start = stop
