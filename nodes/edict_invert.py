"""EDICTInvert: invert an image to the pair of noises that generates exactly this image."""

from comfy_api.latest import io

from .edits.inversion import base, edict
from .host import latents, previews, versions
from .outcome import Outcome
from .sockets import (
    EdictPairType,
    filmstrip_vae,
    guidance,
    inversion_sigmas,
    inverted_latent,
    inverted_model,
    inverted_share,
    measured_error,
    noise_schedule,
    whole_schedule,
)


class EDICTInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EDICTInvert",
            display_name="EDICT Invert",
            category="semantic edit",
            description="Inverts an image exactly, with guidance, by two coupled sequences (EDICT). From the "
            "pair, EDICT Sampler reproduces the source latent bit for bit, or edits it and keeps what "
            "the texts have in common.",
            search_aliases=[
                "semantic edit",
                "exact inversion",
                "edict",
                "inversion",
                "unsampler",
                "reconstruction",
                "image to noise",
                "edit image by text",
                "invert image",
                "change object",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                inverted_model(),
                io.Conditioning.Input("source", tooltip="Text that describes the source image."),
                io.Conditioning.Input(
                    "negative",
                    tooltip="Negative text; empty in the paper. Use the same one in EDICT Sampler. No effect at cfg 1.",
                ),
                inverted_latent("EDICT Sampler"),
                whole_schedule(
                    "Number of steps of the full schedule. The inversion is exact for any number. Above 50, "
                    "raise mixing as well."
                ),
                inverted_share(
                    "Fraction of the schedule to invert: round(steps * strength) steps. Higher values allow "
                    "larger edits and preserve less."
                ),
                noise_schedule("Spacing of the noise levels. EDICT Sampler takes it from the pair."),
                guidance(
                    "Guidance scale of the inversion. The paper uses 3 for inversion and sampling. 1 halves the time."
                ),
                io.Float.Input(
                    "mixing",
                    default=0.93,
                    min=0.51,
                    max=1.0,
                    step=0.01,
                    round=0.001,
                    advanced=True,
                    tooltip="Weight of the mixing of the two sequences; 1 is no mixing. The paper uses 0.93 at 50 "
                    "steps; for more steps use 0.93 ^ (50 / steps), or the sequences drift apart. With much "
                    "lower values the round trip is only approximate, and the report says so.",
                ),
                measured_error(),
                filmstrip_vae(),
            ],
            outputs=[
                EdictPairType.Output(
                    "pair",
                    display_name="pair",
                    tooltip="Both sequences at every noise level, in float64, for EDICT Sampler.",
                ),
                io.Latent.Output(
                    "noise_latent",
                    display_name="latent",
                    tooltip="Noise of the first sequence as a LATENT, for KSamplerAdvanced (add_noise off, "
                    "start_at_step) and SamplerCustom (add_noise off). The round trip with them is "
                    "approximate. KSamplerAdvanced cannot continue from a flow model inverted at strength 1; "
                    "use SamplerCustom with sigmas.",
                ),
                inversion_sigmas(),
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
        steps,
        strength,
        scheduler,
        cfg,
        mixing=0.93,
        measure_error=False,
        vae=None,
    ) -> Outcome:
        sigmas = base.levels(model, steps, scheduler, strength)
        pair = edict.run_edict_inversion(model, source, negative, latent, sigmas, cfg, mixing, measure_error)
        noise_latent, noise_sigmas = base.to_latent(model, pair)
        report = edict.describe_pair(model, pair)
        values = (pair, latents.write_inverted(latent, noise_latent), noise_sigmas)
        return Outcome(values, report, lambda node: previews.filmstrip(node, vae, model, pair.path, pair.sigmas))
