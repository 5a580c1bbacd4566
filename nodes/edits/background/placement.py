"""The position of an edit in its source: cropped by encoding, scaled if asked, or refused."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ...core.errors import NodeError
from ...core.masks.matching import SPATIAL_RATIOS, Size, centre, encoding_crops, match_mask
from ...core.pictures.layout import bhwc_to_bchw
from ...host.reports import Phrase, phrase
from ..pictures import (
    as_colour,
    broadcast,
    frames_of,
    masks_of_items,
    masks_of_pictures,
    pictures_of_items,
    plain_masks,
    ratios_of,
    read_samples,
)


@dataclass(frozen=True)
class Placed:
    """Source and edit [N, C, H, W] at the source's full size; the mask [N, H, W] is 0 outside the
    area that the edit covers.
    """

    source: torch.Tensor
    edited: torch.Tensor
    mask: torch.Tensor
    note: Phrase | None = None
    """How the edit was changed, for the report."""


def place_edit(vae, image: torch.Tensor, mask: torch.Tensor, edit: dict | torch.Tensor, resize: bool) -> Placed:
    """Match source, edit (a LATENT or IMAGE) and mask in size and number.

    Raises:
        NodeError: numbers or sizes that do not match, or a latent that decodes to NaN or infinite
            values.
    """
    if isinstance(edit, dict):
        source, edited, masks_in = _of_latent(vae, image, mask, edit)
    else:
        source, edited, masks_in = _of_pictures(vae, image, mask, edit)
    full, part = tuple(source.shape[-2:]), tuple(edited.shape[-2:])
    if full == part:
        return Placed(source, edited, masks_in(full, SPATIAL_RATIOS if vae is None else ratios_of(vae)))
    ratios = _cropping(vae, source, edited, masks_in)
    if ratios is None and not resize:
        raise NodeError(_refusal(vae, full, part))
    if ratios is None:
        note = phrase("edit_scaled", f"{part[1]} x {part[0]}", f"{full[1]} x {full[0]}")
        return Placed(source, scale(edited, full), masks_in(full, ()), note)
    placed, inside, window = source.clone(), source.new_zeros(len(source), *full), centre(full, part)
    placed[window] = edited
    inside[window] = masks_in(full, ratios)[window]
    return Placed(source, placed, inside)


def scale(pictures: torch.Tensor, size: Size) -> torch.Tensor:
    """Images [N, C, H, W] in 0..1 resized, bicubic with antialiasing."""
    return torch.nn.functional.interpolate(pictures, size, mode="bicubic", antialias=True).clamp(0, 1)


def _of_latent(vae, image, mask, latent: dict):
    samples = read_samples(vae, latent)
    edited = vae.decode(samples).float().cpu()
    if not torch.isfinite(edited).all():
        raise NodeError(
            "the VAE decodes the latent to NaN or infinite values; expected finite values; run the VAE in another "
            "precision."
        )
    frames, count = frames_of(vae, samples), samples.shape[0]
    if frames.pictures == 1:
        return _of_pictures(vae, image, mask, edited.flatten(0, edited.ndim - 4), can_be_video=False)
    source = pictures_of_items("source images", image, count, frames).flatten(0, 1)

    def masks_in(size: Size, ratios: Iterable[int]) -> torch.Tensor:
        masks = match_mask(plain_masks(mask), size, ratios)
        return masks_of_items(masks, count, frames, in_pictures=True).flatten(0, 1)

    return *_same_channels(source, edited.flatten(0, 1)), masks_in


def _of_pictures(vae, image, mask, edited, can_be_video: bool = True):
    count = max(image.shape[0], edited.shape[0])
    can_be_video = can_be_video and image.shape[0] == edited.shape[0] and (vae is None or vae.latent_dim == 3)
    source, edited = (
        broadcast(name, pictures, count, "images")
        for name, pictures in (("source images", image), ("edited images", edited))
    )

    def masks_in(size: Size, ratios: Iterable[int]) -> torch.Tensor:
        return masks_of_pictures(mask, size, count, can_be_video=can_be_video, ratios=ratios)

    return *_same_channels(source, edited), masks_in


def _same_channels(*pictures: torch.Tensor) -> list[torch.Tensor]:
    """IMAGEs [N, H, W, C] as [N, C, H, W], reduced to the channels that all of them have. A grey
    image is expanded to three channels if another image has colours.
    """
    if any(picture.shape[-1] > 1 for picture in pictures):
        pictures = tuple(map(as_colour, pictures))
    channels = min(picture.shape[-1] for picture in pictures)
    return [bhwc_to_bchw(picture[..., :channels].float().cpu()) for picture in pictures]


def _cropping(vae, source, edited, masks_in) -> tuple[int, ...] | None:
    """The ratios by which encoding crops the source to the edit's size; None if there are none.

    Without a VAE, ratio 8 is accepted if the sizes fit. With larger ratios a scaled edit can have
    the same size as a crop, so the background must match the cropped source clearly better than the
    scaled one.
    """
    full, part = tuple(source.shape[-2:]), tuple(edited.shape[-2:])
    ratios = ratios_of(vae) if vae is not None else SPATIAL_RATIOS[:1]
    if encoding_crops(full, part, ratios):
        return ratios
    if vae is not None or not encoding_crops(full, part, SPATIAL_RATIOS):
        return None
    outside = (1 - masks_in(full, SPATIAL_RATIOS)[centre(full, part)]).unsqueeze(1)
    cropped, scaled = (
        float((outside * (expected - edited).square()).sum())
        for expected in (source[centre(full, part)], scale(source, part))
    )
    return SPATIAL_RATIOS if cropped < 0.5 * scaled else None


def _refusal(vae, full: Size, part: Size) -> str:
    sizes = f"the source image is {full[1]} x {full[0]} pixels and the edit {part[1]} x {part[0]}"
    if vae is None:
        return (
            f"{sizes}; expected the same size, or the size to which encoding crops the source. Connect the image that "
            "was encoded, connect the VAE (its ratio determines the crop), or set resize to scale the edit."
        )
    ratio = max(ratios_of(vae), default=1)
    left = [side // ratio * ratio for side in full]
    return (
        f"{sizes}; expected the same size, or {left[1]} x {left[0]}, to which this VAE crops the source. Connect the "
        "image that was encoded, or set resize to scale the edit."
    )
