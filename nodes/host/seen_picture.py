"""Whether a model is given the picture that it edits. Models of edits by instruction get it beside
the noised latent: as reference latents (FLUX.1 Kontext, Qwen-Image-Edit, FLUX.2), as further input
channels (InstructPix2Pix), or as an embedding (unCLIP).
"""

from collections.abc import Iterator

import torch

from .sampling import Predictor

READS = {
    "reference_latents": ("ref_latents", "reference_latent"),
    "concat_latent_image": ("c_concat",),
    "unclip_conditioning": ("y",),
}
"""Entries of a conditioning that hold a picture, and the network inputs that are made from each."""


def sees_picture(predictor: Predictor, name: str) -> bool:
    """Whether the conditioning ``name`` holds a picture that this network reads.

    Inpainting models, whose picture has a hole, do not count: inside the hole they depend on the
    text.
    """
    for entry in predictor.guider.conds[name]:
        given = entry.get("model_conds", {})
        if entry.get("concat_mask") is not None:
            continue
        for key, read_as in READS.items():
            held = entry.get(key)
            is_held = held is not None and (isinstance(held, torch.Tensor) or len(held) > 0)
            if is_held and any(part in given for part in read_as):
                return True
    return False


def pictures_in(conditioning) -> Iterator[torch.Tensor]:
    """The picture latents in a CONDITIONING, [B, C, ..., h, w]."""
    for _, entry in conditioning:
        yield from entry.get("reference_latents") or ()
        if entry.get("concat_latent_image") is not None and entry.get("concat_mask") is None:
            yield entry["concat_latent_image"]


def other_size(conditioning, samples: torch.Tensor) -> tuple[int, int] | None:
    """The (height, width) in cells of the first picture in a conditioning, if it holds some and
    none has the size of ``samples``; else None.
    """
    sizes = [(picture.shape[-2], picture.shape[-1]) for picture in pictures_in(conditioning)]
    return sizes[0] if sizes and tuple(samples.shape[-2:]) not in sizes else None
