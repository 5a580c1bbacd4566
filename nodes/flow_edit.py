"""FlowEdit: an edit without inversion."""

from comfy_api.latest import io

from .edits.inversion import base, flowedit
from .host import latents, previews, versions
from .outcome import Outcome
from .sockets import compared_vae, guidance, noise_schedule, noise_seed, whole_schedule


class FlowEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlowEdit",
            display_name="FlowEdit",
            category="semantic edit",
            description="Edits without inversion: moves the image along the difference between the model's "
            "predictions for the target and the source text. Published for flow models (SD3, Flux); "
            "also works with other models.",
            search_aliases=[
                "semantic edit",
                "flow edit",
                "inversion free",
                "flux edit",
                "sd3 edit",
                "edit by text",
                "change object",
                "replace object",
                "edit image by text",
                "prompt edit",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Model.Input("model", tooltip="Model for the edit."),
                io.Conditioning.Input(
                    "source",
                    tooltip="Text that describes the source image. For Flux, set its guidance with FluxGuidance; the "
                    "paper uses 1.5.",
                ),
                io.Conditioning.Input(
                    "target",
                    tooltip="Text that describes the desired image. For Flux, set its guidance with FluxGuidance; the "
                    "paper uses 5.5.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="Source image, encoded by the model's VAE. Its noise mask is used if no mask is connected.",
                ),
                noise_seed("Seed of the noise. Item k of a batch uses seed + k."),
                whole_schedule("Number of steps of the full schedule. The paper uses 50 for SD3 and 28 for Flux."),
                io.Float.Input(
                    "strength",
                    default=0.66,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Fraction of the schedule to use: round(steps * strength) steps. Higher values allow "
                    "larger edits. The paper uses 33 of 50 steps for SD3 and 24 of 28 for Flux.",
                ),
                noise_schedule("Spacing of the noise levels."),
                guidance(
                    "Guidance scale of the source text. The paper uses 3.5 for SD3; use 1 for Flux.",
                    default=3.5,
                    name="source_cfg",
                ),
                guidance(
                    "Guidance scale of the target text. The paper uses 13.5 for SD3; use 1 for Flux.",
                    default=13.5,
                    name="target_cfg",
                ),
                io.Int.Input(
                    "averages",
                    default=1,
                    min=1,
                    max=64,
                    advanced=True,
                    tooltip="Number of noise samples per step to average. More samples make the edit smoother; the "
                    "time grows in proportion.",
                ),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="Negative text; required if a guidance scale is not 1."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is edited; where it is black, the latent equals the source exactly. Any size; one "
                    "for all images, or one per image.",
                ),
                compared_vae(),
                io.Combo.Input(
                    "guidance",
                    options=list(flowedit.GUIDANCES),
                    default=flowedit.EACH_TEXT,
                    optional=True,
                    advanced=True,
                    tooltip="each text: guide both texts away from negative (FlowEdit). target against source: guide "
                    "the target away from the source, and do not guide the source (FlowAlign); three "
                    "evaluations per step instead of four, without source_cfg and negative.",
                ),
                io.Float.Input(
                    "adaptive",
                    default=0.0,
                    min=0.0,
                    max=3.0,
                    step=0.05,
                    round=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="Weaker guidance of the target at high noise and stronger at low noise, depending on the "
                    "agreement of both predictions (kappa of VAGS; its paper uses 0.9). Preserves more of the "
                    "background. 0: constant guidance.",
                ),
                io.Float.Input(
                    "source_term",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    round=0.001,
                    optional=True,
                    advanced=True,
                    tooltip="Pull towards the source at every step (zeta of FlowAlign; its paper uses 0.01). Higher "
                    "values preserve more and edit less.",
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
        source,
        target,
        latent,
        seed,
        steps,
        strength,
        scheduler,
        source_cfg,
        target_cfg,
        averages=1,
        negative=None,
        mask=None,
        vae=None,
        guidance=flowedit.EACH_TEXT,
        adaptive=0.0,
        source_term=0.0,
    ) -> Outcome:
        guide = flowedit.Guidance(source_cfg, target_cfg, guidance, adaptive)
        guide.check(negative)
        sigmas = base.levels(model, steps, scheduler, strength)
        edited, cells, report = flowedit.edit_with_flow(
            model, source, target, negative, latent, seed, sigmas, guide, averages, mask, source_term
        )
        values = (latents.write_latent(latent, edited, noise_mask=cells),)
        return Outcome(values, report, lambda node: previews.before_after(node, vae, latent["samples"], edited))
