"""Templates of exact inversion (EDICT, DirectEdit)."""

from .examples import DIRECT_EDIT, EDICT, OWN
from .graph import Column, Node, Workflow
from .parts import (
    ABOUT,
    EMPTY,
    GUIDED,
    LOAD,
    MODEL,
    NOTE_COLUMN,
    VAE,
    decoding,
    first_steps,
    loaded,
    note,
    plain_result,
    saving,
    texts,
)


def edict_edit() -> Workflow:
    key = "edict_edit"
    return Workflow(
        key,
        "Invert exactly and edit (EDICT)",
        "Inverts exactly, then samples with another text.",
        {
            ABOUT: note(
                "## Invert exactly, then sample with another text",
                "**Invert** inverts two coupled sequences from the image to noise, guided by the source text. The "
                "inversion is exact: with the source text, **Edit** would reproduce the image. With the target text"
                " it generates an edit that preserves what both texts have in common.",
                "**Settings**\n"
                "- The two texts: keep the wording the same where nothing changes.\n"
                "- *strength* (Invert): higher values allow larger edits and preserve less.\n"
                "- *cfg*: higher values follow the target more closely. The paper uses 3 in both nodes.\n"
                "- *mask* (Edit): connect a mask to keep the latent outside it exactly equal to the source.",
                "**Guidance** limits *cfg* to the first half of the steps, in both directions. On 40 edits in the "
                "world of the demo model, 60 % were accepted with it and 40 % with guidance in every step. Inversion "
                "and edit together take about three times as long as sampling with the same steps.",
                OWN,
                EDICT,
            ),
            **loaded(key),
            "Guidance": first_steps(),
            **texts(key, "Source", "Target"),
            "Invert": edict_inversion(GUIDED),
            "Edit": edict_sampling("Target text", GUIDED),
            **plain_result(key, "Edit.latent"),
        },
        edict_columns(
            ("Source text", "Target text", "Empty text"),
            ("Decode", "Edited picture"),
            (("Guide the first steps", ("Guidance",)),),
        ),
        ("Image.image", "Source text.text", "Target text.text", "Invert.strength", "Edit.cfg"),
        ("Edited picture",),
    )


def direct_edit() -> Workflow:
    key = "direct_edit"
    widgets = {"method": "DirectEdit", "cfg": 1.0}
    links = {"source": "Source text.CONDITIONING", "latent": "Encode.LATENT"}
    return Workflow(
        key,
        "Invert exactly at the cost of DDIM and edit (DirectEdit)",
        "Inverts exactly with one evaluation per step, then samples with another text.",
        {
            ABOUT: note(
                "## Invert exactly at the cost of DDIM, then sample with another text",
                "**Invert** inverts the image under the source text and keeps every state. **Edit** samples back. With "
                "the source text and *cfg* 1 it returns the inverted latent bit for bit; with the target text it "
                "generates an edit.",
                "**Settings**\n"
                "- The two texts: keep the wording the same where nothing changes.\n"
                "- *strength* (Invert): higher values allow larger edits and preserve less.\n"
                "- *cfg*: 1 in Invert. In Edit, higher values follow the target more closely.\n"
                "- *mask* (Edit): connect a mask to keep the latent outside it exactly equal to the source.",
                "On 20 edits in the world of the demo model, 80 % were accepted with 120 evaluations of the model; "
                "with EDICT and guidance in every step 50 % with 320.",
                OWN,
                DIRECT_EDIT,
            ),
            **loaded(key),
            **texts(key, "Source", "Target"),
            "Invert": Node("ExactInvert", widgets, {**MODEL, **links, **VAE}),
            "Edit": Node(
                "ExactSampler",
                links={**MODEL, "target": "Target text.CONDITIONING", **EMPTY, "inversion": "Invert.inversion", **VAE},
            ),
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
        "An exact round trip from the image to noise and back.",
        {
            ABOUT: note(
                "## Exact round trip",
                "**Invert** inverts two coupled sequences from the image to noise. **Edit** samples back with the "
                "same text and guidance. The result is the inverted latent itself: **Edited picture** equals "
                "**Picture through the VAE**, and it differs from the source only by the reconstruction error of "
                "the VAE.",
                "For comparison: with *Invert and sample (DDIM baseline)* at the same guidance, the result differs "
                "from the source.",
                "*measure_error* is on, so the report on **Invert** contains the round-trip error, the standard "
                "deviation of the noise and the drift of the sequences.",
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


def edict_inversion(model: dict[str, str] = MODEL, **widgets) -> Node:
    return Node(
        "EDICTInvert",
        widgets,
        {**model, "source": "Source text.CONDITIONING", **EMPTY, "latent": "Encode.LATENT", **VAE},
    )


def edict_sampling(target: str, model: dict[str, str] = MODEL) -> Node:
    return Node(
        "EDICTSampler", links={**model, "target": f"{target}.CONDITIONING", **EMPTY, "pair": "Invert.pair", **VAE}
    )


def edict_columns(
    texts: tuple[str, ...], results: tuple[str, ...], below: tuple[tuple[str, tuple[str, ...]], ...] = ()
) -> tuple[Column, ...]:
    """``below``: groups below the loaders."""
    return (
        NOTE_COLUMN,
        Column(300, (("1 Load", LOAD), *below)),
        Column(340, (("2 Write the texts", texts), ("3 Invert", ("Invert",)))),
        Column(330, (("4 Generate", ("Edit",)),)),
        Column(320, (("5 Result", results),)),
    )
