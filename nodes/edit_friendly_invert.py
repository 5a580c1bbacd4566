"""EditFriendlyInvert: compute the noises with which a stochastic sampler generates an image."""

from comfy_api.latest import io

from .edits.inversion import base, edit_friendly, exact
from .host import previews, versions
from .outcome import Outcome
from .sockets import (
    ExactInversionType,
    filmstrip_vae,
    guidance,
    inverted_latent,
    inverted_model,
    inverted_share,
    measured_error,
    noise_schedule,
    noise_seed,
    whole_schedule,
)


class EditFriendlyInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EditFriendlyInvert",
            display_name="Edit-Friendly Invert",
            category="semantic edit",
            description="Edit-friendly DDPM inversion: adds independent noise at every level and stores a "
            "correction for each stochastic step. The round trip is exact; edits preserve the layout "
            "and vary with the seed.",
            search_aliases=[
                "semantic edit",
                "ddpm inversion",
                "edit friendly",
                "ledits",
                "exact inversion",
                "inversion",
                "edit image by text",
                "invert image",
                "change object",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                inverted_model(),
                io.Conditioning.Input("source", tooltip="Text that describes the source image."),
                io.Conditioning.Input("negative", tooltip="Negative text; empty in the paper. No effect at cfg 1."),
                inverted_latent("Exact Sampler"),
                noise_seed("Seed of the noise; each seed gives a different edit. Item k of a batch uses seed + k."),
                whole_schedule("Number of steps of the full schedule. The paper uses 100.", default=100),
                inverted_share(
                    "Fraction of the schedule to invert: round(steps * strength) steps. The paper skips 36 of "
                    "100 steps (0.64). Higher values allow larger edits and preserve less.",
                    default=0.64,
                ),
                noise_schedule("Spacing of the noise levels. Exact Sampler takes it from the inversion."),
                guidance(
                    "Guidance scale of the inversion. The paper uses 3.5 here and 15 in Exact Sampler.", default=3.5
                ),
                io.Float.Input(
                    "eta",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Amount of randomness per step. 1: DDPM, as in the paper. Near 0: DDIM with corrections.",
                ),
                measured_error(),
                filmstrip_vae(),
            ],
            outputs=[
                ExactInversionType.Output(
                    "inversion", display_name="inversion", tooltip="Noised states and corrections, for Exact Sampler."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        source,
        negative,
        latent,
        seed,
        steps,
        strength,
        scheduler,
        cfg,
        eta=1.0,
        measure_error=False,
        vae=None,
    ) -> Outcome:
        sigmas = base.levels(model, steps, scheduler, strength)
        inversion = edit_friendly.run_edit_friendly_inversion(
            model, source, negative, latent, sigmas, cfg, eta, seed, measure_error
        )
        report = exact.describe_exact(model, inversion)
        return Outcome(
            (inversion,), report, lambda node: previews.filmstrip(node, vae, model, inversion.states, inversion.sigmas)
        )
