"""Templates that find the mask from two sentences (DiffEdit)."""

from .examples import BLENDED, DIFFEDIT, EDITS, EXAMPLES, OWN, PLAY, WORLD
from .graph import Column, Node, Workflow
from .parts import (
    ABOUT,
    GUIDED,
    LOAD,
    ROOMY,
    SENTENCES,
    WHOLE,
    blending,
    first_steps,
    inversion,
    loaded,
    masking,
    note,
    result,
    saving,
    texts,
)

INVERTING = (("Invert to noise", ("Invert",)),)
LOADING = (
    ("2 Load", LOAD),
    ("Files: mask and heat map", ("Mask picture", "Heat map picture", "Save mask", "Save heat map")),
)


def with_mask_files(key: str) -> dict[str, Node]:
    """Picture, mask and heat map, saved."""
    made = result(key, "Edit.latent", "Size.IMAGE", "Mask.mask")
    files = {
        "Mask picture": Node("MaskToImage", links={"mask": "Mask.mask"}, folded=True),
        "Heat map picture": Node("MaskToImage", links={"mask": "Mask.heatmap"}, folded=True),
        "Save mask": saving("Mask picture.IMAGE", f"{key}_mask", folded=True),
        "Save heat map": saving("Heat map picture.IMAGE", f"{key}_heatmap", folded=True),
    }
    return {name: made.pop(name) for name in ("Decode", "Edited picture")} | files | made


def in_steps(*loading: tuple[str, tuple[str, ...]], inverting=INVERTING) -> tuple[Column, ...]:
    """Columns of an edit that finds its mask and inverts. ``loading``: groups of the second column,
    ``inverting``: those of the fourth; the groups of the steps are numbered.
    """
    last = 3 + len(inverting)
    return (
        Column(300, (("", (ABOUT,)), ("1 Source and target text", SENTENCES))),
        Column(260, loading),
        Column(290, (("3 Compute the mask", ("Mask",)),)),
        Column(240, tuple((f"{number} {title}", nodes) for number, (title, nodes) in enumerate(inverting, 4))),
        Column(270, ((f"{last + 1} Edit inside the mask", ("Edit", "Decode")),)),
        Column(230, ((f"{last + 2} Result", ("Keep", "Edited picture")),)),
    )


def demo() -> Workflow:
    key = "demo"
    return Workflow(
        key,
        "A first edit (press Run)",
        "An edit within seconds, without a download.",
        {
            **loaded(key, is_small=True),
            **texts(key, "Source", "Target"),
            "Mask": masking("Image.IMAGE", **WHOLE),
            "Invert": inversion(),
            "Edit": blending("Mask.mask", links={"inversion": "Invert.inversion"}),
            **result(key, "Edit.latent", "Image.IMAGE", "Mask.mask"),
            ABOUT: note(
                "## Press *Run*",
                f"Image and model (37 MB) come with the pack. {EDITS}",
                "1. **Mask** compares the noise predictions of the model for both texts. The mask covers the region"
                " where they differ.\n"
                "2. **Invert** computes the noise from which the model generates the image.\n"
                "3. **Edit** samples from this noise with the target text, inside the mask only.\n"
                "4. **Keep** restores the source's pixels outside the mask.",
                PLAY,
                WORLD,
                "**Your own images:** open *Change a picture by two sentences (DiffEdit)*, which does the same with"
                " any checkpoint.",
                DIFFEDIT,
            ),
        },
        in_steps(("2 Model and image", ("Model", "Image", "Encode"))),
        ("Image.image", "Source text.text", "Target text.text", "Mask.threshold", "Invert.strength"),
        ("Edited picture",),
    )


def diffedit() -> Workflow:
    key = "diffedit"
    return Workflow(
        key,
        "Change a picture by two sentences (DiffEdit)",
        "Computes the mask from two texts and edits inside it.",
        {
            ABOUT: note(
                "## Change a picture by two sentences",
                "Describe the image in *Source text* and the desired image in *Target text*. Keep the wording the "
                "same where nothing changes.",
                "1. **Mask** adds noise to the image several times and compares the predictions of the model for "
                "both texts. The mask covers the region where they differ.\n"
                "2. **Invert** computes the noise from which the sampler generates the image.\n"
                "3. **Edit** samples from this noise with the target text. Outside the mask, every step uses the "
                "states of the inversion, so the latent stays that of the source.\n"
                "4. **Keep** restores the source's pixels outside the mask.",
                "**Settings**\n"
                "- *threshold* (Mask): 0.5 if too little is selected, 0.7 if too much.\n"
                "- *strength* (Invert): 0.5 stays close to the source; 0.8 allows a new object.\n"
                "- *cfg* (Edit): lower it if colours are oversaturated.",
                OWN,
                DIFFEDIT,
            ),
            **loaded(key),
            **texts(key, "Source", "Target"),
            "Mask": masking("Size.IMAGE", **WHOLE),
            "Invert": inversion(),
            "Edit": blending("Mask.mask", links={"inversion": "Invert.inversion"}),
            **with_mask_files(key),
        },
        in_steps(*LOADING),
        ("Image.image", "Source text.text", "Target text.text", "Mask.threshold", "Invert.strength", "Edit.cfg"),
        ("Edited picture", "Save mask"),
    )


