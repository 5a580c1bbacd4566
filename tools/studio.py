"""ComfyUI with the pack, the demo's models and the calls for drawing pictures."""

import torch

from lab import common

from .templates.parts import WHOLE


class Studio(common.Demo):
    """The nodes and the demo's models."""

    def mask(self, latent: dict, source: str, target: str, **widgets) -> tuple:
        """DiffEditMask's outputs for two texts."""
        return self.run(
            "DiffEditMask",
            model=self.model,
            source=self.texts(source),
            target=self.texts(target),
            latent=latent,
            **{**WHOLE, **widgets},
        )

    def invert(self, latent: dict, **widgets) -> tuple:
        """DDIMInvert's outputs under the empty text."""
        return self.run("DDIMInvert", model=self.model, conditioning=self.texts(""), latent=latent, **widgets)

    def blend(self, latent: dict, target: str, **widgets) -> dict:
        """LatentBlendSampler's LATENT."""
        inputs = {
            "model": self.model,
            "positive": self.texts(target),
            "negative": self.texts(""),
            "latent": latent,
            **widgets,
        }
        return self.run("LatentBlendSampler", **inputs)[0]

    def keep(self, picture: torch.Tensor, edited: torch.Tensor, mask: torch.Tensor, method: str = "stitch"):
        """BackgroundRestore's IMAGE."""
        return self.run("BackgroundRestore", image=picture, edited=edited, mask=mask, method=method)[0]

    def edit(self, picture: torch.Tensor, source: str, target: str, **widgets) -> tuple[torch.Tensor, ...]:
        """DiffEdit as in the first template. Returns the heat map, the mask, and the edit with the
        source's background.
        """
        mask, heat, masked = self.mask(self.encode(picture), source, target, **widgets)
        edited = self.decode(self.blend(masked, target, inversion=self.invert(masked)[1]))
        return heat[0], mask[0], self.keep(picture, edited, mask)[0]
