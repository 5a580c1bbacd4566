"""LatentBlendSampler: change a picture inside a mask and keep it exactly outside."""

from comfy_api.latest import io

from .edits import blend, blend_levels
from .host import latents, previews, sampling, versions
from .outcome import Outcome
from .sockets import InversionType


class LatentBlendSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentBlendSampler",
            display_name="Latent Blend Sampler",
            category="semantic edit",
            description="Samples inside a mask and keeps the latent outside exactly. The background at every step is "
            "the noised source (Blended Latent Diffusion), "
            "or the inversion's own states when one is connected (DiffEdit).",
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
                io.Model.Input(
                    "model",
                    tooltip="The model to edit with; the one that the inversion was made with, if there is one.",
                ),
                io.Conditioning.Input("positive", tooltip="What the picture should show."),
                io.Conditioning.Input(
                    "negative",
                    tooltip="What it should not show; the empty text, or the source's text to push away from it.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="The source picture, encoded by the model's VAE. Its noise mask is used when no mask is "
                    "connected.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Prediction k uses seed + k, and equals the single run with that seed.",
                ),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=1000,
                    tooltip="Sampling steps. With an inversion its steps are used instead.",
                ),
                io.Float.Input("cfg", default=7.5, min=0.0, max=100.0, step=0.1, round=0.01, tooltip="Guidance scale."),
                io.Combo.Input(
                    "sampler_name",
                    options=sampling.sampler_names(),
                    default="ddim",
                    tooltip="Any of ComfyUI's samplers; with an inversion only deterministic ones.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=sampling.scheduler_names(),
                    default="normal",
                    tooltip="Spacing of the noise levels. With an inversion its levels are used instead.",
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="1 makes the masked part anew; less starts from the noised source and stays nearer to it. "
                    "With an inversion its strength counts instead.",
                ),
                io.Int.Input(
                    "predictions",
                    default=1,
                    min=1,
                    max=256,
                    tooltip="How many results per picture, as one batch. An inversion leaves nothing to chance, so "
                    "there it must be 1.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is changed, black is kept. Any size; a thin stroke keeps every latent cell that it "
                    "touches. One for all pictures or one each.",
                ),
                InversionType.Input(
                    "inversion",
                    optional=True,
                    tooltip="From DDIMInvert: start at its noise and take the background from its states.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    advanced=True,
                    tooltip="The model's VAE, only for the preview: with it the node shows the picture before and "
                    "after.",
                ),
                io.Sigmas.Input(
                    "sigmas",
                    optional=True,
                    advanced=True,
                    tooltip="Noise levels from a scheduler node (Align Your Steps, Split Sigmas). Steps, scheduler and "
                    "denoise do not count then. With an inversion they replace its levels, within its range.",
                ),
                io.Latent.Input(
                    "noisy_latent",
                    optional=True,
                    advanced=True,
                    tooltip="The latent of the sampler that takes the steps before, with its noise left in. Sampling "
                    "goes on from it; the source picture stays at latent. Same seed and predictions as there.",
                ),
                io.Combo.Input(
                    "background_noise",
                    options=[blend.ONE_NOISE, blend.FRESH_NOISE],
                    default=blend.ONE_NOISE,
                    optional=True,
                    advanced=True,
                    tooltip="What the background is noised with: one noise for the whole run, as ComfyUI's samplers "
                    "do it, or a fresh one at each step, as in the "
                    "Blended Latent Diffusion paper. With an inversion there is no such noise.",
                ),
                io.Int.Input(
                    "start_at_step",
                    default=0,
                    min=0,
                    max=10000,
                    optional=True,
                    advanced=True,
                    tooltip="The first step to take. Above 0 without a noisy latent: starts "
                    "from the noised source at that level.",
                ),
                io.Int.Input(
                    "end_at_step",
                    default=blend_levels.ALL_STEPS,
                    min=1,
                    max=blend_levels.ALL_STEPS,
                    optional=True,
                    advanced=True,
                    tooltip="Stop before this step. The "
                    "noise that is left stays in the latent: connect it as noisy latent of the next sampler, such as "
                    "one with another model.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "edited",
                    display_name="latent",
                    tooltip="The edited latents. Where the mask is 0 they equal the source exactly.",
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
