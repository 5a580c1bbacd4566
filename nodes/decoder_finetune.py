"""DecoderFinetune: tune the decoder to reproduce the background of one image."""

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
            description="Fine-tunes a copy of the VAE decoder on one image so that it closely reproduces the "
            "source outside the mask and the edit inside, with a much softer transition than pasting "
            "(Blended Latent Diffusion). The input VAE is not modified.",
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
                    tooltip="VAE of the latent: AutoencoderKL (SD1.5, SD2, SDXL, SD3, Flux), TAESD or Wan (also "
                    "Qwen-Image). It is not modified.",
                ),
                io.Image.Input(
                    "image",
                    tooltip="Source image, as it was encoded. It is cropped as VAE Encode crops it, to a multiple of "
                    "8 pixels for most models. One for all latents, or one per latent.",
                ),
                io.Latent.Input(
                    "latent", tooltip="Edited latent. A separate decoder is tuned for each item of a batch."
                ),
                io.Mask.Input(
                    "mask",
                    tooltip="White is the edit, black is the background to restore. Any size; soft masks are allowed. "
                    "One for all images, or one per image.",
                ),
                io.Int.Input(
                    "steps",
                    default=75,
                    min=1,
                    max=10000,
                    tooltip="Number of steps, as in the paper. Optimiser curvature runs slightly fewer than a quarter "
                    "as many passes through the decoder for a similar result.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=1e-4,
                    min=1e-7,
                    max=1.0,
                    step=1e-5,
                    round=False,
                    tooltip="Learning rate of Adam. With optimiser curvature it scales the first step.",
                ),
                io.Float.Input(
                    "background_weight",
                    default=100.0,
                    min=0.0,
                    max=1e6,
                    step=1.0,
                    round=False,
                    tooltip="Weight of the background relative to the edit (lambda in the paper).",
                ),
                io.Combo.Input(
                    "scope",
                    options=list(decoder_pass.SCOPES),
                    default=decoder_pass.SCOPES[0],
                    advanced=True,
                    tooltip="whole decoder: as in the paper. last blocks: tune only the last resolution level; needs "
                    "less time and memory and is less accurate.",
                ),
                io.Combo.Input(
                    "optimiser",
                    options=list(finetune.OPTIMISERS),
                    default=finetune.OPTIMISERS[0],
                    advanced=True,
                    tooltip="curvature: quasi-Newton steps scaled by the curvature of each layer; similar quality in "
                    "about a quarter of the time. adam: the optimiser of the paper.",
                ),
                io.Combo.Input(
                    "low_memory",
                    options=list(decoder_pass.LOW_MEMORY),
                    default=decoder_pass.LOW_MEMORY[0],
                    advanced=True,
                    tooltip="auto: choose by image size and decoder. tiles: process the last level in tiles, if the "
                    "image stays the same. checkpointing: recompute blocks in the backward pass; up to a "
                    "third slower. off: fastest for small images.",
                ),
                io.Boolean.Input(
                    "mixed_precision",
                    default=True,
                    advanced=True,
                    tooltip="Use bfloat16 for activations during tuning, on devices that are fast at it. Weights, "
                    "loss and the final image stay float32.",
                ),
                io.Boolean.Input(
                    "early_stop", default=True, advanced=True, tooltip="Stop when the background no longer improves."
                ),
            ],
            outputs=[
                io.Image.Output(
                    "restored",
                    display_name="image",
                    tooltip="Edited images, each decoded by its tuned decoder, at the pixel size of the latent.",
                ),
                io.Vae.Output(
                    "tuned_vae",
                    display_name="vae",
                    tooltip="Tuned VAE in float32, for this image only. For a batch: the VAE of the first image.",
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
