"""The connection types of this pack, and the inputs and outputs that several nodes share.

Each function returns a new object, since ComfyUI's schemas must not share them. Ids are fixed here;
defaults and texts, which differ from node to node, are arguments.
"""

from comfy_api.latest import io

from .host import sampling

InversionType = io.Custom("INVERSION")
EdictPairType = io.Custom("EDICT_PAIR")
ExactInversionType = io.Custom("EXACT_INVERSION")
ClipRankModelType = io.Custom("CLIP_RANK_MODEL")
CropType = io.Custom("EDIT_CROP")


def inverted_model() -> io.Model.Input:
    return io.Model.Input("model", tooltip="Model for the inversion; use the same one for the edit.")


def inverted_latent(sampler: str) -> io.Latent.Input:
    """``sampler``: the node that takes the LATENT's noise mask from the inversion."""
    return io.Latent.Input(
        "latent",
        tooltip="Source image, encoded by the model's VAE. Its noise mask is ignored during inversion; "
        f"{sampler} uses it if no other mask is connected.",
    )


def whole_schedule(tooltip: str, default: int = 50, least: int = 1) -> io.Int.Input:
    return io.Int.Input("steps", default=default, min=least, max=1000, tooltip=tooltip)


def inverted_share(tooltip: str, default: float = 0.8) -> io.Float.Input:
    return io.Float.Input("strength", default=default, min=0.01, max=1.0, step=0.01, tooltip=tooltip)


def noise_schedule(tooltip: str) -> io.Combo.Input:
    return io.Combo.Input("scheduler", options=sampling.scheduler_names(), default="normal", tooltip=tooltip)


def noise_seed(tooltip: str) -> io.Int.Input:
    """A seed that does not change after a run, so that the next run gives the same result."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=io.ControlAfterGenerate.fixed,
        tooltip=tooltip,
    )


def guidance(tooltip: str, default: float = 3.0, advanced: bool | None = None, name: str = "cfg") -> io.Float.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=100.0, step=0.1, round=0.01, advanced=advanced, tooltip=tooltip
    )


def measured_error() -> io.Boolean.Input:
    return io.Boolean.Input(
        "measure_error",
        default=False,
        advanced=True,
        tooltip="Also sample back and report the round-trip error. Doubles the time.",
    )


def negative_for_guidance() -> io.Conditioning.Input:
    return io.Conditioning.Input("negative", optional=True, tooltip="Negative text; required if cfg is not 1.")


def preview_vae(shown: str) -> io.Vae.Input:
    """``shown``: the content of the node's preview."""
    return io.Vae.Input(
        "vae", optional=True, advanced=True, tooltip=f"VAE of the model, for the preview only: the node shows {shown}."
    )


def compared_vae() -> io.Vae.Input:
    return preview_vae("the image before and after")


def filmstrip_vae() -> io.Vae.Input:
    return preview_vae("the states between image and noise")


def inversion_sigmas() -> io.Sigmas.Output:
    return io.Sigmas.Output(
        "sigmas",
        display_name="sigmas",
        tooltip="Noise levels of the inversion, descending, for SamplerCustom and SamplerCustomAdvanced.",
    )


def edit_texts() -> list[io.Conditioning.Input]:
    """Target and negative of a node that samples from an exact inversion."""
    return [
        io.Conditioning.Input(
            "target", tooltip="Text that describes the desired image. With the source text, the source is reproduced."
        ),
        io.Conditioning.Input("negative", tooltip="Negative text; use that of the inversion. No effect at cfg 1."),
    ]


def edit_mask() -> io.Mask.Input:
    return io.Mask.Input(
        "mask",
        optional=True,
        tooltip="White is edited; where it is black, the latent equals the source exactly. Any size; one for all "
        "images, or one per image. If no mask is connected, the noise mask of the inverted LATENT is used, if "
        "it has one.",
    )


def edited_latent() -> io.Latent.Output:
    return io.Latent.Output(
        "edited", display_name="latent", tooltip="Edited latents. Where the mask is 0, they equal the source exactly."
    )
