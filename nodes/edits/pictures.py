"""Match source images, masks and decoded latents in size, number and layout; an error states both
if they do not match.

An *item* is the content of one latent: an image, or all frames of a video. Item tensors have the
decoder's layout: [1, C, H, W] or [1, C, T, H, W] in -1..1, and masks [1, 1, H, W] or
[1, 1, T, H, W].
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ..core.errors import NodeError
from ..core.masks.matching import (
    SPATIAL_RATIOS,
    STILL,
    Frames,
    Size,
    latent_frame_counts,
    mask_counts,
    match_frames,
    match_mask,
)
from ..core.pictures.layout import spatial_to_mask
from ..host.latents import require_finite_latent, samples_of
from .words import either


@dataclass(frozen=True)
class Item:
    """A latent with its source and mask."""

    latent: torch.Tensor
    source: torch.Tensor
    mask: torch.Tensor


def broadcast(
    what: str, tensor: torch.Tensor, count: int, of: str, also: Iterable[int] = (), remark: str = ""
) -> torch.Tensor:
    """Repeat a batch of one ``count`` times; a batch of ``count`` is returned unchanged.

    Args:
        what, of: names of the batch's items and of the ``count`` items, for the message.
        also: further numbers that the caller accepts, for the message.
        remark: explanation of these numbers, for the message.

    Raises:
        NodeError: any other number, with both in the message.
    """
    if tensor.shape[0] == count:
        return tensor
    if tensor.shape[0] == 1:
        return tensor.expand(count, *tensor.shape[1:])
    numbers = either(sorted({1, *also, count}))
    raise NodeError(f"got {tensor.shape[0]} {what} for {count} {of}; give {numbers}{remark}.")


def as_colour(image: torch.Tensor) -> torch.Tensor:
    """An IMAGE of one channel as grey in three channels; any other unchanged."""
    return image.expand(*image.shape[:-1], 3) if image.shape[-1] == 1 else image


def read_pictures(image: torch.Tensor) -> torch.Tensor:
    """An IMAGE in three channels, without alpha, float32 on the CPU."""
    return as_colour(image)[..., :3].float().cpu()


def plain_masks(mask: torch.Tensor) -> torch.Tensor:
    """A MASK as [N, H, W] in 0..1, float32 on the CPU."""
    return spatial_to_mask(mask.float().cpu().clamp(0, 1))


def masks_of_items(masks: torch.Tensor, items: int, frames: Frames, in_pictures: bool) -> torch.Tensor:
    """Masks [N, H, W] of ``items`` latents as [items, pictures or latent frames, H, W].

    One mask serves all; a video accepts one for each frame or for each latent frame, for all videos
    or for each (``core.masks.matching.match_frames``).

    Raises:
        ValueError: any other number, with all accepted numbers.
    """
    matched = match_frames(masks, items, frames, in_pictures)
    if matched is None:
        of = f"{items} latents"
        if frames.latent > 1:
            of += f" of {frames.latent} latent frames ({frames.pictures} frames)"
        numbers = either(mask_counts(items, frames))
        raise NodeError(f"got {masks.shape[0]} masks for {of}; give {numbers}.")
    return matched


def masks_of_pictures(
    mask: torch.Tensor,
    size: Size,
    count: int,
    of: str = "images",
    can_be_video: bool = True,
    ratios: Iterable[int] = SPATIAL_RATIOS,
) -> torch.Tensor:
    """A MASK as [count, height, width] on images of ``size``, for nodes without a VAE.

    If the images ``can_be_video`` (the frames of one or several videos), one mask per latent frame
    is accepted as well.

    Raises:
        ValueError: any other number, with all accepted numbers.
    """
    masks = match_mask(plain_masks(mask), size, ratios)
    known = latent_frame_counts(count) if can_be_video else {}
    if masks.shape[0] not in (1, count) and masks.shape[0] in known:
        matched = match_frames(masks, *known[masks.shape[0]], in_pictures=True)
        if matched is not None:
            return matched.flatten(0, 1)
    remark = f" ({either(sorted(known))}: one for each latent frame of a video)" if known else ""
    return broadcast("masks", masks, count, of, known, remark)


def read_samples(vae, latent: dict) -> torch.Tensor:
    """The samples of a LATENT, with the VAE's dimensions and channels.

    Raises:
        ValueError: a LATENT that this VAE cannot decode.
    """
    samples = samples_of(latent)
    if samples.ndim == 5 and vae.latent_dim == 2:
        samples = samples[:, :, 0]
    if samples.ndim == 4 and vae.latent_dim == 3:
        samples = samples.unsqueeze(2)
    if samples.ndim != vae.latent_dim + 2 or samples.shape[0] == 0:
        raise NodeError(
            f"got a latent of shape {tuple(samples.shape)}; expected {vae.latent_dim + 2} dimensions and at least one "
            "item for this VAE; connect the VAE that encoded the latent."
        )
    if samples.shape[1] != vae.latent_channels:
        raise NodeError(
            f"got a latent of {samples.shape[1]} channels for a VAE with {vae.latent_channels}; connect the VAE that "
            "encoded the latent."
        )
    return require_finite_latent(samples)


def ratios_of(vae) -> tuple[int, ...]:
    """The multiples of pixels to which this VAE's encoding crops; empty if it does not crop."""
    return (vae.spacial_compression_encode(),) if getattr(vae, "crop_input", True) else ()


