"""The example workflows as one table. :data:`EXAMPLES` holds everything that depends on the demo
checkpoint's world; the rest says how each workflow is built.

A picture's name in ComfyUI's input folder is ``semantic-edit-<sample>.png`` for
``demo/samples/<sample>.png`` (nodes/host/demo_model.py brings it there and never overwrites a
file): a new picture needs a new sample name, or people who have the old one keep it.
"""

from . import instruction_workflows, large_instruction_workflows, photograph_workflows
from .make_workflows import NOTE, Column, Node, Workflow

CHECKPOINT, SIDE = "semantic-edit-demo.safetensors", 256
"""The demo checkpoint, and the side of its pictures in pixels."""
MEGAPIXELS = SIDE**2 / 1024**2
RANKING_MODEL = "semantic-edit-demo"
INSTRUCTION_MODEL = "semantic-edit-things-instruct.safetensors"
"""The demo's model of edits by instruction; text encoder and VAE are the checkpoint's."""
FRUIT = {"picture": "strawberry", "source": "a strawberry on wood", "target": "an orange on wood"}
BACKPACK = {"picture": "backpack", "source": "a red backpack on grass", "target": "a purple backpack on grass"}
EXAMPLES = {
    "demo": {"picture": "dog", "source": "a dog on grass", "target": "a cat on grass"},
    "diffedit": FRUIT,
    "sdedit": FRUIT,
    "encode_decode": FRUIT,
    "edict_edit": BACKPACK,
    "edict_reconstruction": BACKPACK,
    "replace_object": {"picture": "penguin", "source": "a penguin on snow", "target": "an owl on snow", "seed": 5},
    "add_object": {"picture": "hat", "target": "a dog wearing a hat on grass", "seed": 4},
    "replace_background": {"picture": "horse", "target": "a horse on grass", "seed": 8},
    "scribble_edit": {"picture": "paint", "target": "an orange on wood", "seed": 1},
    "thin_mask": {"picture": "stroke", "target": "a carrot on wood", "seed": 7, "kernels": "5, 3"},
    "best_of_many": {"picture": "lawn", "target": "a cat on grass", "seed": 0, "predictions": 6},
    "instruct": {"picture": "backpack", "instruction": "make the backpack purple", "seed": 0},
    "instruct_session": {
        "picture": "trio",
        "edits": (("make the car blue", 0), ("make the teapot purple", 0), ("remove the balloon", 0)),
    },
    "large_photo": {"picture": "table_top", "target": "an orange on wood", "seed": 3},
    "align": {"picture": "trio", "edited": "trio_elsewhere"},
    "edit_session": {
        "picture": "table_first",
        "edits": (
            ("First", "table_first", "an apple on wood", 0),
            ("Second", "table_second", "an apple and a lemon on wood", 7),
            ("Third", "table_third", "an apple, a lemon and a strawberry on wood", 0),
        ),
    },
}
"""By workflow: the picture's sample, sentences, and what makes the first run succeed."""
WORLD = (
    "It knows 52 things on nine grounds and nothing else: fruit, animals, cars, flowers, hats on wood, grass, sand, "
    "snow, water, bricks, stone, tiles or in the sky, at 256 x 256 pixels. Change one thing at a time."
)
PLAY = "**Play:** write *a rabbit on grass* or *a fox on grass* into *Target text*, or drag the slider under the mask."
EDITS = "It turns the dog into a cat and leaves the grass alone."

OWN = (
    "**Your own pictures:** choose a picture in *Image* and your checkpoint in *Model*; *Size* 0.25 for SD1.5, 1 "
    "for SDXL. Flux and others: the stock loaders in "
    "*Model*'s place, with the steps and cfg that the model wants."
)
PAINT = "right-click *Image* > **Open in MaskEditor**"
DIFFEDIT = "Couairon et al. 2022, [DiffEdit](https://arxiv.org/abs/2210.11427)"
BLENDED = "Avrahami, Fried, Lischinski 2023, [Blended Latent Diffusion](https://arxiv.org/abs/2206.02779)"
EDICT = "Wallace, Gokul, Naik 2023, [EDICT](https://arxiv.org/abs/2211.12446)"
SDEDIT = "Meng et al. 2021, [SDEdit](https://arxiv.org/abs/2108.01073)"
DDIM = "Song et al. 2020, [DDIM](https://arxiv.org/abs/2010.02502)"

