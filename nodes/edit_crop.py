"""EditCrop: crop the surroundings of a mask to a size that the model edits well."""

from comfy_api.latest import io

from .edits import crops
from .host import previews, versions
from .outcome import Outcome
from .sockets import CropType


class EditCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EditCrop",
            display_name="Edit Crop",
            category="semantic edit",
            description="Crops the surroundings of a mask from a large image and scales the crop to the working "
            "size of the model. Edit Stitch inserts the edit; outside the mask the image stays "
            "unchanged at full resolution.",
            search_aliases=[
                "semantic edit",
                "inpaint crop",
                "crop around mask",
                "crop and stitch",
                "large picture",
                "high resolution edit",
                "zoom in on mask",
                "masked crop",
                "detail edit",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Image.Input("image", tooltip="Full image of any size, or several images of one size."),
                io.Mask.Input("mask", tooltip="Region to change. One for all images, or one per image."),
                io.Int.Input(
                    "size",
                    default=1024,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Working size: side length of a square whose area the crops get. Use 512 for SD1.5 and "
                    "1024 for SDXL, Flux and others. 0: no scaling.",
                ),
                io.Float.Input(
                    "context",
                    default=1.5,
                    min=1.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Side length of the crop relative to that of the masked region. Higher values show the "
                    "model more of the surroundings; lower values give the edit more pixels.",
                ),
                io.Combo.Input(
                    "regions",
                    options=list(crops.WAYS),
                    default="one crop",
                    tooltip="one crop: around the whole mask. a crop for each region: crop separate regions "
                    "separately, as a batch.",
                ),
                io.Int.Input(
                    "multiple",
                    default=16,
                    min=1,
                    max=128,
                    advanced=True,
                    tooltip="Both sides of a crop are multiples of this, so that encoding does not crop it again. 16 "
                    "fits nearly all models.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Also fit the crop to the latent cells of this VAE. It is not modified.",
                ),
            ],
            outputs=[
                io.Image.Output("crops", display_name="image", tooltip="Crops of one size, as a batch."),
                io.Mask.Output("mask", display_name="mask", tooltip="Mask of each crop, at the size of the crop."),
                CropType.Output(
                    "crop", display_name="crop", tooltip="Positions of the crops and the full images, for Edit Stitch."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, mask, size=1024, context=1.5, regions="one crop", multiple=16, vae=None) -> Outcome:
        pictures, masks, cropping, report = crops.crop(image, mask, size, context, multiple, regions, vae)
        return Outcome((pictures, masks, cropping), report, lambda node: previews.crops(node, pictures))
