"""The demo checkpoint's architecture, taught to ComfyUI's stock loaders.

SD1.5's own family at small size: eps-prediction on SD's noise schedule, a UNet with
cross-attention, a CLIP text encoder behind SD1's tokenizer, TAESD's layout as VAE. Registration
appends one subclass to ``comfy.supported_models.models`` and one folder to ``folder_paths``;
nothing is patched. In a running server the sample pictures go into the input folder, the only place
that LoadImage lists, so that every workflow finds the pictures it names.
"""

import logging
import pathlib
import sys

import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base

CHECKPOINT = "semantic-edit-demo.safetensors"
FOLDER = pathlib.Path(__file__).resolve().parents[2] / "demo"
SAMPLES = FOLDER / "samples"
PREFIX = "semantic-edit-"
"""``demo/samples/NAME.png`` is ``semantic-edit-NAME.png`` in the input folder."""
PICTURE = f"{PREFIX}source.png"

TEXT = dict(num_hidden_layers=3, hidden_size=64, num_attention_heads=4, intermediate_size=256)
UNET = dict(
    image_size=32,
    in_channels=4,
    out_channels=4,
    model_channels=64,
    num_res_blocks=[1, 1, 1],
    channel_mult=[1, 2, 2],
    transformer_depth=[0, 1, 1],
    transformer_depth_output=[0, 0, 1, 1, 1, 1],
    transformer_depth_middle=1,
    context_dim=TEXT["hidden_size"],
    use_spatial_transformer=True,
    use_linear_in_transformer=False,
    adm_in_channels=None,
    legacy=False,
    use_temporal_resblock=False,
    use_temporal_attention=False,
)


class DemoClip(comfy.sd1_clip.SD1ClipModel):
    """SD1.5's text stack with a small CLIP."""

    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": TEXT})


class DemoSD15(comfy.supported_models.SD15):
    """What a checkpoint's UNet must look like to be taken for the demo's."""

    unet_config = {
        "model_channels": UNET["model_channels"],
        "context_dim": UNET["context_dim"],
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
    }
    unet_extra_config = {"num_heads": 4, "num_head_channels": -1}

    def clip_target(self, state_dict={}):
        return comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, DemoClip)


def register() -> None:
    """Let CheckpointLoaderSimple find and load the demo checkpoint, and LoadImage its pictures.
    Never raises: without them the pack still works.
    """
    try:
        import folder_paths

        known = comfy.supported_models.models
        if not any(model.__name__ == DemoSD15.__name__ for model in known):
            known.append(DemoSD15)
        folder_paths.add_model_folder_path("checkpoints", str(FOLDER))
    except Exception:
        logging.warning(
            "Semantic Edit: this ComfyUI does not take the demo checkpoint; everything else works.", exc_info=True
        )
    bring_pictures()


def is_serving() -> bool:
    """Whether this process is ComfyUI's server: tests, benchmarks and scripts that only load the
    pack get nothing written.
    """
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None) is not None


def bring_pictures() -> None:
    """Copy the sample pictures (a few kB each, some with a painted mask) into the server's input
    folder, each unless a file of its name is there, which is never overwritten. Never raises.
    """
    if not is_serving():
        return
    try:
        import folder_paths

        place = pathlib.Path(folder_paths.get_input_directory())
        for sample in sorted(SAMPLES.glob("*.png")):
            bring_picture(sample, place / f"{PREFIX}{sample.name}")
    except OSError as error:
        logging.info("Semantic Edit: the sample pictures stay out of the input folder: %s", error)


def bring_picture(sample: pathlib.Path, place: pathlib.Path) -> None:
    """Copy one picture; a file that is there stays as it is.

    Raises:
        OSError: the picture cannot be read or the folder cannot be written.
    """
    picture = sample.read_bytes()
    try:
        with place.open("xb") as file:
            file.write(picture)
    except FileExistsError:
        pass