ABOUT = "About this workflow"
MODEL, VAE, EMPTY = {"model": "Model.MODEL"}, {"vae": "Model.VAE"}, {"negative": "Empty text.CONDITIONING"}
WHOLE = {"smoothing": 1.0, "grow": 2}
"""Of a mask that takes in the whole thing: no holes, and two cells of room around it, because what it leaves out of the
old thing stays to be seen.
"""
ROOMY = {**WHOLE, "grow": 3}
"""Of a mask whose inside forgets the old thing: the new one has another outline."""
NOTE_COLUMN = Column(330, (("", (ABOUT,)),))
LOAD = ("Model", "Image", "Size", "Encode")
SENTENCES = ("Source text", "Target text", "Empty text")


def note(*paragraphs: str) -> Node:
    return Node(NOTE, {"text": "\n\n".join(paragraphs)})


def picture(key: str) -> Node:
    return Node("LoadImage", {"image": f"semantic-edit-{EXAMPLES[key]['picture']}.png"})


def loaded(key: str, is_small: bool = False) -> dict[str, Node]:
    """Picture, size, model and encoding. ``is_small``: the picture already has the model's size."""
    size = (
        {}
        if is_small
        else {
            "Size": Node(
                "ImageScaleToTotalPixels",
                {"upscale_method": "lanczos", "megapixels": MEGAPIXELS, "resolution_steps": 8},
                {"image": "Image.IMAGE"},
            )
        }
    )
    pixels = "Image.IMAGE" if is_small else "Size.IMAGE"
    model = {"Model": Node("CheckpointLoaderSimple", {"ckpt_name": CHECKPOINT})}
    first = {"Image": picture(key), **model} if is_small else {"Image": picture(key), **size, **model}
    return {**first, "Encode": Node("VAEEncode", links={"pixels": pixels, **VAE}, folded=True)}


def text(words: str, folded: bool = False) -> Node:
    return Node("CLIPTextEncode", {"text": words}, {"clip": "Model.CLIP"}, folded)


def texts(key: str, *titles: str) -> dict[str, Node]:
    """ "Source text" and "Target text" as asked for, and the empty one."""
    return {f"{title} text": text(EXAMPLES[key][title.lower()]) for title in titles} | {
        "Empty text": text("", folded=True)
    }


def masking(image: str, **widgets) -> Node:
    return Node(
        "DiffEditMask",
        widgets,
        {
            **MODEL,
            "source": "Source text.CONDITIONING",
            "target": "Target text.CONDITIONING",
            "latent": "Encode.LATENT",
            "image": image,
        },
    )


def inversion(**widgets) -> Node:
    return Node(
        "DDIMInvert",
        {"strength": 0.8, **widgets},
        {**MODEL, "conditioning": "Empty text.CONDITIONING", "latent": "Encode.LATENT", **VAE},
    )


def blending(
    mask: str, text_title: str = "Target text", latent: str = "Encode.LATENT", links: dict | None = None, **widgets
) -> Node:
    return Node(
        "LatentBlendSampler",
        widgets,
        {
            **MODEL,
            "positive": f"{text_title}.CONDITIONING",
            **EMPTY,
            "latent": latent,
            "mask": mask,
            **(links or {}),
            **VAE,
        },
    )


def decoding(latent: str) -> Node:
    return Node("VAEDecode", links={"samples": latent, **VAE}, folded=True)


def keeping(image: str, mask: str, links: dict, folded: bool = False) -> Node:
    """The edit with the source's own pixels outside the mask."""
    return Node("BackgroundRestore", {"method": "stitch"}, {"image": image, "mask": mask, **links}, folded)


def saving(images: str, name: str, folded: bool = False) -> Node:
    return Node("SaveImage", {"filename_prefix": f"semantic-edit/{name}"}, {"images": images}, folded)


def result(key: str, latent: str, image: str, mask: str) -> dict[str, Node]:
    """Decoded, with the source's own background, and saved."""
    return {
        "Decode": decoding(latent),
        "Edited picture": saving("Keep.image", key),
        "Keep": keeping(image, mask, {"edited": "Decode.IMAGE"}),
    }


def plain_result(key: str, latent: str) -> dict[str, Node]:
    return {"Decode": decoding(latent), "Edited picture": saving("Decode.IMAGE", key)}


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
            NOTE_COLUMN,
            Column(320, ((groups[0], LOAD),)),
            Column(360, ((groups[1], ("Target text", "Empty text")), (groups[2], ("Edit",)))),
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
        ("1 Load and paint where", "2 Say what is there", "3 Edit inside the mask"),
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
        ("1 Load the scribbled picture", "2 Say what the scribble is", "3 Edit under the scribble"),
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
            NOTE_COLUMN,
            Column(320, (("1 Load and paint what stays", (*LOAD, "Background mask")),)),
            Column(360, (("2 Say what and where", ("Target text", "Empty text")), ("3 Edit around it", ("Edit",)))),
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


