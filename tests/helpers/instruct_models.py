"""Small models of edits by instruction, and conditionings with pictures as the stock nodes make
them.
"""

import analytic
import comfy.model_base
import comfy.supported_models as supported
import tiny_models
import torch
from comfy_extras.nodes_edit_model import ReferenceLatent

FAMILIES = ("ip2p", "flux", "flux2", "qwen_image")
TEXTS = tiny_models.Texts()


def ip2p():
    """InstructPix2Pix: eight input channels, the picture in the last four."""
    config = supported.SD15_instructpix2pix(
        {
            **tiny_models.UNET,
            "in_channels": 8,
            "context_dim": 64,
            "use_linear_in_transformer": False,
            "adm_in_channels": None,
        }
    )
    return tiny_models.patcher(comfy.model_base.SD15_instructpix2pix(config, device=tiny_models.CPU))


def make(family: str):
    return tiny_models.damp(ip2p() if family == "ip2p" else tiny_models.FAMILIES[family].make(), 0.05)


def latent(family: str, **options) -> dict:
    return tiny_models.latent("sd15" if family == "ip2p" else family, **options)


def instruction(family: str, words: str, picture: dict):
    """``words`` with ``picture``: the entry of ReferenceLatent, or of InstructPixToPixConditioning
    (which encodes the picture itself).
    """
    if family == "ip2p":
        return with_channels(TEXTS("sd15", words), picture)
    return ReferenceLatent.execute(TEXTS(family, words), picture)[0]


def with_channels(conditioning, picture: dict):
    return [[text, {**entry, "concat_latent_image": picture["samples"]}] for text, entry in conditioning]


def changer(region: torch.Tensor):
    """An InstructPix2Pix model that predicts the given picture plus the text's first number inside
    ``region``; and the list of batch sizes of its calls.
    """
    model, calls = ip2p().clone(), []

    def wrapper(apply_model, arguments):
        calls.append(len(arguments["input"]))
        change = arguments["c"]["c_crossattn"][:, 0, 0].view(-1, 1, 1, 1) * region
        return arguments["c"]["c_concat"] * 0.18215 + change

    model.set_model_unet_function_wrapper(wrapper)
    return model, calls


def told(change: float, picture: dict):
    """An instruction for :func:`changer`."""
    return with_channels(analytic.text(change), picture)
