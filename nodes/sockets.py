"""The pack's own connection types, and the inputs and outputs that several nodes share.

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
    return io.Model.Input("model", tooltip="The model to invert through; edit with the same one.")


def inverted_latent(sampler: str) -> io.Latent.Input:
    """``sampler``: the node that takes the LATENT's noise mask from the inversion."""
    return io.Latent.Input(
        "latent",
        tooltip="The picture, encoded by the model's VAE. A noise mask on it is ignored here, and used by "
        f"{sampler} when no other is connected.",
    )


def whole_schedule(tooltip: str, default: int = 50, least: int = 1) -> io.Int.Input:
    return io.Int.Input("steps", default=default, min=least, max=1000, tooltip=tooltip)


def inverted_share(tooltip: str, default: float = 0.8) -> io.Float.Input:
    return io.Float.Input("strength", default=default, min=0.01, max=1.0, step=0.01, tooltip=tooltip)


def noise_schedule(tooltip: str) -> io.Combo.Input:
    return io.Combo.Input("scheduler", options=sampling.scheduler_names(), default="normal", tooltip=tooltip)


def guidance(tooltip: str, default: float = 3.0, advanced: bool | None = None) -> io.Float.Input:
    return io.Float.Input(
        "cfg", default=default, min=0.0, max=100.0, step=0.1, round=0.01, advanced=advanced, tooltip=tooltip
    )


def measured_error() -> io.Boolean.Input:
    return io.Boolean.Input(
        "measure_error",
        default=False,
        advanced=True,
        tooltip="Also generate back and report how far from the picture that ends. Doubles the time.",
    )


def negative_for_guidance() -> io.Conditioning.Input:
    return io.Conditioning.Input("negative", optional=True, tooltip="The negative text, needed when cfg is not 1.")


def preview_vae(shown: str) -> io.Vae.Input:
    """``shown``: the content of the node's preview."""
    return io.Vae.Input(
        "vae",
        optional=True,
        advanced=True,
        tooltip=f"The model's VAE, only for the preview: with it the node shows {shown}.",
    )


def filmstrip_vae() -> io.Vae.Input:
    return preview_vae("the way from the picture to the noise")


def inversion_sigmas() -> io.Sigmas.Output:
    return io.Sigmas.Output(
        "sigmas",
        display_name="sigmas",
        tooltip="The noise levels of the inversion, falling, for SamplerCustom and SamplerCustomAdvanced.",
    )


def edit_texts() -> list[io.Conditioning.Input]:
    """Target and negative of a node that samples from an exact inversion."""
    return [
        io.Conditioning.Input(
            "target", tooltip="What the picture should show. The source's own text gives the picture back."
        ),
        io.Conditioning.Input(
            "negative",
            tooltip="The negative text; for the picture itself, the one of the inversion. Without effect at cfg 1.",
        ),
    ]


def edit_mask() -> io.Mask.Input:
    return io.Mask.Input(
        "mask",
        optional=True,
        tooltip="White is changed, black stays the source exactly. Any size; one for all pictures or one "
        "each. Without it the inverted LATENT's noise mask counts, if it had one.",
    )


def edited_latent() -> io.Latent.Output:
    return io.Latent.Output(
        "edited", display_name="latent", tooltip="The edited latents. Where a mask is 0 they equal the source exactly."
    )