def best_of_many() -> Workflow:
    key = "best_of_many"
    example = EXAMPLES[key]
    count = {6: "six", 8: "eight"}[example["predictions"]]
    return Workflow(
        key,
        "Take the best of many",
        "Several predictions, ranked by CLIP, the best with a tuned decoder.",
        {
            ABOUT: note(
                "## The best of many, with a perfect background",
                f"Paint where the new thing goes ({PAINT}) and say what is there, in *Target text* and again in "
                f"*Rank*.",
                f"1. **Edit** makes {count} predictions; number k is the single run with *seed* + k.\n"
                "2. **Rank** orders them by how well CLIP says that the masked part fits the text. *pick* takes "
                "another than the first.\n"
                "3. **Finetune** tunes a copy of the VAE's decoder on this one picture, so that the background "
                "comes back. Your VAE is not changed.",
                "**Your own pictures:** choose picture, checkpoint and size as in *Add an object*. *Ranking "
                "model* then wants a CLIP of photographs: the files of "
                "[openai/clip-vit-base-patch16](https://huggingface.co/openai/clip-vit-base-patch16) in "
                "`models/clip_rank/clip-vit-base-patch16`.",
                BLENDED,
            ),
            **loaded(key),
            **texts(key, "Target"),
            "Ranking model": Node("CLIPRankModelLoader", {"folder": RANKING_MODEL}),
            "Edit": blending("Image.MASK", seed=example["seed"], predictions=example["predictions"]),
            "Decode": decoding("Edit.latent"),
            "Rank": Node(
                "CLIPRank",
                {"text": example["target"], "background": example.get("background", 2)},
                {
                    "images": "Decode.IMAGE",
                    "mask": "Image.MASK",
                    "source": "Size.IMAGE",
                    "latent": "Edit.latent",
                    "clip_rank_model": "Ranking model.clip_rank_model",
                },
            ),
            "Finetune": Node(
                "DecoderFinetune",
                links={**VAE, "image": "Size.IMAGE", "latent": "Rank.best_latent", "mask": "Image.MASK"},
            ),
            "Edited picture": saving("Finetune.image", key),
            "All pictures": saving("Rank.images", f"{key}_ranked", folded=True),
        },
        (
            Column(300, (("", (ABOUT,)), ("1 Say what is there", ("Target text", "Empty text", "Ranking model")))),
            Column(250, (("2 Load and paint where", LOAD),)),
            Column(270, (("3 Make many", ("Decode", "Edit")),)),
            Column(280, (("4 Take the best", ("Rank", "All pictures")),)),
            Column(260, (("5 Perfect background", ("Finetune",)),)),
            Column(230, (("6 Look", ("Edited picture",)),)),
        ),
        ("Image.image", "Target text.text", "Rank.text", "Edit.predictions", "Rank.pick"),
        ("Edited picture", "All pictures"),
    )


def edit_session() -> Workflow:
    key = "edit_session"
    nodes = {
        ABOUT: note(
            "## A session: three edits in a row",
            "Each place has its own picture node: right-click > **Open in MaskEditor** and paint there (only its "
            "mask counts). Say in each text what comes there.",
            "Each **edit** works on the latent of the one before, never on a decoded picture: whatever lies "
            "outside its mask stays exactly as it was. Each **keep** puts the very "
            "pixels of the picture before around the new edit. Bypass (Ctrl+B) the edits that are still to come.",
            OWN,
            BLENDED,
        ),
        **loaded(key),
        "Empty text": text("", folded=True),
    }
    columns, keeps, image, latent, inputs = [], [], "Size.IMAGE", "Encode.LATENT", ["Image.image"]
    for name, sample, words, seed in EXAMPLES[key]["edits"]:
        place, edit, keep = f"{name} place", f"{name} edit", f"{name} keep"
        nodes |= {
            place: Node("LoadImage", {"image": f"semantic-edit-{sample}.png"}),
            f"{name} text": text(words),
            edit: blending(f"{place}.MASK", f"{name} text", latent, seed=seed),
            keep: keeping(image, f"{place}.MASK", {**VAE, "latent": f"{edit}.latent"}, folded=True),
        }
        columns.append(Column(320, ((f"{len(columns) + 2} {name} edit", (place, f"{name} text", edit)),)))
        keeps.append(keep)
        image, latent = f"{keep}.image", f"{edit}.latent"
        inputs += [f"{place}.image", f"{name} text.text"]
    nodes["Edited picture"] = saving(image, key)
    return Workflow(
        key,
        "Edit three times in a row",
        "Three places, one after the other, none touching the others.",
        nodes,
        (
            Column(330, (("", (ABOUT,)), ("5 Keep the rest, look", (*keeps, "Edited picture")))),
            Column(290, (("1 Load", (*LOAD, "Empty text")),)),
            *columns,
        ),
        tuple(inputs),
        ("Edited picture",),
    )


