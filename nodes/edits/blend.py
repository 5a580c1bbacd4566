"""LatentBlendSampler: sampling from fresh noise over the noised source, or along an inversion."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..core.errors import NodeError
from ..core.masks.operations import coverage
from ..core.sampling.ddim import state_at
from ..host.blending import BlendSampler, freshly_noised_source, noised_source, stored_trajectory
from ..host.item_noise import solver
from ..host.latents import SEEDS, is_flow, item_indices, read_latent, seeded_noise
from ..host.progress import Progress
from ..host.reports import Phrase, make_report
from ..host.sampling import is_stochastic, make_guider, sample_copies, sampler_names
from .blend_levels import Levels
from .instructions import warn_of_size
from .inversion.base import check_inversion, model_kind
from .inversion.ddim import DdimInversion, solve_noise
from .masks.masked_latents import changed, keep_source, mask_that_counts, warn_of_empty

ONE_NOISE, FRESH_NOISE = "one per run", "one per step"
"""Noise of the background: the noise of the run at every level, or new noise at each level."""


@dataclass(frozen=True)
class Source:
    """The images to edit: ``samples`` [B, C, ...], their ``mask`` [B, 1, ...] at latent size, and
    the index of each in its original batch.
    """

    samples: torch.Tensor
    mask: torch.Tensor
    indices: list[int]
    predictions: int

    @classmethod
    def read(cls, model, latent: dict, mask: torch.Tensor | None, predictions: int, inversion=None) -> "Source":
        """Read the node's inputs. The mask is the connected MASK, else the noise mask of the
        LATENT, else that of the inverted LATENT.

        Raises:
            NodeError: a latent that does not fit the model, no mask, or a number of masks that does
                not match the images.
        """
        samples = read_latent(latent, model)
        if mask is None and latent.get("noise_mask") is None and isinstance(inversion, DdimInversion):
            mask = inversion.mask
        cells = mask_that_counts(model, mask, latent, samples)
        if cells is None:
            raise NodeError("got no mask; connect a MASK, or a LATENT with a noise mask (DiffEditMask outputs both).")
        return cls(samples, cells, item_indices(latent, samples.shape[0]), predictions)

    def noise_mask(self) -> torch.Tensor:
        """The mask for the result's LATENT, one per prediction."""
        return self.mask.repeat_interleave(self.predictions, 0)

    def describe(self, levels: Levels, warnings: Sequence[Phrase | None] = ()) -> dict:
        """The report: the edited fraction of each latent, the noise levels, and the unused widgets.

        Args:
            warnings: further warnings; None entries are skipped.
        """
        shares = coverage(self.mask).tolist()
        return make_report(
            [changed(self.mask), *levels.describe()],
            [warn_of_empty(self.mask), *warnings],
            coverage=shares,
            sigmas=levels.sigmas.tolist(),
            levels_from=levels.origin or "widgets",
            unused=list(levels.unused),
        )


def warnings(model, positive, latent: dict, inversion) -> list[Phrase | None]:
    """Warnings about probable mistakes: a model other than that of the inversion, or an image of
    another size in the conditioning.
    """
    identity = getattr(inversion, "identity", None)
    return [None if identity is None else identity.remark(model), warn_of_size(positive, latent)]


def prediction_seed(source: Source, seed: int, item: int, k: int) -> int:
    """The seed of prediction ``k`` of image ``item``: ``k`` more than that of the image's first
    prediction.

    In a batch, prediction n of all predictions has ``seed + n``. For an image that was taken out of
    a batch, n starts at its index in that batch, for any number of predictions, so its prediction k
    equals the single run with ``seed + k``.
    """
    return (seed + source.indices[item] + item * (source.predictions - 1) + k) % SEEDS


