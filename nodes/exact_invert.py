"""ExactInvert: exact inversion at DDIM's cost."""

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
            description="Inverts a picture exactly at the cost of DDIM inversion: one prediction a step, by a scheme "
            "that steps over two states (O-BELM or BDIA) or keeps its steps as offsets (DirectEdit). "
            "ExactSampler returns from it to the very same picture, or to an edit.",
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
                io.Conditioning.Input("source", tooltip="What the picture shows now; the empty text works as well."),
                inverted_latent("ExactSampler"),
                whole_schedule(
                    "Steps of the whole schedule. Any number is exact; more keep the noise closer to noise.", least=2
                ),
                inverted_share(
                    "How far to go. round(steps * strength) steps are taken, at least 2; higher allows larger "
                    "edits and keeps less."
                ),
                noise_schedule(
                    "How the noise levels are spaced. ExactSampler takes them from the inversion. O-BELM "
                    "wants steps that become shorter towards the picture."
                ),
                guidance(
                    "Guidance while inverting. 1 keeps the noise most like noise; more doubles the time and "
                    "needs a negative."
                ),
                io.Combo.Input(
                    "method",
                    options=list(two_step.METHODS),
                    default="O-BELM",
                    tooltip="O-BELM: the smallest error per step of all such schemes. BDIA: DDIM both ways around "
                    "each state. DirectEdit: DDIM whose steps are kept as offsets; exact with the same text "
                    "and guidance both ways.",
                ),
                io.Float.Input(
                    "gamma",
                    default=1.0,
                    min=0.51,
                    max=1.0,
                    step=0.01,
                    round=0.001,
                    advanced=True,
                    tooltip="BDIA only. Less than 1 damps, but the noise grows by 1 / gamma a step; near 1 is best.",
                ),
                measured_error(),
                negative_for_guidance(),
                filmstrip_vae(),
            ],
            outputs=[
                ExactInversionType.Output(
                    "inversion", display_name="inversion", tooltip="All states in double precision, for ExactSampler."
                ),
                io.Latent.Output(
                    "noise_latent",
                    display_name="latent",
                    tooltip="The noise as a LATENT: KSamplerAdvanced (add_noise off, start_at_step) and SamplerCustom "
                    "(add_noise off) continue from it, though not exactly. Flow models inverted at full "
                    "strength need SIGMAS with it.",
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
