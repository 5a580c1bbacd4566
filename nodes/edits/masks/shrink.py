"""ProgressiveMaskShrink through ComfyUI's ``denoise_mask_function``, which every sampler calls for
its mask at every evaluation.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...core.errors import NodeError
from ...core.masks import shrink
from ...core.masks.operations import coverage, fit_mask
from ...core.pictures.layout import spatial_to_mask
from ...host.blending import PARTIAL
from ...host.latents import pixel_size, read_latent, write_latent
from ...host.reports import make_report, phrase
from ...host.sampling import place_in_noise_range
from .masked_latents import mask_that_counts

HOOK = "denoise_mask_function"
THIS_RUN, NOISE_RANGE = "this run", "whole noise range"
"""Reference of the stages: the steps of the calling sampler, or the model's range of noise levels
from pure noise to the image.
"""


@dataclass(frozen=True)
class Plan:
    """``kernels`` dilate one stage each; ``ends`` are the shares of ``stages_over`` at which each
    stage ends.
    """

    kernels: tuple[int, ...]
    ends: tuple[float, ...]
    stages_over: str = THIS_RUN

    @classmethod
    def read(cls, kernels: str, stages: str, stages_over: str = THIS_RUN) -> "Plan":
        """Parse the widgets' texts.

        Raises:
            NodeError: kernels that are not odd and descending, or ends that are not ascending
                between 0 and 1, one per kernel.
        """
        sizes = _numbers(kernels, int, "kernels", "odd numbers from the largest to the smallest, such as 7, 5, 3")
        if (
            not sizes
            or any(size < 1 or size % 2 == 0 or size > 255 for size in sizes)
            or sorted(set(sizes), reverse=True) != sizes
        ):
            raise NodeError(
                f"got kernels {kernels!r}; expected odd numbers up to 255 from the largest to the smallest, such as "
                "7, 5, 3."
            )
        if not stages.strip():
            return cls(tuple(sizes), shrink.equal_ends(len(sizes) + 1), stages_over)
        ends = _numbers(stages, float, "stages", "fractions of the steps, such as 0.25, 0.5, 0.75")
        if len(ends) != len(sizes) or sorted(set(ends)) != ends or not all(0 < end < 1 for end in ends):
            raise NodeError(
                f"got stages {stages!r} for {len(sizes)} kernels; expected {len(sizes)} ascending fractions of the "
                "steps between 0 and 1, at which the stage of each kernel ends, such as 0.25, 0.5, 0.75, or an empty "
                "text for equally long stages."
            )
        return cls(tuple(sizes), tuple(ends), stages_over)


def _numbers(text: str, kind: type, name: str, expected: str) -> list:
    try:
        return [kind(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise NodeError(f"got {name} {text!r}; expected {expected}.") from None


def shrinking_model(model, plan: Plan):
    """A clone of the model that dilates the mask by the stage of each step. An existing mask
    function (DifferentialDiffusion) receives the dilated mask.
    """
    existing: Callable | None = model.model_options.get(HOOK)

    def shrinking(sigma: torch.Tensor, denoise_mask: torch.Tensor, extra_options: dict) -> torch.Tensor:
        stage = stage_of(plan, float(sigma.flatten()[0]), extra_options)
        mask = shrink.dilate(denoise_mask, plan.kernels[stage]) if stage < len(plan.kernels) else denoise_mask
        return mask if existing is None else existing(sigma, mask, extra_options)

    patched = model.clone()
    patched.set_model_denoise_mask_function(shrinking)
    return patched


def stage_of(plan: Plan, sigma: float, extra_options: dict) -> int:
    """The stage of a noise level. A partial run (as LatentBlendSampler reports it) always uses the
    whole noise range.
    """
    step, steps = shrink.step_of(sigma, extra_options["sigmas"])
    if plan.stages_over == THIS_RUN and not extra_options.get(PARTIAL):
        return shrink.stage_at(step, steps, plan.ends)
    if step == steps - 1 and float(extra_options["sigmas"][-1]) == 0:
        return len(plan.kernels)
    return shrink.stage_at_place(
        place_in_noise_range(extra_options["model"].inner_model.model_sampling, sigma), plan.ends
    )


def masked_latent(model, latent: dict, mask: torch.Tensor | None, plan: Plan) -> tuple[dict, torch.Tensor, dict]:
    """The LATENT with its noise mask at latent size, the stages in pixels [masks * stages, H, W],
    and a report.
    """
    samples = read_latent(latent, model)
    cells = mask_that_counts(model, mask, latent, samples)
    if cells is None:
        raise NodeError("got no mask; connect a MASK, or a LATENT with a noise mask.")
    height, width = pixel_size(model, samples)
    stages = torch.stack(
        [fit_mask(spatial_to_mask(stage), height, width) for stage in shrink.shrinking_masks(cells, plan.kernels)], 1
    ).flatten(0, 1)
    return write_latent(latent, latent["samples"], noise_mask=cells), stages, describe_stages(cells, plan)


def describe_stages(cells: torch.Tensor, plan: Plan) -> dict:
    """The report: the fraction of the latent that each stage may change."""
    shares = [float(coverage(stage.flatten(0, 1)).mean()) for stage in shrink.shrinking_masks(cells, plan.kernels)]
    stages = ", ".join(f"{100 * share:.1f} % ({kernel} x {kernel})" for kernel, share in zip(plan.kernels, shares))
    warning = phrase("mask_empty_nothing") if shares[-1] == 0 else None
    return make_report(
        [phrase("mask_stages", stages, f"{100 * shares[-1]:.1f} %")],
        [warning],
        kernels=list(plan.kernels),
        ends=list(plan.ends),
        stages_over=plan.stages_over,
        coverage=shares,
    )
