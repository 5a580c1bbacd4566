"""Nodes and groups that several templates share."""

from lab.methods import ALONG_EDGES

from .examples import CHECKPOINT, EXAMPLES, MEGAPIXELS
from .graph import NOTE, Column, Node

ABOUT = "About this workflow"

GUIDED = {"model": "Guidance.MODEL"}
"""The model of :func:`first_steps`, titled "Guidance"."""

MODEL, VAE, EMPTY = {"model": "Model.MODEL"}, {"vae": "Model.VAE"}, {"negative": "Empty text.CONDITIONING"}

WHOLE = {**ALONG_EDGES, "grow": 2}
"""Settings of a mask that covers the whole thing: no holes, and a margin of two cells, because
parts of the old thing outside the mask would remain visible.
"""

ROOMY = {**WHOLE, "grow": 3}
"""Settings of a mask whose inside is generated anew: the new thing has another outline."""

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
    """Nodes of the example's texts named by ``titles`` ("Source", "Target"), and of the empty text."""
    return {f"{title} text": text(EXAMPLES[key][title.lower()]) for title in titles} | {
        "Empty text": text("", folded=True)
    }


def first_steps() -> Node:
    """The model, guided in the first half of the steps of an edit at strength 0.8 only."""
    return Node("CFGOverride", {"cfg": 1.0, "start_percent": 0.55, "end_percent": 1.0}, MODEL)


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


def inversion(links: dict | None = None, **widgets) -> Node:
    return Node(
        "DDIMInvert",
        {"strength": 0.8, **widgets},
        {**MODEL, "conditioning": "Empty text.CONDITIONING", "latent": "Encode.LATENT", **VAE, **(links or {})},
    )


def blending(
    mask: str,
    text_title: str = "Target text",
    latent: str = "Encode.LATENT",
    links: dict | None = None,
    folded: bool = False,
    **widgets,
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
        folded,
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
