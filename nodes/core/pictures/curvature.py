"""Coordinates whitened by the curvature of each layer.

Fitting one image is a deterministic least-squares problem, and Adam spends most of its steps on the
bad scaling between layers and channels. K-FAC (Martens and Grosse 2015; Grosse and Martens 2016 for
convolutions) approximates the Gauss-Newton matrix of a layer by a Kronecker product of two small
matrices: the second moment of the inputs, and that of the gradients which random signs at the
output send back. The weights are moved along the eigenvectors of these two matrices. The curvature
of a pair of directions is the product of their eigenvalues, corrected by the squared gradients of
the random signs (in the spirit of George et al. 2018). In units of this curvature the matrix is
close to the identity. A quasi-Newton method with a short memory (:mod:`lbfgs`) then needs few
passes, and its memory is small because few directions matter.
"""

import math
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import torch

Layer = torch.nn.Conv2d | torch.nn.Conv3d | torch.nn.Linear
LAYERS = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)
WIDE = 1024
"""Layers with more inputs (times the kernel's size) than this are measured with a sketch of this
many rows.
"""


@dataclass
class Whitened:
    """A layer in whitened coordinates V.

    The weight, flattened to [out, in * kernel] with the bias as the last column, moves by
    ``outgoing (scale * V) incoming^T``; the optimiser works on V.

    Attributes:
        incoming: input eigenvectors [in * kernel (+ 1), r] in bfloat16 (half the memory; exact
            orthonormality is not needed).
        outgoing: eigenvectors of the output gradients [out, s], likewise.
        scale: [s, r], the inverse square root of the curvature of each pair of directions.
    """

    layer: Layer
    incoming: torch.Tensor
    outgoing: torch.Tensor
    scale: torch.Tensor

    def gradient(self) -> torch.Tensor:
        """The flat gradient of V, from the gradients that the layer holds."""
        return (self.scale * (self.outgoing.float().T @ _gradient(self.layer) @ self.incoming.float())).flatten()

    def move(self, step: torch.Tensor) -> None:
        """Add the flat ``step`` to V."""
        change = self.outgoing.float() @ (self.scale * step.view_as(self.scale)) @ self.incoming.float().T
        if self.layer.bias is not None:
            self.layer.bias += change[:, -1]
            change = change[:, :-1]
        self.layer.weight += change.reshape(self.layer.weight.shape)


def _gradient(layer: Layer) -> torch.Tensor:
    """Gradient of the layer as [out, in * kernel (+ 1)], the bias last."""
    weight, bias = layer.weight.grad, None if layer.bias is None else layer.bias.grad
    if weight is None:
        raise RuntimeError("the layer holds no gradient")
    return weight.flatten(1) if bias is None else torch.cat([weight.flatten(1), bias[:, None]], 1)


