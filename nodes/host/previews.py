"""Previews of nodes in the editor: images as files in ComfyUI's temp folder, maps as numbers. If a
preview fails, the run continues.
"""

import base64
from collections.abc import Callable

import torch
from comfy_api.latest import ui

from .latents import input_rescale
from .progress import forgiving

SHOWN = 16
"""Maximum number of images of a batch (or frames of a video) in a preview."""
FRAMES = 7
"""Maximum number of images in a filmstrip."""
OWN_KEY = "semantic_edit"
"""Previews are sent under this key instead of ``images``, so that programs that take the first
image of a run (and the editor's list of results) get the edit from SaveImage or PreviewImage, not a
mask.
"""


def to_editor(report: dict, view: dict) -> dict:
    """A node's ``ui``: its report, and the images and numbers of its preview under ``OWN_KEY``."""
    return {"report": [report], **({OWN_KEY: [view]} if view else {})}


def encode_maps(field: torch.Tensor) -> list[dict]:
    """Maps [N, h, w] for the browser as float32, little-endian, base64: exact values, so that the
    browser's thresholding gives the server's mask.
    """
    return [
        {
            "width": plane.shape[-1],
            "height": plane.shape[-2],
            "values": base64.b64encode(plane.contiguous().cpu().float().numpy().astype("<f4").tobytes()).decode(),
        }
        for plane in field[:SHOWN]
    ]


def files(cls, images: torch.Tensor, most: int | None = SHOWN) -> list[dict]:
    """Save IMAGEs [N, H, W, C] as temporary files and list them in the form that ComfyUI's editor
    expects. One channel is shown as grey.

    Only for use within :func:`progress.forgiving`, because the temp folder may be full or
    read-only.
    """
    colours = images[:most].float().clamp(0, 1).expand(-1, -1, -1, max(3, images.shape[-1]))
    return ui.PreviewImage(colours, cls=cls).as_dict()["images"]


def pictures(cls, make: Callable[[], torch.Tensor], most: int | None = SHOWN) -> dict:
    """The IMAGEs of ``make()`` as the images of a node; empty if they cannot be computed or
    saved.
    """
    return forgiving(lambda: {"images": files(cls, make(), most)}, {})


def mask_pictures(mask: torch.Tensor) -> torch.Tensor:
    """MASKs [N, H, W] as grey IMAGEs [N, H, W, 3]."""
    return mask.unsqueeze(-1).expand(-1, -1, -1, 3)


def before_after(cls, vae, before: torch.Tensor, after: torch.Tensor) -> dict:
    """Two LATENTs' samples decoded for the before-after slider; empty without a VAE."""
    return (
        {}
        if vae is None
        else forgiving(
            lambda: _before_after(cls, decode(vae, before), decode(vae, after), after.shape[0] // before.shape[0]), {}
        )
    )


def _before_after(cls, before: torch.Tensor, after: torch.Tensor, each: int) -> dict:
    return _pairs(cls, before.flatten(0, 1), after.flatten(0, 1), each, before.shape[1])


def images_before_after(cls, before: torch.Tensor, after: torch.Tensor, each: int = 0, frames: int = 1) -> dict:
    """Two batches of IMAGEs for the before-after slider (:func:`_pairs`); empty if they cannot be
    saved.
    """
    return forgiving(lambda: _pairs(cls, before, after, each, frames), {})


LARGEST = 1024
"""Longest side of the preview of a large image, in pixels."""


def small_before_after(cls, before: torch.Tensor, after: torch.Tensor) -> dict:
    """:func:`images_before_after` for images that may have many megapixels, reduced to ``LARGEST``
    pixels.
    """
    return forgiving(lambda: _pairs(cls, _small(before[:SHOWN]), _small(after[:SHOWN])), {})


def crops(cls, images: torch.Tensor) -> dict:
    """Crops in a row, numbered from 0."""
    return forgiving(
        lambda: {
            "images": files(cls, _small(images[:SHOWN])),
            "captions": [f"#{k}" for k in range(len(images[:SHOWN]))],
        },
        {},
    )


def _small(images: torch.Tensor) -> torch.Tensor:
    factor = LARGEST / max(images.shape[1:3])
    if factor >= 1:
        return images
    size = tuple(max(1, round(length * factor)) for length in images.shape[1:3])
    channels = images.movedim(-1, 1).float().cpu()
    small = torch.nn.functional.interpolate(channels, size, mode="bilinear", antialias=True, align_corners=False)
    return small.movedim(1, -1)


def _pairs(cls, before: torch.Tensor, after: torch.Tensor, each: int = 0, frames: int = 1) -> dict:
    """Save both batches, with one image before for each image after. If the images before are
    larger, because encoding crops, their centre is used.

    Args:
        each: number of results of each source, which follow each other; 0: the ratio of the
            numbers.
        frames: number of frames of each video.
    """
    top, left = ((old - new) // 2 if old > new else 0 for old, new in zip(before.shape[1:3], after.shape[1:3]))
    each = each or max(1, after.shape[0] // before.shape[0])
    sources, results = (
        files(cls, before[:, top : top + after.shape[1], left : left + after.shape[2]]),
        files(cls, after),
    )
    places = (place // (each * frames) * frames + place % frames for place in range(len(results)))
    return {"before": [sources[min(place, len(sources) - 1)] for place in places], "images": results}


def filmstrip(cls, vae, model, states: torch.Tensor, sigmas: torch.Tensor) -> dict:
    """An inversion's states [N, B, C, ...] (model space, the noise first), decoded from the image
    to the noise; empty without a VAE.

    Only the first image of a batch, and the first frame of a video. States of eps- and v-models
    grow with the noise level; they are scaled like the network's input.
    """
    return {} if vae is None else forgiving(lambda: _filmstrip(cls, vae, model, states[:, :1], sigmas), {})


def _filmstrip(cls, vae, model, states: torch.Tensor, sigmas: torch.Tensor) -> dict:
    count = min(FRAMES, len(states))
    chosen = [round((len(states) - 1) * (1 - place / max(1, count - 1))) for place in range(count)]
    rescale = input_rescale(model.get_model_object("model_sampling")) or (lambda low, high: 1.0)
    to_vae = model.get_model_object("process_latent_out")
    frames = torch.cat(
        [decode(vae, to_vae((states[index] * rescale(float(sigmas[index]), 0.0)).float()))[:1, 0] for index in chosen]
    )
    return {"images": files(cls, frames), "captions": [f"\u03c3 {float(sigmas[index]):.2g}" for index in chosen]}


def decode(vae, samples: torch.Tensor) -> torch.Tensor:
    """The first ``SHOWN`` samples of a LATENT as images [N, frames, H, W, 3]; one frame except for
    videos.
    """
    first = samples[:SHOWN]
    images = vae.decode(first)
    return images.reshape(first.shape[0], -1, *images.shape[-3:])[..., :3]
