"""EditStitch: insert the edits of crops into the full image."""

from comfy_api.latest import io

from .edits import crops
from .host import previews, versions
from .outcome import Outcome
from .sockets import CropType


class EditStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EditStitch",
            display_name="Edit Stitch",
            category="semantic edit",
            description="Inserts the edited crops of Edit Crop into the full image, with a soft edge inside the "
            "mask. Outside the mask the pixels of the source stay unchanged.",
            search_aliases=[
                "semantic edit",
                "inpaint stitch",
                "uncrop",
                "crop and stitch",
                "paste crop back",
                "large picture",
                "high resolution edit",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                CropType.Input("crop", tooltip="From Edit Crop."),
                io.Image.Input(
                    "edited",
                    tooltip="Edited crops in the same order, at any size with the same aspect ratio. Several edits "
                    "per crop give several images.",
                ),
                io.Int.Input(
                    "feather",
                    default=16,
                    min=0,
                    max=512,
                    tooltip="Soften the edge of the mask over this many pixels of the full image, inwards only. For "
                    "thin masks the width is reduced so that the edit stays visible.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Masks of the crops that replace those of Edit Crop, e.g. from DiffEdit Mask.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "stitched",
                    display_name="image",
                    tooltip="Full image with the edits. Outside the masks it equals the source bit for bit.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, crop, edited, feather=16, mask=None) -> Outcome:
        stitched, report = crops.stitch(crop, edited, feather, mask)
        return Outcome((stitched,), report, lambda node: previews.small_before_after(node, crop.source, stitched))
