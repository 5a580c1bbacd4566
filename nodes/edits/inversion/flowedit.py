"""FlowEdit through ComfyUI: the source's and the target's text, each with its own guidance, at the
same noise.
"""

import torch

from ...core.sampling.ddim import relative_error
from ...core.sampling.flowedit import flow_edit
from ...host.exact_prediction import ExactPredictor, batches_together, exact_state
from ...host.latents import item_seeds, read_latent
from ...host.progress import Progress
from ...host.reports import make_report, phrase
from ...host.sampling import Predictor, make_guider, run_algorithm
from ...host.step_caches import remark, without_step_caches
from ..masks.masked_latents import changed, edited_samples, mask_that_counts, warn_of_empty
from ..words import percents
from .base import with_a_way_out

UNMOVED = 1e-4
"""Relative change below which the two texts made no difference; rounding alone stays below it."""


def edit(
    model,
    source,
    target,
    negative,
    latent: dict,
    seed: int,
    sigmas: torch.Tensor,
    source_cfg: float,
    target_cfg: float,
    averages: int,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None, dict]:
    """The edited samples in the VAE's space, the mask on the latent's grid if there is one, and a
    report. Item k of a batch has the noises of ``seed + k``.
    """
    samples = read_latent(latent, model)
    cells = mask_that_counts(model, mask, latent, samples)
    generators = [torch.Generator().manual_seed(one) for one in item_seeds(latent, samples.shape[0], seed)]
    bar, bare = Progress(len(sigmas) - 1, model), without_step_caches(model)

    def run(predictor: Predictor, x0: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        exact, x0 = ExactPredictor(predictor, batches_together(predictor, x0)), exact_state(x0)

        def add_noise(sigma: float, draw: int) -> torch.Tensor:
            noise = torch.stack([torch.randn(x0.shape[1:], generator=one) for one in generators])
            return exact.noised(x0, noise.to(x0), sigma)

        edited = flow_edit(
            lambda x, sigma: exact.eps(x, sigma, "source", source_cfg),
            lambda x, sigma: exact.eps(x, sigma, "positive", target_cfg),
            x0,
            add_noise,
            sigmas,
            averages,
            None if cells is None else cells.to(x0),
            bar.step,
        )
        return edited, x0

    guider = make_guider(bare, target, negative)
    guider.inner_set_conds({"source": source})
    with with_a_way_out():
        result, source = run_algorithm(guider, samples, sigmas, run)
    edited = edited_samples(model, result, samples, cells, source)
    moved = relative_error(edited, samples.cpu().float())
    return edited, cells, describe(model, len(sigmas) - 1, moved, cells)


def describe(model, steps: int, moved: list[float], cells: torch.Tensor | None) -> dict:
    """How far every latent was moved, and a warning where it was not moved at all."""
    empty = warn_of_empty(cells)
    says = phrase("steps", steps), phrase("moved", percents(moved, 0, 4)), changed(cells), remark(model)
    same = phrase("not_moved") if empty is None and min(moved) < UNMOVED else None
    return make_report(says, [empty, same], moved=moved)
