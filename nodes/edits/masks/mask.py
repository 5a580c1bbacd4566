"""The outputs of DiffEditMask from a mask on the latent grid: MASKs in pixels, a LATENT with a
noise mask, a preview, and a report.
"""

from dataclasses import dataclass

import torch

from ...core.errors import NodeError
from ...core.masks import diffedit, operations
from ...core.masks.matching import SPATIAL_RATIOS, centre, encoding_crops, latent_frame_counts
from ...core.pictures.layout import bchw_to_bhwc, bhwc_to_bchw, mask_to_latent, spatial_to_mask
from ...host import previews
from ...host.latents import pixel_size, read_latent, write_latent
from ...host.progress import forgiving
from ...host.reports import Phrase, make_report, phrase
from ..pictures import read_pictures
from ..words import percents
from .masked_latents import pixel_masks


@dataclass(frozen=True)
class Found:
    """A mask on the latent's grid, ``cells``, and the heat map from which it was computed,
    ``heat``, both [B, ..., h, w]; and both as MASKs at pixel size [N, H, W].

    ``given`` is the MASK with which ``mask`` was combined, at pixel size, or None.
    """

    cells: torch.Tensor
    heat: torch.Tensor
    mask: torch.Tensor
    heatmap: torch.Tensor
    given: torch.Tensor | None = None

    @classmethod
    def of(
        cls, model, latent: dict, cells: torch.Tensor, heat: torch.Tensor, given: torch.Tensor | None, how: str
    ) -> "Found":
        """Enlarge mask and heat map to pixel size, and combine the mask with ``given``
        (``operations.combine``), whose resolution and soft values are preserved. A cell of the
        result is the maximum of its pixels.

        Raises:
            NodeError: a number of given masks that matches neither the images nor the frames.
        """
        samples = read_latent(latent, model)
        height, width = pixel_size(model, samples)
        mask = operations.fit_mask(spatial_to_mask(cells), height, width)
        heatmap = operations.enlarge_smoothly(spatial_to_mask(heat), height, width)
        if given is not None:
            given = pixel_masks(model, given, samples)
            mask = operations.combine(mask, given, how)
            cells = operations.fit_mask(mask, *cells.shape[-2:]).view_as(cells)
        return cls(cells, heat, mask, heatmap, given)

    def latent(self, latent: dict) -> dict:
        """The LATENT with the mask as its noise mask at latent size, which preserves thin
        strokes.
        """
        dimensions = latent["samples"].ndim
        flat = self.cells.ndim == 3
        noise_mask = spatial_to_mask(self.cells).unsqueeze(1) if flat else mask_to_latent(self.cells, dimensions)
        return write_latent(latent, latent["samples"], noise_mask=noise_mask)


def alone(model, latent: dict, given: torch.Tensor | None) -> torch.Tensor:
    """The connected MASK on the latent's grid, [B, h, w] (video: [B, T, h, w]), for ``only``.

    Raises:
        NodeError: no MASK is connected.
    """
    if given is None:
        raise NodeError(
            "got no mask with mask_mode only; expected a MASK; connect one, or choose intersection or union."
        )
    samples = read_latent(latent, model)
    cells = operations.fit_mask(pixel_masks(model, given, samples), *samples.shape[-2:])
    return cells.view(samples.shape[0], *samples.shape[2:])


def describe_mask(
    mask: torch.Tensor, contrast: diffedit.Contrast | None, remark: Phrase | None = None, warning: Phrase | None = None
) -> dict:
    """The report: the mask's coverage, a warning if both texts gave the same prediction or the mask
    is empty, and ``warning``. Without a ``contrast`` the model was not evaluated.
    """
    shares = operations.coverage(mask).tolist()
    covers = phrase("mask_covers", f"{percents(shares)}{' ...' if len(shares) > 8 else ''}")
    is_same = contrast is not None and bool(contrast.size.amax() < diffedit.SAME_PREDICTION)
    empty = phrase("mask_empty_threshold") if min(shares) == 0 else None
    warnings = [phrase("same_texts") if is_same else empty, warning]
    return make_report([covers, remark], warnings, is_same=is_same, coverage=shares)


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
"""Colours of the heat map from low to high, as in js/threshold.js: evenly increasing in brightness,
and distinct from the grey image under them.
"""
_GREY = torch.tensor([0.2126, 0.7152, 0.0722])


def overlay(mask: torch.Tensor, heatmap: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
    """The heat map over the greyscale image, dimmed outside the mask, IMAGE [N, H, W, 3]; without
    an image the heat map alone.
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
    """IMAGEs at the masks' size, on the CPU: cropped as encoding crops, or scaled. For a video, the
    first frame of every latent frame.
    """
    size, picture_size = tuple(mask.shape[-2:]), tuple(image.shape[1:3])
    frames = latent_frame_counts(len(image)).get(len(mask))
    if frames is not None and len(image) != len(mask):
        videos, each = frames
        firsts = [video * each.pictures + first for video in range(videos) for first, _ in each.spans]
        image = image[firsts]
    pictures = bhwc_to_bchw(read_pictures(image))
    if encoding_crops(picture_size, size, SPATIAL_RATIOS):
        return bchw_to_bhwc(pictures[centre(picture_size, size)])
    return bchw_to_bhwc(torch.nn.functional.interpolate(pictures, size, mode="area"))


def editor_report(cls, result: Found, image: torch.Tensor | None, threshold: float, grow: int, mode: str) -> dict:
    """The data of the editor's threshold slider: the heat map on the latent's grid before
    thresholding and growing, the fraction of each cell that the given mask covers, and the image.
    """

    def pictures() -> dict:
        below = {} if image is None else {"picture": previews.files(cls, fit_picture(image, result.mask))}
        return {"images": previews.files(cls, overlay(result.mask, result.heatmap, image)), **below}

    def maps() -> dict:
        heat, used = spatial_to_mask(result.heat), {"threshold": threshold, "grow": grow, "mask_mode": mode}
        given = {}
        if result.given is not None:
            shares = torch.nn.functional.interpolate(result.given.unsqueeze(1), heat.shape[-2:], mode="area").squeeze(1)
            given = {"given": previews.encode_maps(shares)}
        return {"heat": previews.encode_maps(heat), **given, "used": [used]}

    return {**forgiving(pictures, {}), **forgiving(maps, {})}
