"""BackgroundRestore: restore the source's pixels outside the mask by pasting, by gradient-domain
blending, or by optimising the latent.
"""

import gc
import math

import torch

from ...core.errors import NodeError
from ...core.masks import operations
from ...core.masks.matching import encoding_crops
from ...core.pictures import poisson
from ...core.pictures.background import Goal, feather_inwards, masked_psnr, reconstruction_loss
from ...core.pictures.descent import Adam, descend
from ...core.pictures.layout import bchw_to_bhwc, bhwc_to_bchw
from ...host import memory, progress, versions
from ...host.reports import Phrase, make_report, phrase
from ...host.vae_copy import private_network, require_trainable
from ..pictures import Item, as_colour, pixels_of, plain_masks, ratios_of, read_items, read_samples, to_image
from .finetune import PicturePreviewer
from .placement import place_edit, scale

METHODS = ("stitch", "poisson", "latent optimisation")
MATCHING = 20.0
"""PSNR in dB, with the mean difference removed, below which the report warns that the background
does not match the source. Encoding alone stays above it; a shifted, scaled or different image does
not.
"""


def restore(
    vae, image, mask, latent, edited, method: str, feather: int, settings: dict, node_id: str | None = None
) -> tuple[torch.Tensor, dict]:
    """The IMAGE with its background restored, and a report.

    Raises:
        NodeError: no edit or two edits, a missing VAE, or images, masks and latents that do not
            match.
    """
    if (latent is None) == (edited is None):
        raise NodeError(
            "got "
            f"{'neither a latent nor an edited image' if latent is None else 'both a latent and an edited image'}; "
            "connect exactly one of them."
        )
    if vae is None and (latent is not None or method == "latent optimisation"):
        raise NodeError(
            f"got no VAE; connect the VAE of the latent{' for latent optimisation' if latent is None else ''}, or use "
            "an edited image with stitch or poisson."
        )
    if method == "latent optimisation":
        return optimise_latents(vae, image, mask, latent, edited, settings, node_id)
    placed = place_edit(vae, image, mask, edited if latent is None else latent, settings["resize"])
    bar, results = progress.Progress(len(placed.source)), []
    for old, changed, region in zip(placed.source, placed.edited, placed.mask, strict=True):
        results.append(_restore_one(old[None], changed[None], region[None], method, feather))
        bar.advance()
    result = torch.cat(results)
    after, before, source = (picture * 2 - 1 for picture in (result, placed.edited, placed.source))
    return bchw_to_bhwc(result), _report(after, before, source, placed.mask, method, placed.note)


def _restore_one(source, edited, mask, method: str, feather: int) -> torch.Tensor:
    soft = feather_inwards(mask, feather)
    if method == "poisson":
        edited = poisson.poisson_blend(edited, source, mask > 0).clamp(0, 1)
    return operations.blend(edited, source, soft.unsqueeze(1))


def optimise_latents(vae, image, mask, latent, edited, settings: dict, node_id) -> tuple[torch.Tensor, dict]:
    """The paper's ablation: minimise the loss of DecoderFinetune over the latent, with a fixed
    decoder.
    """
    require_trainable(vae)
    samples = read_samples(vae, {"samples": _encode(vae, edited)} if latent is None else latent)
    image, mask, note = _to_size(vae, image, mask, pixels_of(vae, samples), settings["resize"])
    items = read_items(vae, image, samples, mask)
    bar = progress.Progress(len(items) * settings["steps"])
    bar.previewer = PicturePreviewer()
    images, texts = [], []
    for item in items:
        picture, text = _optimise_one(vae, item, settings, bar, node_id, note)
        images.append(picture)
        texts.append(text)
    return torch.cat(images), {**texts[0], "items": texts}


def _encode(vae, edited: torch.Tensor) -> torch.Tensor:
    """The latent of the edited IMAGE.

    Raises:
        NodeError: an image smaller than a latent cell.
    """
    least, (height, width) = vae.spacial_compression_encode(), edited.shape[1:3]
    if min(height, width) < least:
        raise NodeError(
            f"the edited image is {width} x {height} pixels; expected at least {least} x {least}, one latent cell of "
            "this VAE; scale it up, or use stitch or poisson."
        )
    return vae.encode(as_colour(edited)).float()


