"""Semantic Edit's nodes, as ComfyUI's extension."""
from comfy_api.latest import ComfyExtension, io

from .ddim_invert import DDIMInvert
from .diffedit_mask import DiffEditMask
from .edict_invert import EDICTInvert
from .edict_sampler import EDICTSampler
from .edit_friendly_invert import EditFriendlyInvert
from .exact_invert import ExactInvert
from .exact_sampler import ExactSampler
from .flow_edit import FlowEdit
from .host import demo_model
from .latent_blend_sampler import LatentBlendSampler


class SemanticEdit(ComfyExtension):
    async def on_load(self) -> None:
        demo_model.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [DiffEditMask, DDIMInvert, LatentBlendSampler, EDICTInvert, EDICTSampler, ExactInvert, EditFriendlyInvert, ExactSampler, FlowEdit]


async def comfy_entrypoint() -> SemanticEdit:
    return SemanticEdit()
