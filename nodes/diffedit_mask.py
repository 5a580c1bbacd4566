"""DiffEditMask: compute the region of an image that two texts, or one instruction, would change."""

from comfy_api.latest import io

from .core.masks import diffedit, operations
from .edits import instructions
from .edits.masks import contrast as noise_contrast
from .edits.masks import mask as masks
from .host import step_caches, versions
from .host.latents import read_latent
from .outcome import Outcome
from .sockets import noise_seed


class DiffEditMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DiffEditMask",
            display_name="DiffEdit Mask",
            category="semantic edit",
            description="Computes a mask of the region to change: where the noise predictions of the model differ "
            "between two texts (DiffEdit). An instruction-based editing model needs only the "
            "instruction.",
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
                io.Model.Input(
                    "model", tooltip="Any diffusion model that ComfyUI can sample. No second model is needed."
                ),
                io.Conditioning.Input(
                    "source",
                    optional=True,
                    tooltip='Text that describes the source image, e.g. "a bowl of strawberries". The empty text '
                    "works as well. Leave unconnected for an instruction-based editing model (FLUX.1 Kontext, "
                    "Qwen-Image-Edit, FLUX.2, InstructPix2Pix).",
                ),
                io.Conditioning.Input(
                    "target",
                    tooltip='Text that describes the desired image, e.g. "a bowl of oranges". Keep the rest of the '
                    'wording as in the source. Without source: the instruction, e.g. "replace the '
                    'strawberries with oranges", with the image attached (ReferenceLatent, '
                    "TextEncodeQwenImageEdit, InstructPixToPixConditioning).",
                ),
                io.Latent.Input("latent", tooltip="Source image, encoded by the model's VAE."),
                noise_seed("Seed of the noise. Item k of a batch uses seed + k."),
                io.Int.Input(
                    "noises",
                    default=10,
                    min=1,
                    max=256,
                    tooltip="Number of noise samples to average. More samples give a smoother mask; each costs two "
                    "evaluations, or one without source.",
                ),
                io.Float.Input(
                    "noise_strength",
                    default=0.5,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Noise level at which predictions are compared, as a fraction of the schedule. The paper "
                    "uses 0.5; use 0.7 for instructions. Higher values emphasise larger structures.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Latent cells with a heat map value above this are edited. Lower values select more. "
                    "Changing it does not run the model again.",
                ),
                io.Combo.Input(
                    "normalisation",
                    options=list(diffedit.NORMALISATIONS),
                    default="clamp",
                    advanced=True,
                    tooltip="Scaling of the differences to the heat map. clamp: clip at 3 times the mean, as in the "
                    "published code; selects at most two thirds of the image. min-max: stretch the 1st to "
                    "99th percentile. quantile: rank, so threshold 0.9 selects the top tenth. adaptive: 0.5 "
                    "is slightly below Otsu's threshold, for changes of any size; recommended for instructions.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=0.0,
                    min=0.0,
                    max=16.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Standard deviation of the Gaussian blur before thresholding, in latent cells. Removes "
                    "specks.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-64,
                    max=64,
                    advanced=True,
                    tooltip="Expand the mask by this many latent cells (8 pixels for most models). Negative values "
                    "shrink it.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Source image, for the preview only: the node shows the heat map on it.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Another mask (painted, or from a segmentation) to combine with the computed one. Any "
                    "size, may be soft; one for all images, or one per image.",
                ),
                io.Combo.Input(
                    "mask_mode",
                    options=list(operations.COMBINATIONS),
                    default="intersection",
                    optional=True,
                    advanced=True,
                    tooltip="How to combine the computed and the connected mask. intersection: regions in both. "
                    "union: regions in either. only: the connected mask alone; the model is not run.",
                ),
                io.Int.Input(
                    "edge_radius",
                    default=0,
                    min=0,
                    max=32,
                    optional=True,
                    advanced=True,
                    tooltip="Align the heat map with edges of the image and of the predicted change: fills holes and "
                    "removes specks, at no evaluations. Radius of the guided filter in latent cells; 0 is off. "
                    "Recommended: 4, with noise_strength 0.6 (two texts) or 0.7 (instruction).",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip="Region to change, in pixels: 0 or 1, or soft if a soft mask is connected.",
                ),
                io.Mask.Output(
                    "heatmap",
                    display_name="heatmap",
                    tooltip="Heat map from which the mask is computed, 0 to 1, in pixels.",
                ),
                io.Latent.Output(
                    "masked_latent",
                    display_name="latent",
                    tooltip="Latent with the mask as its noise mask, at latent resolution. Stock samplers edit only "
                    "inside it.",
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
        edge_radius=0,
    ) -> Outcome:
        if mask_mode == "only":
            contrast, cells = None, masks.alone(model, latent, mask)
            heat = cells
        else:
            contrast = noise_contrast.contrast_of_texts(model, source, target, latent, seed, noises, noise_strength)
            size = diffedit.follow_edges(contrast, read_latent(latent, model), edge_radius)
            cells, heat = diffedit.mask_from_contrast(size, threshold, normalisation, smoothing, grow)
        final = masks.Found.of(model, latent, cells, heat, mask, mask_mode)
        warning = instructions.warn_of_size(target, latent) if source is None else None
        report = masks.describe_mask(final.mask, contrast, step_caches.remark(model), warning)
        values = (final.mask, final.heatmap, final.latent(latent))
        return Outcome(values, report, lambda node: masks.editor_report(node, final, image, threshold, grow, mask_mode))
