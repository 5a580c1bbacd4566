"""EditMetrics: measure the change of an edit inside and outside its mask."""

from comfy_api.latest import io

from .core.pictures import metrics
from .edits.judging import metrics as edit_metrics
from .host import clip_pair, lpips, versions
from .outcome import Outcome
from .sockets import ClipRankModelType


class EditMetrics(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EditMetrics",
            display_name="Edit Metrics",
            category="semantic edit",
            description="Measures an edit inside and outside its mask: PSNR, SSIM, MSE, LPIPS, CLIP score, and the "
            "overlap of two masks. Batches give their means; the report holds every picture.",
            search_aliases=[
                "semantic edit",
                "psnr",
                "ssim",
                "lpips",
                "mse",
                "clip score",
                "iou",
                "compare images",
                "background preservation",
                "PIE-Bench",
                "measure edit",
                "judge edit",
                "evaluate edit",
                "compare edit",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Image.Input("source", tooltip="The picture before. One for all edits, or one each."),
                io.Image.Input("edited", tooltip="The picture after, of the same size."),
                io.Mask.Input(
                    "mask",
                    tooltip="Where the edit was to happen. Any size; above one half is inside. One for all, or one "
                    "each.",
                ),
                io.Combo.Input(
                    "convention",
                    options=list(metrics.CONVENTIONS),
                    default="region",
                    tooltip="region: over the region's own pixels. PIE-Bench: both pictures black outside the region, "
                    "then the mean over the full frame, as its tables do. The report holds both.",
                ),
                io.String.Input(
                    "text", multiline=True, default="", tooltip="What the edit should show, for the CLIP scores."
                ),
                io.Combo.Input(
                    "lpips",
                    options=list(lpips.NETS),
                    default="squeeze",
                    advanced=True,
                    tooltip="The network behind LPIPS; PIE-Bench uses squeeze. Needs the package torchmetrics and a "
                    "local weights file; without them LPIPS is left out.",
                ),
                io.Mask.Input("other_mask", optional=True, tooltip="A second mask, for the overlap with mask."),
                ClipRankModelType.Input(
                    "clip_rank_model",
                    optional=True,
                    tooltip="From CLIPRankModelLoader, for the CLIP scores. Or connect clip and clip_vision.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="A CLIP with its text projection, of the same training as clip_vision.",
                ),
                io.ClipVision.Input("clip_vision", optional=True, tooltip="The picture half of the same CLIP."),
            ],
            outputs=[
                io.Float.Output(
                    "psnr_outside",
                    display_name="psnr_outside",
                    tooltip="Peak signal-to-noise ratio outside the mask in dB, at most 100.",
                ),
                io.Float.Output(
                    "ssim_outside",
                    display_name="ssim_outside",
                    tooltip="Structural similarity outside the mask, at most 1.",
                ),
                io.Float.Output(
                    "mse_outside", display_name="mse_outside", tooltip="Mean squared difference outside the mask."
                ),
                io.Float.Output(
                    "lpips_outside",
                    display_name="lpips_outside",
                    tooltip="Perceptual distance outside the mask; NaN where it was left out.",
                ),
                io.Float.Output(
                    "psnr_inside",
                    display_name="psnr_inside",
                    tooltip="Peak signal-to-noise ratio inside the mask in dB.",
                ),
                io.Float.Output(
                    "ssim_inside", display_name="ssim_inside", tooltip="Structural similarity inside the mask."
                ),
                io.Float.Output(
                    "mse_inside", display_name="mse_inside", tooltip="Mean squared difference inside the mask."
                ),
                io.Float.Output(
                    "lpips_inside",
                    display_name="lpips_inside",
                    tooltip="Perceptual distance inside the mask; NaN where it was left out.",
                ),
                io.Float.Output(
                    "clip_whole",
                    display_name="clip_whole",
                    tooltip="CLIP score of the whole edit and the text, 0 to 100; NaN without a CLIP and a text.",
                ),
                io.Float.Output(
                    "clip_inside",
                    display_name="clip_inside",
                    tooltip="CLIP score of the edit, black outside the mask, and the text.",
                ),
                io.Float.Output(
                    "mask_iou",
                    display_name="mask_iou",
                    tooltip="Intersection over union of mask and other_mask; NaN without the second.",
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="Everything as JSON: both conventions, means and every picture, and what was left out and "
                    "why.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        source,
        edited,
        mask,
        convention,
        text="",
        lpips="squeeze",
        other_mask=None,
        clip_rank_model=None,
        clip=None,
        clip_vision=None,
    ) -> Outcome:
        case = edit_metrics.read_case(source, edited, mask, other_mask)
        scorer = clip_pair.choose(clip, clip_vision, clip_rank_model, needed=False)
        results = edit_metrics.measure(case, text, scorer, lpips)
        report = edit_metrics.describe_metrics(results, convention)
        return Outcome((*edit_metrics.means(results, convention), edit_metrics.metrics_to_json(report)), report)
