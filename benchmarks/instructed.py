"""Shared by the benchmarks of edits by instruction: the instruction model of the demo world in the
nodes' graphs.
"""

import pathlib

import torch

from lab import common
from lab.compute import compute_in

CHECKPOINT = common.CHECKPOINT
"""The checkpoint whose text encoder and VAE the instruction model shares."""
MODEL = "semantic-edit-things-instruct.safetensors"
STEPS, CFG = 20, 4.0


class Instructed(common.Demo):
    """ComfyUI with the pack and the instruction model as ``model``."""

    def __init__(self, checkpoint: pathlib.Path | str = CHECKPOINT, steps: int = STEPS, dtype: str = "default"):
        super().__init__(checkpoint)
        self.steps = steps
        self.model = compute_in(self.run("UNETLoader", unet_name=MODEL, weight_dtype="default")[0], dtype)

    def told(self, samples: torch.Tensor, *instructions: str) -> list:
        """A CONDITIONING with one instruction per picture, whose latents are ``samples`` [N, C, h,
        w]: the entry of InstructPixToPixConditioning without its encoding.
        """
        conditioning = self.texts(*instructions)
        return [[text, {**entry, "concat_latent_image": samples}] for text, entry in conditioning]

    def both(self, samples: torch.Tensor, *instructions: str) -> dict:
        """``positive`` and ``negative`` for a sampler: the instructions, and the empty instruction."""
        empty = [""] * len(samples)
        return {"positive": self.told(samples, *instructions), "negative": self.told(samples, *empty)}

    def bare(self, samples: torch.Tensor, instructions: list[str], seed: int) -> dict:
        """The LATENT of the whole picture sampled from noise by KSampler, as in the model's own
        graph.
        """
        return self.run(
            "KSampler",
            model=self.model,
            seed=seed,
            steps=self.steps,
            cfg=CFG,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            latent_image={"samples": torch.zeros_like(samples)},
            **self.both(samples, *instructions),
        )[0]

    def mask(self, latent: dict, instructions: list[str], seed: int, **widgets) -> tuple:
        """DiffEditMask's outputs for one instruction per picture."""
        return self.run(
            "DiffEditMask",
            model=self.model,
            target=self.told(latent["samples"], *instructions),
            latent=latent,
            seed=seed,
            **{"normalisation": "adaptive", "noise_strength": 0.7, "edge_radius": 4, **widgets},
        )

    def inside(self, latent: dict, mask: torch.Tensor, instructions: list[str], seed: int) -> dict:
        """The LATENT of the edit inside a mask by LatentBlendSampler."""
        return self.run(
            "LatentBlendSampler",
            model=self.model,
            latent=latent,
            mask=mask,
            seed=seed,
            steps=self.steps,
            cfg=CFG,
            sampler_name="euler",
            **self.both(latent["samples"], *instructions),
        )[0]
