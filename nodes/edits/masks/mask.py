"""A mask on the latent grid as what the graph and the person see: MASKs in pixels, a LATENT with
its noise mask, a picture, a line of text.
"""

import torch

from ...core.masks import diffedit, operations
from ...core.masks.matching import SPATIAL_RATIOS, centre, encoding_crops, latent_frame_counts
from ...core.pictures.layout import bchw_to_bhwc, bhwc_to_bchw, mask_to_latent, spatial_to_mask
from ...host import previews
from ...host.latents import pixel_size, read_latent, write_latent
from ...host.progress import forgiving
from ...host.reports import Phrase, make_report, phrase
from ..pictures import read_pictures
from ..words import percents


def to_pixels(model, latent: dict, cells: torch.Tensor, heat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict]:
    """MASK and heat map [N, H, W] at pixel size, and the LATENT with the mask as its noise mask at
    latent size (where thin strokes survive).
    """
    samples = read_latent(latent, model)
    height, width = pixel_size(model, samples)
    mask = operations.fit_mask(spatial_to_mask(cells), height, width)
    heatmap = operations.enlarge_smoothly(spatial_to_mask(heat), height, width)
    noise_mask = spatial_to_mask(cells).unsqueeze(1) if cells.ndim == 3 else mask_to_latent(cells, samples.ndim)
    return mask, heatmap, write_latent(latent, latent["samples"], noise_mask=noise_mask)


def describe(mask: torch.Tensor, contrast: torch.Tensor, remark: Phrase | None = None) -> dict:
    """What the mask covers, and a warning where it is no use."""
    shares = operations.coverage(mask).tolist()
    covers = phrase("mask_covers", f"{percents(shares)}{' ...' if len(shares) > 8 else ''}")
    is_same = bool(contrast.amax() < diffedit.SAME_PREDICTION)
    empty = phrase("mask_empty_threshold") if min(shares) == 0 else None
    return make_report([covers, remark], [phrase("same_texts") if is_same else empty], is_same=is_same, coverage=shares)


HEAT = (
    torch.tensor(
        [
            [22, 11, 57],
            [66, 10, 104],
            [106, 23, 110],
            [147, 38, 103],
            [188, 55, 84],
            [221, 81, 58],
            [243, 120, 25],
            [252, 165, 10],
            [246, 215, 70],
            [252, 255, 164],
        ]
    )
    / 255
)
"""Colours of the heat from low to high, as js/threshold.js has them: even in brightness, and over a
grey picture never the colour of a thing in it.
"""
_GREY = torch.tensor([0.2126, 0.7152, 0.0722])


def overlay(mask: torch.Tensor, heatmap: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
    """The heat map over the picture in grey, dimmed outside the mask, IMAGE [N, H, W, 3]; without a
    picture the heat map alone.
    """
    if image is None:
        return previews.mask_pictures(heatmap)
    picture = fit_picture(image, mask)
    picture = picture.expand(mask.shape[0], -1, -1, -1) if picture.shape[0] == 1 else picture[: mask.shape[0]]
    count = picture.shape[0]
    heat, inside = heatmap[:count].unsqueeze(-1), mask[:count].unsqueeze(-1)
    grey = 0.5 * (picture * _GREY).sum(-1, keepdim=True).expand(-1, -1, -1, 3)
    level = (heat[..., 0] * len(HEAT)).ceil().long().clamp(1, len(HEAT)) - 1
    opacity = torch.where(heat > 0, 0.2 + 0.7 * (level.unsqueeze(-1) + 1) / len(HEAT), 0.0)
    return torch.lerp(grey, HEAT[level], opacity) * (0.6 + 0.4 * inside)


def fit_picture(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """IMAGEs at the masks' size, on the CPU as the masks are: cropped as encoding crops, else
    scaled. Of a video, the first picture of every latent frame.
    """
    size, own = tuple(mask.shape[-2:]), tuple(image.shape[1:3])
    frames = latent_frame_counts(len(image)).get(len(mask))
    if frames is not None and len(image) != len(mask):
        videos, each = frames
        firsts = [video * each.pictures + first for video in range(videos) for first, _ in each.spans]
        image = image[firsts]
    pictures = bhwc_to_bchw(read_pictures(image))
    if encoding_crops(own, size, SPATIAL_RATIOS):
        return bchw_to_bhwc(pictures[centre(own, size)])
    return bchw_to_bhwc(torch.nn.functional.interpolate(pictures, size, mode="area"))


def editor_report(
    cls,
    mask: torch.Tensor,
    heatmap: torch.Tensor,
    heat: torch.Tensor,
    image: torch.Tensor | None,
    threshold: float,
    grow: int,
) -> dict:
    """What the editor's threshold slider needs: the soft map's very numbers on the latent's grid,
    before the threshold and growing, and the picture below.
    """

    def pictures() -> dict:
        below = {} if image is None else {"picture": previews.files(cls, fit_picture(image, mask))}
        return {"images": previews.files(cls, overlay(mask, heatmap, image)), **below}

    def maps() -> dict:
        return {"heat": previews.numbers(spatial_to_mask(heat)), "used": [{"threshold": threshold, "grow": grow}]}

    return {**forgiving(pictures, {}), **forgiving(maps, {})}
