"""BackgroundRestore: the source's own pixels around an edit."""

from comfy_api.latest import io

from .edits.background import restore
from .host import previews, progress, versions
from .outcome import Outcome


class BackgroundRestore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="BackgroundRestore",
            display_name="Background Restore",
            category="semantic edit",
            description="Puts the source's own pixels back outside the mask: pasted, blended by gradients so that no "
            "seam shows, or approached by optimising the latent.",
            search_aliases=[
                "semantic edit",
                "stitch",
                "paste back",
                "poisson blending",
                "seamless clone",
                "composite masked",
                "blended latent diffusion",
                "vae loss",
                "keep background",
                "paste edit back",
                "restore pixels",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Image.Input("image", tooltip="The source picture. One for all edits or one each."),
                io.Mask.Input(
                    "mask",
                    tooltip="White is the edit, black gets the source's pixels. Any size, soft masks as well; one for "
                    "all or one each.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(restore.METHODS),
                    default="stitch",
                    tooltip="stitch: paste along the mask. poisson: keep the edit's gradients and take its level from "
                    "the source around the mask, so that no seam shows. latent optimisation: move the latent "
                    "until it decodes to both (the paper's ablation; slow and not exact).",
                ),
                io.Int.Input(
                    "feather",
                    default=0,
                    min=0,
                    max=256,
                    advanced=True,
                    tooltip="stitch and poisson: soften the mask's edge over this many pixels, inwards only, so that "
                    "the background stays exact.",
                ),
                io.Int.Input(
                    "steps", default=75, min=1, max=10000, advanced=True, tooltip="latent optimisation: Adam's steps."
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.1,
                    min=1e-7,
                    max=10.0,
                    step=0.01,
                    round=False,
                    advanced=True,
                    tooltip="latent optimisation: Adam's learning rate on the latent.",
                ),
                io.Float.Input(
                    "background_weight",
                    default=100.0,
                    min=0.0,
                    max=1e6,
                    step=1.0,
                    round=False,
                    advanced=True,
                    tooltip="latent optimisation: how much the background counts against the edit.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The latent's VAE; not needed to stitch or blend an edited image. It is not changed.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="The edited latent. Connect this or an edited image."),
                io.Image.Input("edited", optional=True, tooltip="The edited picture. Connect this or a latent."),
                io.Boolean.Input(
                    "resize",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Scale an edit to the source's size where its own is not what encoding crops the "
                    "source to. Off: such an edit is refused.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "restored",
                    display_name="image",
                    tooltip="The edit with its background restored. stitch and poisson give the source's full size, "
                    "outside the mask bit for bit the source.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        image,
        mask,
        method,
        feather=0,
        steps=75,
        learning_rate=0.1,
        background_weight=100.0,
        vae=None,
        latent=None,
        edited=None,
        resize=False,
    ) -> Outcome:
        settings = {
            "steps": steps,
            "learning_rate": learning_rate,
            "background_weight": background_weight,
            "resize": resize,
        }
        restored, report = restore.restore(
            vae, image, mask, latent, edited, method, feather, settings, progress.node_id(cls)
        )
        return Outcome((restored,), report, lambda node: previews.images_before_after(node, image, restored))
