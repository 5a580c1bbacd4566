"""ExactInvert, EditFriendlyInvert and ExactSampler: one data type for every exact inversion that needs one sequence only, and its way through ComfyUI."""
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ...core.errors import NodeError
from ...core.sampling import ddim, edit_friendly, two_step
from ...host.exact_prediction import ExactPredictor, batches_together, exact_state
from ...host.latents import copy_latent, input_rescale, is_flow, item_seeds, read_latent, seeded_noise
from ...host.model_identity import ModelIdentity
from ...host.progress import Progress
from ...host.reports import make_report, phrase
from ...host.sampling import Predictor, make_guider, run_algorithm
from ...host.step_caches import remark, without_step_caches
from ...host.trajectory import Trajectory
from ..masks.masked_latents import changed, edited_samples, mask_that_counts, warn_of_empty
from ..words import listed
from .base import FAR_FROM_NOISE, RetraceableInversion, check_retraceable, describe_error, kind_and_levels, noise_std, noise_surplus, outgrown, with_a_way_out

METHODS = ("O-BELM", "BDIA")
EDIT_FRIENDLY = "edit-friendly DDPM"


@dataclass(frozen=True, kw_only=True)
class ExactInversion(RetraceableInversion):
    """A trajectory that ``method`` retraces exactly.

    ``amount`` is BDIA's gamma or edit-friendly DDPM's eta. ``corrections`` [N - 1, B, C, ...] are added to what the steps arrive at: edit-friendly DDPM
    lives from them, the others need them for the last bits.
    """
    method: str
    amount: float
    corrections: torch.Tensor


def weight_of(method: str, amount: float) -> two_step.Weight:
    """The scheme's ``w``; ``amount`` is BDIA's gamma."""
    return two_step.obelm_weight if method == "O-BELM" else two_step.bdia_weight(amount)


def check_steps(method: str, sigmas: torch.Tensor) -> None:
    """Refuse a single step: the schemes start from two states."""
    if len(sigmas) < 3:
        raise NodeError(f"{method} steps over two states and got {len(sigmas) - 1} step; raise steps or strength to at least 2 steps.")


def invert(model, source, negative, latent: dict, sigmas: torch.Tensor, cfg: float, method: str, gamma: float, measure: bool) -> ExactInversion:
    """Run :func:`core.exact.two_step_invert` through ComfyUI; with ``measure`` also the way back."""
    def fill(predictor: ExactPredictor, x0: torch.Tensor, bar: Progress, *stores: Trajectory) -> None:
        two_step.two_step_invert(predictor.eps, x0, sigmas, weight_of(method, gamma), input_rescale(predictor.model_sampling), bar.step, *stores)
    return _invert(model, source, negative, latent, sigmas, cfg, method, gamma, measure, fill, backwards=True)


def invert_edit_friendly(model, source, negative, latent: dict, sigmas: torch.Tensor, cfg: float, eta: float, seed: int, measure: bool) -> ExactInversion:
    """Run :func:`core.edit_friendly.edit_friendly_invert` through ComfyUI; item k of a batch has the noises of ``seed + k``."""
    def fill(predictor: ExactPredictor, x0: torch.Tensor, bar: Progress, *stores: Trajectory) -> None:
        noises = torch.stack([seeded_noise((len(sigmas) - 1, *x0.shape[1:]), [one])[0] for one in item_seeds(latent, len(x0), seed)], 1)
        edit_friendly.edit_friendly_invert(predictor.eps, x0, noises, sigmas, is_flow(predictor.model_sampling), eta, bar.step, *stores)
    return _invert(model, source, negative, latent, sigmas, cfg, EDIT_FRIENDLY, eta, measure, fill, backwards=False)


