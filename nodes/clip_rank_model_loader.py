"""CLIPRankModelLoader: load a CLIP model from a folder, for ranking and metrics."""

from comfy_api.latest import io

from .host import clip_files, clip_folder
from .outcome import Outcome
from .sockets import ClipRankModelType


class CLIPRankModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CLIPRankModelLoader",
            display_name="Load CLIP Rank Model",
            category="semantic edit",
            description="Loads a CLIP model in Hugging Face format (text and vision model, tokenizer) from "
            "models/clip_rank. Nothing is downloaded.",
            search_aliases=[
                "semantic edit",
                "clip loader",
                "clip score model",
                "ViT-B/16",
                "clip rank",
                "image text similarity",
                "load clip for ranking",
            ],
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=sorted(clip_files.list_folders()),
                    tooltip="Folder below models/clip_rank, e.g. a copy of openai/clip-vit-base-patch16. The CLIP of "
                    "the demo model comes with this pack.",
                )
            ],
            outputs=[
                ClipRankModelType.Output(
                    "clip_rank_model",
                    display_name="clip_rank_model",
                    tooltip="CLIP model for CLIP Rank and Edit Metrics.",
                )
            ],
        )

    @classmethod
    def execute(cls, folder) -> Outcome:
        return Outcome((clip_folder.load_clip_folder(folder),))
