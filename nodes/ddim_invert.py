"""DDIMInvert: invert a picture to the noise that generates it."""

from comfy_api.latest import io

from .edits.inversion import base, ddim
from .host import latents, previews, progress, versions
from .outcome import Outcome
from .sockets import (
    InversionType,
    filmstrip_vae,
    guidance,
    inversion_sigmas,
    inverted_model,
    inverted_share,
    measured_error,
    negative_for_guidance,
    noise_schedule,
    whole_schedule,
)


class DDIMInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DDIMInvert",
            display_name="DDIM Invert",
            category="semantic edit",
            description="Follows the sampling ODE backwards: finds the noise from which deterministic samplers make "
            "this very picture, and every state on the way.",
            search_aliases=[
                "semantic edit",
                "inversion",
                "unsampler",
                "ddim inversion",
                "reverse sampling",
                "image to noise",
                "edit image by text",
                "invert image",
                "change object",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                inverted_model(),
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The text to invert under. DiffEdit uses the empty text; the source's own text ties the "
                    "noise to it.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="The picture, encoded by the model's VAE. A noise mask on it is ignored here; "
                    "LatentBlendSampler takes it from the inversion when no other is connected.",
                ),
                whole_schedule("Steps of the whole schedule. More make the round trip more exact."),
                inverted_share(
                    "How far to go: the encode ratio of the paper. round(steps * strength) steps are taken; "
                    "higher allows larger edits and keeps less."
                ),
                noise_schedule(
                    "How the noise levels are spaced. Generate with the SIGMAS given here, or with the same scheduler."
                ),
                guidance(
                    "Guidance while inverting. 1 is the paper's; more makes the round trip worse and needs a negative.",
                    default=1.0,
                    advanced=True,
                ),
                io.Int.Input(
                    "refinements",
                    default=0,
                    min=0,
                    max=20,
                    advanced=True,
                    tooltip="Fixed-point iterations per step: each costs one more evaluation and makes the round trip "
                    "more exact.",
                ),
                measured_error(),
                negative_for_guidance(),
                filmstrip_vae(),
            ],
            outputs=[
                io.Latent.Output(
                    "noise_latent",
                    display_name="latent",
                    tooltip="The noise as a LATENT: KSamplerAdvanced (add_noise off, start_at_step) and SamplerCustom "
                    "(add_noise off) continue from it. On flow models from full strength use SIGMAS or NOISE "
                    "with it.",
                ),
                InversionType.Output(
                    "inversion",
                    display_name="inversion",
                    tooltip="All states from the noise to the picture; LatentBlendSampler takes its background from "
                    "it.",
                ),
                io.Noise.Output(
                    "noise",
                    display_name="noise",
                    tooltip="For SamplerCustomAdvanced: starts exactly at the inverted noise on every kind of model, "
                    "also with a noise mask.",
                ),
                inversion_sigmas(),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        conditioning,
        latent,
        steps,
        strength,
        scheduler,
        cfg=1.0,
        refinements=0,
        measure_error=False,
        negative=None,
        vae=None,
    ) -> Outcome:
        latents.read_latent(latent, model)
        base.check_guidance("cfg", cfg, negative)
        sigmas = base.levels(model, steps, scheduler, strength)
        bar = progress.Progress((len(sigmas) - 1) * (1 + measure_error), model)
        result = ddim.run_ddim_inversion(
            model, conditioning, negative, latent, sigmas, cfg, refinements, measure_error, bar
        )
        noise_latent, noise_sigmas = base.to_latent(model, result)
        report = ddim.describe_ddim(model, result)
        noise = ddim.InvertedNoise(model, result.noise, float(sigmas[0]))
        values = (latents.write_inverted(latent, noise_latent), result, noise, noise_sigmas)
        return Outcome(values, report, lambda node: previews.filmstrip(node, vae, model, result.states, result.sigmas))
