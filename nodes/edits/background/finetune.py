"""DecoderFinetune: tune a copy of the decoder for each image of a batch. The given VAE does not
change.
"""

import gc
import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from ...core.errors import NodeError
from ...core.pictures import curvature, lbfgs
from ...core.pictures.background import Goal, masked_psnr, reconstruction_loss
from ...core.pictures.descent import Adam, Curve, descend
from ...host import memory, progress, versions
from ...host.reports import Phrase, make_report, phrase
from ...host.vae_copy import private_network, require_trainable, tuned_vae
from ..pictures import Item, read_items, read_samples, to_image
from .decoder_pass import DecoderPass

OPTIMISERS = ("curvature", "adam")
PAPER_RATE = 1e-4
"""Learning rate of the paper."""
FEW = 6
"""Minimum number of quasi-Newton steps, if the node has as many steps."""
LITTLE = 0.1
"""Improvement of the background in dB below which the report warns."""


@dataclass(frozen=True)
class Settings:
    """The widgets of the node."""

    steps: int = 75
    learning_rate: float = PAPER_RATE
    background_weight: float = 100.0
    scope: str = "whole decoder"
    optimiser: str = "curvature"
    low_memory: str = "auto"
    mixed_precision: bool = True
    early_stop: bool = True

    @property
    def passes(self) -> int:
        """Number of forward and backward passes. Adam takes ``steps``; the quasi-Newton method
        reaches the same PSNR in about a fifth of them (benchmarks/decoder_finetune.py). For small
        ``steps`` it takes up to ``FEW``, plus one pass that evaluates the last step.
        """
        return self.steps if self.optimiser == "adam" else max(round(0.21 * self.steps), min(self.steps, FEW) + 1)

    @property
    def patience(self) -> int:
        """Number of passes without improvement before early stopping; 0: no early stopping."""
        return 0 if not self.early_stop else (10 if self.optimiser == "adam" else 4)


class PicturePreviewer:
    """Lets a progress bar show a decoded image without decoding it again."""

    def decode_latent_to_preview_image(self, kind: str, decoded: torch.Tensor):
        picture = (to_image(decoded)[0, ..., :3] * 255).round().to(torch.uint8).numpy()
        return kind, Image.fromarray(np.ascontiguousarray(picture)), 512


def finetune(
    vae, image: torch.Tensor, latent: dict, mask: torch.Tensor, settings: Settings, node_id: str | None = None
) -> tuple[torch.Tensor, object, dict]:
    """(IMAGE of all items, the VAE tuned for the first, a report).

    Raises:
        NodeError: a VAE that cannot be tuned, or images, masks and latents that do not match.
    """
    require_trainable(vae)
    items = read_items(vae, image, read_samples(vae, latent), mask)
    bar = progress.Progress(len(items) * settings.passes)
    bar.previewer = PicturePreviewer()
    images, reports, tuned = [], [], None
    for k, item in enumerate(items):
        picture, network, report = tune(vae, item, settings, bar, node_id)
        bar.advance(settings.passes * (k + 1) - bar.done)
        images.append(picture)
        reports.append(report)
        if k == 0:
            tuned = tuned_vae(vae, network)
        del network
    return torch.cat(images), tuned, _whole(reports)


def tune(vae, item: Item, settings: Settings, bar, node_id: str | None) -> tuple[torch.Tensor, torch.nn.Module, dict]:
    """Tune the decoder for one item: its image, the network that decodes it, and the report. All
    memory except the network's is released, even after an error.
    """
    device, work = vae.device, None
    try:
        with torch.inference_mode(False), torch.enable_grad(), versions.cuda_device_context(device):
            memory.make_room_for_training(vae, item.latent.shape, device)
            network = private_network(vae, device)
            work = decoder_pass(network, item, settings, device)
            goal = Goal(
                item.source.to(device, copy=True),
                work.picture.float(),
                item.mask.to(device, copy=True),
                settings.background_weight,
            )
            if goal.source.shape != goal.edited.shape:
                raise NodeError(
                    f"the VAE decodes this latent to shape {tuple(goal.edited.shape)}, and the source has shape "
                    f"{tuple(goal.source.shape)}; connect the VAE that encoded the latent."
                )
            curve = _descend(work, goal, settings, bar, node_id)
            after = work.decode().float()
            return to_image(after), network, _report(goal, after, curve, work, settings)
    except Exception as error:
        if memory.is_out_of_memory(error):
            logging.warning(
                "%s: out of memory; set low_memory to checkpointing, turn mixed_precision on, or set scope to last "
                "blocks.",
                "DecoderFinetune",
            )
        raise
    finally:
        if work is not None:
            work.release()
        del work
        gc.collect()
        memory.give_back()


def decoder_pass(network: torch.nn.Module, item: Item, settings: Settings, device: torch.device) -> DecoderPass:
    mixed = settings.mixed_precision and memory.is_fast_at_bfloat16(device)
    return DecoderPass(
        network, item.latent.detach().float().to(device, copy=True), settings.scope, settings.low_memory, mixed
    )


