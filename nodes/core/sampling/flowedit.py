"""FlowEdit ("FlowEdit: Inversion-Free Text-Based Editing Using Pre-Trained Flow Models", Kulikov et
al. 2024, algorithm 1).

No inversion: an edit moves along the difference between the target's and the source's velocity,
    both taken at the source noised to the current level by
the same noise. Written for flow models; in sigma space the same lines hold for eps- and v-models,
whose derivative takes the velocity's place.
"""

from collections.abc import Callable

import torch

from ..masks.operations import blend
from .prediction import Callback, Predict, require_finite


def flow_edit(
    predict_source: Predict,
    predict_target: Predict,
    x0: torch.Tensor,
    add_noise: Callable[[float, int], torch.Tensor],
    sigmas: torch.Tensor,
    averages: int = 1,
    mask: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Move ``x0`` [B, C, ...] from the source's text to the target's.

    Args:
        predict_source, predict_target: the derivative under each text, guided.
        add_noise: ``(sigma, draw) -> x0`` noised to ``sigma``; every ``draw`` 0, 1, 2, ... has a
            noise of its own.
        sigmas: descending; the first one says how far the edit may go from the source (the paper's
            n_max).
        averages: draws per step over which the difference is averaged (the paper's n_avg).
        mask: [B, 1, ...]; where it is 0 the result is ``x0``.

    Raises:
        NotFinite: the network predicts NaN or infinite values; says at which step.
    """
    levels, edited = sigmas.double().tolist(), x0
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        total = torch.zeros_like(x0)
        for draw in range(i * averages, (i + 1) * averages):
            source = add_noise(high, draw)
            difference = predict_target(edited + source - x0, high) - predict_source(source, high)
            total = total + require_finite(difference, i, high)
        edited = edited + (low - high) * total / averages
        if mask is not None:
            edited = blend(edited, x0, mask)
        if callback is not None:
            callback({"x": edited, "i": i, "sigma": high, "denoised": edited})
    return edited
