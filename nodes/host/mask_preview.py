"""A mask on the latent grid as what the graph and the person see: MASKs in pixels, a LATENT with its noise mask, a picture, a line of text."""
import torch

from ..core import diffedit, masks
from ..core.layout import bchw_to_bhwc, bhwc_to_bchw, mask_to_latent, spatial_to_mask
from . import editor_reports
from .latents import pixel_size, read_latent, write_latent
from .progress import forgiving
from .reports import make_report, phrase
from .words import percents


def to_pixels(model, latent: dict, cells: torch.Tensor, heat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict]:
    """MASK and heat map [N, H, W] at pixel size, and the LATENT with the mask as its noise mask at latent size (where thin strokes survive)."""
    samples = read_latent("DiffEditMask", latent, model)
    height, width = pixel_size(model, samples)
    mask = masks.fit_mask(spatial_to_mask(cells), height, width)
    heatmap = masks.enlarge_smoothly(spatial_to_mask(heat), height, width)
    noise_mask = spatial_to_mask(cells).unsqueeze(1) if cells.ndim == 3 else mask_to_latent(cells, samples.ndim)
    return mask, heatmap, write_latent(latent, latent["samples"], noise_mask=noise_mask)


def describe(mask: torch.Tensor, contrast: torch.Tensor) -> dict:
    """What the mask covers, and a warning where it is no use."""
    shares = masks.coverage(mask).tolist()
    covers = phrase("mask_covers", f"{percents(shares)}{' ...' if len(shares) > 8 else ''}")
    is_same = bool(contrast.amax() < diffedit.SAME_PREDICTION)
    empty = phrase("mask_empty_threshold") if min(shares) == 0 else None
    return make_report([covers], [phrase("same_texts") if is_same else empty], is_same=is_same, coverage=shares)


def overlay(mask: torch.Tensor, heatmap: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
    """The picture dimmed outside the mask with the heat map in red over it, IMAGE [N, H, W, 3]; without a picture the heat map alone."""
    if image is None:
        return editor_reports.mask_pictures(heatmap)
    picture = bhwc_to_bchw(fit_picture(image, mask))
    picture = picture.expand(mask.shape[0], -1, -1, -1) if picture.shape[0] == 1 else picture[:mask.shape[0]]
    count = picture.shape[0]
    heat, inside = heatmap[:count].unsqueeze(1), mask[:count].unsqueeze(1)
    red = torch.tensor([1.0, 0.1, 0.1]).view(1, 3, 1, 1)
    tinted = torch.lerp(picture, red, 0.65 * heat)
    return bchw_to_bhwc(tinted * (0.45 + 0.55 * inside))


def fit_picture(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """IMAGEs at the masks' size, on the CPU as the masks are."""
    return bchw_to_bhwc(torch.nn.functional.interpolate(bhwc_to_bchw(image[..., :3].float().cpu()), mask.shape[-2:], mode="area"))


def editor_report(cls, mask: torch.Tensor, heatmap: torch.Tensor, heat: torch.Tensor, image: torch.Tensor | None, threshold: float, grow: int) -> dict:
    """What the editor's threshold slider needs: the soft map's very numbers on the latent's grid, before the threshold and growing, and the picture below."""
    def pictures() -> dict:
        below = {} if image is None else {"picture": editor_reports.files(cls, fit_picture(image, mask))}
        return {"images": editor_reports.files(cls, overlay(mask, heatmap, image)), **below}

    def maps() -> dict:
        return {"heat": editor_reports.numbers(spatial_to_mask(heat)), "used": [{"threshold": threshold, "grow": grow}]}

    return {**forgiving(pictures, {}), **forgiving(maps, {})}
