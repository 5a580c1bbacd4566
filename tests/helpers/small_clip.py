"""A small CLIP with random weights for CLIPRank's tests: as a folder in Hugging Face's layout and
as ComfyUI's CLIP and CLIP_VISION with the same weights.
"""

import contextlib
import os
import pathlib
import shutil

import comfy.clip_vision
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import folder_paths
import safetensors.torch
import tiny_models as tiny
import torch
from transformers import CLIPConfig, CLIPModel

WIDTH, SIZE = 32, 32
VISION = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=SIZE,
    patch_size=8,
    projection_dim=WIDTH,
)
TEXT = dict(
    vocab_size=49408,
    hidden_size=WIDTH,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=77,
    eos_token_id=49407,
    bos_token_id=49406,
    pad_token_id=49407,
    projection_dim=WIDTH,
)


@contextlib.contextmanager
def known_folder(root: pathlib.Path):
    """Inside a ``with`` block, a random CLIP in the layout of Hugging Face folders, with ComfyUI's
    own SD1 tokenizer files, in ``root``, which ComfyUI searches for CLIP rank models.
    """
    model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=WIDTH))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim >= 2:
                value.copy_(
                    torch.randn(value.shape, generator=generator)
                    * (0.3 if "embedding" in name else 1.5 / value[0].numel() ** 0.5)
                )
            value.copy_(value.half().float())  # ComfyUI holds encoders in float16
    model.save_pretrained(root / "random-clip")
    for file in pathlib.Path(os.environ["COMFYUI_PATH"], "comfy", "sd1_tokenizer").iterdir():
        shutil.copy(file, root / "random-clip")
    folder_paths.add_model_folder_path("clip_rank", str(root))
    try:
        yield root / "random-clip"
    finally:
        folder_paths.folder_names_and_paths["clip_rank"][0].remove(str(root))


def comfy_pair(folder: pathlib.Path):
    """The same weights as ComfyUI's CLIP and CLIP_VISION."""
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    small = {key: TEXT[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")}

    class Clip(comfy.sd1_clip.SD1ClipModel):
        def __init__(self, device="cpu", dtype=None, model_options={}):
            super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": small})

    state = {name: value for name, value in weights.items() if name.startswith("text_")}
    clip = comfy.sd.CLIP(
        comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, Clip), embedding_directory=None
    )
    missing, _ = clip.cond_stage_model.clip_l.load_sd(state)
    assert not [name for name in missing if "logit" not in name]
    vision = tiny.clip_vision(
        {**VISION, "num_channels": 3, "hidden_act": "quick_gelu", "model_type": "clip_vision_model"}
    )
    missing, _ = vision.load_sd({name: value for name, value in weights.items() if name.startswith("vis")})
    assert not missing
    return clip, vision


def pictures(count=6, height=48, width=40, seed=0):
    return torch.rand((count, height, width, 3), generator=torch.Generator().manual_seed(seed))


def mask(count=1, height=48, width=40):
    made = torch.zeros(count, height, width)
    made[:, 10:30, 8:28] = 1
    return made
