"""EDICTSampler: sample from an EDICT pair, to the image or to an edit of it."""

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
            description="Samples from an EDICT pair. With the texts and guidance of the inversion it reproduces "
            "the source; with another target it edits the image. Outside a mask the latent equals the "
            "source exactly.",
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
                io.Model.Input("model", tooltip="Model that was used for the inversion."),
                *edit_texts(),
                EdictPairType.Input("pair", tooltip="From EDICT Invert: both sequences, with noise levels and mixing."),
                guidance(
                    "Guidance scale. The value of the inversion reproduces the source; higher values follow "
                    "the target more closely."
                ),
                edit_mask(),
                preview_vae("the image before and after"),
            ],
            outputs=[edited_latent()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, target, negative, pair, cfg, mask=None, vae=None) -> Outcome:
        edited, cells, report = edict.edit_with_edict(model, target, negative, pair, cfg, mask)
        values = (latents.write_latent(pair.latent, edited, noise_mask=cells),)
        return Outcome(values, report, lambda node: previews.before_after(node, vae, pair.latent["samples"], edited))
