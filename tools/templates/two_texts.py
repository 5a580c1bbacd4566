"""Templates that find the mask from two sentences (DiffEdit)."""

from .examples import BLENDED, DIFFEDIT, EDITS, EXAMPLES, OWN, PLAY, WORLD
from .graph import Column, Node, Workflow
from .parts import (
    ABOUT,
    LOAD,
    ROOMY,
    SENTENCES,
    WHOLE,
    blending,
    inversion,
    loaded,
    masking,
    note,
    result,
    saving,
    texts,
)


def demo() -> Workflow:
    key = "demo"
    return Workflow(
        key,
        "A first edit (press Run)",
        "One edit within seconds, without a download.",
        {
            **loaded(key, is_small=True),
            **texts(key, "Source", "Target"),
            "Mask": masking("Image.IMAGE", **WHOLE),
            "Invert": inversion(),
            "Edit": blending("Mask.mask", links={"inversion": "Invert.inversion"}),
            **result(key, "Edit.latent", "Image.IMAGE", "Mask.mask"),
            ABOUT: note(
                "## Press *Run*",
                f"Everything here comes with the pack: the picture, and a model of 37 MB. {EDITS}",
                "1. **Mask** asks the model what it sees under each sentence. Where the answers differ, the "
                "picture has to change.\n"
                "2. **Invert** goes back from the picture to the noise that makes it.\n"
                "3. **Edit** comes forward again under the target sentence, inside the mask only.\n"
                "4. **Keep** puts the source's own pixels around the edit.",
                PLAY,
                WORLD,
                "**Your own pictures:** open *Change a picture by two sentences (DiffEdit)*: the same, for any "
                "checkpoint.",
                DIFFEDIT,
            ),
        },
        (
            Column(300, (("", (ABOUT,)), ("1 What is, what should be", SENTENCES))),
            Column(260, (("2 What comes with the pack", ("Model", "Image", "Encode")),)),
            Column(290, (("3 Find what changes", ("Mask",)),)),
            Column(240, (("4 Back to noise", ("Invert",)),)),
            Column(270, (("5 Edit there", ("Edit",)),)),
            Column(230, (("6 Look", ("Decode", "Keep", "Edited picture")),)),
        ),
        ("Image.image", "Source text.text", "Target text.text", "Mask.threshold", "Invert.strength"),
        ("Edited picture",),
    )


def diffedit() -> Workflow:
    key = "diffedit"
    files = {
        "Mask picture": Node("MaskToImage", links={"mask": "Mask.mask"}, folded=True),
        "Heat map picture": Node("MaskToImage", links={"mask": "Mask.heatmap"}, folded=True),
        "Save mask": saving("Mask picture.IMAGE", f"{key}_mask", folded=True),
        "Save heat map": saving("Heat map picture.IMAGE", f"{key}_heatmap", folded=True),
    }
    made = result(key, "Edit.latent", "Size.IMAGE", "Mask.mask")
    return Workflow(
        key,
        "Change a picture by two sentences (DiffEdit)",
        "Finds what changes, inverts, and edits only there.",
        {
            ABOUT: note(
                "## Change a picture by two sentences",
                "Say what it shows and what it should show, in as nearly the same words as you can.",
                "1. **Mask** noises the picture a few times and asks the model what it sees under each sentence. "
                "Where the answers differ, the picture has to change.\n"
                "2. **Invert** follows the sampler backwards: from the picture to the noise that makes it.\n"
                "3. **Edit** samples forward under the target. Outside the mask every step is the inversion's, so "
                "the latent there stays the source's.\n"
                "4. **Keep** puts the source's own pixels there.",
                "**What to turn**\n- *threshold* (Mask): too little selected? 0.4. Too much? 0.6.\n- *strength* "
                "(Invert): 0.5 stays close, 0.8 allows a new object.\n"
                "- *cfg* (Edit): lower if colours burn.",
                OWN,
                DIFFEDIT,
            ),
            **loaded(key),
            **texts(key, "Source", "Target"),
            "Mask": masking("Size.IMAGE", **WHOLE),
            "Invert": inversion(),
            "Edit": blending("Mask.mask", links={"inversion": "Invert.inversion"}),
            "Decode": made.pop("Decode"),
            "Edited picture": made.pop("Edited picture"),
            **files,
            **made,
        },
        (
            Column(300, (("", (ABOUT,)), ("1 What is, what should be", SENTENCES))),
            Column(260, (("2 Load", LOAD), ("Files: mask and heat map", tuple(files)))),
            Column(290, (("3 Find what changes", ("Mask",)),)),
            Column(240, (("4 Back to noise", ("Invert",)),)),
            Column(270, (("5 Edit there", ("Edit",)),)),
            Column(230, (("6 Look", ("Decode", "Keep", "Edited picture")),)),
        ),
        ("Image.image", "Source text.text", "Target text.text", "Mask.threshold", "Invert.strength", "Edit.cfg"),
        ("Edited picture", "Save mask"),
    )


def replace_object() -> Workflow:
    key = "replace_object"
    made = result(key, "Edit.latent", "Size.IMAGE", "Mask.mask")
    return Workflow(
        key,
        "Replace an object",
        "Finds the object from two sentences, then makes it anew.",
        {
            ABOUT: note(
                "## Replace an object, without drawing a mask",
                "**Mask** finds the object from the two sentences (DiffEdit) and grows what it found by three "
                "latent cells. **Edit** makes the inside anew from noise (Blended "
                "Latent Diffusion). **Keep** puts the source's own pixels around it.",
                "*Change a picture by two sentences* keeps shape and light of what was there; this one forgets "
                "them, so it allows larger changes and gives another result for "
                "every *seed*.",
                "**What to turn**\n- *threshold* (Mask): lower selects more; the model is not asked again for "
                "this.\n- *grow* (Mask): room around the old object.\n"
                "- *denoise* (Edit): below 1 stays nearer to the old object.",
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
            Column(330, (("", (ABOUT,)), ("1 What is, what should be", SENTENCES))),
            Column(290, (("2 Load", LOAD), ("Files: mask", ("Mask picture", "Save mask")))),
            Column(330, (("3 Find the object", ("Mask",)),)),
            Column(330, (("4 Make it anew", ("Edit",)),)),
            Column(340, (("5 Look", ("Decode", "Keep", "Edited picture")),)),
        ),
        ("Image.image", "Source text.text", "Target text.text", "Mask.threshold", "Edit.seed", "Edit.denoise"),
        ("Edited picture", "Save mask"),
    )
