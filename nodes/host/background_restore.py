"""BackgroundRestore at work: the source's pixels outside the mask, by pasting, by gradients, or by optimising the latent."""
import gc

import comfy.model_management
import torch

from ..core import masks, poisson
from ..core.background import Adam, Goal, descend, feather_inwards, masked_psnr, reconstruction_loss
from ..core.layout import bchw_to_bhwc, bhwc_to_bchw
from . import progress, versions
from .decoder_finetune import PicturePreviewer
from .pictures import Item, broadcast, centre, masks_of_centre, plain_masks, read_items, read_samples, to_image
from .reports import make_report, phrase
from .vae_copy import private_network, require_trainable

NODE = "BackgroundRestore"
METHODS = ("stitch", "poisson", "latent optimisation")
LARGEST_CROP = 64


def restore(vae, image, mask, latent, edited, method: str, feather: int, settings: dict, node_id: str | None = None) -> tuple[torch.Tensor, dict]:
    """IMAGE with its background restored, and a report.

    Raises:
        ValueError: nothing to restore, or a missing VAE, or pictures, masks and latents that do not go together.
    """
    if (latent is None) == (edited is None):
        raise ValueError(f"{NODE}: got {'neither a latent nor an edited image' if latent is None else 'both a latent and an edited image'}; connect exactly one of them.")
    if vae is None and (latent is not None or method == "latent optimisation"):
        raise ValueError(f"{NODE}: got no VAE; connect the one of the latent{' (latent optimisation decodes)' if latent is None else ''}, or an edited image with stitch or poisson.")
    if method == "latent optimisation":
        return optimise_latents(vae, image, mask, latent, edited, settings, node_id)
    source, new, mask = bring_together(vae, image, mask, latent, edited)
    bar, results = progress.Progress(len(source)), []
    for old, changed, own in zip(source, new, mask, strict=True):
        results.append(_restore_one(old[None], changed[None], own[None], method, feather))
        bar.advance()
    result = torch.cat(results)
    return bchw_to_bhwc(result), _report(*(picture * 2 - 1 for picture in (result, new, source)), mask, method)


def _restore_one(source, edited, mask, method: str, feather: int) -> torch.Tensor:
    soft = feather_inwards(mask, feather)
    if method == "poisson":
        edited = poisson.poisson_blend(edited, source, mask > 0).clamp(0, 1)
    return masks.blend(edited, source, soft.unsqueeze(1))


def bring_together(vae, image, mask, latent, edited) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Source and edit [N, C, H, W] in the source's full size, and the mask [N, H, W], 0 where the edit does not reach (what encoding cropped)."""
    if edited is None:
        edited = vae.decode(read_samples(NODE, vae, latent)).float()
        edited = edited.flatten(0, 1) if edited.ndim == 5 else edited
        if not torch.isfinite(edited).all():
            raise ValueError(f"{NODE}: the VAE decodes the latent to NaN or infinite values; expected a picture; run the VAE in another precision.")
    count, channels = max(image.shape[0], edited.shape[0]), min(image.shape[-1], edited.shape[-1])
    full, part = tuple(image.shape[1:3]), tuple(edited.shape[1:3])
    if any(not 0 <= whole - piece < LARGEST_CROP for whole, piece in zip(full, part, strict=True)):
        raise ValueError(f"{NODE}: the source image is {full[1]} x {full[0]} pixels and the edit {part[1]} x {part[0]}; "
                         "connect the very picture that was encoded, or scale one of them.")
    source, new = (bhwc_to_bchw(broadcast(NODE, name, tensor[..., :channels].float().cpu(), count, "pictures"))
                   for name, tensor in (("source images", image), ("edited images", edited)))
    placed, whole_mask, window = source.clone(), torch.zeros(count, *full), centre(full, part)
    placed[window] = new
    whole_mask[window] = masks_of_centre(broadcast(NODE, "masks", plain_masks(mask), count, "pictures"), full, part)
    return source, placed, whole_mask


def optimise_latents(vae, image, mask, latent, edited, settings: dict, node_id) -> tuple[torch.Tensor, dict]:
    """The paper's ablation: the decoder stays, the latent moves, under DecoderFinetune's loss."""
    require_trainable(NODE, vae)
    samples = read_samples(NODE, vae, latent if latent is not None else {"samples": vae.encode(edited).float()})
    items = read_items(NODE, vae, image, samples, mask)
    bar = progress.Progress(len(items) * settings["steps"])
    bar.previewer = PicturePreviewer()
    images, texts = [], []
    for item in items:
        picture, text = _optimise_one(vae, item, settings, bar, node_id)
        images.append(picture)
        texts.append(text)
    return torch.cat(images), {**texts[0], "items": texts}


def _optimise_one(vae, item: Item, settings: dict, bar, node_id) -> tuple[torch.Tensor, dict]:
    device, network = vae.device, None
    try:
        with torch.inference_mode(False), torch.enable_grad(), versions.cuda_device_context(device):
            if not comfy.model_management.is_device_cpu(device):
                comfy.model_management.free_memory(4 * vae.memory_used_decode(item.latent.shape, torch.float32), device)
            network = private_network(vae, device).requires_grad_(False)
            moved = torch.nn.Parameter(item.latent.detach().float().to(device, copy=True))
            with torch.no_grad():
                start = network.decode(moved).float()
            goal = Goal(item.source.to(device, copy=True), start, item.mask.to(device, copy=True), settings["background_weight"])
            curve = descend(lambda: _lower(network, moved, goal), Adam([moved], settings["learning_rate"]), goal, settings["steps"], 0, _looker(bar, settings, node_id))
            with torch.no_grad():
                after = network.decode(moved).float()
            return to_image(after), {**_report(after, start, goal.source, goal.mask[:, 0], "latent optimisation"), "curve": [value for value in curve.values if value is not None]}
    finally:
        network = None
        gc.collect()
        comfy.model_management.soft_empty_cache()


def _lower(network, latent, goal: Goal) -> tuple[torch.Tensor, float]:
    decoded = network.decode(latent).float()
    loss = reconstruction_loss(decoded, goal)
    loss.backward()
    return decoded.detach(), float(loss.detach())


def _looker(bar, settings: dict, node_id):
    every, seen = max(1, settings["steps"] // 8), []

    def look(decoded, background):
        if len(seen) % every == 0 and background is not None:
            progress.say(f"background {background:.1f} dB, step {len(seen) + 1} of {settings['steps']}", node_id)
        seen.append(background)
        bar.advance(denoised=decoded if len(seen) % every == 0 else None)

    return look


def _report(after, before, source, mask, method: str) -> dict:
    inside = mask.unsqueeze(1).cpu()
    after, before, source = (picture.cpu() for picture in (after, before, source))
    outside, coverage = 1 - inside, float(inside.mean())
    report = {"outside_before": masked_psnr(before, source, outside), "outside_after": masked_psnr(after, source, outside),
              "inside_after": masked_psnr(after, before, inside), "coverage": coverage}
    if coverage == 0:
        warning = phrase("mask_empty_drawn" if method == "latent optimisation" else "mask_empty_source")
        return make_report([method], [warning], **report)
    if report["outside_before"] is None:
        return make_report([method], [phrase("mask_full")], **report)
    background = phrase("background", f"{report['outside_before']:.1f}", f"{report['outside_after']:.1f}")
    return make_report([background, method], **report)
