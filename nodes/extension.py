"""The extension that ComfyUI loads: the list of nodes, and the registrations at its start."""

from comfy_api.latest import ComfyExtension, io

from . import input_checks
from .align_to_source import AlignToSource
from .background_restore import BackgroundRestore
from .clip_rank import CLIPRank
from .clip_rank_model_loader import CLIPRankModelLoader
from .ddim_invert import DDIMInvert
from .decoder_finetune import DecoderFinetune
from .diffedit_mask import DiffEditMask
from .edict_invert import EDICTInvert
from .edict_sampler import EDICTSampler
from .edit_crop import EditCrop
from .edit_friendly_invert import EditFriendlyInvert
from .edit_metrics import EditMetrics
from .edit_stitch import EditStitch
from .exact_invert import ExactInvert
from .exact_sampler import ExactSampler
from .flow_edit import FlowEdit
from .host import clip_files, demo_model, installation, lpips
from .latent_blend_sampler import LatentBlendSampler
from .progressive_mask_shrink import ProgressiveMaskShrink


class SemanticEdit(ComfyExtension):
    async def on_load(self) -> None:
        installation.warn_about_folder()
        demo_model.register_demo_models()
        clip_files.register_clip_folders()
        lpips.register_lpips_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        nodes = [
            DiffEditMask,
            DDIMInvert,
            LatentBlendSampler,
            ProgressiveMaskShrink,
            EDICTInvert,
            EDICTSampler,
            ExactInvert,
            EditFriendlyInvert,
            ExactSampler,
            FlowEdit,
            DecoderFinetune,
            BackgroundRestore,
            AlignToSource,
            EditCrop,
            EditStitch,
            CLIPRank,
            CLIPRankModelLoader,
            EditMetrics,
        ]
        return [input_checks.checked(node) for node in nodes]
