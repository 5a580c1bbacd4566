"""EDICT through ComfyUI: EDICTInvert, and EDICTSampler on its result."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.errors import NodeError
from ...core.sampling import ddim
from ...core.sampling.edict import Pair, drift, edict_invert, edict_sample
from ...host.exact_prediction import ExactPredictor, batches_together, exact_state
from ...host.latents import copy_latent, input_rescale, read_latent
from ...host.model_identity import ModelIdentity
from ...host.progress import Progress
from ...host.reports import make_report, phrase
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

APART = 1.0
"""Drift above which edits from a pair fail, though it still reproduces the source. At 1 the
distance between the sequences equals their norm.
"""


@dataclass(frozen=True, kw_only=True)
class EdictPair(RetraceableInversion):
    """Both sequences of an inversion with everything needed to retrace them: ``states`` [N, 2, B,
    C, ...] holds x and y at every level.
    """

    cfg: float
    mixing: float
    sequences: ClassVar[tuple[int, ...]] = (2,)

    @property
    def path(self) -> torch.Tensor:
        """The first sequence, x."""
        return self.states[:, 0]

    def at(self, level: int, like: torch.Tensor) -> Pair:
        """The pair at ``sigmas[level]`` on the device of ``like``."""
        x, y = self.states[level].to(like)
        return x, y


def check_pair(model, pair: EdictPair) -> torch.Tensor:
    """Check that a pair is valid and belongs to this kind of model. Returns the inverted samples.

    Raises:
        NodeError: it does not.
    """
    samples = check_retraceable(pair, EdictPair, "pair", "EDICT_PAIR output of EDICTInvert", model)
    if not 0.5 < pair.mixing <= 1:
        raise NodeError(
            f"got a pair with mixing {pair.mixing}; expected more than 0.5 and at most 1 (the paper uses 0.93, and "
            "recommends 0.9 to 0.97); run EDICTInvert again."
        )
    return samples


def run_edict_inversion(
    model, source, negative, latent: dict, sigmas: torch.Tensor, cfg: float, mixing: float, measure: bool
) -> EdictPair:
    """Run :func:`core.sampling.edict.edict_invert` through ComfyUI. With ``measure`` also sample
    back and compute the relative error of the round trip per item.
    """
    samples, model = read_latent(latent, model), without_step_caches(model)
    bar, identity = Progress((len(sigmas) - 1) * (1 + measure), model), ModelIdentity.of(model)

    def run(predictor: Predictor, x0: torch.Tensor) -> EdictPair:
        together = batches_together(predictor, x0)
        exact, x0, rescale = (
            ExactPredictor(predictor, together),
            exact_state(x0),
            input_rescale(predictor.model_sampling),
        )
        kept = Trajectory(len(sigmas), torch.float64, backwards=True)
        edict_invert(exact.eps, (x0, x0), sigmas, mixing, rescale, bar.step, store=lambda pair: kept(torch.stack(pair)))
        error = None
        if measure:
            x, y = kept.states[0].to(x0)
            back = edict_sample(exact.eps, (x, y), sigmas, mixing, rescale, callback=bar.step)
            error = [max(both) for both in zip(*(ddim.relative_error(state, x0) for state in back))]
        return EdictPair(
            states=kept.states,
            sigmas=sigmas,
            model=kind_and_levels(model),
            identity=identity,
            error=error,
            together=together,
            latent=copy_latent(latent),
            cfg=cfg,
            mixing=mixing,
        )

    with with_a_way_out():
        return run_algorithm(make_guider(model, source, negative, cfg), samples, sigmas, run)


def sample_edict(
    model, target, negative, pair: EdictPair, samples: torch.Tensor, cfg: float, mask: torch.Tensor | None
) -> Pair:
    """Both sequences of an edit of ``samples``, in model space, float64. Where ``mask`` [B, 1, ...]
    is 0 they equal the states of the pair.
    """
    bar = Progress(len(pair.sigmas) - 1, model)

    def run(predictor: Predictor, x0: torch.Tensor) -> Pair:
        exact, like = ExactPredictor(predictor, pair.together), exact_state(x0[:0])
        return edict_sample(
            exact.eps,
            pair.at(0, like),
            pair.sigmas,
            pair.mixing,
            input_rescale(predictor.model_sampling),
            background=None if mask is None else lambda level: pair.at(level, like),
            mask=None if mask is None else mask.to(like),
            callback=bar.step,
        )

    with with_a_way_out():
        return run_algorithm(make_guider(model, target, negative, cfg), samples, pair.sigmas, run)


def edit_with_edict(
    model, target, negative, pair: EdictPair, cfg: float, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None, dict]:
    """EDICTSampler: the edited samples in the VAE's space, the mask on the latent's grid (or None),
    and a report.
    """
    samples, bare = check_pair(model, pair), without_step_caches(model)
    cells = mask_that_counts(model, mask, pair.latent, samples)
    warnings = [warn_of_empty(cells), pair.identity.remark(bare)]
    result = sample_edict(bare, target, negative, pair, samples, cfg, cells)
    apart = drift(result)
    says = phrase("steps", len(pair.sigmas) - 1), phrase("drift", listed(apart)), changed(cells), remark(model)
    edited = edited_samples(model, result[0], samples, cells, pair.states[-1, 0])
    return edited, cells, make_report(says, warnings, drift=apart)


def describe_pair(model, pair: EdictPair) -> dict:
    """The report: standard deviation of the result relative to noise, drift of the sequences,
    advice if one of them is too large, and the round trip's error if it was measured.
    """
    spread, apart = noise_std(pair), drift(pair.at(0, pair.states))
    says = [
        phrase("steps", len(pair.sigmas) - 1),
        phrase("noise_std", listed(spread)),
        phrase("drift", listed(apart)),
        describe_error(pair.error),
        remark(model),
    ]
    warnings = [outgrown(pair.states, pair.sigmas)]
    if max(apart) > APART or max(noise_surplus(model, pair)) > FAR_FROM_NOISE:
        better = max(0.93, 0.93 ** (50 / (len(pair.sigmas) - 1)))
        other = better >= pair.mixing + 0.001
        warnings.append(phrase("far_from_noise", f"{better:.3f}") if other else phrase("far_from_noise_otherwise"))
    return make_report(
        says, warnings, noise_std=spread, drift=apart, round_trip_error=pair.error, sigmas=pair.sigmas.tolist()
    )
