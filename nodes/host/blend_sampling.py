"""LatentBlendSampler's two ways: from fresh noise over the noised source, and along an inversion."""
from dataclasses import dataclass

import comfy.samplers
import torch

from ..core.masks import coverage
from .blending import BlendSampler, noised_source, stored_trajectory
from .inversion import Inversion, check_same_model, is_falling, model_kind, solve_noise
from .latents import SEEDS, item_indices, read_latent, seeded_noise
from .masked_edit import changed, keep_source, mask_that_counts, warn_of_empty
from .progress import Progress
from .reports import make_report
from .sampling import conditioning_of_item, is_stochastic, make_guider, sample_copies
from .trajectory import is_finite

NODE = "LatentBlendSampler"


@dataclass(frozen=True)
class Source:
    """The pictures to edit: ``samples`` [B, C, ...], their ``mask`` [B, 1, ...] at latent size, and each one's index in its original batch."""
    samples: torch.Tensor
    mask: torch.Tensor
    indices: list[int]
    predictions: int

    @classmethod
    def read(cls, model, latent: dict, mask: torch.Tensor | None, predictions: int) -> "Source":
        """From the node's inputs.

        Raises:
            ValueError: a latent that the model cannot work on, no mask, or masks that do not go with the pictures.
        """
        samples = read_latent(NODE, latent, model)
        cells = mask_that_counts(NODE, mask, latent, samples)
        if cells is None:
            raise ValueError(f"{NODE}: no mask; connect a MASK, or a LATENT with a noise mask (DiffEditMask gives both).")
        return cls(samples, cells, item_indices(latent, samples.shape[0]), predictions)

    def noise_mask(self) -> torch.Tensor:
        """The mask for the result's LATENT, one per prediction."""
        return self.mask.repeat_interleave(self.predictions, 0)

    def describe(self) -> dict:
        """How much of each picture may change."""
        shares = coverage(self.mask).tolist()
        return make_report([changed(self.mask)], [warn_of_empty(self.mask)], coverage=shares)


def edit_with_noise(model, positive, negative, source: Source, seed: int, steps: int, cfg: float, sampler_name: str, scheduler: str, denoise: float) -> torch.Tensor:
    """Blended Latent Diffusion (Avrahami et al. 2023, algorithm 1): every prediction from its own noise.

    Returns:
        LATENT samples [B * predictions, C, ...] on the CPU: all of the first picture, then all of the second.

    Raises:
        ValueError: a schedule without a step, or a sampler that produced NaN or infinite values.
    """
    sigmas = comfy.samplers.KSampler(model, steps, "cpu", sampler_name, scheduler, denoise, model.model_options).sigmas
    if len(sigmas) < 2:
        raise ValueError(f"{NODE}: denoise {denoise} leaves no step to take; raise denoise or steps.")
    # Predictions outside, pictures inside: so ComfyUI repeats a conditioning of one row for each picture.
    rows = [(item, k) for k in range(source.predictions) for item in range(len(source.indices))]
    seeds = [(seed + source.indices[item] * source.predictions + k) % SEEDS for item, k in rows]
    samples, mask = (torch.cat([part] * source.predictions) for part in (source.samples, source.mask))
    noise = seeded_noise(samples.shape[1:], seeds)
    # A sampler that draws noise draws it for the whole batch from one seed: alone, a prediction would get other noise. So those run one by one.
    groups = [slice(i, i + 1) for i in range(len(seeds))] if is_stochastic(sampler_name) else [slice(None)]
    progress, parts = Progress((len(sigmas) - 1) * len(groups), model), []
    for group in groups:
        texts = positive, negative
        if len(groups) > 1:
            texts = (conditioning_of_item(text, rows[group.start][0], len(source.indices)) for text in texts)
        sampler = BlendSampler(comfy.samplers.sampler_object(sampler_name), noised_source)
        parts.append(sample_copies(make_guider(model, *texts, cfg), noise[group], samples[group], sampler, sigmas, mask[group],
                                   progress.sampler_step, seeds[group][0]))
    edited = keep_source(NODE, torch.cat(parts), samples, mask)
    return edited.unflatten(0, (source.predictions, -1)).transpose(0, 1).flatten(0, 1)


def edit_along_inversion(model, positive, negative, source: Source, inversion: Inversion, cfg: float, sampler_name: str) -> torch.Tensor:
    """DiffEdit's third step (Couairon et al. 2022): from the inverted noise, outside the mask the inversion's own state at each level.

    Returns:
        LATENT samples [B, C, ...] on the CPU.

    Raises:
        ValueError: an inversion that does not fit (:func:`check_inversion`), or a sampler that produced NaN or infinite values.
    """
    check_inversion(model, source, inversion, sampler_name)
    noise = solve_noise(model.get_model_object("model_sampling"), inversion.noise, inversion.source, float(inversion.sigmas[0]))
    sampler = BlendSampler(comfy.samplers.sampler_object(sampler_name), stored_trajectory(inversion))
    progress = Progress(len(inversion.sigmas) - 1, model)
    edited = sample_copies(make_guider(model, positive, negative, cfg), noise, source.samples, sampler, inversion.sigmas,
                           source.mask, progress.sampler_step)
    return keep_source(NODE, edited, source.samples, source.mask)


def check_inversion(model, source: Source, inversion: Inversion, sampler_name: str) -> None:
    """Refuse an inversion that was not made for this model, this picture and a sampler that retraces it, or that is damaged."""
    if not isinstance(inversion, Inversion):
        raise ValueError(f"{NODE}: got {type(inversion).__name__} as inversion; expected an INVERSION; connect that of a DDIMInvert.")
    if len(inversion.states) != len(inversion.sigmas) or not is_falling(inversion.sigmas):
        raise ValueError(f"{NODE}: got an inversion of {len(inversion.states)} states at {len(inversion.sigmas)} noise levels; expected one for each of at least 2 "
                         "falling levels; invert again.")
    if not is_finite(inversion.states):
        raise ValueError(f"{NODE}: the inversion holds NaN or infinite values; expected finite ones; invert again.")
    if is_stochastic(sampler_name):
        fitting = ", ".join(name for name in comfy.samplers.SAMPLER_NAMES if not is_stochastic(name))
        raise ValueError(f"{NODE}: {sampler_name} adds noise as it goes, so it cannot follow an inversion; use one of {fitting}.")
    if source.predictions != 1:
        raise ValueError(f"{NODE}: got predictions {source.predictions} with an inversion, which leaves nothing to chance, so all would be the same; set predictions to 1.")
    check_same_model(NODE, "inversion", inversion.model_kind, model_kind(model))
    if inversion.source.shape != source.samples.shape:
        raise ValueError(f"{NODE}: the inversion is of a latent {tuple(inversion.source.shape)}, the latent connected is {tuple(source.samples.shape)}; connect the one that was inverted.")
    expected = source.samples.float().cpu()
    if torch.count_nonzero(expected) > 0:
        expected = model.get_model_object("process_latent_in")(expected)
    apart = float((expected - inversion.source).abs().max())
    if apart > 1e-2 * max(1e-6, float(expected.abs().max())):
        raise ValueError(f"{NODE}: the inversion is of another picture (latents differ by up to {apart:.3g}); connect the latent that was inverted.")
