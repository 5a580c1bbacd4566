"""Templates of large photographs (Edit Crop, Edit Stitch) and of other editors' results (Align to
Source).
"""

from .graph import Column, Node, Workflow
from .parts import ABOUT, NOTE_COLUMN, VAE, note, saving


def picture(sample: str) -> Node:
    return Node("LoadImage", {"image": f"semantic-edit-{sample}.png"})


def large_photo(checkpoint: str, side: int, example: dict) -> Workflow:
    key = "large_photo"
    return Workflow(
        key,
        "Edit a small thing in a large photograph",
        "Edits a crop around the mask at the working size of the model; the rest stays unchanged.",
        {
            ABOUT: note(
                "## Edit a small object in a large image",
                "At the working size of the model, a small object covers only a few pixels. **Crop** crops the "
                "surroundings of the mask and scales them to the working size, **Edit** edits the crop, and "
                "**Stitch** inserts the result into the full image. Outside the mask the image equals the source at"
                " full resolution, and time and memory of the edit do not depend on the size of the photograph.",
                "**Settings**\n"
                "- *context* (Crop): higher values show the model more of the surroundings; lower values give the "
                "object more pixels.\n"
                "- *regions* (Crop): crop separate regions separately, as a batch.\n"
                "- *feather* (Stitch): width of the soft edge inside the mask.",
                "**Your own images:** right-click *Image*, **Open in MaskEditor**. Set *size* (Crop) to 512 for "
                "SD1.5, 1024 for SDXL, Flux and others.",
            ),
            "Image": picture(example["picture"]),
            "Model": Node("CheckpointLoaderSimple", {"ckpt_name": checkpoint}),
            "Crop": Node(
                "EditCrop",
                {"size": side, "context": 2.0, "multiple": 8},
                {"image": "Image.IMAGE", "mask": "Image.MASK"},
            ),
            "Encode": Node("VAEEncode", links={"pixels": "Crop.image", **VAE}, folded=True),
            "Target text": Node("CLIPTextEncode", {"text": example["target"]}, {"clip": "Model.CLIP"}),
            "Empty text": Node("CLIPTextEncode", {"text": ""}, {"clip": "Model.CLIP"}, folded=True),
            "Edit": Node(
                "LatentBlendSampler",
                {"seed": example["seed"]},
                {
                    "model": "Model.MODEL",
                    "positive": "Target text.CONDITIONING",
                    "negative": "Empty text.CONDITIONING",
                    "latent": "Encode.LATENT",
                    "mask": "Crop.mask",
                    **VAE,
                },
            ),
            "Decode": Node("VAEDecode", links={"samples": "Edit.latent", **VAE}, folded=True),
            "Stitch": Node("EditStitch", {"feather": 4}, {"crop": "Crop.crop", "edited": "Decode.IMAGE"}),
            "Edited picture": saving("Stitch.image", key),
        },
        (
            NOTE_COLUMN,
            Column(290, (("1 Load and paint the mask", ("Model", "Image")),)),
            Column(
                330,
                (
                    ("2 Crop the surroundings", ("Crop", "Encode")),
                    ("3 Describe the object", ("Target text", "Empty text")),
                ),
            ),
            Column(330, (("4 Edit inside the mask", ("Edit", "Decode")),)),
            Column(340, (("5 Insert the edit", ("Stitch", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Crop.size", "Crop.context", "Edit.seed"),
        ("Edited picture",),
    )


def align(example: dict) -> Workflow:
    key = "align"
    return Workflow(
        key,
        "Bring another editor's result back onto its source",
        "Corrects shift, scale and colours of an edit by any editor.",
        {
            ABOUT: note(
                "## Align an edit with its source",
                "Models that edit by instruction often return the image shifted by a few pixels, scaled, or in "
                "other colours. **Image** is the source, and **Another editor's result** is the edited version.",
                "1. **Align** estimates shift, scale and colours from the unedited part, corrects them, and outputs"
                " a mask of the actual changes.\n"
                "2. **Keep** restores the source's pixels outside this mask.",
                "**Settings**\n"
                "- *threshold* (Align): lower values mark more as changed.\n"
                "- *mask* (Align): the region that was meant to change, if known.",
                "**Your own images:** the result of any editor works, including partner nodes. Images that do not "
                "match the source are refused.",
            ),
            "Image": picture(example["picture"]),
            "Another editor's result": picture(example["edited"]),
            "Align": Node("AlignToSource", links={"image": "Image.IMAGE", "edited": "Another editor's result.IMAGE"}),
            "Keep": Node(
                "BackgroundRestore",
                {"method": "stitch"},
                {"image": "Image.IMAGE", "mask": "Align.mask", "edited": "Align.image"},
            ),
            "Edited picture": saving("Keep.image", key),
        },
        (
            NOTE_COLUMN,
            Column(300, (("1 Source and result", ("Image", "Another editor's result")),)),
            Column(330, (("2 Align", ("Align",)),)),
            Column(330, (("3 Restore the background", ("Keep",)),)),
            Column(300, (("4 Result", ("Edited picture",)),)),
        ),
        ("Image.image", "Another editor's result.image", "Align.colour", "Align.threshold"),
        ("Edited picture",),
    )
