"""EditStitch: put edits of crops back into their full picture."""

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
            description="Puts edits of Edit Crop's crops back into the full picture, with a soft edge inside the mask. "
            "Everything outside the mask is the source's own pixels.",
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
                    tooltip="The edited crops, in their order, at any size of the same shape. Several edits of each "
                    "crop give "
                    "several pictures.",
                ),
                io.Int.Input(
                    "feather",
                    default=16,
                    min=0,
                    max=512,
                    tooltip="Soften the mask's edge over this many pixels of the full picture, inwards only; thin "
                    "masks get "
                    "less, so that the edit is not lost.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Masks of the crops in place of Edit Crop's, such as one that DiffEdit Mask found on them.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "stitched",
                    display_name="image",
                    tooltip="The full picture with the edits. Outside the masks it is the source bit for bit.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, crop, edited, feather=16, mask=None) -> Outcome:
        stitched, report = crops.stitch(crop, edited, feather, mask)
        return Outcome((stitched,), report, lambda node: previews.small_before_after(node, crop.source, stitched))
