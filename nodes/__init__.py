"""Semantic Edit's nodes, as ComfyUI's extension."""
from comfy_api.latest import ComfyExtension, io

from .ddim_invert import DDIMInvert
from .diffedit_mask import DiffEditMask
from .host import demo_model
from .latent_blend_sampler import LatentBlendSampler


class SemanticEdit(ComfyExtension):
    async def on_load(self) -> None:
        demo_model.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [DiffEditMask, DDIMInvert, LatentBlendSampler]


async def comfy_entrypoint() -> SemanticEdit:
    return SemanticEdit()