def edict_edit() -> Workflow:
    key = "edict_edit"
    return Workflow(
        key,
        "Invert exactly and edit (EDICT)",
        "Exact inversion, then another text.",
        {
            ABOUT: note(
                "## Invert exactly, then generate with another text",
                "**Invert** follows two coupled sequences from the picture back to noise, guided by the source "
                "text. Nothing is guessed on the way, so **Edit** with the same text "
                "would give the very same picture; with the target text it gives an edit that keeps what the two "
                "texts have in common.",
                "**What to turn**\n- The two sentences: in words as near to each other as possible.\n- *strength* "
                "(Invert): higher allows larger edits and keeps less.\n"
                "- *cfg*: more follows the target further. The paper uses 3 in both nodes.\n- Connect a MASK to "
                "**Edit**, and everything outside it stays the source exactly.",
                "Needs about four times the time of sampling with the same steps, inverting included.",
                OWN,
                EDICT,
            ),
            **loaded(key),
            **texts(key, "Source", "Target"),
            "Invert": edict_inversion(),
            "Edit": edict_sampling("Target text"),
            **plain_result(key, "Edit.latent"),
        },
        edict_columns(("Source text", "Target text", "Empty text"), ("Decode", "Edited picture")),
        ("Image.image", "Source text.text", "Target text.text", "Invert.strength", "Edit.cfg"),
        ("Edited picture",),
    )


def edict_reconstruction() -> Workflow:
    key = "edict_reconstruction"
    return Workflow(
        key,
        "Invert exactly, the proof (EDICT)",
        "To noise and back: the same picture.",
        {
            ABOUT: note(
                "## The way to noise and back",
                "**Invert** follows two coupled sequences from the picture to noise, **Edit** brings them back "
                "with the same text and guidance. What comes out is the inverted latent "
                "itself: **Edited picture** equals **Picture through the VAE**, and all that differs from the "
                "source is the VAE's own loss.",
                "Compare with *Invert and sample (DDIM baseline)* at the same guidance: DDIM inversion comes back "
                "to something else.",
                "*measure_error* is on, so the text on **Invert** gives the round trip's error, the noise's "
                "standard deviation and the drift of the sequences.",
                OWN,
                EDICT,
            ),
            **loaded(key),
            **texts(key, "Source"),
            "Invert": edict_inversion(measure_error=True),
            "Edit": edict_sampling("Source text"),
            "Decode": decoding("Edit.latent"),
            "Decode the source": decoding("Encode.LATENT"),
            "Edited picture": saving("Decode.IMAGE", key),
            "Picture through the VAE": saving("Decode the source.IMAGE", f"{key}_vae"),
        },
        edict_columns(
            ("Source text", "Empty text"), ("Decode", "Edited picture", "Decode the source", "Picture through the VAE")
        ),
        ("Image.image", "Source text.text", "Invert.strength", "Invert.cfg"),
        ("Edited picture", "Picture through the VAE"),
    )


def edict_inversion(**widgets) -> Node:
    return Node(
        "EDICTInvert",
        widgets,
        {**MODEL, "source": "Source text.CONDITIONING", **EMPTY, "latent": "Encode.LATENT", **VAE},
    )


def edict_sampling(target: str) -> Node:
    return Node(
        "EDICTSampler", links={**MODEL, "target": f"{target}.CONDITIONING", **EMPTY, "pair": "Invert.pair", **VAE}
    )


def edict_columns(said: tuple[str, ...], seen: tuple[str, ...]) -> tuple[Column, ...]:
    return (
        NOTE_COLUMN,
        Column(300, (("1 Load", LOAD),)),
        Column(340, (("2 Say it", said), ("3 Invert", ("Invert",)))),
        Column(330, (("4 Generate", ("Edit",)),)),
        Column(320, (("5 Look", seen),)),
    )


