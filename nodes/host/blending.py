"""Any of ComfyUI's samplers, blended with a background at every evaluation.

The guider is wrapped, not the sampler's loop, so multi-step solvers keep their history and
stochastic ones their noise. Outside the mask, the network's input is the background at the current
level, and its output is replaced by the clean source.
"""

from collections.abc import Callable

import comfy.samplers
import torch

from ..core.masks.operations import blend
from ..core.sampling.ddim import state_at
from .item_noise import noise_at_level
from .sampling import rewind_hooks

Background = Callable[[torch.Tensor], torch.Tensor]
"""``background(sigma [B]) -> state`` outside the mask at that level."""


PARTIAL = "is_partial_run"
"""Key in the ``extra_options`` of a mask function, in addition to ComfyUI's ``model`` and
``sigmas``.
"""


class BlendingGuider:
    """A guider that blends before and after each evaluation; all other attributes are those of the
    wrapped ``guider``.
    """

    def __init__(
        self, guider, mask: Callable[[torch.Tensor], torch.Tensor], background: Background, source: torch.Tensor
    ):
        self.guider, self.mask, self.background, self.source = guider, mask, background, source

    def __getattr__(self, name):
        return getattr(self.guider, name)

    def __call__(self, x, sigma, model_options={}, seed=None):
        mask = self.mask(sigma)
        denoised = self.guider(blend(x, self.background(sigma), mask), sigma, model_options=model_options, seed=seed)
        return blend(denoised, self.source, mask)


class BlendSampler(comfy.samplers.Sampler):
    """A sampler that blends every evaluation outside the mask.

    Args:
        inner: the wrapped sampler.
        make_background: ``(model, source) -> Background``, called once the model is loaded.
        whole: all noise levels, if the run covers only a part of them, for functions that change
            the mask by level; None if the run covers all.
        is_partial: whether the run is one of several parts and the levels of the others are
            unknown; ProgressiveMaskShrink then uses the model's noise range.
    """

    def __init__(
        self,
        inner: comfy.samplers.Sampler,
        make_background: Callable[..., Background],
        whole: torch.Tensor | None = None,
        is_partial: bool = False,
    ):
        self.inner, self.make_background, self.whole, self.is_partial = inner, make_background, whole, is_partial

    def sample(
        self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False
    ):
        rewind_hooks(model_wrap)
        background = self.make_background(model_wrap.inner_model, latent_image)
        moving = extra_args["model_options"].get("denoise_mask_function")
        whole = sigmas if self.whole is None else self.whole.to(sigmas)

        def mask(sigma):
            if moving is None:
                return denoise_mask
            options = {"model": model_wrap, "sigmas": whole.clone(), PARTIAL: self.is_partial}
            return moving(sigma, denoise_mask.clone(), extra_options=options)

        blending = BlendingGuider(model_wrap, mask, background, latent_image)
        # Copies: a sampler may write into its arguments (uni_pc does), and the blend still needs
        # them.
        return self.inner.sample(
            blending, sigmas.clone(), extra_args, callback, noise.clone(), latent_image.clone(), None, disable_pbar
        )


def noised_source(noise: torch.Tensor):
    """The source noised to the current level with one noise [B, C, ...] for the whole run, as
    ComfyUI's own samplers keep the area outside a mask.
    """

    def make(model, source: torch.Tensor) -> Background:
        scaled = noise.to(source)
        return lambda sigma: model.scale_latent_inpaint(
            x=source.clone(), sigma=sigma, noise=scaled.clone(), latent_image=source.clone()
        )

    return make


def freshly_noised_source(noise: torch.Tensor, seeds: list[int], first: float | None):
    """The source noised with new noise at every level (Blended Latent Diffusion, algorithm 1:
    ``z_bg ~ noise(z_init, t)``).

    Args:
        noise: the initial noise of the run, [B, C, ...].
        seeds: one for each item, for :func:`noise_at_level`.
        first: the initial level of the run, at which background and edit share ``noise``; None if
            the run continues an earlier part.
    """

    def make(model, source: torch.Tensor) -> Background:
        drawn: dict[float, torch.Tensor] = {}

        def background(sigma: torch.Tensor) -> torch.Tensor:
            level = float(sigma[0])
            if level not in drawn:
                drawn.clear()
                drawn[level] = (noise if level == first else noise_at_level(noise.shape[1:], seeds, level)).to(source)
            return model.scale_latent_inpaint(
                x=source.clone(), sigma=sigma, noise=drawn[level].clone(), latent_image=source.clone()
            )

        return background

    return make


def stored_trajectory(inversion):
    """DiffEdit's background (step 3): the inversion's state at the current level; at the last level
    this is the source.
    """

    def make(model, source: torch.Tensor) -> Background:
        cache: dict[float, torch.Tensor] = {}

        def background(sigma: torch.Tensor) -> torch.Tensor:
            level = float(sigma[0])
            if level not in cache:
                cache.clear()
                cache[level] = state_at(level, inversion.sigmas, inversion.states).to(source)
            return cache[level]

        return background

    return make
