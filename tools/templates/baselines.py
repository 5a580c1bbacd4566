"""Templates of the methods that DiffEdit is compared with (SDEdit; DDIM inversion without a
mask).
"""

from .examples import DDIM, DIFFEDIT, EXAMPLES, OWN, SDEDIT
from .graph import Column, Node, Workflow
from .parts import ABOUT, EMPTY, LOAD, MODEL, NOTE_COLUMN, inversion, loaded, note, plain_result, texts


def sdedit() -> Workflow:
    """The template of SDEdit."""
    key = "sdedit"
    return Workflow(
        key,
        "Noise and clean again (SDEdit baseline)",
        "A baseline without a mask.",
        {
            ABOUT: note(
                "## SDEdit: the baseline without a mask",
                "Noise is added to the image up to *denoise*, and the model denoises it with the target text. Only "
                "stock nodes are used: this is KSampler with *denoise* below 1.",
                "**Settings**\n"
                "- *denoise* (Edit): the most important one. 0.5 preserves most and changes little; 0.8 follows the"
                " text and preserves the rough layout.\n"
                "- *seed* (Edit): each seed gives a different result.\n"
                "- *cfg* (Edit): higher values follow the text more closely.",
                "The whole image changes, including the background. *Change a picture by two sentences* preserves "
                "everything outside its mask.",
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
                360,
                (("2 Write the target text", ("Target text", "Empty text")), ("3 Add noise and denoise", ("Edit",))),
            ),
            Column(400, (("4 Result", ("Decode", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Edit.denoise", "Edit.seed"),
        ("Edited picture",),
    )


def encode_decode() -> Workflow:
    """The template of DDIM inversion without a mask."""
    key = "encode_decode"
    return Workflow(
        key,
        "Invert and sample (DDIM baseline)",
        "A baseline: DiffEdit without a mask.",
        {
            ABOUT: note(
                "## Invert, then sample with another text",
                "**Invert** computes the noise from which the sampler generates the image, with the empty text. "
                "**Edit** is ComfyUI's SamplerCustom: it starts from this noise without adding any, uses the noise "
                "levels of the inversion, and samples with the target text. This is DiffEdit without a mask.",
                "**Settings**\n"
                "- *strength* (Invert): 0.5 stays close to the source; 0.8 allows larger changes.\n"
                "- *cfg* (Edit): 1 with the empty text reproduces the source approximately; higher values follow "
                "the target more closely.\n"
                "- *steps* (Invert): more steps make the round trip more accurate.",
                "More of the source is preserved than with *Noise and clean again*, but the background still "
                "changes. *Change a picture by two sentences* preserves it.",
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
            Column(340, (("2 Write the target text", ("Target text", "Empty text")), ("3 Invert", ("Invert",)))),
            Column(320, (("4 Sample", ("Sampler", "Edit")),)),
            Column(330, (("5 Result", ("Decode", "Edited picture")),)),
        ),
        ("Image.image", "Target text.text", "Invert.strength", "Edit.cfg"),
        ("Edited picture",),
    )
