"""Templates of edits by instruction on the demo's own model; those on large models are in
``large_instructions``.

In all of them the same latent is the model's input picture (reference latent or additional
channels), the input of the mask, and the latent that is kept outside the mask.
"""

from .graph import Column, Node, Workflow
from .parts import ABOUT, MODEL, note, saving

MASK = {"normalisation": "adaptive", "noise_strength": 0.7, "edge_radius": 4, "grow": 2}
"""Settings of a mask from one instruction (docs/evidence/instructions.md), grown by two cells,
because parts of the old thing outside the mask would remain visible.
"""
VAE = {"vae": "VAE.VAE"}
STEPS = (
    "1. **Mask** adds noise to the image and compares the prediction of the model under the instruction with this "
    "noise. The mask covers the region where they differ.\n"
    "2. **Edit** samples inside the mask only. Outside, the latent stays unchanged.\n"
    "3. **Keep** restores the source's pixels outside the mask."
)
TURN = (
    "**Settings**\n"
    "- *threshold* (Mask): 0.4 if too little is selected, 0.6 if too much. A change does not run the model again.\n"
    "- *grow* (Mask): margin for a new object that is larger than the old one.\n"
    "- *mask* (Mask): another mask to combine with, painted or from a segmentation.\n"
    "- *seed* (Edit): each seed gives a different result."
)
SOURCE = "Couairon et al. 2022, [DiffEdit](https://arxiv.org/abs/2210.11427)"


def masking(target: str, image: str, latent: str, **widgets) -> Node:
    return Node("DiffEditMask", {**MASK, **widgets}, {**MODEL, "target": target, "latent": latent, "image": image})


def editing(positive: str, negative: str, latent: str, mask: str, links: dict, folded: bool = False, **widgets) -> Node:
    links = {**MODEL, "positive": positive, "negative": negative, "latent": latent, "mask": mask, **links}
    return Node("LatentBlendSampler", {"sampler_name": "euler", **widgets}, links, folded)


def keeping(image: str, mask: str, edited: str, folded: bool = False) -> Node:
    return Node("BackgroundRestore", {"method": "stitch"}, {"image": image, "mask": mask, "edited": edited}, folded)


def result(key: str, image: str, latent: str, mask: str) -> dict[str, Node]:
    return {
        "Decode": Node("VAEDecode", links={"samples": latent, **VAE}, folded=True),
        "Keep": keeping(image, mask, "Decode.IMAGE"),
        "Edited picture": saving("Keep.image", key),
    }


LOOK = Column(340, (("5 Result", ("Keep", "Edited picture")),))


# ---- on the demo's model ----


def demo_models(checkpoint: str, instruct: str, picture: str) -> dict[str, Node]:
    vae = {"vae": "Text and VAE.VAE"}
    return {
        "Model": Node("UNETLoader", {"unet_name": instruct}),
        "Text and VAE": Node("CheckpointLoaderSimple", {"ckpt_name": checkpoint}),
        "Image": Node("LoadImage", {"image": f"semantic-edit-{picture}.png"}),
        "Encode": Node("VAEEncode", links={"pixels": "Image.IMAGE", **vae}, folded=True),
    }


def demo_text(words: str, folded: bool = False) -> Node:
    return Node("CLIPTextEncode", {"text": words}, {"clip": "Text and VAE.CLIP"}, folded)


def shown(text: str, image: str, folded: bool = False) -> Node:
    """The instruction and the empty text with the picture, for InstructPix2Pix."""
    links = {"positive": text, "negative": "Empty text.CONDITIONING", "vae": "Text and VAE.VAE", "pixels": image}
    return Node("InstructPixToPixConditioning", {}, links, folded)


def with_demo_vae(nodes: dict[str, Node]) -> dict[str, Node]:
    """The nodes with the demo's VAE instead of a loaded one."""
    return {
        title: Node(
            node.kind,
            node.widgets,
            {name: "Text and VAE.VAE" if origin == "VAE.VAE" else origin for name, origin in node.links.items()},
            node.folded,
        )
        for title, node in nodes.items()
    }


