"""Small random models of real architectures, built through ComfyUI's own classes: they pass through the real ops, conditionings, samplings and latent formats."""
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
UNET = dict(image_size=32, in_channels=4, out_channels=4, model_channels=32, num_res_blocks=[1, 1], channel_mult=[1, 2], transformer_depth=[1, 1],
            transformer_depth_output=[1, 1, 1, 1], transformer_depth_middle=1, use_spatial_transformer=True, legacy=False, use_temporal_resblock=False,
            use_temporal_attention=False, use_checkpoint=False, dtype=torch.float32)


def fill(module, seed: int = 0):
    """ComfyUI's layers come without values: give every weight a fan-in-scaled one, norms one and biases zero."""
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
    network = patcher.model.diffusion_model
    with torch.no_grad():
        (network.out[2] if hasattr(network, "out") else network.final_layer.linear).weight.mul_(share)
    return patcher


def _patcher(model):
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


def sd15(kind=comfy.model_base.ModelType.EPS, seed: int = 0, **changes):
    config = supported.SD15({**UNET, "context_dim": 64, "use_linear_in_transformer": False, "adm_in_channels": None, **changes})
    model = comfy.model_base.BaseModel(config, model_type=kind, device=CPU)
    if config.inpaint_model():
        model.set_inpaint()
    fill(model.diffusion_model, seed)
    return _patcher(model)


def sd15_v():
    return sd15(comfy.model_base.ModelType.V_PREDICTION)


def edm():
    return sd15(comfy.model_base.ModelType.EDM)


def sd15_inpaint():
    return sd15(in_channels=9)


def sdxl():
    config = supported.SDXL({**UNET, "context_dim": 64 + 1280, "use_linear_in_transformer": True, "adm_in_channels": 2816, "num_classes": "sequential"})
    config.unet_config["num_head_channels"] = 16
    model = comfy.model_base.SDXL(config, model_type=comfy.model_base.ModelType.EPS, device=CPU)
    fill(model.diffusion_model)
    return _patcher(model)


def sd3():
    config = supported.SD3(dict(
        in_channels=16, out_channels=16, patch_size=2, depth=1, input_size=None, adm_in_channels=64, num_patches=32 * 32, pos_embed_max_size=32,
        context_embedder_config={"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 64}}, pos_embed_scaling_factor=None,
        x_block_self_attn_layers=[], dtype=torch.float32))
    model = comfy.model_base.SD3(config, device=CPU)
    fill(model.diffusion_model)
    return _patcher(model)


def flux():
    config = supported.Flux(dict(
        image_model="flux", in_channels=16, out_channels=16, vec_in_dim=64, context_in_dim=64, hidden_size=64, mlp_ratio=2.0, num_heads=2, depth=1,
        depth_single_blocks=1, axes_dim=[8, 12, 12], theta=10000, patch_size=2, qkv_bias=True, guidance_embed=True, txt_ids_dims=[], dtype=torch.float32))
    model = config.get_model({}, "", device=CPU)
    fill(model.diffusion_model)
    return _patcher(model)


class SmallClip(comfy.sd1_clip.SD1ClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": TEXT})


class SmallClipXL(comfy.sdxl_clip.SDXLClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        large = {**TEXT, "hidden_size": 1280, "num_attention_heads": 20}
        super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": TEXT, "clip_g_model_config": large})


def clip(xl: bool = False):
    target = supported_base.ClipTarget(comfy.sdxl_clip.SDXLTokenizer, SmallClipXL) if xl else supported_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, SmallClip)
    made = comfy.sd.CLIP(target, embedding_directory=None)
    fill(made.cond_stage_model)
    return made


def taesd(channels: int = 4):
    return comfy.sd.VAE(sd=fill(comfy.taesd.taesd.TAESD(latent_channels=channels)).state_dict(), dtype=torch.float32)


FAMILIES = {"sd15": (sd15, 4), "sd15_v": (sd15_v, 4), "edm": (edm, 4), "sdxl": (sdxl, 4), "sd3": (sd3, 16), "flux": (flux, 16)}
"""Name to (maker, latent channels)."""


class Texts:
    """Conditionings for every family, encoded once."""

    def __init__(self):
        self.clips = {}

    def __call__(self, family: str, words: str):
        xl = family == "sdxl"
        if xl not in self.clips:
            self.clips[xl] = clip(xl)
        encoder = self.clips[xl]
        return encoder.encode_from_tokens_scheduled(encoder.tokenize(words))


def latent(family: str, size: int = 8, batch: int = 1, seed: int = 0) -> dict:
    channels = FAMILIES[family][1]
    samples = torch.randn((batch, channels, size, size), generator=torch.Generator().manual_seed(seed))
    return {"samples": samples * (5 if channels == 4 else 1)}
