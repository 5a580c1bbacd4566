"""Edits by instruction: compare the image in the conditioning with the latent."""

from ..host.latents import samples_of
from ..host.reports import Phrase, phrase
from ..host.seen_picture import other_size


def warn_of_size(conditioning, latent: dict) -> Phrase | None:
    """A warning if the conditioning contains images and none of them has the latent's size.

    Stock nodes scale the image that they add to a conditioning (FluxKontextImageScale,
    TextEncodeQwenImageEdit); a latent of the unscaled image is shifted relative to it.
    """
    samples = samples_of(latent)
    size = other_size(conditioning, samples)
    if size is None:
        return None
    latent_size = samples.shape[-2:]
    return phrase("other_picture_size", f"{size[1]} x {size[0]}", f"{latent_size[1]} x {latent_size[0]}")
