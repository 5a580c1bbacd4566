"""AlignToSource: align any editor's result with its source."""

from comfy_api.latest import io

from .edits.background import align
from .host import previews, versions
from .outcome import Outcome


class AlignToSource(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AlignToSource",
            display_name="Align to Source",
            category="semantic edit",
            description="Aligns an edited image with its source: corrects a shift, scaling, slight distortion and "
            "a change of colours, estimated from the unedited part, and outputs a mask of the actual "
            "changes. Works with the results of any editor.",
            search_aliases=[
                "semantic edit",
                "registration",
                "image alignment",
                "align images",
                "fix shift",
                "fix zoom",
                "fix offset",
                "pixel shift",
                "colour match",
                "color match",
                "color shift",
                "difference mask",
                "kontext",
                "qwen image edit",
                "nano banana",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Image.Input("image", tooltip="Source image. One for all edits, or one per edit."),
                io.Image.Input(
                    "edited",
                    tooltip="Edited version of the source image. Another size or aspect ratio is treated as a "
                    "rescaled image or a crop.",
                ),
                io.Combo.Input(
                    "colour",
                    options=list(align.COLOURS),
                    default="gain and offset",
                    tooltip="Colour correction. gain and offset: one gain and one offset per channel. smooth field: "
                    "also a colour cast that varies across the image. off: keep the colours of the edit.",
                ),
                io.Float.Input(
                    "threshold",
                    default=3.0,
                    min=0.5,
                    max=50.0,
                    step=0.1,
                    tooltip="Difference from which a region counts as changed, in multiples of the difference "
                    "expected from noise and slight misalignment. Lower values mark more.",
                ),
                io.Int.Input(
                    "grow",
                    default=4,
                    min=0,
                    max=256,
                    advanced=True,
                    tooltip="Expand the mask of changes by this many pixels of the source.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Region that was meant to change. The images are compared only outside it, and the output "
                    "mask stays inside it.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "aligned",
                    display_name="image",
                    tooltip="Aligned edit with corrected colours, at the size of the source. Areas that the edit does "
                    "not cover are filled from the source. Connect it to edited of Background Restore to make "
                    "the background exact.",
                ),
                io.Mask.Output(
                    "mask", display_name="mask", tooltip="Mask of the actual changes, at the size of the source."
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="Offset, scale, rotation, uncertainty, colour error and changed share of each image, as "
                    "JSON.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, edited, colour="gain and offset", threshold=3.0, grow=4, mask=None) -> Outcome:
        aligned, changed, report = align.align_to_source(image, edited, colour, threshold, grow, mask)
        return Outcome(
            (aligned, changed, align.alignment_to_json(report)),
            report,
            lambda node: previews.small_before_after(node, image, aligned),
        )
