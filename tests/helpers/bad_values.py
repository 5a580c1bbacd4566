"""Values that a node must refuse, by the type of its input."""

import math

import analytic
import comfy.model_management
import comfy.nested_tensor
import tiny_models
import torch

NAN, INF = math.nan, math.inf
SAMPLES = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
TEXT = analytic.text(0.0)[0][0]


def with_nan(tensor: torch.Tensor, value: float = NAN) -> torch.Tensor:
    broken = tensor.clone()
    broken.view(-1)[0] = value
    return broken


LATENTS = {
    "a tensor": SAMPLES,
    "a list": [SAMPLES],
    "nothing in it": {},
    "no samples": {"samples": None},
    "samples in a list": {"samples": [1.0]},
    "a text": "latent",
    "two sides": {"samples": torch.zeros(8, 8)},
    "three sides": {"samples": SAMPLES[0]},
    "seven sides": {"samples": SAMPLES[None, None, None]},
    "no picture": {"samples": SAMPLES[:0]},
    "no height": {"samples": SAMPLES[:, :, :0]},
    "no channel": {"samples": SAMPLES[:, :0]},
    "whole numbers": {"samples": SAMPLES.int()},
    "NaN": {"samples": with_nan(SAMPLES)},
    "infinite": {"samples": with_nan(SAMPLES, INF)},
    "other channels": {"samples": torch.randn(1, 7, 8, 8)},
    "nested": {"samples": comfy.nested_tensor.NestedTensor([SAMPLES, SAMPLES])},
}
ONLY_WITH_A_MODEL = {
    "a video": {"samples": SAMPLES.unsqueeze(2).expand(1, 4, 3, 8, 8)},
    "16 channels": {"samples": torch.randn(1, 16, 8, 8)},
}
MASKED_LATENTS = {
    "a text as its mask": {"samples": SAMPLES, "noise_mask": "mask"},
    "NaN in its mask": {"samples": SAMPLES, "noise_mask": torch.full((1, 1, 8, 8), NAN)},
    "an empty mask": {"samples": SAMPLES, "noise_mask": torch.zeros(0, 1, 8, 8)},
}
KINDS = {
    "MODEL": {"a text": "model", "a dict": {}, "a number": 3, "a tensor": SAMPLES, "a CLIP": tiny_models.clip()},
    "VAE": {"a text": "vae", "a dict": {}, "a tensor": SAMPLES, "a CLIP": tiny_models.clip()},
    "CLIP": {"a text": "clip", "a tensor": SAMPLES, "a dict": {}},
    "CLIP_VISION": {"a text": "clip", "a tensor": SAMPLES, "a dict": {}},
    "CONDITIONING": {
        "a text": "a cat",
        "a tensor": TEXT,
        "a bare list of tensors": [TEXT],
        "an entry of three": [[TEXT, {}, 1]],
        "no dict": [[TEXT, None]],
        "a text in it": [["a cat", {}]],
        "one side": [[torch.zeros(64), {}]],
        "NaN": [[with_nan(TEXT), {}]],
        "infinite": [[with_nan(TEXT, INF), {}]],
        "no tokens": [[TEXT[:, :0], {}]],
        "a dict": {},
    },
    "LATENT": LATENTS,
    "MASK": {
        "a text": "mask",
        "a list": [[0, 1]],
        "one side": torch.zeros(8),
        "seven sides": torch.zeros(1, 1, 1, 1, 1, 8, 8),
        "no mask": torch.zeros(0, 8, 8),
        "no width": torch.zeros(1, 8, 0),
        "NaN": torch.full((1, 8, 8), NAN),
        "infinite": torch.full((1, 8, 8), -INF),
        "a latent": {"samples": SAMPLES},
    },
    "IMAGE": {
        "a text": "image",
        "a list": [[0, 1]],
        "two sides": torch.zeros(8, 8),
        "three sides": torch.zeros(64, 64, 3),
        "no picture": torch.zeros(0, 64, 64, 3),
        "channels first": torch.rand(1, 3, 64, 64),
        "two channels": torch.rand(1, 64, 64, 2),
        "NaN": torch.full((1, 64, 64, 3), NAN),
        "infinite": torch.full((1, 64, 64, 3), INF),
    },
    "INT": {"a text": "5", "a fraction": 2.5, "NaN": NAN, "yes": True, "a list": [1], "a tensor": torch.ones(1)},
    "FLOAT": {
        "a text": "0.5",
        "NaN": NAN,
        "infinite": INF,
        "minus infinite": -INF,
        "yes": True,
        "a list": [0.5],
        "a complex number": 1j,
    },
    "COMBO": {"unknown": "no such thing", "a number": 3, "a list": ["euler"], "a tensor": SAMPLES},
    "BOOLEAN": {"a text": "yes", "a number": 1},
    "STRING": {"a number": 3, "a list": ["a"], "bytes": b"a"},
    "INVERSION": {"a text": "inversion", "a tensor": SAMPLES, "a dict": {}},
    "EDICT_PAIR": {"a text": "pair", "a tensor": SAMPLES, "a dict": {}},
    "EXACT_INVERSION": {"a text": "inversion", "a tensor": SAMPLES, "a dict": {}},
    "CLIP_RANK_MODEL": {"a text": "model", "a dict": {}},
}


def bad_values(item, has_model: bool, node: str = ""):
    """(Label, value) pairs for one input of a node. CLIPRank only sorts latents, and a folder's
    name may be any text.
    """
    own = (
        {"CLIPRank": ("seven sides", "NaN", "infinite", "other channels")}.get(node, ())
        if item.io_type == "LATENT"
        else ()
    )
    yield from ((label, value) for label, value in KINDS.get(item.io_type, {}).items() if label not in own)
    if item.io_type == "LATENT":
        yield from {**MASKED_LATENTS, **(ONLY_WITH_A_MODEL if has_model else {})}.items()
    if item.io_type in ("INT", "FLOAT"):
        unit = 1 if item.io_type == "INT" else 0.5
        if item.min is not None:
            yield f"below {item.min}", item.min - unit
        if item.max is not None:
            yield f"above {item.max}", item.max + unit
    if not item.optional:
        yield "nothing", None
