"""EDICTInvert: invert a picture to the pair of noises that generates exactly this picture."""

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
            description="Inverts a picture exactly, with guidance: two coupled sequences are followed back to noise, "
            "and EDICTSampler returns from it to the very same picture, or to an edit that keeps all the "
            "texts do not change.",
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
                io.Conditioning.Input("source", tooltip="What the picture shows now."),
                io.Conditioning.Input(
                    "negative",
                    tooltip="The negative text; the empty one in the paper. Use the same one in EDICTSampler. Without "
                    "effect at cfg 1.",
                ),
                inverted_latent("EDICTSampler"),
                whole_schedule(
                    "Steps of the whole schedule. Any number is exact; more keep the noise closer to noise."
                ),
                inverted_share(
                    "How far to go. round(steps * strength) steps are taken; higher allows larger edits and keeps less."
                ),
                noise_schedule("How the noise levels are spaced. EDICTSampler takes them from the pair."),
                guidance("Guidance while inverting; the paper uses 3 in both directions. 1 halves the time."),
                io.Float.Input(
                    "mixing",
                    default=0.93,
                    min=0.51,
                    max=1.0,
                    step=0.01,
                    round=0.001,
                    advanced=True,
                    tooltip="How strongly the two sequences are drawn together: 1 not at all. The paper uses 0.93 at "
                    "50 steps; for more take 0.93 to the power 50 / steps, else they drift apart. With much "
                    "less the values outgrow what doubles hold, and the picture comes back only nearly; the "
                    "report says so.",
                ),
                measured_error(),
                filmstrip_vae(),
            ],
            outputs=[
                EdictPairType.Output(
                    "pair",
                    display_name="pair",
                    tooltip="Both sequences at every noise level, in double precision, for EDICTSampler.",
                ),
                io.Latent.Output(
                    "noise_latent",
                    display_name="latent",
                    tooltip="The first sequence's noise as a LATENT: KSamplerAdvanced (add_noise off, start_at_step) "
                    "and SamplerCustom (add_noise off) continue from it, though not exactly. Flow models "
                    "inverted at full strength need SIGMAS with it.",
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
