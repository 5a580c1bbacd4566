"""Small random models of real architectures, built through ComfyUI's own classes: they pass through
the real ops, conditionings, samplings and latent formats.
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

CPU = torch.device("cpu")
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


def fill(module, seed: int = 0):
    """ComfyUI's layers come without values: give every weight a fan-in-scaled one, norms one and
    biases zero.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if not value.is_floating_point() or value.ndim == 0 or name.startswith("model_sampling."):
                continue
            if value.ndim == 1:
                value.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                value.copy_(torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5)
    return module


def damp(patcher, share: float = 0.1):
    """Shrink the last layer, so that the sampling ODE is smooth enough to invert."""
    with torch.no_grad():
        _last_layer(patcher.model.diffusion_model).weight.mul_(share)
    return patcher


def _last_layer(network):
    for path in ("out.2", "final_layer.linear", "head.head", "proj_out", "final_layer.linear_2"):
        try:
            return network.get_submodule(path)
        except AttributeError:
            pass
    raise TypeError(f"the last layer of {type(network).__name__} is not known")


def _patcher(model, seed: int = 0):
    """The model with weights, as what loaders give."""
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


def sd15(kind=comfy.model_base.ModelType.EPS, seed: int = 0, sampling: dict | None = None, **changes):
    config = supported.SD15(
        {**UNET, "context_dim": 64, "use_linear_in_transformer": False, "adm_in_channels": None, **changes}
    )
    config.sampling_settings = sampling or {}
    model = comfy.model_base.BaseModel(config, model_type=kind, device=CPU)
    if config.inpaint_model():
        model.set_inpaint()
    return _patcher(model, seed)


def controlnet(seed: int = 0):
    """A ControlNet for :func:`sd15`, as a loader gives it."""
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
    """Zero terminal signal-to-noise: the highest sigma is 4518."""
    return sd15(comfy.model_base.ModelType.V_PREDICTION, sampling={"zsnr": True})


def v_ddpm():
    """CogVideoX's kind of sampling: noised like eps-models, shown to the network as it is."""
    return sd15(comfy.model_base.ModelType.V_PREDICTION_DDPM)


def sd15_inpaint():
    return sd15(in_channels=9)


def sd2(kind=comfy.model_base.ModelType.V_PREDICTION):
    config = supported.SD20({**UNET, "context_dim": 64, "use_linear_in_transformer": True, "adm_in_channels": None})
    config.unet_config["num_head_channels"] = 16
    return _patcher(comfy.model_base.BaseModel(config, model_type=kind, device=CPU))


