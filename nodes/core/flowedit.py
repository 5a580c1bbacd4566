"""FlowEdit ("FlowEdit: Inversion-Free Text-Based Editing Using Pre-Trained Flow Models", Kulikov et al. 2024, algorithm 1).

No inversion: an edit moves along the difference between the target's and the source's velocity, both taken at the source noised to the current level by
the same noise. Written for flow models; in sigma space the same lines hold for eps- and v-models, whose derivative takes the velocity's place.
"""
from collections.abc import Callable

import torch

from .masks import blend

Predict = Callable[[torch.Tensor, float], torch.Tensor]


def flow_edit(predict_source: Predict, predict_target: Predict, x0: torch.Tensor, add_noise: Callable[[float, int], torch.Tensor], sigmas: torch.Tensor,
              averages: int = 1, last_steps: int = 0, mask: torch.Tensor | None = None, callback=None) -> torch.Tensor:
    """Move ``x0`` [B, C, ...] from the source's text to the target's.

    Args:
        predict_source, predict_target: the derivative under each text, guided.
        add_noise: ``(sigma, draw) -> x0`` noised to ``sigma``; every ``draw`` has a noise of its own, items have theirs.
        sigmas: descending; the first one says how far the edit may go from the source (the paper's n_max).
        averages: noises per step over which the difference is averaged (the paper's n_avg).
        last_steps: the last so many steps sample the target alone (the paper's n_min), for changes of style.
        mask: [B, 1, ...]; where it is 0 the result is ``x0``.

    Raises:
        ValueError: the network predicts NaN or infinite values; says at which step.
    """
    levels, edited, x = sigmas.double().tolist(), x0, None
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        coupled = i < len(levels) - 1 - last_steps
        if coupled:
            derivative = 0.0
            for draw in range(i * averages, (i + 1) * averages):
                source = add_noise(high, draw)
                target = edited + source - x0
                derivative = derivative + (predict_target(target, high) - predict_source(source, high)) / averages
            edited = edited + (low - high) * _finite(derivative, high, i)
        else:
            x = edited + add_noise(high, i * averages) - x0 if x is None else x
            derivative = _finite(predict_target(x, high), high, i)
            clean = x - high * derivative
            x = x + (low - high) * derivative
            edited = clean if low > 0 else x
        if mask is not None:
            edited = blend(edited, x0, mask)
        if callback is not None:
            callback({"x": edited, "i": i, "sigma": high, "denoised": edited})
    return edited


def _finite(derivative: torch.Tensor, sigma: float, i: int) -> torch.Tensor:
    if not torch.isfinite(derivative).all():
        raise ValueError(f"the network predicted NaN or infinite values at step {i + 1} (sigma {sigma:.4g})")
    return derivative
