"""The example workflows of large photographs (Edit Crop, Edit Stitch) and of other editors' results (Align
to Source).
"""

from .graph import NOTE, Column, Node, Workflow

ABOUT = "About this workflow"
NOTE_COLUMN = Column(330, (("", (ABOUT,)),))
VAE = {"vae": "Model.VAE"}


def note(*paragraphs: str) -> Node:
    return Node(NOTE, {"text": "\n\n".join(paragraphs)})


def picture(sample: str) -> Node:
    return Node("LoadImage", {"image": f"semantic-edit-{sample}.png"})


def saving(images: str, name: str) -> Node:
    return Node("SaveImage", {"filename_prefix": f"semantic-edit/{name}"}, {"images": images})


def large_photo(checkpoint: str, side: int, example: dict) -> Workflow:
    key = "large_photo"
    return Workflow(
        key,
        "Edit a small thing in a large photograph",
        "The mask's surroundings at the model's size, the rest untouched.",
        {
            ABOUT: note(
                "## A small thing in a large picture",
                "At the model's size a small thing would be a few pixels. **Crop** cuts out what surrounds "
                "the mask and brings only that to the model's size; **Edit** works there; **Stitch** sets the result "
                "into the picture. Everything outside the mask is the source's own pixels at full resolution, and time "
                "and memory do not grow with the photograph.",
                "**What to turn**\n- *context* (Crop): more surroundings, or more pixels for the thing.\n- *regions* "
                "(Crop): separate places one by one, as a batch.\n- *feather* (Stitch): the soft edge inside.",
                "**Your own pictures:** right-click *Image*, **Open in MaskEditor**; *size* (Crop) 512 for "
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
            Column(290, (("1 Load and paint where", ("Model", "Image")),)),
            Column(
                330,
                (
                    ("2 Cut out the surroundings", ("Crop", "Encode")),
                    ("3 Say what is there", ("Target text", "Empty text")),
                ),
            ),
            Column(330, (("4 Edit there", ("Edit", "Decode")),)),
            Column(340, (("5 Set it into the picture", ("Stitch", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Crop.size", "Crop.context", "Edit.seed"),
        ("Edited picture",),
    )


def align(example: dict) -> Workflow:
    key = "align"
    return Workflow(
        key,
        "Bring another editor's result back onto its source",
        "Undoes a shift, zoom and change of colours outside the edit.",
        {
            ABOUT: note(
                "## The rest of the picture, back in its place",
                "Editing models that see the picture often give it back shifted by a few pixels, zoomed, or in other "
                "colours. Here **Image** is the source and **Another editor's result** what came back.",
                "1. **Align** measures shift, zoom and colours where nothing was edited, undoes them, and marks what "
                "really changed.\n2. **Keep** puts the source's own pixels around that.",
                "**What to turn**\n- *threshold* (Align): lower marks more as changed.\n- *mask* (Align): where "
                "the picture was meant to change, if you know it.",
                "**Your own pictures:** any editor's result, partner nodes included. Others are refused.",
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
            Column(330, (("3 Keep the rest", ("Keep",)),)),
            Column(300, (("4 Look", ("Edited picture",)),)),
        ),
        ("Image.image", "Another editor's result.image", "Align.colour", "Align.threshold"),
        ("Edited picture",),
    )
