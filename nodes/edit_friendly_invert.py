"""EditFriendlyInvert: the noises that a stochastic sampler would have needed to make this picture."""

from comfy_api.latest import io

from .edits.inversion import base, edit_friendly, exact
from .host import previews, sampling, versions
from .outcome import Outcome
from .sockets import ExactInversionType


class EditFriendlyInvert(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EditFriendlyInvert",
            display_name="Edit-Friendly Invert",
            category="semantic edit",
            description="Edit-friendly DDPM inversion: noises the picture to every level independently and keeps what "
            "each stochastic step lacks to get from one to the next. Exact, strong in keeping the "
            "layout, and different for every seed.",
            search_aliases=[
                "semantic edit",
                "ddpm inversion",
                "edit friendly",
                "ledits",
                "exact inversion",
                "inversion",
                "edit image by text",
                "invert image",
                "change object",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Model.Input("model", tooltip="The model to invert through; edit with the same one."),
                io.Conditioning.Input("source", tooltip="What the picture shows now."),
                io.Conditioning.Input(
                    "negative", tooltip="The negative text; the empty one in the paper. Without effect at cfg 1."
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="The picture, encoded by the model's VAE. A noise mask on it is ignored here, and used by "
                    "ExactSampler when no other is connected.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the noises; each gives another edit. Item k of a batch uses seed + k.",
                ),
                io.Int.Input(
                    "steps", default=100, min=1, max=1000, tooltip="Steps of the whole schedule; the paper uses 100."
                ),
                io.Float.Input(
                    "strength",
                    default=0.64,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="How far to go: round(steps * strength) steps are taken. The paper skips 36 of 100, which "
                    "is 0.64; higher allows larger edits and keeps less.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=sampling.scheduler_names(),
                    default="normal",
                    tooltip="How the noise levels are spaced. ExactSampler takes them from the inversion.",
                ),
                io.Float.Input(
                    "cfg",
                    default=3.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Guidance while inverting; the paper uses 3.5, and 15 while editing.",
                ),
                io.Float.Input(
                    "eta",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="How stochastic the steps are: 1 is DDPM, the paper's; near 0 is DDIM with corrections.",
                ),
                io.Boolean.Input(
                    "measure_error",
                    default=False,
                    advanced=True,
                    tooltip="Also generate back and report how far from the picture that ends. Doubles the time.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    advanced=True,
                    tooltip="The model's VAE, only for the preview: with it the node shows the way from the picture "
                    "to the noise.",
                ),
            ],
            outputs=[
                ExactInversionType.Output(
                    "inversion",
                    display_name="inversion",
                    tooltip="The noised states and the corrections between them, for ExactSampler.",
                )
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
        seed,
        steps,
        strength,
        scheduler,
        cfg,
        eta=1.0,
        measure_error=False,
        vae=None,
    ) -> Outcome:
        sigmas = base.levels(model, steps, scheduler, strength)
        found = edit_friendly.invert(model, source, negative, latent, sigmas, cfg, eta, seed, measure_error)
        report = exact.describe(model, found)
        return Outcome((found,), report, lambda node: previews.filmstrip(node, vae, model, found.states, found.sigmas))
