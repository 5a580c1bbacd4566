"""Whether a model gets the image that it edits. Instruction-based editing models get it in addition
to the noised latent: as reference latents (FLUX.1 Kontext, Qwen-Image-Edit, FLUX.2), as further
input channels (InstructPix2Pix), or as an embedding (unCLIP).
"""

from collections.abc import Iterator

import torch

from .sampling import Predictor

READS = {
    "reference_latents": ("ref_latents", "reference_latent"),
    "concat_latent_image": ("c_concat",),
    "unclip_conditioning": ("y",),
}
"""Entries of a conditioning that contain an image, and the network inputs made from each of them.
"""


def sees_picture(predictor: Predictor, name: str) -> bool:
    """Whether the conditioning ``name`` contains an image that this network uses.

    Inpainting models do not count: their image has a hole, in which they depend on the text.
    """
    for entry in predictor.guider.conds[name]:
        network_inputs = entry.get("model_conds", {})
        if entry.get("concat_mask") is not None:
            continue
        for key, read_as in READS.items():
            images = entry.get(key)
            has_images = images is not None and (isinstance(images, torch.Tensor) or len(images) > 0)
            if has_images and any(part in network_inputs for part in read_as):
                return True
    return False


def pictures_in(conditioning) -> Iterator[torch.Tensor]:
    """The latents of images in a CONDITIONING, [B, C, ..., h, w]."""
    for _, entry in conditioning:
        yield from entry.get("reference_latents") or ()
        if entry.get("concat_latent_image") is not None and entry.get("concat_mask") is None:
            yield entry["concat_latent_image"]


def other_size(conditioning, samples: torch.Tensor) -> tuple[int, int] | None:
    """The (height, width) in cells of the first image in a conditioning, if it contains images and
    none of them has the size of ``samples``; else None.
    """
    sizes = [(picture.shape[-2], picture.shape[-1]) for picture in pictures_in(conditioning)]
    return sizes[0] if sizes and tuple(samples.shape[-2:]) not in sizes else None
