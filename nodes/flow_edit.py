"""FlowEdit: an edit without inversion."""

from comfy_api.latest import io

from .edits.inversion import base, flowedit
from .host import latents, previews, sampling, versions
from .outcome import Outcome


class FlowEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlowEdit",
            display_name="FlowEdit",
            category="semantic edit",
            description="Edits without inverting: moves the picture along the difference of what the model says under "
            "the target's and under the source's text. Made for flow models (SD3, Flux); runs on others "
            "too.",
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
                io.Model.Input("model", tooltip="The model to edit with."),
                io.Conditioning.Input(
                    "source",
                    tooltip="What the picture shows now. For Flux set its guidance by FluxGuidance; the paper uses "
                    "1.5.",
                ),
                io.Conditioning.Input(
                    "target",
                    tooltip="What it should show. For Flux set its guidance by FluxGuidance; the paper uses 5.5.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="The picture, encoded by the model's VAE. Its noise mask is used when no mask is "
                    "connected.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the noises. Item k of a batch uses seed + k.",
                ),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=1000,
                    tooltip="Steps of the whole schedule; the paper uses 50 on SD3 and 28 on Flux.",
                ),
                io.Float.Input(
                    "strength",
                    default=0.66,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="How far the edit may go: round(steps * strength) steps are taken. The paper's n_max is "
                    "33 of 50 on SD3 and 24 of 28 on Flux.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=sampling.scheduler_names(),
                    default="normal",
                    tooltip="How the noise levels are spaced.",
                ),
                io.Float.Input(
                    "source_cfg",
                    default=3.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Guidance of the source's text; the paper uses 3.5 on SD3. 1 for Flux.",
                ),
                io.Float.Input(
                    "target_cfg",
                    default=13.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Guidance of the target's text; the paper uses 13.5 on SD3. 1 for Flux.",
                ),
                io.Int.Input(
                    "averages",
                    default=1,
                    min=1,
                    max=64,
                    advanced=True,
                    tooltip="Noises per step over which the difference is averaged: calmer, and as many times slower.",
                ),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="The negative text, needed when a guidance is not 1."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is changed, black stays the source exactly. Any size; one for all pictures or one "
                    "each.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    advanced=True,
                    tooltip="The model's VAE, only for the preview: with it the node shows the picture before and "
                    "after.",
                ),
                io.Combo.Input(
                    "guidance",
                    options=list(flowedit.GUIDANCES),
                    default=flowedit.EACH_TEXT,
                    optional=True,
                    advanced=True,
                    tooltip="each text: both texts are guided away from the negative (FlowEdit). target against "
                    "source: the target is guided away from the source, and the source not at all "
                    "(FlowAlign); three evaluations a step instead of four, source_cfg and negative are not "
                    "used.",
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
                    tooltip="Weaker target guidance at high noise and stronger at low noise, by how well both "
                    "predictions agree (kappa of VAGS; its paper uses 0.9). 0: constant guidance.",
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
                    tooltip="Pulls the edit towards the source at every step (zeta of FlowAlign, which uses 0.01). "
                    "Higher keeps more and edits less.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "edited",
                    display_name="latent",
                    tooltip="The edited latents. Where a mask is 0 they equal the source exactly.",
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
