"""The content of the templates: pictures, texts and settings that depend on the demo checkpoint,
and sentences and sources that several notes share.

A picture's name in ComfyUI's input folder is ``semantic-edit-<sample>.png`` for
``demo/samples/<sample>.png``. nodes/host/demo_model.py copies it there and never overwrites a file,
so that a new picture needs a new sample name.
"""

from typing import Any

CHECKPOINT, SIDE = "semantic-edit-demo.safetensors", 256
"""The demo checkpoint, and the side of its pictures in pixels."""

MEGAPIXELS = SIDE**2 / 1024**2

RANKING_MODEL = "semantic-edit-demo"

INSTRUCTION_MODEL = "semantic-edit-things-instruct.safetensors"
"""The demo's model of edits by instruction; text encoder and VAE are the checkpoint's."""

FRUIT = {"picture": "strawberry", "source": "a strawberry on wood", "target": "an orange on wood"}

BACKPACK = {"picture": "backpack", "source": "a red backpack on grass", "target": "a purple backpack on grass"}

EXAMPLES: dict[str, dict[str, Any]] = {
    "demo": {"picture": "dog", "source": "a dog on grass", "target": "a cat on grass"},
    "diffedit": FRUIT,
    "fast_edit": {**FRUIT, "target": "a lemon on wood"},
    "sdedit": FRUIT,
    "encode_decode": FRUIT,
    "edict_edit": BACKPACK,
    "edict_reconstruction": BACKPACK,
    "direct_edit": BACKPACK,
    "replace_object": {"picture": "penguin", "source": "a penguin on snow", "target": "an owl on snow", "seed": 2},
    "add_object": {"picture": "hat", "target": "a dog wearing a hat on grass", "seed": 4},
    "replace_background": {"picture": "horse", "target": "a horse on grass", "seed": 12},
    "scribble_edit": {"picture": "paint", "target": "an orange on wood", "seed": 1},
    "thin_mask": {"picture": "stroke", "target": "a carrot on wood", "seed": 7, "kernels": "5, 3"},
    "best_of_many": {"picture": "lawn", "target": "a cat on grass", "seed": 8, "predictions": 6},
    "instruct": {"picture": "backpack", "instruction": "make the backpack purple", "seed": 0},
    "instruct_session": {
        "picture": "trio",
        "edits": (("make the car blue", 0), ("make the teapot purple", 0), ("remove the balloon", 0)),
    },
    "instruct_kontext": {"picture": "strawberry", "instruction": "replace the strawberry with an apple"},
    "instruct_qwen": {"picture": "penguin", "instruction": "put it on wood"},
    "instruct_klein": {"picture": "backpack", "instruction": "make the backpack blue"},
    "large_photo": {"picture": "table_top", "target": "an orange on wood", "seed": 7},
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
    "The demo model knows 52 objects (fruit, animals, cars, flowers, hats and others) on nine grounds: wood, grass,"
    " sand, snow, water, bricks, stone, tiles and sky, at 256 x 256 pixels. Change one object at a time."
)

PLAY = "**Try:** write *a rabbit on grass* or *a fox on grass* in *Target text*, or move the slider below the mask."

EDITS = "The edit replaces the dog by a cat; the grass stays unchanged."

OWN = (
    "**Your own images:** select an image in *Image* and your checkpoint in *Model*. Set *Size* to 0.25 for SD1.5 "
    "or 1 for SDXL. For Flux and others, replace *Model* by the stock loaders, and use the steps and cfg of the "
    "model."
)

PAINT = "right-click *Image* > **Open in MaskEditor**"

DIFFEDIT = "Couairon et al. 2022, [DiffEdit](https://arxiv.org/abs/2210.11427)"

BLENDED = "Avrahami, Fried, Lischinski 2023, [Blended Latent Diffusion](https://arxiv.org/abs/2206.02779)"

EDICT = "Wallace, Gokul, Naik 2023, [EDICT](https://arxiv.org/abs/2211.12446)"

DIRECT_EDIT = "[DirectEdit](https://arxiv.org/abs/2605.02417), 2026"

SDEDIT = "Meng et al. 2021, [SDEdit](https://arxiv.org/abs/2108.01073)"

DDIM = "Song et al. 2020, [DDIM](https://arxiv.org/abs/2010.02502)"
