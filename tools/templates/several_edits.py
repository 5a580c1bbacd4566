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
            "pixels of the picture before around the new edit. Bypass (Ctrl+B) the edits that are still to come; "
            "unfold one to change its *seed*.",
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
