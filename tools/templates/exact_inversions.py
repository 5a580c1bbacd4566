"""Templates of exact inversion (EDICT)."""

from .examples import EDICT, OWN
from .graph import Column, Node, Workflow
from .parts import ABOUT, EMPTY, LOAD, MODEL, NOTE_COLUMN, VAE, decoding, loaded, note, plain_result, saving, texts


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
