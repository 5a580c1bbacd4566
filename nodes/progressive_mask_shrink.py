"""ProgressiveMaskShrink: start with a dilated mask that shrinks to the mask itself as the noise
falls.
"""

from comfy_api.latest import io

from .edits.masks import shrink
from .host import previews, versions
from .outcome import Outcome


class ProgressiveMaskShrink(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProgressiveMaskShrink",
            display_name="Progressive Mask Shrink",
            category="semantic edit",
            description="For edits in thin masks: sampling starts with a dilated mask that shrinks to the given "
            "mask in stages, because a thin mask is too small for new content at high noise. Works "
            "with every sampler and keeps strokes that ComfyUI's mask resizing would lose.",
            search_aliases=[
                "semantic edit",
                "thin mask",
                "mask dilation",
                "stroke",
                "scribble",
                "blended latent diffusion",
                "inpaint thin",
                "grow mask",
                "mask stroke",
                "small mask",
                "remove thin object",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Model for sampling. A mask function that it already has (Differential Diffusion) stays "
                    "active.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="Source image, encoded by the model's VAE. Its noise mask is used if no mask is connected.",
                ),
                io.String.Input(
                    "kernels",
                    default="7, 5, 3",
                    tooltip="Side lengths of the squares that dilate the mask, in latent cells (8 pixels for most "
                    "models): odd numbers, largest first, one per stage. The given mask is the last stage.",
                ),
                io.String.Input(
                    "stages",
                    default="",
                    advanced=True,
                    tooltip="Fractions of the steps at which the stages end, e.g. 0.25, 0.5, 0.75. Empty: all stages "
                    "are equally long.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is edited, black is kept. Any size; every latent cell that a white pixel touches "
                    "is edited.",
                ),
                io.Combo.Input(
                    "stages_over",
                    options=[shrink.THIS_RUN, shrink.NOISE_RANGE],
                    default=shrink.THIS_RUN,
                    optional=True,
                    advanced=True,
                    tooltip="Reference of stages. this run: steps of the sampler. whole noise range: position between "
                    "pure noise and the image; use it if several samplers share one run (KSampler (Advanced), "
                    "Split Sigmas, two models).",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "shrinking_model",
                    display_name="model",
                    tooltip="Model with the shrinking mask. Sample with it and with the latent of this node.",
                ),
                io.Latent.Output(
                    "masked_latent",
                    display_name="latent",
                    tooltip="Latent with the mask as its noise mask, on the latent grid. Thin strokes are preserved.",
                ),
                io.Mask.Output(
                    "stages_mask", display_name="stages", tooltip="Masks of all stages in pixels, widest first."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, latent, kernels, stages="", mask=None, stages_over=shrink.THIS_RUN) -> Outcome:
        plan = shrink.Plan.read(kernels, stages, stages_over)
        masked, dilated, report = shrink.masked_latent(model, latent, mask, plan)
        patched = shrink.shrinking_model(model, plan)
        values = (patched, masked, dilated)
        return Outcome(values, report, lambda node: previews.pictures(node, lambda: previews.mask_pictures(dilated)))
