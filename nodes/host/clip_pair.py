"""Embeddings of texts and images in one space: a CLIP of ComfyUI with a CLIP_VISION that was
trained with it, or a CLIP_RANK_MODEL.

ComfyUI's encoders are made for conditioning, so a pair has to be checked before its embeddings are
compared: most CLIPs return the embedding before the text projection, SD1.5 checkpoints do not
contain that projection, and some vision models were not trained with a text model.
"""

import logging
from typing import Any

import torch

from ..core.errors import NodeError
from .clip_folder import CHUNK, unit
from .progress import Progress
from .reports import Phrase, phrase

CLIP_TOKENS = 77
TOWERS = {"l": "ViT-L/14 of OpenAI", "h": "ViT-H/14 of OpenCLIP (SD2)", "g": "ViT-bigG/14 of OpenCLIP (SDXL)"}
ADVICE = "Alternatively, load a complete CLIP with CLIPRankModelLoader and connect clip_rank_model."


class ComfyPair:
    """A CLIP and a CLIP_VISION. Embeddings have length 1, float32, on the CPU."""

    def __init__(self, clip, clip_vision):
        self.clip, self.vision, self.tower = clip, clip_vision, None
        self.image_size = getattr(clip_vision, "image_size", 224)

    def check(self) -> None:
        """Check that both models belong together, before they are moved to a device.

        Raises:
            NodeError: a vision model without a projection (SigLIP, DINO), no text model with the
                same width, or a text model without its projection.
        """
        kind = getattr(self.vision, "model_type", "clip_vision_model")
        weight = getattr(getattr(self.vision.model, "visual_projection", None), "weight", None)
        if kind != "clip_vision_model" or weight is None:
            raise NodeError(
                f"got a CLIP_VISION of type {kind}, whose embeddings cannot be compared with a text; expected the "
                f"vision model of a CLIP, such as CLIP-ViT-H. {ADVICE}"
            )
        widths = text_widths(self.clip)
        fitting = [name for name, width in widths.items() if width == weight.shape[0]]
        if not fitting:
            have = ", ".join(f"clip_{name} of {width}" for name, width in widths.items()) or "none"
            raise NodeError(
                f"got a CLIP_VISION of {weight.shape[0]} dimensions and a CLIP with the text models: {have}; expected "
                f"two that were trained together, of {', '.join(TOWERS.values())}. {ADVICE}"
            )
        self.tower = fitting[0]
        if lacks_projection(self.clip, self.tower, weight.shape[0]):
            raise NodeError(
                "this CLIP has no text projection (SD1.5 checkpoints contain none), so its embeddings cannot be "
                f"compared with images; load clip_l.safetensors with CLIPLoader. {ADVICE}"
            )

    def warning(self, text: str) -> Phrase | None:
        """A warning if the text is longer than the first 77 tokens."""
        chunks = len(self.clip.tokenize(text)[self.tower])
        return phrase("text_cut", CLIP_TOKENS) if chunks > 1 else None

    def embed_text(self, text: str) -> torch.Tensor:
        """The projected embedding of a text's first 77 tokens, [D]. Weights in brackets have no
        effect.
        """
        tokens, inner = self.clip.tokenize(text), getattr(self.clip.cond_stage_model, f"clip_{self.tower}")
        self.clip.load_model(tokens)
        inner.reset_clip_options()
        try:
            inner.set_clip_options({"projected_pooled": True, "execution_device": self.clip.patcher.load_device})
            return unit(inner.encode_token_weights(tokens[self.tower][:1])[1])[0]
        finally:
            inner.reset_clip_options()

    def embed_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """Images [N, S, S, 3] in 0..1, S the encoder's ``image_size``, as [N, D]."""
        progress, rows = Progress(len(pictures)), []
        for chunk in pictures.split(CHUNK):
            rows.append(unit(self.vision.encode_image(chunk, crop=False).image_embeds))
            progress.advance(len(chunk))
        return torch.cat(rows)


def text_widths(clip) -> dict[str, int]:
    """The width of the projection of each text model of a CLIP, by its name (g, h, l)."""
    widths = {}
    for name in ("g", "h", "l"):
        transformer = getattr(getattr(clip.cond_stage_model, f"clip_{name}", None), "transformer", None)
        weight = getattr(getattr(transformer, "text_projection", None), "weight", None)
        if weight is not None:
            widths[name] = weight.shape[0]
    return widths


def lacks_projection(clip, tower: str, width: int) -> bool:
    """Whether the projection of a text model was not loaded: the file contains none, or its values
    are uninitialised memory.
    """
    if projection_in_files(clip, width) is False:
        return True
    weight = getattr(clip.cond_stage_model, f"clip_{tower}").transformer.text_projection.weight
    rows = weight.detach().float().cpu().norm(dim=1)
    return not bool(torch.isfinite(rows).all()) or float(rows.median()) < 1e-3 or float(rows.amax()) > 1e3


def projection_in_files(clip, width: int) -> bool | None:
    """Whether the file of a CLIP contains a text projection of this width; None if that cannot be
    determined.
    """
    made_by: Any = getattr(clip.patcher, "cached_patcher_init", None)
    try:
        from safetensors import safe_open

        paths = made_by[1][0]
        for path in [paths] if isinstance(paths, str) else paths:
            with safe_open(path, "pt") as file:
                for key in file.keys():
                    if "text_projection" in key and width in file.get_slice(key).get_shape():
                        return True
        return False
    except Exception:
        logging.debug("Semantic Edit: the file of the CLIP could not be determined", exc_info=True)
        return None


def choose(clip, clip_vision, clip_rank_model, needed: bool = True):
    """The scorer of texts and images from the connected models, checked; None if none is connected
    and it is not ``needed``.

    Raises:
        NodeError: both kinds or half of a pair are connected, or models that do not belong
            together.
    """
    if clip_rank_model is not None and clip_vision is not None:
        raise NodeError("got both a CLIP_RANK_MODEL and a CLIP_VISION; connect one of them.")
    if clip_rank_model is not None:
        return clip_rank_model
    if clip is None and clip_vision is None and not needed:
        return None
    if clip is None or clip_vision is None:
        have = "no CLIP model" if clip is clip_vision else f"only {'clip' if clip_vision is None else 'clip_vision'}"
        raise NodeError(
            f"got {have}; connect clip_rank_model (from CLIPRankModelLoader), or clip and clip_vision together."
        )
    pair = ComfyPair(clip, clip_vision)
    pair.check()
    return pair


def parts_of(scorer) -> list:
    """The objects of a scorer that identify it in a cache."""
    return [scorer.clip, scorer.vision] if isinstance(scorer, ComfyPair) else [scorer]
