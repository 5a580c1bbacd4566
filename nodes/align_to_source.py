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
            description="Brings an edited picture back onto its source: undoes a shift, zoom or slight distortion and "
            "a "
            "change of colours, measured where nothing was edited, and gives a mask of what really changed. "
            "For results of any editor.",
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
                io.Image.Input("image", tooltip="The source picture. One for all edits or one each."),
                io.Image.Input(
                    "edited",
                    tooltip="What an editor made of it. Another size or aspect ratio is taken as a rescaled picture "
                    "or a crop.",
                ),
                io.Combo.Input(
                    "colour",
                    options=list(align.COLOURS),
                    default="gain and offset",
                    tooltip="Undo a change of colours: gain and offset per channel, or also a smooth field for casts "
                    "that differ across the picture. off: colours stay the edit's.",
                ),
                io.Float.Input(
                    "threshold",
                    default=3.0,
                    min=0.5,
                    max=50.0,
                    step=0.1,
                    tooltip="How different a place must be to count as changed, in standard deviations of what the "
                    "edit "
                    "did everywhere. Lower marks more.",
                ),
                io.Int.Input(
                    "grow",
                    default=4,
                    min=0,
                    max=256,
                    advanced=True,
                    tooltip="Grow the mask of changes by this many pixels of the source.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the picture was meant to change. The pictures are compared outside it only, and the "
                    "mask of changes stays inside it.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "aligned",
                    display_name="image",
                    tooltip="The edited picture at the source's size, in its place and in its colours. Where it does "
                    "not reach, "
                    "the source. Connect it as edited to Background Restore, which makes the rest exact.",
                ),
                io.Mask.Output("mask", display_name="mask", tooltip="What really changed, on the source."),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="Offset, scale, rotation, uncertainty, colour error and changed share of every picture, "
                    "as JSON.",
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
