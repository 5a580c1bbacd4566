"""FlowEdit ("FlowEdit: Inversion-Free Text-Based Editing Using Pre-Trained Flow Models", Kulikov et
al. 2024, algorithm 1), with two later additions.

There is no inversion: an edit follows the difference between the velocities under the target's and
the source's text, both taken at the source noised to the current level with the same noise. Written
for flow models; in sigma space the same equations hold for eps- and v-models, with their derivative
as the velocity.

- VAGS (Luo et al. 2026, arXiv 2605.15661): guidance that depends on the noise level and on the
  angle between the two velocities, :func:`adaptive_guidance`;
- FlowAlign (Kim et al. 2025, arXiv 2505.23145): a term that pulls the edit's clean prediction
  towards the source's, ``source_term``.
"""

import math
from collections.abc import Callable

import torch

from ..masks.operations import blend
from .prediction import Callback, Predict, require_finite

PredictBeside = Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor]
"""``predict(x, sigma, source)``: the target's derivative at ``x``, given the source's derivative at
the source's state.
"""


def flow_edit(
    predict_source: Predict,
    predict_target: Predict,
    x0: torch.Tensor,
    add_noise: Callable[[float, int], torch.Tensor],
    sigmas: torch.Tensor,
    averages: int = 1,
    mask: torch.Tensor | None = None,
    callback: Callback | None = None,
    source_term: float = 0.0,
    predict_beside: PredictBeside | None = None,
) -> torch.Tensor:
    """Edit ``x0`` [B, C, ...] from the source's text to the target's.

    Args:
        predict_source, predict_target: the derivative under each text, guided.
        add_noise: ``(sigma, draw) -> x0`` noised to ``sigma``, with a different noise for every
            ``draw`` 0, 1, 2, ...
        sigmas: descending; the first one limits how far the edit may depart from the source (the
            paper's n_max).
        averages: draws per step over which the difference is averaged (the paper's n_avg).
        mask: [B, 1, ...]; where it is 0 the result is ``x0``.
        source_term: FlowAlign's zeta (0.01 in its code): the share of the difference between the
            source's and the edit's clean prediction that is added at every step.
        predict_beside: replaces ``predict_target``.

    Raises:
        NotFinite: the network predicts NaN or infinite values; the message names the step.
    """
    levels, edited = sigmas.double().tolist(), x0
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        total = torch.zeros_like(x0)
        for draw in range(i * averages, (i + 1) * averages):
            source = add_noise(high, draw)
            state = edited + source - x0
            if predict_beside is None:
                difference = predict_target(state, high) - predict_source(source, high)
            else:
                velocity = predict_source(source, high)
                difference = predict_beside(state, high, velocity) - velocity
            total = total + require_finite(difference, i, high)
        moved = edited + (low - high) * total / averages
        if source_term:
            moved = moved + source_term * (x0 - edited + high * total / averages)
        edited = moved if mask is None else blend(moved, x0, mask)
        if callback is not None:
            callback({"x": edited, "i": i, "sigma": high, "denoised": edited})
    return edited


def adaptive_guidance(
    conditional: torch.Tensor,
    unconditional: torch.Tensor,
    source: torch.Tensor,
    scale: float,
    kappa: float,
    signal: float,
) -> torch.Tensor:
    """VAGS: the target's derivative guided by ``scale * exp(kappa * (2 * signal - 1) * cosine)``.

    The cosine is taken per item between the source's guided derivative and a pilot of the target's,
    which is guided by ``scale * exp(kappa * (2 * signal - 1))``. Guidance rises as the noise falls,
    by a factor from exp(-kappa) to exp(kappa). With ``kappa`` 0 it is plain guidance.

    Args:
        conditional, unconditional: the target's derivatives [B, C, ...] at one state.
        source: the source's guided derivative at its own state.
        signal: 1 for a clean image, 0 for noise: ``1 - sigma`` of a flow model.
    """
    direction, exponent = conditional - unconditional, kappa * (2 * signal - 1)
    pilot = unconditional + scale * math.exp(exponent) * direction
    cosine = torch.nn.functional.cosine_similarity(source.flatten(1), pilot.flatten(1))
    factor = torch.exp(exponent * cosine).view(-1, *(1 for _ in conditional.shape[1:]))
    return unconditional + scale * factor * direction
