"""DecoderFinetune: tune the decoder to reproduce this picture's background."""

from comfy_api.latest import io

from .edits.background import decoder_pass, finetune
from .host import previews, progress, versions
from .outcome import Outcome


class DecoderFinetune(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DecoderFinetune",
            display_name="Decoder Finetune",
            category="semantic edit",
            description="Tunes a copy of the VAE's decoder on one picture, so that it gives nearly the source's own "
            "pixels "
            "outside the mask and the edit inside, with a border far softer than a pasted one (Blended "
            "Latent Diffusion). The VAE given is never changed.",
            search_aliases=[
                "semantic edit",
                "background reconstruction",
                "blended latent diffusion",
                "vae finetune",
                "restore background",
                "decoder overfit",
                "vae loss",
                "seamless inpaint",
                "keep background",
                "sharp background",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Vae.Input(
                    "vae",
                    tooltip="The VAE of the latent: AutoencoderKL (SD1.5, SD2, SDXL, SD3, Flux), TAESD or Wan "
                    "(Qwen-Image as well). It is not changed.",
                ),
                io.Image.Input(
                    "image",
                    tooltip="The source picture, as it was encoded. ComfyUI crops to a multiple of 8 when it encodes, "
                    "and so does this node. One for all latents or one each.",
                ),
                io.Latent.Input("latent", tooltip="The edited latent. Each item of a batch gets a decoder of its own."),
                io.Mask.Input(
                    "mask",
                    tooltip="White is the edit, black the background to restore. Any size, soft masks as well; one "
                    "for all or one each.",
                ),
                io.Int.Input(
                    "steps",
                    default=75,
                    min=1,
                    max=10000,
                    tooltip="Steps as the paper counts them. With optimiser curvature, a little under a quarter as "
                    "many passes through the decoder do the same work.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=1e-4,
                    min=1e-7,
                    max=1.0,
                    step=1e-5,
                    round=False,
                    tooltip="Adam's learning rate; with optimiser curvature, its first step in proportion.",
                ),
                io.Float.Input(
                    "background_weight",
                    default=100.0,
                    min=0.0,
                    max=1e6,
                    step=1.0,
                    round=False,
                    tooltip="How much the background counts against the edit (lambda in the paper).",
                ),
                io.Combo.Input(
                    "scope",
                    options=list(decoder_pass.SCOPES),
                    default=decoder_pass.SCOPES[0],
                    advanced=True,
                    tooltip="whole decoder: as in the paper. last blocks: only the last resolution level learns and "
                    "what comes before is computed once; less memory, less exact.",
                ),
                io.Combo.Input(
                    "optimiser",
                    options=list(finetune.OPTIMISERS),
                    default=finetune.OPTIMISERS[0],
                    advanced=True,
                    tooltip="curvature: quasi-Newton steps in coordinates scaled by each layer's curvature, as good "
                    "in about a quarter of the time. adam: the paper's.",
                ),
                io.Combo.Input(
                    "low_memory",
                    options=list(decoder_pass.LOW_MEMORY),
                    default=decoder_pass.LOW_MEMORY[0],
                    advanced=True,
                    tooltip="tiles: the last level piece by piece, where that gives the same picture. checkpointing: "
                    "compute blocks again on the way back; slower by up to a third. auto: the first that "
                    "fits. off: fastest for small pictures.",
                ),
                io.Boolean.Input(
                    "mixed_precision",
                    default=True,
                    advanced=True,
                    tooltip="Activations in bfloat16 while tuning, on devices that are fast at it; weights, loss and "
                    "the final picture stay float32.",
                ),
                io.Boolean.Input(
                    "early_stop", default=True, advanced=True, tooltip="Stop when the background no longer improves."
                ),
            ],
            outputs=[
                io.Image.Output(
                    "restored",
                    display_name="image",
                    tooltip="The edited pictures, decoded by their tuned decoders, in the size that the latent stands "
                    "for.",
                ),
                io.Vae.Output(
                    "tuned_vae",
                    display_name="vae",
                    tooltip="The tuned VAE, for this picture only; of a batch, the first one's. In float32.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        vae,
        image,
        latent,
        mask,
        steps,
        learning_rate,
        background_weight,
        scope="whole decoder",
        optimiser="curvature",
        low_memory="auto",
        mixed_precision=True,
        early_stop=True,
    ) -> Outcome:
        settings = finetune.Settings(
            steps, learning_rate, background_weight, scope, optimiser, low_memory, mixed_precision, early_stop
        )
        restored, tuned, report = finetune.finetune(vae, image, latent, mask, settings, progress.node_id(cls))
        return Outcome((restored, tuned), report, lambda node: previews.images_before_after(node, image, restored))
