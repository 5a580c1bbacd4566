"""EDICTSampler: sample from an EDICT pair, to the picture or to an edit of it."""

from comfy_api.latest import io

from .edits.inversion import edict
from .host import latents, previews, versions
from .outcome import Outcome
from .sockets import EdictPairType, edit_mask, edit_texts, edited_latent, guidance, preview_vae


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
                *edit_texts(),
                EdictPairType.Input(
                    "pair", tooltip="From EDICTInvert: both sequences with their noise levels and mixing."
                ),
                guidance(
                    "Guidance scale; the inversion's own gives the picture back, more follows the target further."
                ),
                edit_mask(),
                preview_vae("the picture before and after"),
            ],
            outputs=[edited_latent()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, target, negative, pair, cfg, mask=None, vae=None) -> Outcome:
        edited, cells, report = edict.edit_with_edict(model, target, negative, pair, cfg, mask)
        values = (latents.write_latent(pair.latent, edited, noise_mask=cells),)
        return Outcome(values, report, lambda node: previews.before_after(node, vae, pair.latent["samples"], edited))
