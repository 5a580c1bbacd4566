"""EDICTSampler: from an EDICT pair back to the picture, or to an edit of it."""

from comfy_api.latest import io

from .edits.inversion import edict
from .host import latents, previews, versions
from .outcome import Outcome
from .sockets import EdictPairType


class EDICTSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDICTSampler",
            display_name="EDICT Sampler",
            category="semantic edit",
            description="Generates from an EDICT pair. With the texts and the guidance of the inversion it gives the "
            "inverted picture itself, with another text an edit of it. Outside a mask the picture is "
            "kept exactly.",
            search_aliases=[
                "semantic edit",
                "exact inversion",
                "edict",
                "edit by text",
                "reconstruction",
                "prompt edit",
                "change object",
                "replace object",
                "edit image by text",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Model.Input("model", tooltip="The model that the pair was made with."),
                io.Conditioning.Input(
                    "target", tooltip="What the picture should show. The source's own text gives the picture back."
                ),
                io.Conditioning.Input(
                    "negative",
                    tooltip="The negative text; for the picture itself, the one of the inversion. Without effect at "
                    "cfg 1.",
                ),
                EdictPairType.Input(
                    "pair", tooltip="From EDICTInvert: both sequences with their noise levels and mixing."
                ),
                io.Float.Input(
                    "cfg",
                    default=3.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Guidance scale; the inversion's own gives the picture back, more follows the target "
                    "further.",
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
    def execute(cls, model, target, negative, pair, cfg, mask=None, vae=None) -> Outcome:
        edited, cells, report = edict.edit(model, target, negative, pair, cfg, mask)
        values = (latents.write_latent(pair.latent, edited, noise_mask=cells),)
        return Outcome(values, report, lambda node: previews.before_after(node, vae, pair.latent["samples"], edited))
