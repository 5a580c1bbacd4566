"""Ranking images by how well they match a text (Blended Latent Diffusion, Avrahami et al. 2023,
section 4): the region given to CLIP, and the order.

Images are [N, H, W, 3] in 0..1, masks [N, H, W] in 0..1 at the images' size, 1 inside. Every
score is per image.
"""

import torch
import torch.nn.functional as F

from .layout import bchw_to_bhwc, bhwc_to_bchw

REGIONS = ("masked", "crop", "whole")


def resize_square(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Bicubic resize to [N, size, size, 3] regardless of the aspect ratio, rounded to 8 bit, as
    CLIP's preprocessing does.
    """
    channels_second = bhwc_to_bchw(pictures)
    if channels_second.shape[-2:] != (size, size):
        channels_second = F.interpolate(channels_second, (size, size), mode="bicubic", antialias=True)
    return bchw_to_bhwc((255 * channels_second).clamp(0, 255).round() / 255)


def box_of(mask: torch.Tensor, margin: float) -> tuple[int, int, int, int]:
    """A square around the set pixels of a mask [H, W], as (top, bottom, left, right): the longer
    side of their box plus ``margin`` times that on every side, moved into the image, cut where
    the image is smaller.

    Raises:
        ValueError: the mask is empty.
    """
    inside = mask > 0.5
    if not inside.any():
        raise ValueError("got an empty mask; expected one that covers the edited region")
    edges = []
    ranges = [inside.any(1 - axis).nonzero()[:, 0] for axis in (0, 1)]
    longest = max(int(places[-1] - places[0]) + 1 for places in ranges)
    side = round(longest * (1 + 2 * margin))
    for places, length in zip(ranges, mask.shape):
        fitted = min(side, length)
        middle = (int(places[0]) + int(places[-1]) + 1) / 2
        start = min(max(0, round(middle - fitted / 2)), length - fitted)
        edges += [start, start + fitted]
    return edges[0], edges[1], edges[2], edges[3]


def region_pictures(
    pictures: torch.Tensor, masks: torch.Tensor | None, region: str, size: int, margin: float = 0.15
) -> torch.Tensor:
    """The images that CLIP is given, [N, size, size, 3].

    ``masked``: the whole frame, black outside the mask, not cropped (as in the paper). ``crop``: a
    square around the mask with a margin, nothing blackened. ``whole``: the image; ``masks`` is
    not used.

    Raises:
        ValueError: an unknown region, no masks where they are needed, or an empty mask.
    """
    if region not in REGIONS:
        raise ValueError(f"got region {region!r}; expected one of {', '.join(REGIONS)}")
    if region == "whole":
        return resize_square(pictures, size)
    if masks is None:
        raise ValueError(f"got no mask for region {region!r}; connect one, or set region to whole")
    boxes = [box_of(mask, margin) for mask in masks]
    if region == "masked":
        return resize_square(pictures * masks.unsqueeze(-1), size)
    crops = [picture[None, top:bottom, left:right] for picture, (top, bottom, left, right) in zip(pictures, boxes)]
    return torch.cat([resize_square(crop, size) for crop in crops])


def background_fidelity(pictures: torch.Tensor, sources: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """1 minus the root mean square difference from the source outside the mask, [N] in 0..1; 1 if
    nothing is outside.
    """
    outside = 1 - masks
    squares = ((pictures - sources).double().square().mean(-1) * outside).flatten(1).sum(1)
    return 1 - (squares / outside.double().flatten(1).sum(1).clamp(min=1e-12)).sqrt().float()


def order_within_sources(scores: torch.Tensor, per_source: int) -> torch.Tensor:
    """Indices [sources, per_source] into the batch, the best prediction of each source first; equal
    scores keep their order.

    Args:
        scores: [N], the predictions of the first source, then those of the second, and so on.
        per_source: predictions of each source; 0 takes all as one source's.

    Raises:
        ValueError: the number of scores is not a multiple of ``per_source``, or scores are not
            finite.
    """
    count = scores.shape[0]
    per_source = per_source or count
    if per_source < 0 or count % per_source:
        raise ValueError(f"got {count} predictions and {per_source} per source; expected a multiple of {per_source}")
    if not torch.isfinite(scores).all():
        raise ValueError("got NaN or infinite scores; expected finite scores; check the images and the CLIP model")
    grouped = scores.view(-1, per_source)
    return grouped.argsort(dim=1, descending=True, stable=True) + per_source * torch.arange(grouped.shape[0]).unsqueeze(
        1
    )