def edit_with_noise(
    model,
    positive,
    negative,
    source: Source,
    levels: Levels,
    seed: int,
    cfg: float,
    sampler_name: str,
    background_noise: str = ONE_NOISE,
    noisy: torch.Tensor | None = None,
) -> torch.Tensor:
    """Blended Latent Diffusion (Avrahami et al. 2023, algorithm 1), with a different noise for
    every prediction.

    Args:
        background_noise: ``ONE_NOISE`` for the run, or ``FRESH_NOISE`` at every level as in the
            paper.
        noisy: states in model space [B * predictions, C, ...] at the first level, from an earlier
            part of the run; None: start from the noised source.

    Returns:
        LATENT samples [B * predictions, C, ...] on the CPU: all predictions of the first image,
        then all of the second.

    Raises:
        ValueError: the sampler produced NaN or infinite values.
    """
    rows = [
        (item, k) for k in range(source.predictions) for item in range(len(source.indices))
    ]  # predictions outside, images inside
    seeds = [prediction_seed(source, seed, item, k) for item, k in rows]
    samples, mask = (torch.cat([part] * source.predictions) for part in (source.samples, source.mask))
    noise = start = seeded_noise(samples.shape[1:], seeds)
    top = float(levels.sigmas[0])
    if noisy is not None:
        start = solve_noise(
            model.get_model_object("model_sampling"),
            by_prediction(noisy, source.predictions),
            model_space(model, samples),
            top,
        )
    groups = batches(len(source.indices), source.predictions, is_stochastic(sampler_name))
    progress, parts = Progress(levels.steps * len(groups), model), []
    for group in groups:
        if background_noise == FRESH_NOISE:
            background = freshly_noised_source(noise[group], seeds[group], top if noisy is None else None)
        else:
            background = noised_source(noise[group])
        sampler = BlendSampler(solver(sampler_name, seeds[group]), background, levels.whole, levels.is_partial)
        guider = make_guider(model, positive, negative, cfg)
        parts.append(
            sample_copies(
                guider,
                start[group],
                samples[group],
                sampler,
                levels.sigmas,
                mask[group],
                progress.sampler_step,
                seeds[group][0],
            )
        )
    edited = finished(torch.cat(parts), samples, mask, levels)
    return edited.unflatten(0, (source.predictions, -1)).transpose(0, 1).flatten(0, 1)


def batches(pictures: int, predictions: int, is_stochastic: bool) -> list[slice]:
    """The rows (predictions outside, images inside) that are sampled in one batch.

    Conditionings of a batch have one row per image (texts, ControlNet hints, reference latents,
    images to concatenate). ComfyUI pairs all of them correctly only if the batch has one item per
    image: in a larger batch it tiles some kinds of rows and repeats each row of others. Therefore
    several images are sampled in one batch per prediction. The predictions of a single image share
    one batch, unless the sampler draws one noise for the whole batch.
    """
    if pictures == 1 and not is_stochastic:
        return [slice(0, predictions)]
    return [slice(k * pictures, (k + 1) * pictures) for k in range(predictions)]


def by_prediction(rows: torch.Tensor, predictions: int) -> torch.Tensor:
    """From the order of the node's outputs (images outside) to that of its batches (predictions
    outside).
    """
    return rows.unflatten(0, (-1, predictions)).transpose(0, 1).flatten(0, 1)


def finished(edited: torch.Tensor, samples: torch.Tensor, mask: torch.Tensor, levels: Levels) -> torch.Tensor:
    """The edited samples with the source outside the mask, if the run ends without noise. The
    result of a run that stops earlier stays noisy everywhere, for the next part.
    """
    kept = keep_source(edited, samples, mask)
    return kept if levels.is_finished else edited.float().cpu()


