"""LatentBlendSampler: edit an image inside a mask; outside, the latent stays exactly the source."""

from comfy_api.latest import io

from .edits import blend, blend_levels
from .host import latents, previews, sampling, versions
from .outcome import Outcome
from .sockets import InversionType, compared_vae, guidance, noise_schedule, noise_seed, whole_schedule


class LatentBlendSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentBlendSampler",
            display_name="Latent Blend Sampler",
            category="semantic edit",
            description="Samples inside a mask; outside it the latent stays exactly the source. The background of "
            "each step is the noised source (Blended Latent Diffusion) or, if an inversion is "
            "connected, the states of the inversion (DiffEdit).",
            search_aliases=[
                "semantic edit",
                "inpaint",
                "blended latent diffusion",
                "diffedit decode",
                "masked sampling",
                "local edit",
                "ksampler inpaint",
                "change object",
                "replace object",
                "remove object",
                "add object",
                "replace background",
                "edit by text",
                "inpaint any model",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Model.Input("model", tooltip="Model for the edit. With an inversion: the model of the inversion."),
                io.Conditioning.Input("positive", tooltip="Text that describes the desired image."),
                io.Conditioning.Input(
                    "negative",
                    tooltip="Negative text, often empty. The source text moves the result further away from the "
                    "source.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="Source image, encoded by the model's VAE. Its noise mask is used if no mask is connected.",
                ),
                noise_seed("Seed of the noise. Result k uses seed + k and equals a single run with that seed."),
                whole_schedule("Number of sampling steps. With an inversion, its steps are used."),
                guidance("Guidance scale. Higher values follow the text more closely.", default=7.5),
                io.Combo.Input(
                    "sampler_name",
                    options=sampling.sampler_names(),
                    default="ddim",
                    tooltip="Any sampler of ComfyUI. With an inversion, only deterministic ones such as ddim and "
                    "euler.",
                ),
                noise_schedule("Spacing of the noise levels. With an inversion, its levels are used."),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="1: generate the masked part from noise. Lower values start from the noised source and "
                    "preserve more of it. With an inversion, its strength is used.",
                ),
                io.Int.Input(
                    "predictions",
                    default=1,
                    min=1,
                    max=256,
                    tooltip="Number of results per source image, as one batch. With an inversion it must be 1, "
                    "because all results would be equal.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is edited, black is kept. Any size; every latent cell that a white pixel touches "
                    "is edited. One for all images, or one per image.",
                ),
                InversionType.Input(
                    "inversion",
                    optional=True,
                    tooltip="From DDIM Invert. Sampling starts from its noise and takes the background from its "
                    "states.",
                ),
                compared_vae(),
                io.Sigmas.Input(
                    "sigmas",
                    optional=True,
                    advanced=True,
                    tooltip="Noise levels from a scheduler node (Align Your Steps, Split Sigmas). They replace steps, "
                    "scheduler and denoise. With an inversion, they replace its levels and must lie within "
                    "its range.",
                ),
                io.Latent.Input(
                    "noisy_latent",
                    optional=True,
                    advanced=True,
                    tooltip="Output of the sampler that ran the previous steps, with leftover noise. Sampling "
                    "continues from it; latent still takes the source image. Use the same seed and "
                    "predictions in both samplers.",
                ),
                io.Combo.Input(
                    "background_noise",
                    options=[blend.ONE_NOISE, blend.FRESH_NOISE],
                    default=blend.ONE_NOISE,
                    optional=True,
                    advanced=True,
                    tooltip="Noise of the background. one per run: the same noise at every level, as in ComfyUI. one "
                    "per step: new noise at each level, as in the Blended Latent Diffusion paper. No effect "
                    "with an inversion.",
                ),
                io.Int.Input(
                    "start_at_step",
                    default=0,
                    min=0,
                    max=10000,
                    optional=True,
                    advanced=True,
                    tooltip="First step to run. Above 0 without noisy_latent: start from the source noised to that "
                    "level.",
                ),
                io.Int.Input(
                    "end_at_step",
                    default=blend_levels.ALL_STEPS,
                    min=1,
                    max=blend_levels.ALL_STEPS,
                    optional=True,
                    advanced=True,
                    tooltip="Stop before this step. The result still contains noise; connect it to noisy_latent of "
                    "the next sampler, e.g. one with another model.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "edited",
                    display_name="latent",
                    tooltip="Edited latents. Where the mask is 0, they equal the source exactly.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        negative,
        latent,
        seed,
        steps,
        cfg,
        sampler_name,
        scheduler,
        denoise,
        predictions=1,
        mask=None,
        inversion=None,
        vae=None,
        sigmas=None,
        noisy_latent=None,
        background_noise=blend.ONE_NOISE,
        start_at_step=0,
        end_at_step=blend_levels.ALL_STEPS,
    ) -> Outcome:
        source = blend.Source.read(model, latent, mask, predictions, inversion)
        if inversion is not None:
            blend.check_followable(model, source, inversion, sampler_name)
        widgets = {"steps": steps, "sampler_name": sampler_name, "scheduler": scheduler, "denoise": denoise}
        levels = blend_levels.read_levels(
            model, inversion, sigmas, widgets, start_at_step, end_at_step, noisy_latent is not None
        )
        noisy = blend.read_noisy(model, noisy_latent, source, levels)
        if inversion is not None:
            edited = blend.edit_along_inversion(
                model, positive, negative, source, inversion, levels, cfg, sampler_name, noisy
            )
        else:
            edited = blend.edit_with_noise(
                model, positive, negative, source, levels, seed, cfg, sampler_name, background_noise, noisy
            )
        report = source.describe(levels, blend.warnings(model, positive, latent, inversion))
        result = latents.write_predictions(
            latent, edited, predictions, source.noise_mask() if levels.is_finished else None
        )
        return Outcome((result,), report, lambda node: previews.before_after(node, vae, latent["samples"], edited))
