"""CLIPRank: embed, score and sort predictions, and sort their latents, masks and seeds likewise."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ...core.errors import NodeError
from ...core.masks.matching import SPATIAL_RATIOS, match_mask
from ...core.pictures import ranking
from ...core.pictures.layout import bchw_to_bhwc, bhwc_to_bchw
from ...host.blocked import blocked_output
from ...host.cache import Recent
from ...host.clip_pair import parts_of
from ...host.latents import samples_of
from ...host.model_identity import fingerprint
from ...host.reports import Phrase, make_report, phrase
from ..pictures import broadcast, masks_of_pictures, plain_masks, read_pictures

NODE = "CLIPRank"
PREVIEW = 512
_recent, _recent_texts = Recent(4), Recent(64)


@dataclass(frozen=True)
class Predictions:
    """Checked inputs on the CPU: images [N, H, W, 3], masks [N, H, W] or None, sources [N, H, W,
    3] or None; ``per_source`` predictions of each source.
    """

    pictures: torch.Tensor
    masks: torch.Tensor | None
    sources: torch.Tensor | None
    per_source: int

    @property
    def groups(self) -> int:
        return self.pictures.shape[0] // self.per_source


def repeat_for_items(name: str, batch: torch.Tensor, count: int, per_source: int) -> torch.Tensor:
    """A batch of one, of one per source, or of ``count`` predictions, as one per prediction.

    Raises:
        ValueError: any other number, with both in the message.
    """
    groups = count // per_source
    if 1 < groups == batch.shape[0]:
        return batch.repeat_interleave(per_source, 0)
    also, remark = ((groups,), f" ({groups}: one per source)") if groups > 1 else ((), "")
    return broadcast(name, batch, count, "predictions", also, remark)


def masks_of_predictions(mask, source, size, count: int, per_source: int) -> torch.Tensor:
    """Masks in the numbers that :func:`repeat_for_items` accepts. For the frames of one video (with
    one source per frame, or without a source) one mask per latent frame is accepted as well.
    """
    can_be_video = per_source == count and (source is None or source.shape[0] == count)
    if not can_be_video:
        return repeat_for_items("masks", match_mask(plain_masks(mask), size, SPATIAL_RATIOS), count, per_source)
    return masks_of_pictures(mask, size, count, "predictions")


def read_predictions(
    images, mask, source, region: str, background: float, per_source: int, text: str, pick: int, keep: int
) -> Predictions:
    """Check all inputs that can be checked without a model, and match their numbers.

    Raises:
        NodeError: an invalid value, a missing or empty mask, or sizes or numbers that do not match.
    """
    pictures = read_pictures(images)
    count, height, width = pictures.shape[:3]
    if not text.strip():
        raise NodeError('got an empty text; describe the edited part, e.g. "a bowl of oranges".')
    if per_source < 0 or per_source and count % per_source:
        raise NodeError(
            f"got {count} images and {per_source} per source; expected a multiple of {per_source}. Set per_source to "
            "predictions of the sampler, or to 0 if all images belong to one source."
        )
    per_source = per_source or count
    if not 0 <= pick < per_source:
        raise NodeError(
            f"got pick {pick}, but there are {per_source} predictions per source; expected 0 (the best) to "
            f"{per_source - 1}."
        )
    if not 0 <= keep <= per_source:
        raise NodeError(
            f"got keep {keep}, but there are {per_source} predictions per source; expected 1 to {per_source}, or 0 "
            "for all."
        )
    if mask is None and region != "whole":
        raise NodeError(f"got no mask for region {region}; connect one, or set region to whole.")
    if background and (mask is None or source is None):
        raise NodeError(
            f"got background {background} without {'a mask' if mask is None else 'the source image'}; connect it, or "
            "set background to 0."
        )
    if mask is not None:
        mask = masks_of_predictions(mask, source, (height, width), count, per_source)
        if region != "whole" and int((mask > 0.5).flatten(1).any(1).sum()) < count:
            raise NodeError(
                "got an empty mask; expected one that covers the edited region; connect the mask of the edit."
            )
    if source is not None:
        source = repeat_for_items("source images", read_pictures(source), count, per_source)
        if source.shape[1:3] != pictures.shape[1:3]:
            raise NodeError(
                f"got source images of {source.shape[2]} x {source.shape[1]} pixels for predictions of {width} x "
                f"{height}; give both the same size."
            )
    return Predictions(pictures, mask, source, per_source)


def texts_of(text: str, sources: int) -> list[str]:
    """The text of each source: one line each if there are as many lines as sources, else the whole
    text for all.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if len(lines) == sources else [text] * sources


@dataclass(frozen=True)
class Ranking:
    """Indices into the batch, best first, [sources, per_source], and every prediction's scores [N]
    in the batch's order.
    """

    order: torch.Tensor
    scores: torch.Tensor
    cosines: torch.Tensor
    fidelity: torch.Tensor | None
    warning: Phrase | None = None

    def kept(self, keep: int) -> list[int]:
        """Indices of the best ``keep`` predictions of each source (0: all), grouped by source."""
        return self.order[:, : keep or None].flatten().tolist()

    def picked(self, pick: int) -> list[int]:
        """Index of the prediction with rank ``pick`` of each source; 0 is the best."""
        return self.order[:, pick].tolist()


