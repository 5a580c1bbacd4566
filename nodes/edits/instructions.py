"""Edits by instruction: the picture that the model is given, and the picture that is edited."""

from ..host.latents import samples_of
from ..host.reports import Phrase, phrase
from ..host.seen_picture import other_size


def warn_of_size(conditioning, latent: dict) -> Phrase | None:
    """A warning if the conditioning holds pictures and none of them has the latent's size.

    The stock nodes scale the picture that they put into a conditioning (FluxKontextImageScale,
    TextEncodeQwenImageEdit); a latent of the unscaled picture is shifted against it.
    """
    samples = samples_of(latent)
    size = other_size(conditioning, samples)
    if size is None:
        return None
    latent_size = samples.shape[-2:]
    return phrase("other_picture_size", f"{size[1]} x {size[0]}", f"{latent_size[1]} x {latent_size[0]}")
