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
            Column(360, ((groups[2], ("Edit",)),)),
            Column(360, (("4 Look", ("Decode", "Keep", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Edit.seed", "Edit.denoise", "Edit.predictions"),
        ("Edited picture",),
    )


def add_object() -> Workflow:
    return in_a_mask(
        "add_object",
        "Add an object",
        "Something new inside a mask that you paint.",
        note(
            "## Add an object",
            f"Paint where the new thing goes ({PAINT}), say in *Target text* what is there, and run.",
            "**Edit** samples inside the mask only. At every step the outside is the source, noised to the same "
            "level (Blended Latent Diffusion), so the new object fits "
            "its surroundings. **Keep** puts the source's own pixels outside the mask.",
            "**What to turn**\n- The sentence tells of what is inside the mask; a few words about the "
            "surroundings help it to fit in.\n"
            "- *seed*, or *predictions* for several at once: results differ a lot. *Take the best of many* ranks "
            "them.\n"
            "- A mask a little larger than the object gives shadows room. A very thin one: see *Edit in a thin "
            "mask*.",
            OWN,
            BLENDED,
        ),
        ("1 Say what is there", "2 Load and paint where", "3 Edit inside the mask"),
    )


def scribble_edit() -> Workflow:
    return in_a_mask(
        "scribble_edit",
        "Edit by a scribble",
        "Flat paint that leads the model.",
        note(
            "## Edit by a scribble",
            "1. Scribble onto your picture with flat colours in any paint program and load it in *Image*.\n"
            f"2. Paint a mask over the scribble, a little beyond its edges ({PAINT}).\n3. Say in *Target text* "
            f"what the scribble is.",
            "**Edit** starts from the scribble noised to *denoise*, so its colours and rough shape lead and the "
            "model adds what a scribble lacks. **Keep** puts the picture's "
            "own pixels outside the mask.",
            "**What to turn**\n- *denoise* (Edit): 0.6 stays close to the scribble, 0.9 takes it as a hint.\n- "
            "*seed* (Edit)",
            OWN,
            BLENDED,
        ),
        ("1 Say what the scribble is", "2 Load the scribbled picture", "3 Edit under the scribble"),
        denoise=0.75,
    )


def replace_background() -> Workflow:
    key = "replace_background"
    return Workflow(
        key,
        "Replace the background",
        "Paint over what stays; the rest is made anew.",
        {
            ABOUT: note(
                "## Replace the background",
                f"Paint over what has to **stay** ({PAINT}). The mask is inverted, so everything else is made anew.",
                "**Edit** keeps the latent of what stays; **Keep** puts its very pixels back, so that the VAE "
                "takes nothing from a face or a label.",
                "**What to turn**\n- Name what stays in *Target text* too: the model then builds a place that "
                "fits it.\n- Paint up to the edge of what stays, not over it.\n"
                "- *method* (Keep): *stitch* keeps pixels as they are, *poisson* also fits light and colour where "
                "the two meet.",
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
            Column(330, (("", (ABOUT,)), ("1 Say what and where", ("Target text", "Empty text")))),
            Column(320, (("2 Load and paint what stays", (*LOAD, "Background mask")),)),
            Column(360, (("3 Edit around it", ("Edit",)),)),
            Column(360, (("4 Look", ("Keep", "Edited picture")),)),
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
        "Strokes and outlines that a latent grid would lose.",
        {
            ABOUT: note(
                "## Edit in a thin mask",
                f"Paint a stroke ({PAINT}): a chain, a scar, a crack, lettering.",
                "ComfyUI shrinks a mask to the latent's grid, where a thin stroke can vanish, and what is left "
                "gives the model too little room to begin anything in. **Shrink** keeps "
                "every cell that the stroke touches, and lets sampling start in a wide mask that shrinks to the "
                "given one as the noise falls.",
                "**What to turn**\n- *kernels* (Shrink): one stage each, in latent cells. `5, 3` for small "
                "pictures or strokes that are not so thin; `7, 5, 3` for 512 pixels; "
                "`11, 7, 5, 3` for large pictures.\n- *predictions* (Edit): thin edits fail more often than "
                "others, so make several.",
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
                (("1 Load and paint where", LOAD), ("Files: stages of the mask", ("Stages picture", "Save stages"))),
            ),
            Column(330, (("2 Say what is there", ("Target text", "Empty text")), ("3 Start wide", ("Shrink",)))),
            Column(330, (("4 Edit inside the mask", ("Edit",)),)),
            Column(340, (("5 Look", ("Decode", "Keep", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Shrink.kernels", "Edit.seed"),
        ("Edited picture", "Save stages"),
    )