def frames_of(vae, samples: torch.Tensor) -> Frames:
    """The images of each latent frame of a latent of this VAE."""
    return Frames.of(samples.shape[2], vae.upscale_ratio[0]) if samples.ndim == 5 else STILL


def pixels_of(vae, samples: torch.Tensor) -> Size:
    """(height, width) in pixels of a decoded latent."""
    ratio = vae.spacial_compression_decode()
    return samples.shape[-2] * ratio, samples.shape[-1] * ratio


def read_items(vae, image: torch.Tensor, samples: torch.Tensor, mask: torch.Tensor) -> list[Item]:
    """Match sources and masks with latents: 1 to N or N to N. A video accepts one source for all
    frames or one per frame, and masks as in :func:`masks_of_items`.

    Raises:
        ValueError: sizes or counts that do not match, with both in the message.
    """
    original, size = tuple(image.shape[1:3]), pixels_of(vae, samples)
    image = vae.vae_encode_crop_pixels(as_colour(image))
    if tuple(image.shape[1:3]) != size:
        raise NodeError(
            f"the source image is {original[1]} x {original[0]} pixels and the latent decodes to "
            f"{size[1]} x {size[0]}; connect the image that was encoded, or scale it to {size[1]} x {size[0]} first."
        )
    count, frames = samples.shape[0], frames_of(vae, samples)
    image = pictures_of_items("source images", image, count, frames)
    mask = masks_of_items(match_mask(plain_masks(mask), size, ratios_of(vae)), count, frames, in_pictures=True)
    items = []
    for k in range(count):
        source, item_mask = vae.process_input(image[k].float().cpu()).movedim(-1, 0), mask[k].unsqueeze(0)
        if samples.ndim == 4:
            source, item_mask = source[:, 0], item_mask[:, 0]
        items.append(Item(samples[k : k + 1], source.unsqueeze(0), item_mask.unsqueeze(0)))
    return items


def pictures_of_items(what: str, image: torch.Tensor, count: int, frames: Frames) -> torch.Tensor:
    """IMAGEs [N, ...] as [count, frames, ...]: one for all, or one per frame of each item. The
    frames of one video are accepted for all items, including frames at the end that encoding drops.

    Raises:
        ValueError: any other number, with all accepted numbers.
    """
    each = frames.pictures
    if each == 1:
        return broadcast(what, image, count, "latents").unsqueeze(1)
    if each <= image.shape[0] <= each + frames.spare:
        return image[:each].unsqueeze(0).expand(count, each, *image.shape[1:])
    if image.shape[0] not in (1, count * each):
        numbers = either(sorted({1, each, count * each}))
        raise NodeError(f"got {image.shape[0]} {what} for {count} x {each} frames; give {numbers}.")
    return image.expand(count * each, *image.shape[1:]).reshape(count, each, *image.shape[1:])


def to_image(decoded: torch.Tensor) -> torch.Tensor:
    """A decoded item as IMAGE [images or frames, H, W, C]."""
    picture = (decoded.detach().float().cpu() / 2 + 0.5).clamp(0, 1)
    return (picture.movedim(2, 1).flatten(0, 1) if picture.ndim == 5 else picture).movedim(1, -1)