def unclip(width: int = 64):
    """SD2.1 unCLIP: pictures as conditionings."""
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
    return _patcher(
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
    return _patcher(comfy.model_base.SDXL(config, model_type=kind, device=CPU))


def sd3():
    config = supported.SD3(
        dict(
            in_channels=16,
            out_channels=16,
            patch_size=2,
            depth=1,
            input_size=None,
            adm_in_channels=64,
            num_patches=32 * 32,
            pos_embed_max_size=32,
            context_embedder_config={"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 64}},
            pos_embed_scaling_factor=None,
            x_block_self_attn_layers=[],
            dtype=torch.float32,
        )
    )
    return _patcher(comfy.model_base.SD3(config, device=CPU))


def flux():
    config = supported.Flux(
        dict(
            image_model="flux",
            in_channels=16,
            out_channels=16,
            vec_in_dim=64,
            context_in_dim=64,
            hidden_size=64,
            mlp_ratio=2.0,
            num_heads=2,
            depth=1,
            depth_single_blocks=1,
            axes_dim=[8, 12, 12],
            theta=10000,
            patch_size=2,
            qkv_bias=True,
            guidance_embed=True,
            txt_ids_dims=[],
            dtype=torch.float32,
        )
    )
    return _patcher(config.get_model({}, "", device=CPU))


def flux2():
    config = supported.Flux2(
        dict(
            image_model="flux2",
            in_channels=128,
            out_channels=128,
            vec_in_dim=None,
            context_in_dim=64,
            hidden_size=64,
            mlp_ratio=2.0,
            num_heads=2,
            depth=1,
            depth_single_blocks=1,
            axes_dim=[8, 8, 8, 8],
            theta=2000,
            patch_size=1,
            qkv_bias=False,
            ops_bias=False,
            guidance_embed=True,
            txt_ids_dims=[3],
            global_modulation=True,
            mlp_silu_act=True,
            default_ref_method="index",
            ref_index_scale=10.0,
            dtype=torch.float32,
        )
    )
    return _patcher(config.get_model({}, "", device=CPU))


LUMINA = dict(
    image_model="lumina2",
    patch_size=2,
    in_channels=16,
    dim=64,
    n_layers=1,
    n_refiner_layers=1,
    n_heads=2,
    n_kv_heads=2,
    multiple_of=32,
    ffn_dim_multiplier=1.0,
    qk_norm=True,
    cap_feat_dim=64,
    axes_dims=[8, 12, 12],
    axes_lens=[300, 512, 512],
    dtype=torch.float32,
)


def lumina():
    return _patcher(supported.Lumina2(dict(LUMINA)).get_model({}, "", device=CPU))


def z_image():
    # Its modulation is 256 wide at least, so the network is too.
    changes = dict(
        z_image_modulation=True,
        time_scale=1000.0,
        pad_tokens_multiple=32,
        rope_theta=256.0,
        dim=256,
        n_heads=8,
        n_kv_heads=8,
    )
    return _patcher(supported.ZImage({**LUMINA, **changes}).get_model({}, "", device=CPU))


def qwen_image():
    """Pictures as videos of one frame: 5-D latents."""
    config = supported.QwenImage(
        dict(
            image_model="qwen_image",
            in_channels=64,
            out_channels=16,
            num_layers=1,
            attention_head_dim=32,
            num_attention_heads=2,
            joint_attention_dim=64,
            axes_dims_rope=(8, 12, 12),
            dtype=torch.float32,
        )
    )
    return _patcher(config.get_model({}, "", device=CPU))


def wan():
    """Videos: 5-D latents."""
    config = supported.WAN21_T2V(
        dict(
            image_model="wan2.1",
            model_type="t2v",
            dim=64,
            ffn_dim=128,
            text_dim=64,
            num_heads=2,
            num_layers=1,
            in_dim=16,
            out_dim=16,
            dtype=torch.float32,
        )
    )
    return _patcher(config.get_model({}, "", device=CPU))


def cosmos():
    """Cosmos Predict2: a flow whose states are noised like those of eps-models."""
    config = supported.CosmosT2IPredict2(
        dict(
            image_model="cosmos_predict2",
            max_img_h=24,
            max_img_w=24,
            max_frames=8,
            in_channels=16,
            out_channels=16,
            patch_spatial=2,
            patch_temporal=1,
            model_channels=64,
            num_blocks=1,
            num_heads=2,
            crossattn_emb_channels=64,
            pos_emb_cls="rope3d",
            pos_emb_learnable=True,
            use_adaln_lora=True,
            adaln_lora_dim=16,
            rope_enable_fps_modulation=False,
            concat_padding_mask=True,
            dtype=torch.float32,
        )
    )
    return _patcher(config.get_model({}, "", device=CPU))


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
    """A CLIP_VISION without values. ComfyUI takes its config from a file, since 0.23 from a dict as
    well.
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
    """What people call it."""


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
"""By the names that tests use. A family is added by a line here and its maker."""
if not hasattr(comfy.model_base.ModelType, "V_PREDICTION_DDPM"):  # CogVideoX came after 0.18
    del FAMILIES["v_ddpm"]


class Texts:
    """Conditionings for every family; the text encoders are made once."""

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
