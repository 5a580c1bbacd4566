"""ExactSampler: from an exact inversion back to the picture, or to an edit of it."""

from comfy_api.latest import io

from .edits.inversion import exact
from .host import latents, previews, versions
from .outcome import Outcome
from .sockets import ExactInversionType


class ExactSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ExactSampler",
            display_name="Exact Sampler",
            category="semantic edit",
            description="Generates from an exact inversion by the method that made it. With the texts and the "
            "guidance of the inversion it gives the inverted picture itself, with another text an edit "
            "of it. Outside a mask the picture is kept exactly.",
            search_aliases=[
                "semantic edit",
                "exact inversion",
                "o-belm",
                "bdia",
                "ddpm inversion",
                "edit by text",
                "reconstruction",
                "change object",
                "replace object",
                "edit image by text",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Model.Input("model", tooltip="The model that the inversion was made with."),
                io.Conditioning.Input(
                    "target", tooltip="What the picture should show. The source's own text gives the picture back."
                ),
                io.Conditioning.Input(
                    "negative",
                    tooltip="The negative text; for the picture itself, the one of the inversion. Without effect at "
                    "cfg 1.",
                ),
                ExactInversionType.Input(
                    "inversion", tooltip="From ExactInvert or EditFriendlyInvert: states, noise levels and method."
                ),
                io.Float.Input(
                    "cfg",
                    default=3.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Guidance scale; the inversion's own gives the picture back, more follows the target "
                    "further. After EditFriendlyInvert the paper uses 15.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is changed, black stays the source exactly. Any size; one for all pictures or one "
                    "each. Without it the inverted LATENT's noise mask counts, if it had one.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    advanced=True,
                    tooltip="The model's VAE, only for the preview: with it the node shows the picture before and "
                    "after.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "edited",
                    display_name="latent",
                    tooltip="The edited latents. Where a mask is 0 they equal the source exactly.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, target, negative, inversion, cfg, mask=None, vae=None) -> Outcome:
        edited, cells, report = exact.edit(model, target, negative, inversion, cfg, mask)
        values = (latents.write_latent(inversion.latent, edited, noise_mask=cells),)
        return Outcome(
            values, report, lambda node: previews.before_after(node, vae, inversion.latent["samples"], edited)
        )
