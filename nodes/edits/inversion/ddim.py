"""What an inversion leaves behind, in the forms that stock samplers continue from."""
from dataclasses import dataclass

import torch

from ...core.errors import NodeError
from ...core.sampling import ddim
from ...host.latents import copy_latent, input_rescale, is_flow, read_latent, samples_of
from ...host.model_identity import ModelIdentity
from ...host.reports import make_report, phrase
from ...host.sampling import Predictor, make_guider, run_algorithm, schedule
from ...host.step_caches import remark, without_step_caches
from ...host.trajectory import Trajectory
from ..words import listed, percents

FLOW_CAP = 0.9999
"""A flow model's LATENT is x / (1 - sigma): at sigma 1 it would be infinite, so its first sigma is taken just below."""


@dataclass(frozen=True)
class Inversion:
    """A trajectory in model space, on the CPU: ``states`` [N, B, C, ...] float32, one per entry of the descending ``sigmas``; the last is the source.
    ``mask`` is the noise mask of the LATENT that was inverted, if it had one."""
    states: torch.Tensor
    sigmas: torch.Tensor
    model_kind: tuple[str, ...]
    error: list[float] | None = None
    identity: ModelIdentity | None = None
    mask: torch.Tensor | None = None

    @property
    def noise(self) -> torch.Tensor:
        """The inverted state, [B, C, ...]."""
        return self.states[0]

    @property
    def source(self) -> torch.Tensor:
        """The picture itself, [B, C, ...]."""
        return self.states[-1]


class InvertedNoise:
    """A NOISE from which SamplerCustomAdvanced starts exactly at ``x``, whatever latent image it is given (the empty one or the source)."""

    def __init__(self, model, x: torch.Tensor, sigma: float):
        self.model, self.x, self.sigma, self.seed = model, x.clone(), sigma, 0

    def generate_noise(self, input_latent: dict) -> torch.Tensor:
        """Solve noise_scaling(sigma, noise, latent) = x for the noise; it is affine in the noise for every kind of model.

        Raises:
            ValueError: a latent of another batch or size than the inverted one.
        """
        try:
            latent = samples_of(input_latent).to("cpu", torch.float32)
        except NodeError as error:  # a sampler asks, so no node of this pack's puts its name in front
            raise ValueError(f"DDIMInvert's noise: {error}") from error
        if latent.shape != self.x.shape:
            raise ValueError(f"DDIMInvert: its noise is of a latent {tuple(self.x.shape)}, and the sampler's latent is "
                             f"{tuple(latent.shape)}; expected the same batch and size; connect the latent that was "
                             "inverted, or an empty one of its size.")
        if torch.count_nonzero(latent) > 0:
            latent = self.model.get_model_object("process_latent_in")(latent)
        return solve_noise(self.model.get_model_object("model_sampling"), self.x, latent, self.sigma)


def solve_noise(model_sampling, x: torch.Tensor, latent: torch.Tensor, sigma: float) -> torch.Tensor:
    """The noise that ``noise_scaling`` turns into ``x`` on top of ``latent`` (model space) when a sampler starts at ``sigma``."""
    level, top = torch.tensor(sigma, dtype=torch.float64), float(model_sampling.sigma_max)
    is_full = abs(sigma - top) <= 1e-5 * top or sigma > top
    latent = latent.expand_as(x).double()
    zero = torch.zeros((1,) * x.ndim, dtype=torch.float64)
    slope = model_sampling.noise_scaling(level, torch.ones_like(zero), zero.clone(), is_full)
    offset = model_sampling.noise_scaling(level, torch.zeros_like(latent), latent, is_full)
    return ((x.double() - offset) / slope).float()


def model_kind(model) -> tuple[str, ...]:
    """What two models must share for one to continue from the other's trajectory."""
    sampling = model.get_model_object("model_sampling")
    return type(model.model).__name__, type(model.get_model_object("latent_format")).__name__, *(base.__name__ for base in type(sampling).__bases__)


def check_same_model(what: str, made_with: tuple[str, ...], here: tuple[str, ...]) -> None:
    """Refuse ``what`` (an inversion, a pair) that was made with another kind of model."""
    if made_with != here:
        raise NodeError(f"the {what} was made with {' / '.join(made_with)}, this model is {' / '.join(here)}; use the same model for both.")


def is_falling(sigmas: torch.Tensor) -> bool:
    """Whether there is a step between noise levels, and every one leads down."""
    return len(sigmas) > 1 and bool(torch.isfinite(sigmas).all() and (sigmas[1:] < sigmas[:-1]).all())


