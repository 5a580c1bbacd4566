"""Templates with several predictions of one edit, or several edits in a row."""

from .examples import BLENDED, EXAMPLES, OWN, PAINT, RANKING_MODEL
from .graph import Column, Node, Workflow
from .parts import ABOUT, LOAD, VAE, blending, decoding, keeping, loaded, note, saving, text, texts


def best_of_many() -> Workflow:
    key = "best_of_many"
    example = EXAMPLES[key]
    count = {6: "six", 8: "eight"}[example["predictions"]]
    return Workflow(
        key,
        "Take the best of many",
        "Several edits, ranked by CLIP, the best with a tuned decoder.",
        {
            ABOUT: note(
                "## The best of several edits, with an exact background",
                f"Paint a mask for the new object ({PAINT}), and describe the object in *Target text* and again in "
                "*Rank*.",
                f"1. **Edit** generates {count} edits; edit number k equals a single run with *seed* + k.\n"
                "2. **Rank** sorts them by the CLIP similarity between the masked part and the text. *pick* selects"
                " another edit than the first.\n"
                "3. **Finetune** tunes a copy of the VAE decoder to this image, so that the background closely "
                "matches the source. Your VAE is not modified.",
                "**Your own images:** select image, checkpoint and size as in *Add an object*. *Ranking model* then"
                " needs a CLIP model for photographs: put the files of "
                "[openai/clip-vit-base-patch16](https://huggingface.co/openai/clip-vit-base-patch16) into "
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
            Column(300, (("", (ABOUT,)), ("1 Describe the object", ("Target text", "Empty text", "Ranking model")))),
            Column(250, (("2 Load and paint the mask", LOAD),)),
            Column(270, (("3 Generate several edits", ("Decode", "Edit")),)),
            Column(280, (("4 Select the best", ("Rank", "All pictures")),)),
            Column(260, (("5 Restore the background", ("Finetune",)),)),
            Column(230, (("6 Result", ("Edited picture",)),)),
        ),
        ("Image.image", "Target text.text", "Rank.text", "Edit.predictions", "Rank.pick"),
        ("Edited picture", "All pictures"),
    )


def edit_session() -> Workflow:
    key = "edit_session"
    nodes = {
        ABOUT: note(
            "## Three edits in sequence",
            "Each edit has its own image node: right-click > **Open in MaskEditor** and paint its mask there (only "
            "the mask is used). Describe each new object in its text.",
            "Each **edit** uses the latent of the previous edit, not a decoded image, so the latent outside its "
            "mask stays exactly unchanged. Each **keep** restores the pixels of the previous image around the new "
            "edit. Bypass (Ctrl+B) the edits that are not needed yet; unfold an edit to change its *seed*.",
            OWN,
            BLENDED,
        ),
        **loaded(key),
        "Empty text": text("", folded=True),
    }
    columns: list[Column] = []
    keeps, image, latent, inputs = [], "Size.IMAGE", "Encode.LATENT", ["Image.image"]
    for name, sample, words, seed in EXAMPLES[key]["edits"]:
        place, edit, keep = f"{name} place", f"{name} edit", f"{name} keep"
        nodes |= {
            place: Node("LoadImage", {"image": f"semantic-edit-{sample}.png"}),
            f"{name} text": text(words),
            edit: blending(f"{place}.MASK", f"{name} text", latent, folded=True, seed=seed),
            keep: keeping(image, f"{place}.MASK", {**VAE, "latent": f"{edit}.latent"}, folded=True),
        }
        # The folded edit first: Nodes 2.0 counts folded nodes in full when it fits a template into
        # the window.
        columns.append(Column(320, ((f"{len(columns) + 2} {name} edit", (edit, place, f"{name} text")),)))
        keeps.append(keep)
        image, latent = f"{keep}.image", f"{edit}.latent"
        inputs += [f"{place}.image", f"{name} text.text"]
    nodes["Edited picture"] = saving(image, key)
    return Workflow(
        key,
        "Edit three times in a row",
        "Three edits in sequence; each preserves everything outside its mask.",
        nodes,
        (
            Column(330, (("", (ABOUT,)), ("5 Restore the background", (*keeps, "Edited picture")))),
            Column(290, (("1 Load", (*LOAD, "Empty text")),)),
            *columns,
        ),
        tuple(inputs),
        ("Edited picture",),
    )
