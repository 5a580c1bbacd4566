"""The architecture of the shapes' checkpoint: SD1.5's family at small size, like the demo's, with a
narrower text encoder, by which ComfyUI's detection distinguishes them.
"""

import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base

from lab import common

CHECKPOINT = common.PACK / "tests" / "data" / "shapes" / "semantic-edit-shapes.safetensors"
TEXT = dict(num_hidden_layers=3, hidden_size=64, num_attention_heads=4, intermediate_size=256)


class ShapesClip(comfy.sd1_clip.SD1ClipModel):
    """SD1.5's text stack with a small CLIP."""

    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": TEXT})


class ShapesSD15(comfy.supported_models.SD15):
    """The configuration by which ComfyUI detects a checkpoint of the shapes."""

    unet_config = {
        "model_channels": 64,
        "context_dim": TEXT["hidden_size"],
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
    }
    unet_extra_config = {"num_heads": 4, "num_head_channels": -1}

    def clip_target(self, state_dict={}):
        return comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, ShapesClip)


def register() -> None:
    """Let CheckpointLoaderSimple find and load the shapes' checkpoint, once."""
    import folder_paths

    known = comfy.supported_models.models
    if not any(model.__name__ == ShapesSD15.__name__ for model in known):
        known.append(ShapesSD15)
    folder_paths.add_model_folder_path("checkpoints", str(CHECKPOINT.parent))
