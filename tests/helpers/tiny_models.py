"""Small random models of real architectures, built through ComfyUI's own classes, with its real
ops, conditionings, samplings and latent formats.
"""

import json
import os
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import comfy.cldm.cldm
import comfy.clip_vision
import comfy.controlnet
import comfy.model_base
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models as supported
import comfy.supported_models_base as supported_base
import comfy.taesd.taesd
import torch
from tiny_parts import CPU, fill, patcher
from tiny_parts import damp as damp
from tiny_transformers import cosmos, flux, flux2, lumina, qwen_image, sd3, wan, z_image

TEXT = dict(num_hidden_layers=3, hidden_size=64, num_attention_heads=2, intermediate_size=128)
UNET = dict(
    image_size=32,
    in_channels=4,
    out_channels=4,
    model_channels=32,
    num_res_blocks=[1, 1],
    channel_mult=[1, 2],
    transformer_depth=[1, 1],
    transformer_depth_output=[1, 1, 1, 1],
    transformer_depth_middle=1,
    use_spatial_transformer=True,
    legacy=False,
    use_temporal_resblock=False,
    use_temporal_attention=False,
    use_checkpoint=False,
    dtype=torch.float32,
)


def sd15(kind=comfy.model_base.ModelType.EPS, seed: int = 0, sampling: dict | None = None, **changes):
    config = supported.SD15(
        {**UNET, "context_dim": 64, "use_linear_in_transformer": False, "adm_in_channels": None, **changes}
    )
    config.sampling_settings = sampling or {}
    model = comfy.model_base.BaseModel(config, model_type=kind, device=CPU)
    if config.inpaint_model():
        model.set_inpaint()
    return patcher(model, seed)


def controlnet(seed: int = 0):
    """A ControlNet for :func:`sd15`, in the form that a loader returns."""
    config = {
        key: value
        for key, value in UNET.items()
        if key not in ("out_channels", "transformer_depth_output", "use_temporal_resblock", "use_temporal_attention")
    }
    network = fill(
        comfy.cldm.cldm.ControlNet(
            **config, hint_channels=3, context_dim=64, num_heads=8, operations=comfy.ops.disable_weight_init
        ),
        seed,
    )
    return comfy.controlnet.ControlNet(network, load_device=CPU, manual_cast_dtype=None)


def sd15_v():
    return sd15(comfy.model_base.ModelType.V_PREDICTION)


def edm():
    return sd15(comfy.model_base.ModelType.EDM)


def sd15_zsnr():
    """Zero terminal signal-to-noise ratio: the highest sigma is 4518."""
    return sd15(comfy.model_base.ModelType.V_PREDICTION, sampling={"zsnr": True})


def v_ddpm():
    """CogVideoX's kind of sampling: noised like eps-models, with an unscaled network input."""
    return sd15(comfy.model_base.ModelType.V_PREDICTION_DDPM)


def sd15_inpaint():
    return sd15(in_channels=9)


def sd2(kind=comfy.model_base.ModelType.V_PREDICTION):
    config = supported.SD20({**UNET, "context_dim": 64, "use_linear_in_transformer": True, "adm_in_channels": None})
    config.unet_config["num_head_channels"] = 16
    return patcher(comfy.model_base.BaseModel(config, model_type=kind, device=CPU))


def unclip(width: int = 64):
    """SD2.1 unCLIP: a model with pictures as conditionings."""
    config = supported.SD21UnclipL(
        {
            **UNET,
            "context_dim": 64,
            "use_linear_in_transformer": True,
            "adm_in_channels": 2 * width,
            "num_classes": "sequential",
        }
    )
    config.unet_config["num_head_channels"] = 16
    config.noise_aug_config = {**config.noise_aug_config, "timestep_dim": width}
    return patcher(
        comfy.model_base.SD21UNCLIP(
            config, config.noise_aug_config, model_type=comfy.model_base.ModelType.V_PREDICTION, device=CPU
        )
    )