def _to_size(vae, image, mask, size, resize: bool) -> tuple[torch.Tensor, torch.Tensor, Phrase | None]:
    """Source and mask for latents that decode to ``size``: unchanged if the sizes are equal or
    encoding crops one to the other, else scaled if ``resize``. And a phrase if they were scaled.
    """
    full = tuple(image.shape[1:3])
    if not resize or full == size or encoding_crops(full, size, ratios_of(vae)):
        return image, mask, None
    note = phrase("source_scaled", f"{full[1]} x {full[0]}", f"{size[1]} x {size[0]}")
    return (
        bchw_to_bhwc(scale(bhwc_to_bchw(image.float().cpu()), size)),
        operations.fit_mask(plain_masks(mask), *size),
        note,
    )


def _optimise_one(vae, item: Item, settings: dict, bar, node_id, note: Phrase | None) -> tuple[torch.Tensor, dict]:
    device, network = vae.device, None
    try:
        with torch.inference_mode(False), torch.enable_grad(), versions.cuda_device_context(device):
            memory.make_room_for_training(vae, item.latent.shape, device)
            network = private_network(vae, device).requires_grad_(False)
            moved = torch.nn.Parameter(item.latent.detach().float().to(device, copy=True))
            with torch.no_grad():
                start = network.decode(moved).float()
            goal = Goal(
                item.source.to(device, copy=True), start, item.mask.to(device, copy=True), settings["background_weight"]
            )
            curve = descend(
                lambda: _lower(network, moved, goal),
                Adam([moved], settings["learning_rate"]),
                goal,
                settings["steps"],
                0,
                _progress_callback(bar, settings, node_id),
            )
            with torch.no_grad():
                after = network.decode(moved).float()
            return to_image(after), {
                **_report(after, start, goal.source, goal.mask[:, 0], "latent optimisation", note),
                "curve": [value for value in curve.values if value is not None],
            }
    finally:
        network = None
        gc.collect()
        memory.give_back()


def _lower(network, latent, goal: Goal) -> tuple[torch.Tensor, float]:
    decoded = network.decode(latent).float()
    loss = reconstruction_loss(decoded, goal)
    loss.backward()
    return decoded.detach(), float(loss.detach())


def _progress_callback(bar, settings: dict, node_id):
    every = max(1, settings["steps"] // 8)
    psnrs: list[float | None] = []

    def report_step(decoded, background):
        if len(psnrs) % every == 0 and background is not None:
            progress.say(f"background PSNR {background:.1f} dB, step {len(psnrs) + 1} of {settings['steps']}", node_id)
        psnrs.append(background)
        bar.advance(denoised=decoded if len(psnrs) % every == 0 else None)

    return report_step


def _report(after, before, source, mask, method: str, note: Phrase | None = None) -> dict:
    inside = mask.unsqueeze(1).cpu()
    after, before, source = (picture.cpu() for picture in (after, before, source))
    outside, coverage = 1 - inside, float(inside.mean())
    report = {
        "outside_before": masked_psnr(before, source, outside),
        "outside_after": masked_psnr(after, source, outside),
        "inside_after": masked_psnr(after, before, inside),
        "coverage": coverage,
    }
    says: list[Phrase | str] = [method]
    warnings: list[Phrase] = []
    if coverage == 0:
        warnings = [phrase("mask_empty_drawn" if method == "latent optimisation" else "mask_empty_source")]
    elif report["outside_before"] is None:
        warnings = [phrase("mask_full")]
    else:
        says = [phrase("background", f"{report['outside_before']:.1f}", f"{report['outside_after']:.1f}"), method]
    return make_report([*says, note], [*warnings, _mismatch(before, source, outside)], **report)


def _mismatch(edited, source, outside) -> Phrase | None:
    """A warning if the edit's background differs from the source's by more than a constant level;
    else None.
    """
    worst = min(filter(None, map(_agreement, edited, source, outside)), default=MATCHING)
    return None if worst >= MATCHING else phrase("background_mismatch", f"{worst:.1f}")


def _agreement(edited, source, outside) -> float | None:
    """PSNR in dB of one image [C, ..., H, W] in -1..1 outside the mask, with each channel's mean
    difference removed; None without a background.
    """
    weight, apart = outside.expand_as(edited), (edited.clamp(-1, 1) - source.clamp(-1, 1)) / 2
    sides = tuple(range(1, edited.ndim))
    area = weight.sum(sides, keepdim=True)
    if not bool((area > 0).all()):
        return None
    level = (weight * apart).sum(sides, keepdim=True) / area
    return -10 * math.log10(max(float((weight * (apart - level).square()).sum() / area.sum()), 1e-10))