def _invert(model, source, negative, latent: dict, sigmas: torch.Tensor, cfg: float, method: str, amount: float, measure: bool,
            fill: Callable, backwards: bool) -> ExactInversion:
    model = without_step_caches(model)
    bar, identity = Progress((len(sigmas) - 1) * (1 + measure), model), ModelIdentity.of(model)

    def run(predictor: Predictor, x0: torch.Tensor) -> ExactInversion:
        together, x0 = batches_together(predictor, x0), exact_state(x0)
        predictor = ExactPredictor(predictor, together)
        states, corrections = (Trajectory(count, torch.float64, backwards) for count in (len(sigmas), len(sigmas) - 1))
        fill(predictor, x0, bar, states, corrections)
        found = ExactInversion(method=method, amount=amount, states=states.states, sigmas=sigmas, together=together, latent=copy_latent(latent),
                               model=kind_and_levels(model), identity=identity, corrections=corrections.states)
        if not measure:
            return found
        back = _replay(predictor, found, x0, None, bar)
        return replace(found, error=ddim.relative_error(back, x0))

    with with_a_way_out():
        return run_algorithm(make_guider(model, source, negative, cfg), read_latent(latent, model), sigmas, run)


def _replay(predictor: ExactPredictor, inversion: ExactInversion, like: torch.Tensor, mask: torch.Tensor | None, bar: Progress) -> torch.Tensor:
    """From the noise down to the picture, on the device of ``like``."""
    def state(level: int) -> torch.Tensor:
        return inversion.states[level].to(like)

    def correction(i: int) -> torch.Tensor:
        return inversion.corrections[i].to(like)

    kept = {} if mask is None else {"background": state, "mask": mask.to(like)}
    if inversion.method == EDIT_FRIENDLY:
        return edit_friendly.edit_friendly_sample(predictor.eps, state(0), inversion.sigmas, correction, is_flow(predictor.model_sampling),
                                                  inversion.amount, callback=bar.step, **kept)
    weight = weight_of(inversion.method, inversion.amount)
    return two_step.two_step_sample(predictor.eps, state(0), state(1), inversion.sigmas, weight, correction, callback=bar.step, **kept)


def sample(model, target, negative, inversion: ExactInversion, samples: torch.Tensor, cfg: float, mask: torch.Tensor | None) -> torch.Tensor:
    """An edit of ``samples`` in model space, float64. ``mask`` [B, 1, ...]: where it is 0 it follows the inversion's own states."""
    bar = Progress(len(inversion.sigmas) - 1, model)

    def run(predictor: Predictor, x0: torch.Tensor) -> torch.Tensor:
        return _replay(ExactPredictor(predictor, inversion.together), inversion, exact_state(x0[:0]), mask, bar)

    with with_a_way_out():
        return run_algorithm(make_guider(model, target, negative, cfg), samples, inversion.sigmas, run)


def edit(model, target, negative, inversion: ExactInversion, cfg: float, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None, dict]:
    """ExactSampler: the edited samples in the VAE's space, the mask on the latent's grid if there is one, and a report."""
    samples = check_retraceable(inversion, ExactInversion, "inversion", "EXACT_INVERSION of an ExactInvert or EditFriendlyInvert", model)
    bare = without_step_caches(model)
    cells = mask_that_counts(model, mask, inversion.latent, samples)
    says = inversion.method, phrase("steps", len(inversion.sigmas) - 1), changed(cells), remark(model)
    report = make_report(says, [warn_of_empty(cells), inversion.identity.remark(bare)])
    result = sample(bare, target, negative, inversion, samples, cfg, cells)
    return edited_samples(model, result, samples, cells, inversion.states[-1]), cells, report


def describe(model, inversion: ExactInversion) -> dict:
    """How much like noise the result is, advice where it is far from it, and the round trip's error where measured."""
    spread = noise_std(inversion)
    says = [inversion.method, phrase("steps", len(inversion.sigmas) - 1), phrase("noise_std", listed(spread)),
            describe_error(inversion.error), remark(model)]
    warnings = [outgrown(inversion.states, inversion.sigmas)]
    if inversion.method != EDIT_FRIENDLY and max(noise_surplus(model, inversion)) > FAR_FROM_NOISE:
        warnings.append(phrase("far_from_noise_otherwise"))
    return make_report(says, warnings, noise_std=spread, round_trip_error=inversion.error, sigmas=inversion.sigmas.tolist())