def sdxl(kind=comfy.model_base.ModelType.EPS):
    config = supported.SDXL(
        {
            **UNET,
            "context_dim": 64 + 1280,
            "use_linear_in_transformer": True,
            "adm_in_channels": 2816,
            "num_classes": "sequential",
        }
    )
    config.unet_config["num_head_channels"] = 16
    return patcher(comfy.model_base.SDXL(config, model_type=kind, device=CPU))


class SmallClip(comfy.sd1_clip.SD1ClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": TEXT})


class SmallClipXL(comfy.sdxl_clip.SDXLClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        large = {**TEXT, "hidden_size": 1280, "num_attention_heads": 20}
        super().__init__(
            device=device,
            dtype=dtype,
            model_options={**model_options, "clip_l_model_config": TEXT, "clip_g_model_config": large},
        )


def clip(xl: bool = False):
    target = (
        supported_base.ClipTarget(comfy.sdxl_clip.SDXLTokenizer, SmallClipXL)
        if xl
        else supported_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, SmallClip)
    )
    made = comfy.sd.CLIP(target, embedding_directory=None)
    fill(made.cond_stage_model)
    return made


def clip_vision(config: dict):
    """A CLIP_VISION without weights. ComfyUI reads its config from a file, and since 0.23 also
    accepts a dict.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump(config, file)
    try:
        return comfy.clip_vision.ClipVisionModel(file.name)
    finally:
        os.unlink(file.name)


def taesd(channels: int = 4):
    return comfy.sd.VAE(sd=fill(comfy.taesd.taesd.TAESD(latent_channels=channels)).state_dict(), dtype=torch.float32)


class Family(NamedTuple):
    make: Callable
    channels: int
    frames: int = 0
    """0 for pictures (4-D latents)."""
    name: str = ""
    """The published name."""


FAMILIES = {
    "sd15": Family(sd15, 4, 0, "SD1.5"),
    "sd15_v": Family(sd15_v, 4, 0, "SD1.5, v-prediction"),
    "sd15_zsnr": Family(sd15_zsnr, 4, 0, "SD1.5, v-prediction, zero terminal SNR"),
    "sd15_inpaint": Family(sd15_inpaint, 4, 0, "SD1.5 inpainting (9 channels)"),
    "edm": Family(edm, 4, 0, "EDM scaling"),
    "sd2": Family(sd2, 4, 0, "SD2"),
    "sdxl": Family(sdxl, 4, 0, "SDXL"),
    "sd3": Family(sd3, 16, 0, "SD3"),
    "flux": Family(flux, 16, 0, "Flux"),
    "flux2": Family(flux2, 128, 0, "Flux 2"),
    "lumina": Family(lumina, 16, 0, "Lumina 2"),
    "z_image": Family(z_image, 16, 0, "Z-Image"),
    "qwen_image": Family(qwen_image, 16, 1, "Qwen-Image"),
    "wan": Family(wan, 16, 3, "Wan 2.1 (video)"),
    "cosmos": Family(cosmos, 16, 1, "Cosmos Predict2"),
    "v_ddpm": Family(v_ddpm, 4, 0, "v-prediction on unscaled input (CogVideoX)"),
}
"""Families by the names in tests. A new family needs a line here and a function that makes it."""
if not hasattr(comfy.model_base.ModelType, "V_PREDICTION_DDPM"):  # ComfyUI 0.18 has no CogVideoX
    del FAMILIES["v_ddpm"]


class Texts:
    """Conditionings for every family; the text encoders are built once."""

    clips: dict = {}

    def __call__(self, family: str, words: str):
        xl = family == "sdxl"
        if xl not in self.clips:
            self.clips[xl] = clip(xl)
        encoder = self.clips[xl]
        return encoder.encode_from_tokens_scheduled(encoder.tokenize(words))


def latent(family: str, size: int = 8, batch: int = 1, seed: int = 0) -> dict:
    """Random samples as a LATENT of the family's rank, ``size`` cells high and wide."""
    known = FAMILIES[family]
    shape = (batch, known.channels, *((known.frames,) if known.frames else ()), size, size)
    return {
        "samples": torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * (5 if known.channels == 4 else 1)
    }
