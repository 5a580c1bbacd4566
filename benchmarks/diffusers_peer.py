"""DiffEdit by diffusers on the weights of one of :mod:`random_networks`; an optional package."""

import importlib
import importlib.metadata
from typing import Any

import torch

from . import random_networks
from .random_networks import SCALE, Inputs

STRENGTH, CFG = 0.8, 7.5
SCHEDULE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)


def version() -> str | None:
    """None where diffusers is not installed."""
    try:
        return importlib.metadata.version("diffusers")
    except importlib.metadata.PackageNotFoundError:
        return None


def same_network(model):
    """diffusers' UNet2DConditionModel that shares the weights of a MODEL of SD1.5's shape."""
    import comfy.utils

    diffusers: Any = importlib.import_module("diffusers")

    shape = model.model.model_config.unet_config
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(
            sample_size=64,
            block_out_channels=[shape["model_channels"] * level for level in shape["channel_mult"]],
            cross_attention_dim=shape["context_dim"],
            attention_head_dim=shape["num_heads"],
        )
    weights = model.model.diffusion_model.state_dict()
    names = comfy.utils.unet_to_diffusers(shape)
    unet.load_state_dict({theirs: weights[ours] for theirs, ours in names.items() if ours in weights}, assign=True)
    return unet.eval()


class Diffusers:
    """StableDiffusionDiffEditPipeline with the network and the inputs of the nodes. It counts as
    :class:`random_networks.Timed` does.
    """

    def __init__(self, model, given: Inputs, steps: int, noises: int):
        diffusers: Any = importlib.import_module("diffusers")
        diffusers.logging.set_verbosity_error()
        self.steps, self.noises, self.device = steps, noises, model.load_device
        self.unet, dtype = same_network(model).to(self.device), random_networks.dtype()
        vae = diffusers.AutoencoderKL(block_out_channels=(32,) * 4, down_block_types=("DownEncoderBlock2D",) * 4)
        self.pipe = diffusers.StableDiffusionDiffEditPipeline(
            vae=vae.to(self.device, dtype),
            text_encoder=None,
            tokenizer=None,
            unet=self.unet,
            scheduler=diffusers.DDIMScheduler(set_alpha_to_one=False, **SCHEDULE),
            safety_checker=None,
            feature_extractor=None,
            inverse_scheduler=diffusers.DDIMInverseScheduler(**SCHEDULE),
            requires_safety_checker=False,
        )
        self.pipe.set_progress_bar_config(disable=True)
        texts = (given.target, given.source, given.empty)
        self.target, self.source, self.empty = (text[0][0].to(self.device, dtype) for text in texts)
        self.latent = (SCALE * given.latent["samples"]).to(self.device, dtype)
        self.count, self.seconds, self.started = 0, 0.0, 0.0
        self.unet.register_forward_pre_hook(self._before)
        self.unet.register_forward_hook(self._after)
        self.made: dict = {}

    def _before(self, unet, inputs) -> None:
        self.count += inputs[0].shape[0]
        self.started = random_networks.clock()

    def _after(self, unet, inputs, output) -> None:
        self.seconds += random_networks.clock() - self.started

    def mask(self, seed: int) -> None:
        """Guided, as the pipeline's default is."""
        self.made["mask"] = self.pipe.generate_mask(
            image=self.latent,
            target_prompt_embeds=self.target,
            target_negative_prompt_embeds=self.empty,
            source_prompt_embeds=self.source,
            source_negative_prompt_embeds=self.empty,
            num_maps_per_mask=self.noises,
            num_inference_steps=self.steps,
            generator=torch.Generator(self.device).manual_seed(seed),
        )

    def inversion(self, seed: int) -> None:
        """Unguided, as in the paper and by DDIMInvert's default; the pipeline's default is guided."""
        self.made["inversion"] = self.pipe.invert(
            prompt_embeds=self.empty,
            image=self.latent,
            num_inference_steps=self.steps,
            inpaint_strength=STRENGTH,
            guidance_scale=1.0,
        ).latents

    def edit(self, seed: int) -> None:
        self.pipe(
            prompt_embeds=self.target,
            negative_prompt_embeds=self.empty,
            mask_image=self.made["mask"],
            image_latents=self.made["inversion"],
            num_inference_steps=self.steps,
            inpaint_strength=STRENGTH,
            guidance_scale=CFG,
            output_type="latent",
        )

    def difference(self, model) -> float:
        """The largest difference of the two networks' predictions for one input, over the largest
        prediction.
        """
        import comfy.model_management

        comfy.model_management.load_models_gpu([model])
        given = self.latent, torch.full((1,), 500.0, device=self.device)
        with torch.inference_mode():
            theirs = self.unet(*given, encoder_hidden_states=self.target).sample
            ours = model.model.diffusion_model(*given, context=self.target)
        return float((ours - theirs).abs().max() / theirs.abs().max())