def sdedit() -> Workflow:
    key = "sdedit"
    return Workflow(
        key,
        "Noise and clean again (SDEdit baseline)",
        "The plain way, without a mask, to compare.",
        {
            ABOUT: note(
                "## SDEdit: the baseline without a mask",
                "The picture is noised part of the way, and the model cleans it again under the target text. Only "
                "stock nodes: this is KSampler with *denoise* below 1.",
                "**What to turn**\n- *denoise* (Edit): the one knob that counts. 0.5 keeps most and changes "
                "little, 0.8 follows the text and keeps the rough layout.\n"
                "- *seed* (Edit): every seed gives another answer.\n- *cfg* (Edit): how hard the text pulls.",
                "**Expect** the whole picture to change, background too. Compare with *Change a picture by two "
                "sentences*, which keeps everything outside its mask.",
                OWN,
                SDEDIT,
            ),
            **loaded(key),
            **texts(key, "Target"),
            "Edit": Node(
                "KSampler",
                {
                    "seed": EXAMPLES[key].get("seed", 0),
                    "steps": 50,
                    "cfg": 7.5,
                    "sampler_name": "ddim",
                    "scheduler": "normal",
                    "denoise": 0.8,
                },
                {**MODEL, "positive": "Target text.CONDITIONING", **EMPTY, "latent_image": "Encode.LATENT"},
            ),
            **plain_result(key, "Edit.latent".replace("latent", "LATENT")),
        },
        (
            NOTE_COLUMN,
            Column(340, (("1 Load", LOAD),)),
            Column(
                360, (("2 Say what should be", ("Target text", "Empty text")), ("3 Noise and clean again", ("Edit",)))
            ),
            Column(400, (("4 Look", ("Decode", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Edit.denoise", "Edit.seed"),
        ("Edited picture",),
    )


def encode_decode() -> Workflow:
    key = "encode_decode"
    return Workflow(
        key,
        "Invert and sample (DDIM baseline)",
        "DiffEdit without its mask, to compare.",
        {
            ABOUT: note(
                "## Invert, then sample with another text",
                "**Invert** follows the sampler backwards under the empty text: from the picture to the noise "
                "that makes it. **Edit** is ComfyUI's own SamplerCustom: it starts at that "
                "noise, adds none, walks the SIGMAS of the inversion, and aims at the target text. DiffEdit "
                "without its mask.",
                "**What to turn**\n- *strength* (Invert): 0.5 stays close to the source, 0.8 allows larger "
                "changes.\n- *cfg* (Edit): 1 with the empty text gives the source back; more "
                "pulls harder to the target.\n- *steps* (Invert): more make the way back more exact.",
                "**Expect** more of the source to survive than with *Noise and clean again*. The background still "
                "moves; *Change a picture by two sentences* holds it.",
                OWN,
                f"{DIFFEDIT}, section 4; {DDIM}",
            ),
            **loaded(key),
            **texts(key, "Target"),
            "Invert": inversion(),
            "Sampler": Node("KSamplerSelect", {"sampler_name": "ddim"}),
            "Edit": Node(
                "SamplerCustom",
                {"add_noise": False, "noise_seed": 0, "cfg": 7.5},
                {
                    **MODEL,
                    "positive": "Target text.CONDITIONING",
                    **EMPTY,
                    "sampler": "Sampler.SAMPLER",
                    "sigmas": "Invert.sigmas",
                    "latent_image": "Invert.latent",
                },
            ),
            **plain_result(key, "Edit.output"),
        },
        (
            NOTE_COLUMN,
            Column(300, (("1 Load", LOAD),)),
            Column(340, (("2 Say what should be", ("Target text", "Empty text")), ("3 Invert", ("Invert",)))),
            Column(320, (("4 Sample", ("Sampler", "Edit")),)),
            Column(330, (("5 Look", ("Decode", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Invert.strength", "Edit.cfg"),
        ("Edited picture",),
    )


WORKFLOWS = tuple(
    make()
    for make in (
        demo,
        diffedit,
        replace_object,
        add_object,
        replace_background,
        scribble_edit,
        thin_mask,
        best_of_many,
        edit_session,
        edict_edit,
        edict_reconstruction,
        sdedit,
        encode_decode,
    )
) + (
    instruction_workflows.instruct(CHECKPOINT, INSTRUCTION_MODEL, EXAMPLES["instruct"], WORLD),
    instruction_workflows.instruct_session(CHECKPOINT, INSTRUCTION_MODEL, EXAMPLES["instruct_session"], WORLD),
    large_instruction_workflows.kontext(),
    large_instruction_workflows.qwen(),
    large_instruction_workflows.klein(),
    photograph_workflows.large_photo(CHECKPOINT, SIDE, EXAMPLES["large_photo"]),
    photograph_workflows.align(EXAMPLES["align"]),
)
