"""ExactSampler: sample from an exact inversion, to the image or to an edit of it."""

from comfy_api.latest import io

from .edits.inversion import exact
from .host import latents, previews, versions
from .outcome import Outcome
from .sockets import ExactInversionType, edit_mask, edit_texts, edited_latent, guidance, preview_vae


class ExactSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ExactSampler",
            display_name="Exact Sampler",
            category="semantic edit",
            description="Samples from an exact inversion by the method of that inversion. With its texts and "
            "guidance it reproduces the source; with another target it edits the image. Outside a "
            "mask the latent equals the source exactly.",
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
                io.Model.Input("model", tooltip="Model that was used for the inversion."),
                *edit_texts(),
                ExactInversionType.Input(
                    "inversion", tooltip="From Exact Invert or Edit-Friendly Invert: states, noise levels and method."
                ),
                guidance(
                    "Guidance scale. The value of the inversion reproduces the source; higher values follow "
                    "the target more closely. After Edit-Friendly Invert the paper uses 15."
                ),
                edit_mask(),
                preview_vae("the image before and after"),
            ],
            outputs=[edited_latent()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model, target, negative, inversion, cfg, mask=None, vae=None) -> Outcome:
        edited, cells, report = exact.edit_with_exact(model, target, negative, inversion, cfg, mask)
        values = (latents.write_latent(inversion.latent, edited, noise_mask=cells),)
        return Outcome(
            values, report, lambda node: previews.before_after(node, vae, inversion.latent["samples"], edited)
        )
