"""DDIM inversion through ComfyUI, and a NOISE with which a stock sampler starts from its result."""

from dataclasses import dataclass

import torch

from ...core.errors import NodeError
from ...core.sampling import ddim
from ...host.latents import copy_latent, input_rescale, read_latent, samples_of
from ...host.model_identity import ModelIdentity
from ...host.reports import make_report, phrase
from ...host.sampling import Predictor, make_guider, run_algorithm
from ...host.step_caches import remark, without_step_caches
from ...host.trajectory import Trajectory
from ..words import listed, percents
from .base import Inversion, model_kind, noise_std, with_a_way_out


@dataclass(frozen=True, kw_only=True)
class DdimInversion(Inversion):
    """DDIM's trajectory, float32. ``mask`` is the noise mask of the inverted LATENT, if it had
    one.
    """

    mask: torch.Tensor | None = None


class InvertedNoise:
    """A NOISE from which SamplerCustomAdvanced starts exactly at ``x``, with any latent image (an
    empty one or the source).
    """

    def __init__(self, model, x: torch.Tensor, sigma: float):
        self.model, self.x, self.sigma, self.seed = model, x.clone(), sigma, 0

    def generate_noise(self, input_latent: dict) -> torch.Tensor:
        """Solve noise_scaling(sigma, noise, latent) = x for the noise. The equation is affine in
        the noise for every kind of model.

        Raises:
            ValueError: the latent has another shape than the inverted one.
        """
        try:
            latent = samples_of(input_latent).to("cpu", torch.float32)
        except NodeError as error:  # another node runs this, so the name is added here
            raise ValueError(f"DDIMInvert's noise: {error}") from error
        if latent.shape != self.x.shape:
            raise ValueError(
                f"DDIMInvert: the sampler that uses its noise got a latent of shape {tuple(latent.shape)}; expected "
                f"{tuple(self.x.shape)}, the shape of the inverted latent; connect the latent that was inverted, or "
                "an empty one of its size."
            )
        if torch.count_nonzero(latent) > 0:
            latent = self.model.get_model_object("process_latent_in")(latent)
        return solve_noise(self.model.get_model_object("model_sampling"), self.x, latent, self.sigma)


def solve_noise(model_sampling, x: torch.Tensor, latent: torch.Tensor, sigma: float) -> torch.Tensor:
    """The noise that ``noise_scaling`` turns into ``x`` over ``latent`` (model space) when a
    sampler starts at ``sigma``.
    """
    level, top = torch.tensor(sigma, dtype=torch.float64), float(model_sampling.sigma_max)
    is_full = abs(sigma - top) <= 1e-5 * top or sigma > top
    latent = latent.expand_as(x).double()
    zero = torch.zeros((1,) * x.ndim, dtype=torch.float64)
    slope = model_sampling.noise_scaling(level, torch.ones_like(zero), zero.clone(), is_full)
    offset = model_sampling.noise_scaling(level, torch.zeros_like(latent), latent, is_full)
    return ((x.double() - offset) / slope).float()


def run_ddim_inversion(
    model,
    conditioning,
    negative,
    latent: dict,
    sigmas: torch.Tensor,
    cfg: float,
    refinements: int,
    measure: bool,
    progress,
) -> DdimInversion:
    """Run :func:`core.sampling.ddim.ddim_invert` through ComfyUI. With ``measure`` also sample back
    and compute the relative error of the round trip.
    """
    samples, model = read_latent(latent, model), without_step_caches(model)
    kind, identity, mask = model_kind(model), ModelIdentity.of(model), copy_latent(latent).get("noise_mask")

    def run(predictor: Predictor, x0: torch.Tensor) -> DdimInversion:
        levels = sigmas.to(x0.device)
        kept = Trajectory(len(sigmas), torch.float32, backwards=True)
        ddim.ddim_invert(
            predictor.eps, x0, levels, input_rescale(predictor.model_sampling), refinements, progress.step, kept
        )
        error = None
        if measure:
            error = ddim.relative_error(
                ddim.ddim_sample(predictor.eps, kept.states[0].to(x0), levels, progress.step), x0
            )
        return DdimInversion(states=kept.states, sigmas=sigmas, model=kind, identity=identity, error=error, mask=mask)

    with with_a_way_out():
        return run_algorithm(make_guider(model, conditioning, negative, cfg), samples, sigmas, run)


def describe_ddim(model, inversion: DdimInversion) -> dict:
    """The report: steps, standard deviation of the result relative to noise, and the round trip's
    error if it was measured.
    """
    spread = noise_std(inversion)
    error = None if inversion.error is None else phrase("round_trip_error", percents(inversion.error, 2, 4))
    says = phrase("steps", len(inversion.sigmas) - 1), phrase("noise_std", listed(spread, ".3f")), error, remark(model)
    return make_report(says, noise_std=spread, round_trip_error=inversion.error, sigmas=inversion.sigmas.tolist())