def rank(scorer, predictions: Predictions, text: str, region: str, background: float, margin: float) -> Ranking:
    """Score: cosine of text and region, plus ``background`` times the fidelity outside the mask.
    Embeddings are cached, so changing other widgets costs no evaluation.
    """

    def embed() -> torch.Tensor:
        regions = ranking.region_pictures(predictions.pictures, predictions.masks, region, scorer.image_size, margin)
        return scorer.embed_pictures(regions)

    def words_of(words: str) -> tuple[torch.Tensor, Phrase | None]:
        return _recent_texts.get((towers, words), lambda: (scorer.embed_text(words), scorer.warning(words)))

    towers = fingerprint(parts_of(scorer))
    masks = predictions.masks if region != "whole" else None
    pictures = _recent.get((towers, fingerprint([predictions.pictures, masks, region, margin])), embed)
    words, warnings = zip(*(words_of(source_text) for source_text in texts_of(text, predictions.groups)))
    cosines = (pictures * torch.stack(words).repeat_interleave(predictions.per_source, 0)).sum(1)
    fidelity, warning = None, next(filter(None, warnings), None)
    if predictions.sources is not None and predictions.masks is not None:
        fidelity = ranking.background_fidelity(predictions.pictures, predictions.sources, predictions.masks)
    scores = cosines + background * fidelity if background and fidelity is not None else cosines
    try:
        order = ranking.order_within_sources(scores, predictions.per_source)
    except ValueError as error:
        raise NodeError(f"{error}.") from error
    return Ranking(order, scores, cosines, fidelity, warning)


def latent_of_predictions(latent: dict | None, count: int) -> dict | None:
    """Check that a LATENT has one item, or one per image.

    Raises:
        NodeError: any other number.
    """
    if latent is None:
        return None
    broadcast("latents", samples_of(latent), count, "images")
    return latent


def take_latent(latent: dict, rows: list[int]) -> dict:
    """A new LATENT with the items ``rows`` in this order, including all per-item entries."""
    samples = latent["samples"]
    if samples.shape[0] == 1:
        return {**latent, "samples": samples[[0] * len(rows)]}
    count, result = samples.shape[0], dict(latent)
    for key, value in latent.items():
        if isinstance(value, torch.Tensor) and value.ndim > 1 and value.shape[0] == count:
            result[key] = value[rows]
        elif isinstance(value, list) and len(value) == count:
            result[key] = [value[row] for row in rows]
    return result


def previews(predictions: Predictions, ranked: Ranking) -> torch.Tensor:
    """All predictions in the order of the ranking, reduced to at most ``PREVIEW`` pixels."""
    pictures = predictions.pictures[ranked.kept(0)].clamp(0, 1)
    height, width = pictures.shape[1:3]
    scale = PREVIEW / max(height, width)
    if scale >= 1:
        return pictures
    return bchw_to_bhwc(
        F.interpolate(
            bhwc_to_bchw(pictures), (max(1, round(scale * height)), max(1, round(scale * width))), mode="area"
        )
    )


def describe_ranking(predictions: Predictions, ranked: Ranking, pick: int, first_seed: int) -> dict:
    """The report: phrases, and all numbers in the order of the previews."""
    rows = ranked.kept(0)
    best = ranked.scores[ranked.order[:, 0]]
    gap = float((best - ranked.scores[ranked.order[:, -1]]).mean())
    top = ", ".join(f"{score:.3f} (#{row})" for score, row in zip(best[:4].tolist(), ranked.picked(0)))
    says = [
        phrase("best_of", predictions.per_source, top + (" ..." if predictions.groups > 4 else "")),
        phrase("over_last", f"{gap:.3f}") if predictions.per_source > 1 else None,
    ]
    fidelity = ranked.fidelity[rows].tolist() if ranked.fidelity is not None else None
    return make_report(
        says,
        [ranked.warning],
        order=rows,
        scores=ranked.scores[rows].tolist(),
        clip=ranked.cosines[rows].tolist(),
        fidelity=fidelity,
        seeds=[first_seed + row for row in rows],
        per_source=predictions.per_source,
        sources=predictions.groups,
        pick=pick,
    )


@dataclass(frozen=True)
class Results:
    """The node's outputs. A missing input blocks only the nodes connected to the outputs that need
    it.
    """

    images: torch.Tensor
    best: torch.Tensor
    latent: object
    scores: list[float]
    order: list[int]
    masks: object
    seeds: list[int]
    best_latent: object


def collect(
    images: torch.Tensor,
    latent: dict | None,
    predictions: Predictions,
    ranked: Ranking,
    keep: int,
    pick: int,
    first_seed: int,
) -> Results:
    """Images, latents, masks, scores, order and seeds of the kept predictions, all in the same
    order, and images and latents of the picked ones.
    """
    rows, picked = ranked.kept(keep), ranked.picked(pick)
    no_latent = blocked_output(f"{NODE}: its latent outputs need the latent input; connect the sampler's LATENT there.")
    no_mask = blocked_output(f"{NODE}: its masks output needs the mask input; connect a MASK there.")
    return Results(
        images[rows],
        images[picked],
        take_latent(latent, rows) if latent is not None else no_latent,
        ranked.scores[rows].tolist(),
        rows,
        predictions.masks[rows] if predictions.masks is not None else no_mask,
        [first_seed + row for row in rows],
        take_latent(latent, picked) if latent is not None else no_latent,
    )
