"""ExactInvert: exact inversion at the cost of DDIM inversion."""

from comfy_api.latest import io

from .edits.inversion import base, exact, two_step
from .host import latents, previews, versions
from .outcome import Outcome
from .sockets import (
    ExactInversionType,
    filmstrip_vae,
    guidance,
    inversion_sigmas,
    inverted_latent,
    inverted_model,
    inverted_share,
    measured_error,
    negative_for_guidance,
    noise_schedule,
    whole_schedule,
)


class ExactInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ExactInvert",
            display_name="Exact Invert",
            category="semantic edit",
            description="Inverts an image exactly at the cost of DDIM inversion, by O-BELM, BDIA or DirectEdit. "
            "From the inversion, Exact Sampler reproduces the source latent bit for bit, or edits it.",
            search_aliases=[
                "semantic edit",
                "exact inversion",
                "o-belm",
                "belm",
                "bdia",
                "inversion",
                "unsampler",
                "image to noise",
                "edit image by text",
                "invert image",
                "change object",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                inverted_model(),
                io.Conditioning.Input(
                    "source", tooltip="Text that describes the source image. The empty text works as well."
                ),
                inverted_latent("Exact Sampler"),
                whole_schedule(
                    "Number of steps of the full schedule. The inversion is exact for any number; with more "
                    "steps the result is closer to noise.",
                    least=2,
                ),
                inverted_share(
                    "Fraction of the schedule to invert: round(steps * strength) steps; O-BELM and BDIA need "
                    "at least 2. Higher values allow larger edits and preserve less."
                ),
                noise_schedule(
                    "Spacing of the noise levels. Exact Sampler takes it from the inversion. For O-BELM, use "
                    "one whose steps become shorter towards the image."
                ),
                guidance(
                    "Guidance scale of the inversion. With 1 the result is closest to noise; other values "
                    "need negative and double the time."
                ),
                io.Combo.Input(
                    "method",
                    options=list(two_step.METHODS),
                    default="O-BELM",
                    tooltip="O-BELM: smallest error per step of the two-step schemes. BDIA: a DDIM step in both "
                    "directions around each state. DirectEdit: DDIM with stored offsets. For edits use DirectEdit "
                    "with cfg 1; with O-BELM and BDIA they rarely succeed.",
                ),
                io.Float.Input(
                    "gamma",
                    default=1.0,
                    min=0.51,
                    max=1.0,
                    step=0.01,
                    round=0.001,
                    advanced=True,
                    tooltip="For BDIA. Values below 1 damp the sampling, but the noise grows by 1 / gamma per step; "
                    "use values near 1.",
                ),
                measured_error(),
                negative_for_guidance(),
                filmstrip_vae(),
            ],
            outputs=[
                ExactInversionType.Output(
                    "inversion", display_name="inversion", tooltip="All states in float64, for Exact Sampler."
                ),
                io.Latent.Output(
                    "noise_latent",
                    display_name="latent",
                    tooltip="Inverted noise as a LATENT, for KSamplerAdvanced (add_noise off, start_at_step) and "
                    "SamplerCustom (add_noise off). The round trip with them is approximate. KSamplerAdvanced "
                    "cannot continue from a flow model inverted at strength 1; use SamplerCustom with sigmas.",
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
        latent,
        steps,
        strength,
        scheduler,
        cfg,
        method,
        gamma=1.0,
        measure_error=False,
        negative=None,
        vae=None,
    ) -> Outcome:
        base.check_guidance("cfg", cfg, negative)
        sigmas = base.levels(model, steps, scheduler, strength)
        two_step.check_steps(method, sigmas)
        inversion = two_step.run_two_step_inversion(
            model, source, negative, latent, sigmas, cfg, method, gamma, measure_error
        )
        noise_latent, noise_sigmas = base.to_latent(model, inversion)
        report = exact.describe_exact(model, inversion)
        values = (inversion, latents.write_inverted(latent, noise_latent), noise_sigmas)
        return Outcome(
            values, report, lambda node: previews.filmstrip(node, vae, model, inversion.states, inversion.sigmas)
        )
