"""The demo's models, registered with ComfyUI's stock loaders.

A small text-to-image model of the SD1.5 family (eps-prediction on SD's noise schedule, a UNet with
cross-attention, a CLIP text encoder with SD1's tokenizer, a VAE in the layout of TAESD), and an
instruction model in the layout of InstructPix2Pix (8 input channels), which shares its text encoder
and VAE. Registration appends two subclasses to ``comfy.supported_models.models`` and the folders of
``models/`` to ``folder_paths``; nothing is patched. In a running server the sample images are
copied into the input folder, because LoadImage lists no other folder.
"""

import logging
import pathlib
import sys

import comfy.model_base
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base

CHECKPOINT = "semantic-edit-demo.safetensors"
INSTRUCT_CHECKPOINT = "semantic-edit-things-instruct.safetensors"
PACK = pathlib.Path(__file__).resolve().parents[2]
MODELS = PACK / "models"
SAMPLES = PACK / "demo" / "samples"
PREFIX = "semantic-edit-"
"""``demo/samples/NAME.png`` is ``semantic-edit-NAME.png`` in the input folder."""
PICTURE = f"{PREFIX}dog.png"
"""The image of the first edit."""

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
"""Settings by which ComfyUI's detection distinguishes these UNets from all others; they differ from
each other in ``in_channels``.
"""


class DemoClip(comfy.sd1_clip.SD1ClipModel):
    """The text encoder of SD1.5 with a small CLIP."""

    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": TEXT})


class DemoSD15(comfy.supported_models.SD15):
    """The text-to-image model."""

    unet_config = {**SIGNS, "use_temporal_attention": False, "in_channels": 4}
    unet_extra_config = {"num_heads": 4, "num_head_channels": -1}

    def clip_target(self, state_dict={}):
        return comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, DemoClip)


class DemoInstruct(DemoSD15):
    """The instruction model, which gets the image from ``concat_latent_image``, as
    InstructPixToPixConditioning sets it.
    """

    unet_config = {**SIGNS, "use_temporal_attention": False, "in_channels": 8}

    def get_model(self, state_dict, prefix="", device=None):
        return comfy.model_base.SD15_instructpix2pix(self, device=device)


def register_demo_models() -> None:
    """Register both models with the stock loaders, and copy the sample images for LoadImage. Never
    raises, because the pack works without them.
    """
    try:
        import folder_paths

        known = comfy.supported_models.models
        names = {model.__name__ for model in known}
        known.extend(model for model in (DemoSD15, DemoInstruct) if model.__name__ not in names)
        for kind in ("checkpoints", "diffusion_models"):
            folder_paths.add_model_folder_path(kind, str(MODELS / kind))
    except Exception:
        logging.warning(
            "Semantic Edit: the demo models could not be registered with this ComfyUI; everything else works.",
            exc_info=True,
        )
    bring_pictures()


def is_serving() -> bool:
    """Whether this process is ComfyUI's server. Tests, benchmarks and scripts that only load the
    pack write no files.
    """
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None) is not None


def bring_pictures() -> None:
    """Copy the sample images (a few kB each, some with a painted mask) into the server's input
    folder. Existing files are never overwritten. Never raises.
    """
    if not is_serving():
        return
    try:
        import folder_paths

        place = pathlib.Path(folder_paths.get_input_directory())
        for sample in sorted(SAMPLES.glob("*.png")):
            bring_picture(sample, place / f"{PREFIX}{sample.name}")
    except OSError as error:
        logging.info("Semantic Edit: the sample images could not be copied to the input folder: %s", error)


def bring_picture(sample: pathlib.Path, place: pathlib.Path) -> None:
    """Copy one image, unless a file of this name exists.

    Raises:
        OSError: the image cannot be read or the folder cannot be written.
    """
    picture = sample.read_bytes()
    try:
        with place.open("xb") as file:
            file.write(picture)
    except FileExistsError:
        pass
