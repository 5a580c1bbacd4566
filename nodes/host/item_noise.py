"""Noise with a separate seed for each item of a batch: for samplers that draw noise during the run,
and for a background that gets new noise at every level.
"""

import hashlib
import inspect
import struct

import comfy.k_diffusion.sampling
import comfy.samplers
import torch

from .latents import seeded_noise
from .sampling import is_stochastic


def takes_item_noise(sampler_name: str) -> bool:
    """Whether a stochastic sampler accepts a ``noise_sampler``; all of ComfyUI's do, those of other
    packs may not.
    """
    function = comfy.samplers.sampler_object(sampler_name).sampler_function
    return is_stochastic(sampler_name) and "noise_sampler" in inspect.signature(function).parameters


def uses_brownian_noise(sampler_name: str) -> bool:
    """Whether ComfyUI's sampler draws from a Brownian path by default (the DPM-Solver++ SDE
    samplers), not from a plain generator.
    """
    return sampler_name.startswith("dpmpp_") and "sde" in sampler_name


class ItemNoiseSampler(comfy.samplers.Sampler):
    """ComfyUI's stochastic sampler ``name`` for a whole batch, where each item gets the same noise
    as in a single run with its seed.

    The batch is not split, so that ComfyUI pairs the rows of all conditionings (texts, ControlNet
    hints, reference latents, images to concatenate).

    Args:
        name: a sampler for which :func:`takes_item_noise` is true.
        seeds: one for each item.
    """

    def __init__(self, name: str, seeds: list[int]):
        self.name, self.seeds = name, seeds

    def sample(
        self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False
    ):
        draws = [self._noise_of_item(noise[item : item + 1], sigmas, seed) for item, seed in enumerate(self.seeds)]

        def noise_sampler(sigma, sigma_next):
            return torch.cat([draw(sigma, sigma_next) for draw in draws])

        inner = comfy.samplers.ksampler(self.name, {"noise_sampler": noise_sampler})
        return inner.sample(model_wrap, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar)

    def _noise_of_item(self, x: torch.Tensor, sigmas: torch.Tensor, seed: int):
        """ComfyUI's noise sampler for one item, as the sampler creates it by default."""
        if not uses_brownian_noise(self.name):
            return comfy.k_diffusion.sampling.default_noise_sampler(x, seed=seed)
        lowest, highest = sigmas[sigmas > 0].min(), sigmas.max()
        return comfy.k_diffusion.sampling.BrownianTreeNoiseSampler(
            x, lowest, highest, seed=seed, cpu=not self.name.endswith("_gpu")
        )


def solver(sampler_name: str, seeds: list[int]) -> comfy.samplers.Sampler:
    """ComfyUI's sampler. If it draws noise during the run, each item of a batch gets noise from its
    own seed.
    """
    if len(seeds) > 1 and takes_item_noise(sampler_name):
        return ItemNoiseSampler(sampler_name, seeds)
    return comfy.samplers.sampler_object(sampler_name)


def noise_at_level(shape, seeds: list[int], sigma: float) -> torch.Tensor:
    """Standard normal noise [len(seeds), *shape] that depends only on an item's seed and the noise
    level: a run in parts draws the same as a whole run.
    """
    return seeded_noise(shape, [_mixed(seed, sigma) for seed in seeds])


def _mixed(seed: int, sigma: float) -> int:
    """A seed from a hash of both, so that neighbouring levels and seeds give unrelated noise
    (torch's CPU generator uses only the lowest 32 bits).
    """
    return int.from_bytes(hashlib.blake2b(struct.pack("<Qd", seed, sigma), digest_size=8).digest(), "little")