def _descend(work: DecoderPass, goal: Goal, settings: Settings, bar, node_id) -> Curve:
    if float((1 - goal.mask).amax()) == 0 or settings.background_weight == 0:
        return Curve()
    every = max(1, settings.passes // 8)

    def report_pass(decoded, background):
        if len(psnrs) % every == 0:
            progress.say(f"background PSNR {background:.1f} dB, pass {len(psnrs) + 1} of {passes}", node_id)
        psnrs.append(background)
        bar.advance(denoised=decoded if len(psnrs) % every == 0 else None)

    def lower():
        return work.lower(reconstruction_loss, goal)

    psnrs: list[float] = []
    passes = settings.passes
    curve = descend(lower, _optimiser(work, goal, settings), goal, passes, settings.patience, report_pass)
    if curve.struggled and settings.steps > len(psnrs):
        passes = settings.steps
        work.notes.append(
            f"curvature rejected too many steps, so the optimiser of the paper continued after {len(psnrs)} passes"
        )
        paper = replace(settings, optimiser="adam")
        rest = descend(
            lower, Adam(work.parameters, settings.learning_rate), goal, passes - len(psnrs), paper.patience, report_pass
        )
        curve = Curve(curve.values + rest.values, rest.stopped_early)
    return curve


def _optimiser(work: DecoderPass, goal: Goal, settings: Settings):
    if settings.optimiser == "adam":
        return Adam(work.parameters, settings.learning_rate)
    signs = torch.Generator().manual_seed(0)
    # With this scaling the squared norm of the output equals the loss up to the targets.
    weight = (
        goal.mask.square() + settings.background_weight * (1 - goal.mask).square()
    ).mean().sqrt() / goal.source.numel() ** 0.5

    def against_signs(piece, part: Goal):
        pixel_weight = (
            part.mask.square() + settings.background_weight * (1 - part.mask).square()
        ).sqrt() / goal.source.numel() ** 0.5
        random = torch.randint(0, 2, piece.shape, generator=signs).to(piece) * 2 - 1
        return (piece * pixel_weight * random).sum() * (goal.source.numel() / piece.numel())  # lower() weights by size

    memory.stop_if_interrupted()
    layers = (
        curvature.whiten(work.trained, lambda: work.lower(against_signs, goal), recomputed=work.memory.recomputed)
        if float(weight) > 0
        else []
    )
    if not layers:
        work.notes.append("the curvature could not be measured in any layer, so Adam was used")
        return Adam(work.parameters, settings.learning_rate)
    return lbfgs.WhitenedLbfgs(layers, first_step=1e-3 * settings.learning_rate / PAPER_RATE)


def _report(goal: Goal, after: torch.Tensor, curve: Curve, work: DecoderPass, settings: Settings) -> dict:
    outside, coverage = 1 - goal.mask, float(goal.mask.mean())
    notes, warning = list(work.notes), None
    if coverage == 0:
        warning = phrase("mask_empty_drawn")
    elif float(outside.amax()) == 0:
        warning = phrase("mask_full")
    elif settings.background_weight == 0:
        warning = phrase("no_background_weight")
    before, reached = (masked_psnr(picture, goal.source, outside) for picture in (goal.edited, after))
    if warning is None and before is not None and reached is not None and before < 60 and reached < before + LITTLE:
        warning = phrase("hardly_improved", len(curve.values))
    return {
        "outside_before": before,
        "outside_after": reached,
        "inside_before": 100.0 if coverage else None,
        "inside_after": masked_psnr(after, goal.edited, goal.mask),
        "inside_source_before": masked_psnr(goal.edited, goal.source, goal.mask),
        "inside_source_after": masked_psnr(after, goal.source, goal.mask),
        "curve": [round(value, 3) for value in curve.values if value is not None],
        "passes": len(curve.values),
        "stopped_early": curve.stopped_early,
        "coverage": coverage,
        "low_memory": work.memory.kind,
        "notes": notes,
        "warning": warning,
    }


def _whole(items: list[dict]) -> dict:
    """The report of all items: the numbers of the first item, the texts of the first four, and each
    kind of warning once.
    """
    warnings = list(dict.fromkeys(item.pop("warning") for item in items))
    says = [said for item in items[:4] for said in _says(item)] + (["..."] if len(items) > 4 else [])
    return make_report(says, warnings, **{**items[0], "items": items})


def _says(item: dict) -> list[Phrase | str]:
    before, after = item["outside_before"], item["outside_after"]
    if before is None:
        says = [phrase("no_background")]
    else:
        says = [phrase("background", f"{before:.1f}", f"{after:.1f}"), phrase("passes", item["passes"])]
    if item["stopped_early"]:
        says.append(phrase("no_longer_improving"))
    if item["inside_after"] is not None:
        says.append(phrase("inside", f"{item['inside_after']:.1f}"))
    return says + item["notes"]
