"""Small random diffusion transformers: SD3, Flux, Lumina, Qwen-Image, Wan and Cosmos."""

import comfy.cldm.cldm
import comfy.clip_vision
import comfy.controlnet
import comfy.model_base
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models as supported
import comfy.taesd.taesd
import torch
from tiny_parts import CPU, patcher


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
    return patcher(comfy.model_base.SD3(config, device=CPU))


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
    return patcher(config.get_model({}, "", device=CPU))


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
    return patcher(config.get_model({}, "", device=CPU))


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
    return patcher(supported.Lumina2(dict(LUMINA)).get_model({}, "", device=CPU))


def z_image():
    # Its modulation is at least 256 wide, hence the network is too.
    changes = dict(
        z_image_modulation=True,
        time_scale=1000.0,
        pad_tokens_multiple=32,
        rope_theta=256.0,
        dim=256,
        n_heads=8,
        n_kv_heads=8,
    )
    return patcher(supported.ZImage({**LUMINA, **changes}).get_model({}, "", device=CPU))


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
    return patcher(config.get_model({}, "", device=CPU))


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
    return patcher(config.get_model({}, "", device=CPU))


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
    return patcher(config.get_model({}, "", device=CPU))
