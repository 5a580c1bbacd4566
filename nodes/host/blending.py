"""Any of ComfyUI's samplers, blended with a background at every evaluation.

The guider is wrapped, not the sampler's loop: multi-step solvers keep their history and stochastic ones their noise. What the network is shown outside
the mask is the background at the current level; what it answers there is the clean source.
"""
from collections.abc import Callable

import comfy.samplers
import torch

from ..core.ddim import state_at
from ..core.masks import blend
from .sampling import rewind_hooks

Background = Callable[[torch.Tensor], torch.Tensor]
"""``background(sigma [B]) -> state`` outside the mask at that level."""


class BlendingGuider:
    """Stands in for the guider towards the sampler; everything but the call is the guider's own."""

    def __init__(self, guider, mask: Callable[[torch.Tensor], torch.Tensor], background: Background, source: torch.Tensor):
        self.guider, self.mask, self.background, self.source = guider, mask, background, source

    def __getattr__(self, name):
        return getattr(self.guider, name)

    def __call__(self, x, sigma, model_options={}, seed=None):
        mask = self.mask(sigma)
        denoised = self.guider(blend(x, self.background(sigma), mask), sigma, model_options=model_options, seed=seed)
        return blend(denoised, self.source, mask)


class BlendSampler(comfy.samplers.Sampler):
    """A sampler whose every evaluation is blended outside the mask.

    Args:
        inner: the sampler that solves.
        make_background: ``(model, noise, source) -> Background``, called once the model is loaded.
    """

    def __init__(self, inner: comfy.samplers.Sampler, make_background: Callable[..., Background]):
        self.inner, self.make_background = inner, make_background

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False):
        rewind_hooks(model_wrap)
        background = self.make_background(model_wrap.inner_model, noise, latent_image)
        moving = extra_args["model_options"].get("denoise_mask_function")

        def mask(sigma):
            if moving is None:
                return denoise_mask
            return moving(sigma, denoise_mask.clone(), extra_options={"model": model_wrap, "sigmas": sigmas.clone()})

        blending = BlendingGuider(model_wrap, mask, background, latent_image)
        # Copies: a sampler may write into what it is given (uni_pc does), and the blend still needs these.
        return self.inner.sample(blending, sigmas.clone(), extra_args, callback, noise.clone(), latent_image.clone(), None, disable_pbar)


def noised_source(model, noise: torch.Tensor, source: torch.Tensor) -> Background:
    """Blended Latent Diffusion's background: the source noised to the current level, with one noise for the whole run."""
    return lambda sigma: model.scale_latent_inpaint(
        x=source.clone(), sigma=sigma, noise=noise.clone(), latent_image=source.clone())


def stored_trajectory(inversion):
    """DiffEdit's background (step 3): the inversion's own state at the current level, which ends in the source."""
    def make(model, noise, source) -> Background:
        cache: dict[float, torch.Tensor] = {}

        def background(sigma: torch.Tensor) -> torch.Tensor:
            level = float(sigma[0])
            if level not in cache:
                cache.clear()
                cache[level] = state_at(level, inversion.sigmas, inversion.states).to(source)
            return cache[level]
        return background
    return make
