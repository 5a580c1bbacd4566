"""EditFriendlyInvert: the noises with which a stochastic sampler generates this picture."""

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
    whole_schedule,
)


class EditFriendlyInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EditFriendlyInvert",
            display_name="Edit-Friendly Invert",
            category="semantic edit",
            description="Edit-friendly DDPM inversion: noises the picture to every level independently and keeps what "
            "each stochastic step lacks to get from one to the next. Exact, strong in keeping the "
            "layout, and different for every seed.",
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
                io.Conditioning.Input("source", tooltip="What the picture shows now."),
                io.Conditioning.Input(
                    "negative", tooltip="The negative text; the empty one in the paper. Without effect at cfg 1."
                ),
                inverted_latent("ExactSampler"),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the noises; each gives another edit. Item k of a batch uses seed + k.",
                ),
                whole_schedule("Steps of the whole schedule; the paper uses 100.", default=100),
                inverted_share(
                    "How far to go: round(steps * strength) steps are taken. The paper skips 36 of 100, which "
                    "is 0.64; higher allows larger edits and keeps less.",
                    default=0.64,
                ),
                noise_schedule("How the noise levels are spaced. ExactSampler takes them from the inversion."),
                guidance("Guidance while inverting; the paper uses 3.5, and 15 while editing.", default=3.5),
                io.Float.Input(
                    "eta",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="How stochastic the steps are: 1 is DDPM, the paper's; near 0 is DDIM with corrections.",
                ),
                measured_error(),
                filmstrip_vae(),
            ],
            outputs=[
                ExactInversionType.Output(
                    "inversion",
                    display_name="inversion",
                    tooltip="The noised states and the corrections between them, for ExactSampler.",
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
