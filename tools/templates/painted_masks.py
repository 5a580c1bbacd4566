"""Templates with one sentence and a mask that the user paints (Blended Latent Diffusion)."""

from .examples import BLENDED, EXAMPLES, OWN, PAINT
from .graph import Column, Node, Workflow
from .parts import ABOUT, EMPTY, LOAD, MODEL, NOTE_COLUMN, VAE, blending, keeping, loaded, note, result, saving, texts


def in_a_mask(key: str, title: str, description: str, about: Node, groups: tuple[str, str, str], **widgets) -> Workflow:
    """One sentence, one painted mask."""
    made = result(key, "Edit.latent", "Size.IMAGE", "Image.MASK")
    return Workflow(
        key,
        title,
        description,
        {
            ABOUT: about,
            **loaded(key),
            **texts(key, "Target"),
            "Edit": blending("Image.MASK", seed=EXAMPLES[key]["seed"], **widgets),
            **made,
        },
        (
            Column(330, (("", (ABOUT,)), (groups[0], ("Target text", "Empty text")))),
            Column(320, ((groups[1], LOAD),)),
            Column(360, ((groups[2], ("Edit", "Decode")),)),
            Column(360, (("4 Result", ("Keep", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Edit.seed", "Edit.denoise", "Edit.predictions"),
        ("Edited picture",),
    )


def add_object() -> Workflow:
    return in_a_mask(
        "add_object",
        "Add an object",
        "Generates a new object inside a painted mask.",
        note(
            "## Add an object",
            f"Paint a mask for the new object ({PAINT}), describe the object in *Target text*, and run.",
            "**Edit** samples inside the mask only. At every step the background is the source, noised to the same "
            "level (Blended Latent Diffusion), so the new object fits its surroundings. **Keep** restores the "
            "source's pixels outside the mask.",
            "**Settings**\n"
            "- *Target text*: describe the inside of the mask; a few words about the surroundings help the object "
            "to fit in.\n"
            "- *seed*, or *predictions* for several edits at once: results differ considerably. *Take the best of "
            "many* ranks them.\n"
            "- Mask: paint it slightly larger than the object, to include shadows. For a very thin mask, see *Edit "
            "in a thin mask*.",
            OWN,
            BLENDED,
        ),
        ("1 Describe the object", "2 Load and paint the mask", "3 Edit inside the mask"),
    )


def scribble_edit() -> Workflow:
    return in_a_mask(
        "scribble_edit",
        "Edit by a scribble",
        "Turns a scribble in flat colours into an object.",
        note(
            "## Edit by a scribble",
            "1. Draw on your image with flat colours in any paint program, and load it in *Image*.\n"
            f"2. Paint a mask over the scribble, slightly beyond its edges ({PAINT}).\n"
            "3. Describe the scribble in *Target text*.",
            "**Edit** starts from the scribble, noised to *denoise*: its colours and rough shape are preserved, and"
            " the model adds detail. **Keep** restores the image's pixels outside the mask.",
            "**Settings**\n"
            "- *denoise* (Edit): 0.6 stays close to the scribble; 0.9 follows it loosely.\n"
            "- *seed* (Edit): each seed gives a different result.",
            OWN,
            BLENDED,
        ),
        ("1 Describe the scribble", "2 Load the scribbled image", "3 Edit the scribble"),
        denoise=0.75,
    )


def replace_background() -> Workflow:
    key = "replace_background"
    return Workflow(
        key,
        "Replace the background",
        "Generates a new background around a painted part.",
        {
            ABOUT: note(
                "## Replace the background",
                f"Paint over the part that has to **stay** ({PAINT}). The mask is inverted, so everything else is "
                "generated.",
                "**Edit** preserves the latent of the painted part. **Keep** restores its pixels, so that details "
                "such as faces or labels are not changed by the VAE.",
                "**Settings**\n"
                "- *Target text*: also name the part that stays, so that the new background fits it.\n"
                "- Mask: paint up to the edge of the part, not beyond it.\n"
                "- *method* (Keep): *stitch* leaves the pixels unchanged; *poisson* also adapts light and colour at"
                " the border.",
                OWN,
                BLENDED,
            ),
            **loaded(key),
            **texts(key, "Target"),
            "Background mask": Node("InvertMask", links={"mask": "Image.MASK"}, folded=True),
            "Edit": blending("Background mask.MASK", seed=EXAMPLES[key]["seed"]),
            "Keep": keeping("Size.IMAGE", "Background mask.MASK", {**VAE, "latent": "Edit.latent"}),
            "Edited picture": saving("Keep.image", key),
        },
        (
            Column(330, (("", (ABOUT,)), ("1 Describe the background", ("Target text", "Empty text")))),
            Column(320, (("2 Load and paint the mask", (*LOAD, "Background mask")),)),
            Column(360, (("3 Generate the background", ("Edit",)),)),
            Column(360, (("4 Result", ("Keep", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Edit.seed", "Keep.method"),
        ("Edited picture",),
    )


def thin_mask() -> Workflow:
    key = "thin_mask"
    made = result(key, "Edit.latent", "Size.IMAGE", "Image.MASK")
    return Workflow(
        key,
        "Edit in a thin mask",
        "Edits in strokes and outlines, which the latent grid would lose.",
        {
            ABOUT: note(
                "## Edit in a thin mask",
                f"Paint a stroke ({PAINT}), for example for a chain, a scar, a crack or lettering.",
                "ComfyUI resizes a mask to the latent grid, where a thin stroke can disappear. What remains is too "
                "small for new content at high noise. **Shrink** keeps every latent cell that the stroke touches, "
                "and starts sampling with a dilated mask that shrinks to the given mask in stages.",
                "**Settings**\n"
                "- *kernels* (Shrink): one per stage, in latent cells. `5, 3` for small images or thicker strokes; "
                "`7, 5, 3` for 512 pixels; `11, 7, 5, 3` for large images.\n"
                "- *predictions* (Edit): edits in thin masks fail more often than others, so generate several.",
                OWN,
                BLENDED,
            ),
            **loaded(key),
            **texts(key, "Target"),
            "Shrink": Node(
                "ProgressiveMaskShrink",
                {"kernels": EXAMPLES[key]["kernels"]},
                {"latent": "Encode.LATENT", **MODEL, "mask": "Image.MASK"},
            ),
            "Edit": Node(
                "LatentBlendSampler",
                {"seed": EXAMPLES[key]["seed"]},
                {
                    "model": "Shrink.model",
                    "positive": "Target text.CONDITIONING",
                    **EMPTY,
                    "latent": "Shrink.latent",
                    **VAE,
                },
            ),
            "Decode": made.pop("Decode"),
            "Edited picture": made.pop("Edited picture"),
            "Stages picture": Node("MaskToImage", links={"mask": "Shrink.stages"}, folded=True),
            "Save stages": saving("Stages picture.IMAGE", f"{key}_stages", folded=True),
            **made,
        },
        (
            NOTE_COLUMN,
            Column(
                290,
                (("1 Load and paint the mask", LOAD), ("Files: stages of the mask", ("Stages picture", "Save stages"))),
            ),
            Column(330, (("2 Describe the object", ("Target text", "Empty text")), ("3 Shrink the mask", ("Shrink",)))),
            Column(330, (("4 Edit inside the mask", ("Edit", "Decode")),)),
            Column(340, (("5 Result", ("Keep", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Shrink.kernels", "Edit.seed"),
        ("Edited picture", "Save stages"),
    )