def edit_along_inversion(
    model,
    positive,
    negative,
    source: Source,
    inversion: DdimInversion,
    levels: Levels,
    cfg: float,
    sampler_name: str,
    noisy: torch.Tensor | None = None,
) -> torch.Tensor:
    """DiffEdit's third step (Couairon et al. 2022): sample from the inverted noise, with the
    inversion's state at each level outside the mask.

    Args:
        noisy: states in model space [B, C, ...] at the first level, from an earlier part of the
            run; None: start from the inversion's state.

    Returns:
        LATENT samples [B, C, ...] on the CPU.

    Raises:
        ValueError: the sampler produced NaN or infinite values.
    """
    top = float(levels.sigmas[0])
    state = state_at(top, inversion.sigmas, inversion.states) if noisy is None else noisy
    noise = solve_noise(model.get_model_object("model_sampling"), state, inversion.source, top)
    sampler = BlendSampler(solver(sampler_name, []), stored_trajectory(inversion), levels.whole, levels.is_partial)
    progress = Progress(levels.steps, model)
    edited = sample_copies(
        make_guider(model, positive, negative, cfg),
        noise,
        source.samples,
        sampler,
        levels.sigmas,
        source.mask,
        progress.sampler_step,
    )
    return finished(edited, source.samples, source.mask, levels)


def model_space(model, samples: torch.Tensor) -> torch.Tensor:
    """LATENT samples in the space that samplers work in; ComfyUI leaves an empty latent
    unchanged.
    """
    samples = samples.float().cpu()
    return model.get_model_object("process_latent_in")(samples) if torch.count_nonzero(samples) > 0 else samples


def read_noisy(model, latent: dict | None, source: Source, levels: Levels) -> torch.Tensor | None:
    """The states at the first level from an earlier part of the run, [B * predictions, C, ...] in
    model space; None without ``latent``.

    Raises:
        NodeError: the number of states differs from that of the results, or a LATENT cannot
            represent the state at this level.
    """
    if latent is None:
        return None
    samples = read_latent(latent, model)
    expected = (len(source.indices) * source.predictions, *source.samples.shape[1:])
    if tuple(samples.shape) != expected:
        raise NodeError(
            f"got a noisy_latent of shape {tuple(samples.shape)}; expected {expected}, one item per image and "
            "prediction; connect the output of the Latent Blend Sampler that runs the previous steps, and set "
            "predictions to the same number in both."
        )
    sampling, level = model.get_model_object("model_sampling"), levels.sigmas[0]
    states = model_space(model, samples)
    if is_flow(sampling) and float(level) >= 1:
        raise NodeError(
            f"got a noisy_latent to continue from at sigma {float(level):.4g}, where the state of a flow model is pure "
            "noise; expected a lower noise level; raise start_at_step, or connect the later part of the sigmas."
        )
    return sampling.noise_scaling(level, torch.zeros_like(states), states)


def check_followable(model, source: Source, inversion: DdimInversion, sampler_name: str) -> None:
    """Check that an inversion is valid and belongs to this model and image, and that the sampler is
    deterministic.

    Raises:
        NodeError: one of these is not the case.
    """
    check_inversion(inversion, DdimInversion, "inversion", "INVERSION output of DDIMInvert", model_kind(model))
    if is_stochastic(sampler_name):
        fitting = ", ".join(name for name in sampler_names() if not is_stochastic(name))
        raise NodeError(
            f"got sampler_name {sampler_name} with an inversion; expected a sampler that adds no noise during the run; "
            f"use one of {fitting}."
        )
    if source.predictions != 1:
        raise NodeError(
            f"got predictions {source.predictions} with an inversion, which determines the noise, so all results "
            "would be equal; set predictions to 1."
        )
    if inversion.source.shape != source.samples.shape:
        raise NodeError(
            f"got a latent of shape {tuple(source.samples.shape)} with an inversion of a latent of shape "
            f"{tuple(inversion.source.shape)}; connect the latent that was inverted."
        )
    expected = model_space(model, source.samples)
    apart = float((expected - inversion.source).abs().max())
    if apart > 1e-2 * max(1e-6, float(expected.abs().max())):
        raise NodeError(
            f"the inversion belongs to another image (the latents differ by up to {apart:.3g}); connect the latent "
            "that was inverted."
        )
