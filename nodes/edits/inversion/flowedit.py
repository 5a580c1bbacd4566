"""FlowEdit through ComfyUI: source and target text with separate guidance, at the same noise."""

from dataclasses import dataclass

import torch

from ...core.sampling.ddim import relative_error
from ...core.sampling.flowedit import adaptive_guidance, flow_edit
from ...host.exact_prediction import ExactPredictor, batches_together, exact_state
from ...host.latents import is_flow, item_seeds, read_latent
from ...host.progress import Progress
from ...host.reports import make_report, phrase
from ...host.sampling import Predictor, make_guider, run_algorithm
from ...host.step_caches import remark, without_step_caches
from ..masks.masked_latents import changed, edited_samples, mask_that_counts, warn_of_empty
from ..words import percents
from .base import check_guidance, with_a_way_out

EACH_TEXT, AGAINST_SOURCE = "each text", "target against source"
GUIDANCES = (EACH_TEXT, AGAINST_SOURCE)
UNMOVED = 1e-4
"""Relative change below which the report warns that both texts give the same prediction. Rounding
errors stay below it.
"""


@dataclass(frozen=True)
class Guidance:
    """The guidance of both texts.

    Attributes:
        kind: :data:`EACH_TEXT` guides each text away from the negative (FlowEdit).
            :data:`AGAINST_SOURCE` guides the target away from the source at the state of the edit,
            and does not guide the source (FlowAlign), which takes three evaluations per step
            instead of four.
        kappa: modulation of the target's guidance by VAGS; 0: none.
    """

    source_cfg: float
    target_cfg: float
    kind: str = EACH_TEXT
    kappa: float = 0.0

    def check(self, negative) -> None:
        """Check that a negative text is connected if the guidance needs one.

        Raises:
            NodeError: it is missing.
        """
        if self.kind == EACH_TEXT:
            check_guidance("source_cfg", self.source_cfg, negative)
            check_guidance("target_cfg", self.target_cfg, negative)

    @property
    def against(self) -> str:
        """The conditioning that the target's text is guided away from."""
        return "source" if self.kind == AGAINST_SOURCE else "negative"

    def source(self, exact: ExactPredictor, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """The source's derivative."""
        return exact.eps(x, sigma, "source", self.source_cfg if self.kind == EACH_TEXT else 1.0)

    def target(self, exact: ExactPredictor, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """The target's derivative with plain guidance."""
        return exact.eps(x, sigma, "positive", self.target_cfg, self.against)

    def beside(self, exact: ExactPredictor):
        """``predict_beside`` of :func:`core.sampling.flowedit.flow_edit`; None without
        modulation.
        """
        if not self.kappa or self.target_cfg == 1:
            return None
        flow = is_flow(exact.model_sampling)

        def predict(x: torch.Tensor, sigma: float, source: torch.Tensor) -> torch.Tensor:
            conditional = exact.eps(x, sigma, "positive", 1.0)
            unconditional = exact.eps(x, sigma, self.against, 1.0)
            # In terms of a flow model, the level of an eps-model is sigma / (1 + sigma).
            signal = 1 - sigma if flow else 1 / (1 + sigma)
            return adaptive_guidance(conditional, unconditional, source, self.target_cfg, self.kappa, signal)

        return predict


def edit_with_flow(
    model,
    source,
    target,
    negative,
    latent: dict,
    seed: int,
    sigmas: torch.Tensor,
    guidance: Guidance,
    averages: int,
    mask: torch.Tensor | None,
    source_term: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor | None, dict]:
    """FlowEdit: the edited samples in the VAE's space, the mask on the latent's grid (or None), and
    a report. Item k of a batch uses the noises of ``seed + k``.
    """
    samples = read_latent(latent, model)
    cells = mask_that_counts(model, mask, latent, samples)
    generators = [torch.Generator().manual_seed(value) for value in item_seeds(latent, samples.shape[0], seed)]
    bar, bare = Progress(len(sigmas) - 1, model), without_step_caches(model)

    def run(predictor: Predictor, x0: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        exact, x0 = ExactPredictor(predictor, batches_together(predictor, x0)), exact_state(x0)

        def add_noise(sigma: float, draw: int) -> torch.Tensor:
            noise = torch.stack([torch.randn(x0.shape[1:], generator=generator) for generator in generators])
            return exact.noised(x0, noise.to(x0), sigma)

        edited = flow_edit(
            lambda x, sigma: guidance.source(exact, x, sigma),
            lambda x, sigma: guidance.target(exact, x, sigma),
            x0,
            add_noise,
            sigmas,
            averages,
            None if cells is None else cells.to(x0),
            bar.step,
            source_term,
            guidance.beside(exact),
        )
        return edited, x0

    guider = make_guider(bare, target, negative)
    guider.inner_set_conds({"source": source})
    with with_a_way_out():
        result, source = run_algorithm(guider, samples, sigmas, run)
    edited = edited_samples(model, result, samples, cells, source)
    moved = relative_error(edited, samples.cpu().float())
    return edited, cells, describe_flow_edit(model, len(sigmas) - 1, moved, cells)


def describe_flow_edit(model, steps: int, moved: list[float], cells: torch.Tensor | None) -> dict:
    """The report: the relative change of each latent, and a warning if nothing has changed."""
    empty = warn_of_empty(cells)
    says = phrase("steps", steps), phrase("moved", percents(moved, 0, 4)), changed(cells), remark(model)
    same = phrase("not_moved") if empty is None and min(moved) < UNMOVED else None
    return make_report(says, [empty, same], moved=moved)