def fast_edit() -> Workflow:
    key = "fast_edit"
    return Workflow(
        key,
        "Edit in a third of the time (DiffEdit)",
        "The same edit with 40 evaluations of the model instead of 140.",
        {
            ABOUT: note(
                "## Edit in a third of the time",
                "The same as *Change a picture by two sentences (DiffEdit)*, with 40 evaluations of the model instead "
                "of 140:",
                "- **Mask**: 4 *noises* instead of 10.\n"
                "- **Invert**: 16 *steps* instead of 50; **Edit** follows the steps of the inversion.\n"
                "- **Guidance**: guidance (*cfg*) in the first half of the steps only; later steps evaluate the target "
                "text alone. ComfyUI's *CFG Override* sets cfg to 1 there.",
                "Measured on 200 edits in the world of the demo model: as many edits are accepted, and the background "
                "is preserved better. With a large model on photographs, compare both settings on your images first.",
                OWN,
                DIFFEDIT,
            ),
            **loaded(key),
            "Guidance": first_steps(),
            **texts(key, "Source", "Target"),
            "Mask": masking("Size.IMAGE", noises=4, **WHOLE),
            "Invert": inversion(GUIDED, steps=16),
            "Edit": blending("Mask.mask", links={"inversion": "Invert.inversion", **GUIDED}),
            **with_mask_files(key),
        },
        in_steps(*LOADING, inverting=(("Guide the first steps", ("Guidance",)), *INVERTING)),
        ("Image.image", "Source text.text", "Target text.text", "Mask.threshold", "Invert.strength", "Edit.cfg"),
        ("Edited picture", "Save mask"),
    )


def replace_object() -> Workflow:
    key = "replace_object"
    made = result(key, "Edit.latent", "Size.IMAGE", "Mask.mask")
    return Workflow(
        key,
        "Replace an object",
        "Computes the mask from two texts and generates the object anew.",
        {
            ABOUT: note(
                "## Replace an object, without drawing a mask",
                "**Mask** computes the mask of the object from the two texts (DiffEdit) and expands it by three "
                "latent cells. **Edit** generates the inside from noise (Blended Latent Diffusion). **Keep** "
                "restores the source's pixels outside the mask.",
                "*Change a picture by two sentences* tends to preserve the shape and light of the old object. This "
                "workflow does not, so it allows larger changes, and each *seed* gives a different result.",
                "**Settings**\n"
                "- *threshold* (Mask): lower values select more; a change does not run the model again.\n"
                "- *grow* (Mask): margin around the old object.\n"
                "- *denoise* (Edit): values below 1 stay closer to the old object.",
                OWN,
                BLENDED,
            ),
            **loaded(key),
            **texts(key, "Source", "Target"),
            "Mask": masking("Size.IMAGE", **ROOMY),
            "Edit": blending("Mask.mask", seed=EXAMPLES[key]["seed"]),
            "Decode": made.pop("Decode"),
            "Edited picture": made.pop("Edited picture"),
            "Mask picture": Node("MaskToImage", links={"mask": "Mask.mask"}, folded=True),
            "Save mask": saving("Mask picture.IMAGE", f"{key}_mask", folded=True),
            **made,
        },
        (
            Column(330, (("", (ABOUT,)), ("1 Source and target text", SENTENCES))),
            Column(290, (("2 Load", LOAD), ("Files: mask", ("Mask picture", "Save mask")))),
            Column(330, (("3 Compute the mask", ("Mask",)),)),
            Column(330, (("4 Generate the inside", ("Edit", "Decode")),)),
            Column(340, (("5 Result", ("Keep", "Edited picture")),)),
        ),
        ("Image.image", "Source text.text", "Target text.text", "Mask.threshold", "Edit.seed", "Edit.denoise"),
        ("Edited picture", "Save mask"),
    )
