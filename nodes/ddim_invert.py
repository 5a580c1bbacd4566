"""DDIMInvert: invert an image to the noise that generates it."""

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
            description="Computes the noise from which a deterministic sampler generates the source image, and "
            "stores all states between them. Latent Blend Sampler or a stock sampler edits from "
            "there.",
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
                    tooltip="Text for the inversion. DiffEdit uses the empty text; for an edit without a mask, use "
                    "the text of the source.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="Source image, encoded by the model's VAE. Its noise mask is ignored during inversion; "
                    "Latent Blend Sampler uses it if no other mask is connected.",
                ),
                whole_schedule("Number of steps of the full schedule. More steps make the round trip more accurate."),
                inverted_share(
                    "Fraction of the schedule to invert (encode ratio in the paper): round(steps * strength) "
                    "steps. Higher values allow larger edits and preserve less."
                ),
                noise_schedule(
                    "Spacing of the noise levels. Sample with the output sigmas, or with the same scheduler."
                ),
                guidance(
                    "Guidance scale of the inversion. The paper uses 1. Other values need negative and make "
                    "the round trip less accurate.",
                    default=1.0,
                    advanced=True,
                ),
                io.Int.Input(
                    "refinements",
                    default=0,
                    min=0,
                    max=20,
                    advanced=True,
                    tooltip="Fixed-point iterations per step. Each adds one evaluation per step and makes the round "
                    "trip more accurate; 2 are enough.",
                ),
                measured_error(),
                negative_for_guidance(),
                filmstrip_vae(),
            ],
            outputs=[
                io.Latent.Output(
                    "noise_latent",
                    display_name="latent",
                    tooltip="Inverted noise as a LATENT, for KSamplerAdvanced (add_noise off, start_at_step) and "
                    "SamplerCustom (add_noise off). KSamplerAdvanced cannot continue from a flow model "
                    "inverted at strength 1; use noise or sigmas.",
                ),
                InversionType.Output(
                    "inversion",
                    display_name="inversion",
                    tooltip="All states from the noise to the image. Latent Blend Sampler takes the background from "
                    "them.",
                ),
                io.Noise.Output(
                    "noise",
                    display_name="noise",
                    tooltip="Inverted noise for SamplerCustomAdvanced. Exact for every kind of model, also with a "
                    "noise mask.",
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
