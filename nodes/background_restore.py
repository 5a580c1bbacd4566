"""BackgroundRestore: restore the source's pixels outside an edit."""

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
            description="Restores the source's pixels outside the mask: by pasting, by gradient-domain (Poisson) "
            "blending without a visible seam, or by optimising the latent.",
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
                io.Image.Input("image", tooltip="Source image. One for all edits, or one per edit."),
                io.Mask.Input(
                    "mask",
                    tooltip="White keeps the edit, black restores the source. Any size; soft masks are allowed. One "
                    "for all images, or one per image.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(restore.METHODS),
                    default="stitch",
                    tooltip="stitch: paste the source outside the mask. poisson: keep the gradients of the edit and "
                    "adapt its level to the source around the mask, which avoids a seam. latent optimisation: "
                    "optimise the latent to match both regions (an ablation of the paper; slow and "
                    "approximate).",
                ),
                io.Int.Input(
                    "feather",
                    default=0,
                    min=0,
                    max=256,
                    advanced=True,
                    tooltip="For stitch and poisson: soften the edge of the mask over this many pixels, inwards only; "
                    "the background stays exact.",
                ),
                io.Int.Input(
                    "steps",
                    default=75,
                    min=1,
                    max=10000,
                    advanced=True,
                    tooltip="For latent optimisation: number of Adam steps.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.1,
                    min=1e-7,
                    max=10.0,
                    step=0.01,
                    round=False,
                    advanced=True,
                    tooltip="For latent optimisation: learning rate of Adam.",
                ),
                io.Float.Input(
                    "background_weight",
                    default=100.0,
                    min=0.0,
                    max=1e6,
                    step=1.0,
                    round=False,
                    advanced=True,
                    tooltip="For latent optimisation: weight of the background relative to the edit.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="VAE of the latent. Not needed for stitch or poisson with an edited image. It is not "
                    "modified.",
                ),
                io.Latent.Input(
                    "latent", optional=True, tooltip="Edited latent. Connect either this or an edited image."
                ),
                io.Image.Input("edited", optional=True, tooltip="Edited image. Connect either this or a latent."),
                io.Boolean.Input(
                    "resize",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Scale an edit of another size to the size of the source. If off, only edits of the "
                    "source's size, or of the size that encoding crops it to, are accepted.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "restored",
                    display_name="image",
                    tooltip="Edit with restored background. With stitch and poisson it has the full size of the "
                    "source and equals the source bit for bit outside the mask.",
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
