"""All that differs between the releases of ComfyUI on which this pack runs, each with the release that brought it. The rest of the pack knows one ComfyUI."""
import inspect

import comfy.sample
from comfy_api.latest import io

SHOWS_ITS_RESULT = {"has_intermediate_output": True} if "has_intermediate_output" in io.Schema.__dataclass_fields__ else {}
"""For ``io.Schema``: what the node showed is shown again when its result comes from the cache. Since 0.19.0; older editors show nothing then."""

_RATIOS = len(inspect.signature(comfy.sample.fix_empty_latent_channels).parameters) - 2


def fix_empty_latent_channels(model, samples, *ratios):
    """ComfyUI's own. Of the LATENT's ``ratios`` 0.18.2 takes the one in space only, 0.24.1 and later also the one in time."""
    return comfy.sample.fix_empty_latent_channels(model, samples, *ratios[:_RATIOS])
