"""Small random VAEs of real architectures through ComfyUI's own classes, and a hash of their
weights.
"""

import hashlib

import comfy.ldm.wan.vae
import comfy.sd
import comfy.taesd.taesd
import tiny_models
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL, AutoencodingEngine


def _settings(channels: int, width: int) -> dict:
    return {
        "double_z": True,
        "z_channels": channels,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": width,
        "ch_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_resolutions": [],
        "dropout": 0.0,
    }


def kl(channels: int = 4, width: int = 32, **more):
    """SD1.5's architecture with fewer channels; ``more`` are further settings of the network."""
    settings = _settings(channels, width) | more
    network = tiny_models.fill(AutoencoderKL(ddconfig=settings, embed_dim=channels))
    vae = comfy.sd.VAE(
        sd=network.state_dict(), config={"params": {"ddconfig": settings, "embed_dim": channels}}, dtype=torch.float32
    )
    vae.latent_channels = channels
    return vae


def flux(width: int = 32):
    """SD3's and Flux's VAE: 16 channels, no layer between latent and decoder."""
    part = "comfy.ldm.modules.diffusionmodules.model."
    vae = kl(16, width)
    vae.first_stage_model = tiny_models.fill(
        AutoencodingEngine(
            regularizer_config={"target": "comfy.ldm.models.autoencoder.DiagonalGaussianRegularizer"},
            encoder_config={"target": part + "Encoder", "params": _settings(16, width)},
            decoder_config={"target": part + "Decoder", "params": _settings(16, width)},
        )
    ).eval()
    vae.patcher = comfy.model_patcher.ModelPatcher(
        vae.first_stage_model, load_device=tiny_models.CPU, offload_device=tiny_models.CPU
    )
    return vae


def flux2(width: int = 32):
    """FLUX.2's VAE: 32 channels, packed 2 x 2 to 128 at a sixteenth of the side, and normalised by
    running statistics.
    """
    vae = kl(32, width, batch_norm_latent=True)
    vae.first_stage_model.bn.running_mean.copy_(torch.linspace(-0.5, 0.5, 128))
    vae.first_stage_model.bn.running_var.copy_(torch.linspace(0.5, 2, 128))
    vae.latent_channels, vae.downscale_ratio, vae.upscale_ratio = 128, 16, 16
    return vae


def taesd(channels: int = 4):
    return tiny_models.taesd(channels)


def wan(width: int = 8):
    """Wan 2.1's and Qwen-Image's VAE: videos, latents with a time axis."""
    network = comfy.ldm.wan.vae.WanVAE(
        dim=width,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=2,
        attn_scales=[],
        temperal_downsample=[False, True, True],
    )
    tiny_models.fill(network)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("gamma"):
                value.fill_(1.0)
    return comfy.sd.VAE(sd=network.state_dict(), dtype=torch.float32)


FAMILIES = {"AutoencoderKL": kl, "TAESD": taesd, "Flux": flux, "Wan": wan}


def weights_hash(vae) -> str:
    digest = hashlib.sha256()
    for name, value in vae.first_stage_model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        digest.update(str(value.requires_grad).encode())
    return digest.hexdigest()