def check_guidance(name: str, cfg: float, negative) -> None:
    """Refuse guidance (a widget's ``name``) without a negative text to guide away from."""
    if cfg != 1 and negative is None:
        raise NodeError(f"{name} {cfg} guides away from a negative text, and none is connected; connect one, or set {name} to 1.")


def levels(model, steps: int, scheduler: str, strength: float) -> torch.Tensor:
    """The falling noise levels over which a model is inverted.

    Raises:
        ValueError: a model whose noising is no mixture of picture and noise, or a schedule without a step.
    """
    sampling = model.get_model_object("model_sampling")
    if any("IMG_TO_IMG" in base.__name__ for base in type(sampling).__mro__):
        raise NodeError(f"{type(model.model).__name__} turns one picture into another without noise; there is nothing to invert. Use a text-to-image model.")
    sigmas = schedule(model, steps, scheduler, strength)
    if not is_falling(sigmas):
        raise NodeError(f"the schedule {[round(float(sigma), 4) for sigma in sigmas]} has no falling steps; raise steps or strength, or take another scheduler.")
    return sigmas


def invert(model, conditioning, negative, latent: dict, sigmas: torch.Tensor, cfg: float, refinements: int, measure: bool,
           progress) -> Inversion:
    """Run :func:`core.ddim.ddim_invert` through ComfyUI; with ``measure`` also the way back, for the round trip's
    relative error."""
    samples, model = read_latent(latent, model), without_step_caches(model)
    kind, identity, mask = model_kind(model), ModelIdentity.of(model), copy_latent(latent).get("noise_mask")

    def run(predictor: Predictor, x0: torch.Tensor) -> Inversion:
        levels = sigmas.to(x0.device)
        kept = Trajectory(len(sigmas), torch.float32, backwards=True)
        states = ddim.ddim_invert(predictor.eps, x0, levels, input_rescale(predictor.model_sampling), refinements, progress.step, kept)
        _check_finite(states, sigmas)
        error = None
        if measure:
            error = ddim.relative_error(ddim.ddim_sample(predictor.eps, states[0].to(x0), levels, progress.step), x0)
        return Inversion(kept.states, sigmas, kind, error, identity, mask)

    return run_algorithm(make_guider(model, conditioning, negative, cfg), samples, sigmas, run)


def _check_finite(states: list[torch.Tensor], sigmas: torch.Tensor) -> None:
    for sigma, state in zip(reversed(sigmas.tolist()), reversed(states)):
        if not torch.isfinite(state).all():
            raise NodeError(f"the model's prediction at sigma {sigma:.4g} is NaN or infinite; try another precision for the model, or a lower strength.")


def noise_std(inversion) -> list[float]:
    """Per item, how much like noise an inversion's result is: its standard deviation over the highest noise level, 1 for noise itself."""
    return [float(item.std()) / float(inversion.sigmas[0]) for item in inversion.noise]


FAR_FROM_NOISE = 2.0
"""Noise surplus from which stock samplers and edits take the noise for something else."""


def noise_surplus(model, inversion) -> list[float]:
    """Per item, the spread of an inversion's result over that of its picture noised to the same level: 1 for noise."""
    sampling, sigma = model.get_model_object("model_sampling"), float(inversion.sigmas[0])
    share = 1 - sigma if is_flow(sampling) else 1.0
    source = inversion.source.float()
    expected = [((share * float(item.std(correction=0))) ** 2 + sigma ** 2) ** 0.5 for item in source]
    return [float(item.std(correction=0)) / size for item, size in zip(inversion.noise, expected, strict=True)]


def describe(model, inversion: Inversion) -> dict:
    """How much like noise the result is, and how exact the round trip where it was measured."""
    spread = noise_std(inversion)
    error = None if inversion.error is None else phrase("round_trip_error", percents(inversion.error, 2, 4))
    says = phrase("steps", len(inversion.sigmas) - 1), phrase("noise_std", listed(spread, ".3f")), error, remark(model)
    return make_report(says, noise_std=spread, round_trip_error=inversion.error, sigmas=inversion.sigmas.tolist())


def to_latent(model, inversion: Inversion) -> tuple[torch.Tensor, torch.Tensor]:
    """The noise as LATENT samples, and the SIGMAS with which stock samplers continue from them without adding noise."""
    sampling, sigmas = model.get_model_object("model_sampling"), inversion.sigmas.clone()
    if is_flow(sampling) and float(sigmas[0]) > FLOW_CAP:
        sigmas[0] = FLOW_CAP
    samples = sampling.inverse_noise_scaling(sigmas[0].reshape(1), inversion.noise.clone())
    return model.get_model_object("process_latent_out")(samples.float()), sigmas
