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
            description="For thin masks: sampling starts in a dilated mask and shrinks it to the given one, so that "
            "there is room for something to begin. Works with every "
            "sampler, and keeps strokes that ComfyUI's own mask resizing would lose.",
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
                    tooltip="The model to sample with. A mask function that it carries already (Differential "
                    "Diffusion) goes on working.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="The source picture, encoded by the model's VAE. Its noise mask is used when no mask is "
                    "connected.",
                ),
                io.String.Input(
                    "kernels",
                    default="7, 5, 3",
                    tooltip="Sides of the squares that dilate the mask, in latent cells (8 pixels for most models), "
                    "one stage each, from the largest to the smallest. The given mask is always the last "
                    "stage.",
                ),
                io.String.Input(
                    "stages",
                    default="",
                    advanced=True,
                    tooltip="Shares of the steps at which each kernel gives way, such as 0.25, 0.5, 0.75. Empty: all "
                    "stages last equally long.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is changed, black is kept. Any size: each latent cell that a white pixel touches "
                    "counts.",
                ),
                io.Combo.Input(
                    "stages_over",
                    options=[shrink.THIS_RUN, shrink.NOISE_RANGE],
                    default=shrink.THIS_RUN,
                    optional=True,
                    advanced=True,
                    tooltip="What the stages are shares of. This run: the sampler's own steps. Whole noise range: the "
                    "way from pure noise to the picture, for runs in "
                    "several parts (KSampler (Advanced) one after the other, Split Sigmas, two models), so that a "
                    "later part goes on with the mask where the one "
                    "before stopped.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "shrinking_model",
                    display_name="model",
                    tooltip="The model with the shrinking mask. Sample with it and with the latent of this node.",
                ),
                io.Latent.Output(
                    "masked_latent",
                    display_name="latent",
                    tooltip="The latent with the mask as its noise mask, on the latent's own grid, where thin strokes "
                    "survive.",
                ),
                io.Mask.Output(
                    "stages_mask",
                    display_name="stages",
                    tooltip="The masks of all stages, in pixels, the widest first.",
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