def instruct(checkpoint: str, model: str, example: dict, world: str) -> Workflow:
    key = "instruct"
    return Workflow(
        key,
        "Edit by instruction, keep the rest (press Run)",
        "Edits by one instruction; everything else stays unchanged.",
        {
            ABOUT: note(
                "## Press *Run*",
                "The image and a small instruction-based editing model come with the pack. The model follows the "
                f"instruction (*{example['instruction']}*); everything else stays unchanged.",
                STEPS,
                TURN,
                world,
                "**Your own images:** use the templates *Edit by instruction (FLUX.1 Kontext)*, *(Qwen-Image-Edit)*"
                " and *(FLUX.2 Klein)*.",
                SOURCE,
            ),
            **demo_models(checkpoint, model, example["picture"]),
            "Instruction text": demo_text(example["instruction"]),
            "Empty text": demo_text("", folded=True),
            "Shown": shown("Instruction text.CONDITIONING", "Image.IMAGE", folded=True),
            "Mask": masking("Shown.positive", "Image.IMAGE", "Encode.LATENT"),
            "Edit": editing(
                "Shown.positive",
                "Shown.negative",
                "Encode.LATENT",
                "Mask.mask",
                {"vae": "Text and VAE.VAE"},
                steps=20,
                cfg=4.0,
                seed=example["seed"],
            ),
            **with_demo_vae(result(key, "Image.IMAGE", "Edit.latent", "Mask.mask")),
        },
        (
            Column(330, (("", (ABOUT,)), ("1 Write the instruction", ("Instruction text", "Empty text", "Shown")))),
            Column(290, (("2 Model and image", ("Model", "Text and VAE", "Image", "Encode")),)),
            Column(330, (("3 Compute the mask", ("Mask",)),)),
            Column(330, (("4 Edit inside the mask", ("Edit", "Decode")),)),
            LOOK,
        ),
        ("Image.image", "Instruction text.text", "Mask.threshold", "Edit.seed"),
        ("Edited picture",),
    )


def instruct_session(checkpoint: str, model: str, example: dict, world: str) -> Workflow:
    """Instructions one after the other, each on the latent of the one before."""
    key = "instruct_session"
    nodes = {
        ABOUT: note(
            "## Three instructions in sequence",
            "Each **edit** uses the latent of the previous edit, not a decoded image, and each **mask** is computed"
            " from its instruction. The latent outside a mask stays exactly unchanged, also after many edits. Each "
            "**keep** restores the pixels of the previous image around the new edit.",
            "Bypass (Ctrl+B) the edits that are not needed yet. The report of each edit contains the share of the "
            "latent that it changed.",
            world,
            SOURCE,
        ),
        **demo_models(checkpoint, model, example["picture"]),
        "Empty text": demo_text("", folded=True),
    }
    columns, texts, image, latent, inputs = [], [], "Image.IMAGE", "Encode.LATENT", ["Image.image"]
    for place, (words, seed) in enumerate(example["edits"]):
        name = ("First", "Second", "Third")[place]
        parts = {
            f"{name} text": demo_text(words),
            f"{name} shown": shown(f"{name} text.CONDITIONING", image, folded=True),
            f"{name} mask": masking(f"{name} shown.positive", image, latent),
            f"{name} edit": editing(
                f"{name} shown.positive",
                f"{name} shown.negative",
                latent,
                f"{name} mask.mask",
                {"vae": "Text and VAE.VAE"},
                folded=True,
                steps=20,
                cfg=4.0,
                seed=seed,
            ),
            f"{name} decode": Node(
                "VAEDecode", links={"samples": f"{name} edit.latent", "vae": "Text and VAE.VAE"}, folded=True
            ),
            f"{name} keep": keeping(image, f"{name} mask.mask", f"{name} decode.IMAGE", folded=True),
        }
        texts.append(f"{name} text")
        rest = [title for title in parts if title != texts[-1]]
        order = sorted(rest, key=lambda title: parts[title].kind == "DiffEditMask")
        # The mask last: Nodes 2.0 counts folded nodes whole when it fits a template into the window.
        columns.append(Column(250, ((f"{place + 3} {name} edit", tuple(order)),)))
        nodes |= parts
        image, latent = f"{name} keep.image", f"{name} edit.latent"
        inputs += [f"{name} text.text"]
    nodes["Edited picture"] = saving(image, key)
    return Workflow(
        key,
        "Edit by instruction, three in a row",
        "Three edits by instruction in sequence; each preserves everything outside its mask.",
        nodes,
        (
            Column(300, (("", (ABOUT,)), ("1 Write the instructions", tuple(texts)))),
            Column(260, (("2 Load", ("Model", "Text and VAE", "Image", "Encode", "Empty text")),)),
            *columns,
            Column(230, (("6 Result", ("Edited picture",)),)),
        ),
        tuple(inputs),
        ("Edited picture",),
    )
