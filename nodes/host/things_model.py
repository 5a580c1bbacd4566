"""The architectures of the world of things (``demo/world``), taught to ComfyUI's stock loaders.

A text-to-image model of SD1.5's family, and beside it an instruction model in InstructPix2Pix's
layout (8 input channels), which shares its text encoder and VAE. Registration appends to
``comfy.supported_models.models`` and to the model folders; nothing is patched.
"""

import logging
import pathlib

import comfy.model_base
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base

CHECKPOINT = "semantic-edit-things.safetensors"
INSTRUCT_CHECKPOINT = "semantic-edit-things-instruct.safetensors"
MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"

TEXT = dict(num_hidden_layers=3, hidden_size=128, num_attention_heads=4, intermediate_size=512)
UNET = dict(
    image_size=32,
    in_channels=4,
    out_channels=4,
    model_channels=64,
    num_res_blocks=[1, 1, 1],
    channel_mult=[1, 2, 3],
    transformer_depth=[0, 1, 1],
    transformer_depth_output=[0, 0, 1, 1, 0, 0],
    transformer_depth_middle=1,
    context_dim=TEXT["hidden_size"],
    use_spatial_transformer=True,
    use_linear_in_transformer=False,
    adm_in_channels=None,
    legacy=False,
    use_temporal_resblock=False,
    use_temporal_attention=False,
)
INSTRUCT_UNET = {**UNET, "in_channels": 8}
SIGNS = {name: UNET[name] for name in ("model_channels", "context_dim", "use_linear_in_transformer", "adm_in_channels")}
"""What tells these UNets from all others in ComfyUI's detection; ``in_channels`` tells one from the
other.
"""


class ThingsClip(comfy.sd1_clip.SD1ClipModel):
    """SD1.5's text stack with a small CLIP."""

    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": TEXT})


class ThingsSD15(comfy.supported_models.SD15):
    """The text-to-image model."""

    unet_config = {**SIGNS, "use_temporal_attention": False, "in_channels": 4}
    unet_extra_config = {"num_heads": 4, "num_head_channels": -1}

    def clip_target(self, state_dict={}):
        return comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, ThingsClip)


class ThingsInstruct(ThingsSD15):
    """The instruction model; it reads the picture from ``concat_latent_image``, as
    InstructPixToPixConditioning gives it.
    """

    unet_config = {**SIGNS, "use_temporal_attention": False, "in_channels": 8}

    def get_model(self, state_dict, prefix="", device=None):
        return comfy.model_base.SD15_instructpix2pix(self, device=device)


def register() -> None:
    """Let the stock loaders find and load both models where the folder ``models`` is there. Never
    raises.
    """
    if not MODELS.is_dir():
        return
    try:
        import folder_paths

        known = comfy.supported_models.models
        names = {model.__name__ for model in known}
        known.extend(model for model in (ThingsSD15, ThingsInstruct) if model.__name__ not in names)
        for kind in ("checkpoints", "diffusion_models"):
            folder_paths.add_model_folder_path(kind, str(MODELS / kind))
    except Exception:
        logging.warning(
            "Semantic Edit: this ComfyUI does not take the models of things; everything else works.", exc_info=True
        )
