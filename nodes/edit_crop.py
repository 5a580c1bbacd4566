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
            description="Cuts out what surrounds a mask in a large picture and brings it to the size that the model "
            "edits "
            "well. Edit Stitch puts the edit back; everything outside the mask stays as it was, at full resolution.",
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
                io.Image.Input("image", tooltip="The full picture, of any size, or several of one size."),
                io.Mask.Input("mask", tooltip="Where the picture is to change. One for all pictures or one each."),
                io.Int.Input(
                    "size",
                    default=1024,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="The side of a square with the area at which crops are edited: 512 for SD1.5, 1024 for "
                    "SDXL, "
                    "Flux and others. 0 keeps the picture's own pixels.",
                ),
                io.Float.Input(
                    "context",
                    default=1.5,
                    min=1.0,
                    max=10.0,
                    step=0.1,
                    tooltip="The side of a crop over the side of what the mask marks: more shows the model more of the "
                    "surroundings, less gives the edit more pixels.",
                ),
                io.Combo.Input(
                    "regions",
                    options=list(crops.WAYS),
                    default="one crop",
                    tooltip="one crop: around everything that the mask marks. a crop for each region: separate "
                    "regions are "
                    "cut out by themselves, as a batch.",
                ),
                io.Int.Input(
                    "multiple",
                    default=16,
                    min=1,
                    max=128,
                    advanced=True,
                    tooltip="Both sides of the crops are multiples of this, so that encoding cuts nothing off. 16 "
                    "fits nearly "
                    "all models.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The sides then fit this VAE's latent cells as well. It is not changed.",
                ),
            ],
            outputs=[
                io.Image.Output("crops", display_name="image", tooltip="The crops, one size, as a batch."),
                io.Mask.Output("mask", display_name="mask", tooltip="The mask of each crop, at its size."),
                CropType.Output(
                    "crop",
                    display_name="crop",
                    tooltip="Where the crops come from, with the full pictures; for Edit Stitch.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, mask, size=1024, context=1.5, regions="one crop", multiple=16, vae=None) -> Outcome:
        pictures, masks, cropping, report = crops.crop(image, mask, size, context, multiple, regions, vae)
        return Outcome((pictures, masks, cropping), report, lambda node: previews.crops(node, pictures))
