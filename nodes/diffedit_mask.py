"""DiffEditMask: the mask of what two texts, or one instruction, would change in a picture."""

from comfy_api.latest import io

from .core.masks import diffedit, operations
from .edits import instructions
from .edits.masks import contrast as noise_contrast
from .edits.masks import mask as masks
from .host import step_caches, versions
from .outcome import Outcome


class DiffEditMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DiffEditMask",
            display_name="DiffEdit Mask",
            category="semantic edit",
            description="Finds what has to change: contrasts the model's noise predictions under two texts and gives "
            "the "
            "mask where they disagree. A model of edits by instruction needs the instruction alone.",
            search_aliases=[
                "semantic edit",
                "mask by text",
                "automatic mask",
                "semantic mask",
                "diffedit",
                "inpaint mask",
                "mask from text",
                "text to mask",
                "find object",
                "change object",
                "replace object",
                "remove object",
                "edit image by text",
                "mask by instruction",
                "kontext mask",
                "qwen image edit mask",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Model.Input("model", tooltip="Any model that ComfyUI can sample. No second model is needed."),
                io.Conditioning.Input(
                    "source",
                    optional=True,
                    tooltip='What the picture shows now, e.g. "a bowl of strawberries". The empty text works as well. '
                    "Leave it "
                    "unconnected for a model of edits by instruction (FLUX.1 Kontext, Qwen-Image-Edit, FLUX.2, "
                    "InstructPix2Pix).",
                ),
                io.Conditioning.Input(
                    "target",
                    tooltip='What it should show, e.g. "a bowl of oranges". Keep the wording close to the source\'s. '
                    "Without a "
                    'source: the instruction, e.g. "replace the strawberries with oranges", with the picture in it '
                    "(ReferenceLatent, TextEncodeQwenImageEdit, InstructPixToPixConditioning).",
                ),
                io.Latent.Input("latent", tooltip="The picture, encoded by the model's VAE."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the noises. Item k of a batch uses seed + k.",
                ),
                io.Int.Input(
                    "noises",
                    default=10,
                    min=1,
                    max=256,
                    tooltip="How many noises the contrast is averaged over. More give a calmer mask; each costs two "
                    "evaluations, without a source one.",
                ),
                io.Float.Input(
                    "noise_strength",
                    default=0.5,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="How far the picture is noised before predicting, as a share of the model's clock. The "
                    "paper uses 0.5; 0.7 suits instructions.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Cells of the heat map above this are changed. Lower selects more. Turning it does not "
                    "call the model again.",
                ),
                io.Combo.Input(
                    "normalisation",
                    options=list(diffedit.NORMALISATIONS),
                    default="clamp",
                    advanced=True,
                    tooltip="clamp: cut at 3 times the mean, as published; selects at most two thirds. min-max: "
                    "stretch between the 1st and 99th percentile. quantile: rank, so 0.9 selects the "
                    "strongest tenth. adaptive: 0.5 is the threshold that separates strong from weak best "
                    "(Otsu), for changes of any size; suits instructions.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=0.0,
                    min=0.0,
                    max=16.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Gaussian blur of the contrast before the threshold, in latent cells.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-64,
                    max=64,
                    advanced=True,
                    tooltip="Grow the mask by this many latent cells; a negative number shrinks it.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The picture itself, only to show the heat map on it in the preview.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="A mask from elsewhere (painted, or of a segmentation), to combine with. May be soft. Any "
                    "size; one for all or one each.",
                ),
                io.Combo.Input(
                    "mask_mode",
                    options=list(operations.COMBINATIONS),
                    default="intersection",
                    optional=True,
                    advanced=True,
                    tooltip="With a mask connected. intersection: change only what is in both. union: what is in "
                    "either. only: the connected mask alone, without calling the model.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip="Where the picture has to change, in pixels: 0 or 1, or soft where a soft mask is "
                    "connected.",
                ),
                io.Mask.Output(
                    "heatmap", display_name="heatmap", tooltip="The soft map behind the mask, 0 to 1, in pixels."
                ),
                io.Latent.Output(
                    "masked_latent",
                    display_name="latent",
                    tooltip="The latent with the mask set as its noise mask, at latent resolution, so that stock "
                    "samplers edit only there.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model,
        target,
        latent,
        seed,
        noises,
        noise_strength,
        threshold,
        normalisation="clamp",
        smoothing=0.0,
        grow=0,
        source=None,
        image=None,
        mask=None,
        mask_mode="intersection",
    ) -> Outcome:
        if mask_mode == "only":
            contrast, cells = None, masks.alone(model, latent, mask)
            heat = cells
        else:
            contrast = noise_contrast.contrast_of_texts(model, source, target, latent, seed, noises, noise_strength)
            cells, heat = diffedit.mask_from_contrast(contrast, threshold, normalisation, smoothing, grow)
        final = masks.Found.of(model, latent, cells, heat, mask, mask_mode)
        warning = instructions.warn_of_size(target, latent) if source is None else None
        report = masks.describe_mask(final.mask, contrast, step_caches.remark(model), warning)
        values = (final.mask, final.heatmap, final.latent(latent))
        return Outcome(values, report, lambda node: masks.editor_report(node, final, image, threshold, grow, mask_mode))