class _Incoming:
    """Second moment [size, size] of a layer's inputs; for wide layers a sketch [WIDE, size] of
    randomly signed sums.
    """

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
            self.moment[: len(part)] += part

    def directions(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Eigenvalues and eigenvectors (columns)."""
        if not self.wide:
            return _eigen(self.moment / self.count)
        values, vectors = _eigen(self.moment @ self.moment.T / self.count)
        keep = values > 1e-6 * values.amax()
        values, vectors = values[keep], vectors[:, keep]
        return values, self.moment.T @ vectors / (values * self.count).sqrt()


def whiten(
    modules: list[torch.nn.Module],
    probe: Callable[[], object],
    damping: float = 1e-4,
    samples: int = 6144,
    recomputed: Container[torch.nn.Module] = (),
) -> list[Whitened]:
    """Measure the curvature of the convolutions (stride 1) and linear layers of ``modules``.

    The gradients of the modules must be empty.

    Args:
        probe: one forward and backward pass, whole or in tiles, of the output times random signs.
            The output is scaled such that its squared norm (without the signs) equals the loss up
            to the targets.
        damping: added to the curvature of every pair of directions; directions far below it are
            left out.
        samples: positions per layer and tile at which inputs are sampled.
        recomputed: layers that run again in the backward pass; only their first run is measured.
    """
    inner = (layer for module in modules for layer in module.modules())
    layers = list(dict.fromkeys(layer for layer in inner if isinstance(layer, LAYERS) and _is_simple(layer)))
    incoming: dict[Layer, _Incoming] = {}
    outgoing: dict[Layer, torch.Tensor] = {}

    def watch(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if not output.requires_grad or (layer in incoming and layer in recomputed):
            return
        rows = _patches(inputs[0].detach().float(), layer, samples)
        if layer.bias is not None:
            rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
        incoming.setdefault(layer, _Incoming(rows.shape[1])).add(rows)

        def add(gradient: torch.Tensor) -> None:
            outgoing[layer] = outgoing.get(layer, 0) + _second_moment(gradient.float(), layer)

        output.register_hook(add)  # type: ignore[no-untyped-call]

    hooks = [layer.register_forward_hook(watch) for layer in layers]
    try:
        probe()
    finally:
        for hook in hooks:
            hook.remove()
    # The layers that ran may be views of those in ``layers``, with the same weights.
    measured = (
        _whitened(layer, incoming.pop(layer), moment, damping) for layer, moment in list(outgoing.items())[::-1]
    )
    return [whitened for whitened in measured if whitened is not None]


def _is_simple(layer: Layer) -> bool:
    if isinstance(layer, torch.nn.Linear):
        return True
    dense = layer.groups == 1 and set(layer.stride) == {1} and set(layer.dilation) == {1}
    return dense and all(side % 2 for side in layer.kernel_size)


def _second_moment(tensor: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Second moment [channels, channels] of a layer's output gradient, summed over positions."""
    rows = tensor.flatten(0, -2) if isinstance(layer, torch.nn.Linear) else tensor.movedim(1, 0).flatten(1).T
    return rows.T @ rows


def _patches(inputs: torch.Tensor, layer: Layer, samples: int) -> torch.Tensor:
    """Input patches of ``samples`` output positions, [samples, in * kernel]; the time axis is
    causal.
    """
    if isinstance(layer, torch.nn.Linear):
        rows = inputs.flatten(0, -2)
        return rows[:: max(1, len(rows) // samples)]
    kernel = layer.kernel_size
    padding: list[int] = []
    for axis, size in reversed(list(enumerate(kernel))):
        padding += (size - 1, 0) if len(kernel) == 3 and axis == 0 else (size // 2, size // 2)
    volume, places = torch.nn.functional.pad(inputs[:1], padding)[0], inputs[0, 0].numel()
    chosen = torch.linspace(0, places - 1, min(samples, places)).long().to(inputs.device)
    where = torch.unravel_index(chosen, inputs.shape[2:])
    taps = []
    for tap in zip(*torch.unravel_index(torch.arange(math.prod(kernel)), kernel), strict=True):
        shifted = [position + int(offset) for position, offset in zip(where, tap, strict=True)]
        taps.append(volume[(slice(None), *shifted)])  # type: ignore[index]
    return torch.stack(taps, 1).flatten(0, 1).T


@torch.no_grad()
def _whitened(layer: Layer, seen: _Incoming, moment: torch.Tensor, damping: float) -> Whitened | None:
    """None for a dead layer: its inputs or its output gradients are zero."""
    (into, incoming), (back, outgoing) = seen.directions(), _eigen(moment)
    balance = (max(float(into.sum()) / len(incoming), 1e-9) / max(float(back.mean()), 1e-9)) ** 0.5
    into_kept, back_kept = into > 0.05 * damping**0.5 * balance, back > 0.05 * damping**0.5 / balance
    if not (into_kept.any() and back_kept.any()):
        return None
    incoming, outgoing = incoming[:, into_kept], outgoing[:, back_kept]
    measured = (outgoing.T @ _gradient(layer) @ incoming).square()
    curvature = fit_scales(measured, back[back_kept, None] * into[None, into_kept])
    return Whitened(layer, incoming.bfloat16(), outgoing.bfloat16(), (curvature + damping).rsqrt())


def fit_scales(measured: torch.Tensor, expected: torch.Tensor, trust: float = 2.0, rounds: int = 5) -> torch.Tensor:
    """Scale rows and columns of ``expected`` to the means of ``measured`` (iterative proportional
    fitting).

    The squared gradient of one random probe is an unbiased but noisy estimate of the curvature of
    each entry. Sums over rows and columns are less noisy. They correct two assumptions of the
    product of second moments: that inputs and gradients are independent, and that gradients of
    neighbouring positions are.

    Args:
        trust: weight of the expectation in each row and column, as a number of entries.
    """
    rows, columns = measured.new_ones(len(measured), 1), measured.new_ones(1, measured.shape[1])
    for _ in range(rounds):
        rows = ((measured / (expected * columns)).sum(1, keepdim=True) + trust) / (measured.shape[1] + trust)
        columns = ((measured / (expected * rows)).sum(0, keepdim=True) + trust) / (len(measured) + trust)
    return expected * rows * columns


def _eigen(moment: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues and eigenvectors (columns) of a positive semidefinite matrix.

    In float64 and on the CPU, for results that hardly depend on the machine: in float32 the fit is as
    good and half as expensive, but two LAPACKs lead it to different weights.
    """
    matrix = moment.double().cpu()
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        # LAPACK fails on some matrices with many equal eigenvalues (dead channels); the SVD gives
        # the same values.
        vectors, values, _ = torch.linalg.svd(matrix)
    return values.clamp_min(0).to(moment), vectors.to(moment)
