"""Shared by all masked edits: the mask on the latent's grid, and restoring the source where the
mask is 0.
"""

import torch

from ...core.errors import NodeError
from ...core.masks.matching import match_mask
from ...core.masks.operations import coverage
from ...core.pictures.layout import mask_to_latent
from ...host.latents import cell_size, latent_frames, pixel_size
from ...host.reports import Phrase, phrase
from ..pictures import masks_of_items, plain_masks
from ..words import percents


def mask_that_counts(model, mask: torch.Tensor | None, latent: dict, samples: torch.Tensor) -> torch.Tensor | None:
    """The connected MASK, or else the LATENT's noise mask, as [B, 1, ...] on the latent's grid;
    None if there is neither.
    """
    mask = latent.get("noise_mask") if mask is None else mask
    return None if mask is None else latent_mask(model, mask, samples)


def latent_mask(model, mask: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """A MASK or noise mask of any size as [B, 1, ..., h, w] in 0..1 on the latent's grid.

    A mask of the image before encoding cropped it is cropped likewise
    (``core.masks.matching.match_mask``); frames of a video that share a latent frame are joined.

    Raises:
        ValueError: a number of masks that matches neither the images nor the frames.
    """
    flat = match_mask(plain_masks(mask), pixel_size(model, samples), (cell_size(model),), tuple(samples.shape[-2:]))
    cells = masks_of_items(flat, samples.shape[0], latent_frames(model, samples), in_pictures=False)
    one_for_all_frames = samples.ndim == 4 or flat.shape[0] == 1
    return mask_to_latent(cells[:, 0] if one_for_all_frames else cells, samples.ndim)


def pixel_masks(model, mask: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """A MASK of any size as [N, H, W] in 0..1 on the pixels of a latent, one for each image or
    latent frame.

    Raises:
        ValueError: a number of masks that matches neither the images nor the frames.
    """
    flat = match_mask(plain_masks(mask), pixel_size(model, samples), (cell_size(model),))
    frames = latent_frames(model, samples)
    return masks_of_items(flat, samples.shape[0], frames, in_pictures=False).flatten(0, 1)


def edited_samples(
    model, result: torch.Tensor, samples: torch.Tensor, cells: torch.Tensor | None, source: torch.Tensor
) -> torch.Tensor:
    """Convert a result from model space to LATENT samples. Where ``cells`` is 0, or the result
    equals the ``source`` in model space, they equal the source's ``samples`` bit for bit; the
    conversion to model space and back would change their last bit.
    """
    edited = model.get_model_object("process_latent_out")(result.float().cpu())
    edited = torch.where(result.cpu() == source.cpu(), samples.float().cpu(), edited)
    return edited if cells is None else keep_source(edited, samples, cells)


def keep_source(edited: torch.Tensor, samples: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The result, replaced by the source bit for bit where the mask is 0. The sampler has already
    blended a soft mask into each of its predictions.

    Raises:
        NodeError: the result contains NaN or infinite values.
    """
    if not torch.isfinite(edited).all():
        raise NodeError(
            "the sampler produced NaN or infinite values; try another sampler, scheduler, cfg, or precision for the "
            "model."
        )
    return torch.where(mask == 0, samples.float().cpu(), edited.float().cpu())


def changed(cells: torch.Tensor | None) -> Phrase | None:
    """A phrase with the fraction of each latent that may change; None without a mask."""
    return None if cells is None else phrase("changed", percents(coverage(cells).tolist()))


def warn_of_empty(cells: torch.Tensor | None) -> Phrase | None:
    """A warning if one of the masks is empty."""
    is_empty = cells is not None and min(coverage(cells).tolist()) == 0
    return phrase("mask_empty_unchanged") if is_empty else None
