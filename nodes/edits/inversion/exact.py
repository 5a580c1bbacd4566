"""Exact inversions of a single sequence: their type, and ExactSampler."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ...core.sampling import ddim
from ...host.exact_prediction import ExactPredictor, batches_together, exact_state
from ...host.latents import copy_latent, read_latent
from ...host.model_identity import ModelIdentity
from ...host.progress import Progress
from ...host.reports import Phrase, make_report, phrase
from ...host.sampling import Predictor, make_guider, run_algorithm
from ...host.step_caches import remark, without_step_caches
from ...host.trajectory import Trajectory
from ..masks.masked_latents import changed, edited_samples, mask_that_counts, warn_of_empty
from ..words import listed
from .base import (
    FAR_FROM_NOISE,
    RetraceableInversion,
    check_retraceable,
    describe_error,
    kind_and_levels,
    noise_std,
    noise_surplus,
    outgrown,
    with_a_way_out,
)


@dataclass(frozen=True, kw_only=True)
class ExactInversion(RetraceableInversion):
    """A trajectory that ``method`` retraces exactly.

    Attributes:
        amount: gamma of BDIA or eta of edit-friendly DDPM.
        corrections: [N - 1, B, C, ...], added to the results of the steps: the corrections of
            edit-friendly DDPM, or the rounding remainders of the two-step schemes. DirectEdit has
            none.
    """

    method: str
    amount: float
    corrections: torch.Tensor
    is_noise_expected: ClassVar[bool] = True
    """Whether the result of a good inversion is similar to noise."""

    def replay(
        self, predictor: ExactPredictor, like: torch.Tensor, mask: torch.Tensor | None, bar: Progress
    ) -> torch.Tensor:
        """Sample from the noise to the image, float64 on the device of ``like``. Where ``mask``
        [B, 1, ...] is 0 the states are those of the inversion.
        """
        raise NotImplementedError

    def state(self, level: int, like: torch.Tensor) -> torch.Tensor:
        """The state at ``sigmas[level]`` on the device of ``like``."""
        return self.states[level].to(like)

    def correction(self, i: int, like: torch.Tensor) -> torch.Tensor:
        """The correction of step ``i`` on the device of ``like``."""
        return self.corrections[i].to(like)

    def background(self, like: torch.Tensor, mask: torch.Tensor | None) -> dict:
        """The arguments of a sampler that keep the states of the inversion outside ``mask``; empty
        without a mask.
        """
        return {} if mask is None else {"background": lambda level: self.state(level, like), "mask": mask.to(like)}


def invert_exactly(
    kind: type[ExactInversion],
    model,
    source,
    negative,
    latent: dict,
    sigmas: torch.Tensor,
    cfg: float,
    method: str,
    amount: float,
    measure: bool,
    fill: Callable,
    backwards: bool,
) -> ExactInversion:
    """Run ``fill(predictor, x0, bar, states, corrections)`` through ComfyUI, which stores the
    trajectory. With ``measure`` also sample back and compute the relative error.

    Raises:
        NodeError: the network predicts NaN or infinite values; the message names the step.
    """
    model = without_step_caches(model)
    bar, identity = Progress((len(sigmas) - 1) * (1 + measure), model), ModelIdentity.of(model)

    def run(predictor: Predictor, x0: torch.Tensor) -> ExactInversion:
        together, x0 = batches_together(predictor, x0), exact_state(x0)
        predictor = ExactPredictor(predictor, together)
        states, corrections = (Trajectory(count, torch.float64, backwards) for count in (len(sigmas), len(sigmas) - 1))
        fill(predictor, x0, bar, states, corrections)
        inversion = kind(
            method=method,
            amount=amount,
            states=states.states,
            sigmas=sigmas,
            together=together,
            latent=copy_latent(latent),
            model=kind_and_levels(model),
            identity=identity,
            corrections=corrections.states if corrections.taken else states.states[:0],
        )
        if not measure:
            return inversion
        back = inversion.replay(predictor, x0, None, bar)
        return replace(inversion, error=ddim.relative_error(back, x0))

    with with_a_way_out():
        return run_algorithm(make_guider(model, source, negative, cfg), read_latent(latent, model), sigmas, run)


def sample_exact(
    model, target, negative, inversion: ExactInversion, samples: torch.Tensor, cfg: float, mask: torch.Tensor | None
) -> torch.Tensor:
    """An edit of ``samples`` in model space, float64. Where ``mask`` [B, 1, ...] is 0 it equals the
    states of the inversion.
    """
    bar = Progress(len(inversion.sigmas) - 1, model)

    def run(predictor: Predictor, x0: torch.Tensor) -> torch.Tensor:
        return inversion.replay(ExactPredictor(predictor, inversion.together), exact_state(x0[:0]), mask, bar)

    with with_a_way_out():
        return run_algorithm(make_guider(model, target, negative, cfg), samples, inversion.sigmas, run)


def edit_with_exact(
    model, target, negative, inversion: ExactInversion, cfg: float, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None, dict]:
    """ExactSampler: the edited samples in the VAE's space, the mask on the latent's grid (or None),
    and a report.
    """
    samples = check_retraceable(
        inversion, ExactInversion, "inversion", "EXACT_INVERSION output of ExactInvert or EditFriendlyInvert", model
    )
    bare = without_step_caches(model)
    cells = mask_that_counts(model, mask, inversion.latent, samples)
    says = inversion.method, phrase("steps", len(inversion.sigmas) - 1), changed(cells), remark(model)
    report = make_report(says, [warn_of_empty(cells), inversion.identity.remark(bare)])
    result = sample_exact(bare, target, negative, inversion, samples, cfg, cells)
    return edited_samples(model, result, samples, cells, inversion.states[-1]), cells, report


def describe_exact(model, inversion: ExactInversion) -> dict:
    """The report: standard deviation of the result relative to noise, advice if it is too large,
    and the round trip's error if it was measured.
    """
    spread = noise_std(inversion)
    says: list[Phrase | str | None] = [
        inversion.method,
        phrase("steps", len(inversion.sigmas) - 1),
        phrase("noise_std", listed(spread)),
        describe_error(inversion.error),
        remark(model),
    ]
    warnings = [outgrown(inversion.states, inversion.sigmas)]
    if inversion.is_noise_expected and max(noise_surplus(model, inversion)) > FAR_FROM_NOISE:
        warnings.append(phrase("far_from_noise_otherwise"))
    return make_report(
        says, warnings, noise_std=spread, round_trip_error=inversion.error, sigmas=inversion.sigmas.tolist()
    )
