"""All differences between the releases of ComfyUI on which this pack runs, each with the release
that introduced it. Other modules assume one ComfyUI.
"""

import contextlib
import inspect

import comfy.sample
from comfy_api.latest import io

SHOWS_ITS_RESULT = (
    {"has_intermediate_output": True} if "has_intermediate_output" in io.Schema.__dataclass_fields__ else {}
)
"""For ``io.Schema``: show the node's preview again when its result comes from the cache. Since
0.19.0; older editors show nothing then.
"""

_RATIOS = len(inspect.signature(comfy.sample.fix_empty_latent_channels).parameters) - 2


def fix_empty_latent_channels(model, samples, *ratios):
    """ComfyUI's function of this name. Release 0.18.2 accepts only the spatial one of the LATENT's
    ``ratios``, 0.24.1 and later also the temporal one.
    """
    return comfy.sample.fix_empty_latent_channels(model, samples, *ratios[:_RATIOS])


try:
    from comfy.model_management import cuda_device_context  # 0.24.1 and later
except ImportError:  # missing in 0.18.2, where there is one device at a time

    def cuda_device_context(device):
        """Make ``device`` CUDA's current one."""
        return contextlib.nullcontext()


_TEMPORAL_RATIOS = {
    "Mochi": 6,
    "LTXV": 8,
    "HunyuanVideo": 4,
    "HunyuanVideo15": 4,
    "Cosmos1CV8x8x8": 8,
    "Wan21": 4,
    "CogVideoX": 4,
}


def temporal_ratio(latent_format) -> int:
    """Images per latent frame after the first. Latent formats have it in later releases; in
    0.18.2 those of videos do not.
    """
    known = getattr(latent_format, "temporal_downscale_ratio", None)
    names = (kind.__name__ for kind in type(latent_format).__mro__)
    return (
        known if known is not None else next((_TEMPORAL_RATIOS[name] for name in names if name in _TEMPORAL_RATIOS), 1)
    )
