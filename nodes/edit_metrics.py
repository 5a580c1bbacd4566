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
            description="Measures an edit inside and outside its mask: PSNR, SSIM, MSE, LPIPS, CLIP score, and "
            "the overlap of two masks. The outputs are means over the batch; the report lists every "
            "image.",
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
                io.Image.Input("source", tooltip="Source image. One for all edits, or one per edit."),
                io.Image.Input("edited", tooltip="Edited image, of the same size."),
                io.Mask.Input(
                    "mask",
                    tooltip="Region of the edit. Any size; values above 0.5 are inside. One for all images, or one "
                    "per image.",
                ),
                io.Combo.Input(
                    "convention",
                    options=list(metrics.CONVENTIONS),
                    default="region",
                    tooltip="region: average over the pixels of the region. PIE-Bench: both images black outside the "
                    "region, average over the full frame, as in that benchmark. The report contains both.",
                ),
                io.String.Input(
                    "text", multiline=True, default="", tooltip="Text that describes the edit, for the CLIP scores."
                ),
                io.Combo.Input(
                    "lpips",
                    options=list(lpips.NETS),
                    default="squeeze",
                    advanced=True,
                    tooltip="Network for LPIPS; PIE-Bench uses squeeze. Needs the package torchmetrics and a local "
                    "weights file; otherwise LPIPS is skipped.",
                ),
                io.Mask.Input("other_mask", optional=True, tooltip="Second mask, for its overlap with mask."),
                ClipRankModelType.Input(
                    "clip_rank_model",
                    optional=True,
                    tooltip="From Load CLIP Rank Model, for the CLIP scores. Alternatively, connect clip and "
                    "clip_vision.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="CLIP text model with a text projection, trained together with clip_vision.",
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="CLIP vision model trained together with clip."
                ),
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
                    tooltip="Perceptual distance (LPIPS) outside the mask; NaN if skipped.",
                ),
                io.Float.Output(
                    "psnr_inside",
                    display_name="psnr_inside",
                    tooltip="Peak signal-to-noise ratio inside the mask in dB, at most 100.",
                ),
                io.Float.Output(
                    "ssim_inside",
                    display_name="ssim_inside",
                    tooltip="Structural similarity inside the mask, at most 1.",
                ),
                io.Float.Output(
                    "mse_inside", display_name="mse_inside", tooltip="Mean squared difference inside the mask."
                ),
                io.Float.Output(
                    "lpips_inside",
                    display_name="lpips_inside",
                    tooltip="Perceptual distance (LPIPS) inside the mask; NaN if skipped.",
                ),
                io.Float.Output(
                    "clip_whole",
                    display_name="clip_whole",
                    tooltip="CLIP score of the text and the whole edited image, 0 to 100; NaN without a CLIP model or "
                    "a text.",
                ),
                io.Float.Output(
                    "clip_inside",
                    display_name="clip_inside",
                    tooltip="CLIP score of the text and the edited image, black outside the mask.",
                ),
                io.Float.Output(
                    "mask_iou",
                    display_name="mask_iou",
                    tooltip="Intersection over union of mask and other_mask; NaN without other_mask.",
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="All values as JSON: both conventions, means, every image, and reasons for skipped values.",
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
