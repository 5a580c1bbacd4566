"""Templates of the methods that DiffEdit is compared with (SDEdit; DDIM inversion without a
mask).
"""

from .examples import DDIM, DIFFEDIT, EXAMPLES, OWN, SDEDIT
from .graph import Column, Node, Workflow
from .parts import ABOUT, EMPTY, LOAD, MODEL, NOTE_COLUMN, inversion, loaded, note, plain_result, texts


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
