"""EditMetrics: all metrics of a batch of edits, their means, and reasons for skipped metrics."""

import json
import math
from dataclasses import dataclass

import torch

from ...core.errors import NodeError
from ...core.masks.matching import SPATIAL_RATIOS, match_mask
from ...core.pictures import metrics
from ...core.pictures.ranking import resize_square
from ...host import lpips
from ...host.reports import make_report, phrase
from ..pictures import broadcast, masks_of_pictures, plain_masks, read_pictures

NAMES = tuple(f"{name}_{side}" for side in ("outside", "inside") for name in ("psnr", "ssim", "mse", "lpips")) + (
    "clip_whole",
    "clip_inside",
    "mask_iou",
)


@dataclass(frozen=True)
class Case:
    """Checked inputs of one length N: images [N, H, W, 3], masks [N, H, W]."""

    source: torch.Tensor
    edited: torch.Tensor
    mask: torch.Tensor
    other_mask: torch.Tensor | None


def together(named: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Repeat batches of one to the length of the longest.

    Raises:
        ValueError: two lengths that are neither 1 nor equal, with both in the message.
    """
    sizes = {name: len(batch) for name, batch in named.items()}
    longest = max(sizes, key=lambda name: sizes[name])
    return {
        name: broadcast(f"items of {name}", batch, sizes[longest], f"items of {longest}")
        for name, batch in named.items()
    }


def read_case(source, edited, mask, other_mask=None) -> Case:
    """Check the inputs and match their sizes and numbers.

    Raises:
        ValueError: images of two sizes, or numbers that do not match.
    """
    source, edited = read_pictures(source), read_pictures(edited)
    if source.shape[1:3] != edited.shape[1:3]:
        sizes = [f"{picture.shape[2]} x {picture.shape[1]}" for picture in (source, edited)]
        raise NodeError(
            f"got a source of {sizes[0]} pixels and an edit of {sizes[1]}; give both the same size (encoding crops "
            "both sides to a multiple of 8 for most VAEs)."
        )
    given = {"mask": mask} if other_mask is None else {"mask": mask, "other_mask": other_mask}
    masks = {name: _fit(drawn, source, edited) for name, drawn in given.items()}
    fitted = together({"source": source, "edited": edited, **masks})
    return Case(fitted["source"], fitted["edited"], fitted["mask"], fitted.get("other_mask"))


def _fit(mask: torch.Tensor, source: torch.Tensor, edited: torch.Tensor) -> torch.Tensor:
    """Masks at the size of the images, one per image, or any number for one pair of images."""
    size, count = tuple(source.shape[1:3]), max(len(source), len(edited))
    if count == 1:
        return match_mask(plain_masks(mask), size, SPATIAL_RATIOS)
    return masks_of_pictures(mask, size, count, can_be_video=len(source) == len(edited))


def measure(case: Case, text: str = "", scorer=None, net: str = "squeeze") -> dict:
    """Under ``values``, by convention and name, a tensor [N]; under ``left_out`` the reason for
    each skipped metric.
    """
    results, left_out = {}, {}
    why_not = "LPIPS is switched off" if net == "none" else lpips.missing(net)
    if not why_not and min(case.source.shape[1:3]) < lpips.SMALLEST:
        why_not = f"LPIPS needs images of at least {lpips.SMALLEST} x {lpips.SMALLEST} pixels"
    distance = None if why_not else lpips.load_lpips(net)
    for convention in metrics.CONVENTIONS:
        values = metrics.distances(case.source, case.edited, case.mask, convention)
        for side, region in metrics.regions_of(case.mask, convention).items():
            if distance is None:
                left_out["lpips"] = why_not
                continue
            value = distance(metrics.masked(case.source, region), metrics.masked(case.edited, region))
            values[f"lpips_{side}"] = torch.where(region.flatten(1).any(1), value, torch.nan)
        results[convention] = values
    for name, value in clip_scores(case, text, scorer, left_out).items():
        for convention in metrics.CONVENTIONS:
            results[convention][name] = value[convention] if isinstance(value, dict) else value
    if case.other_mask is None:
        left_out["mask_iou"] = "the mask IoU needs a second mask; connect other_mask"
    else:
        for values in results.values():
            values["mask_iou"] = metrics.mask_iou(case.mask, case.other_mask)
    if not bool((case.mask > 0.5).flatten(1).any(1).all()):
        left_out["inside"] = "a mask is empty, so its image has no values inside"
    if bool((case.mask > 0.5).flatten(1).all(1).any()):
        left_out["outside"] = "a mask covers everything, so its image has no values outside"
    return {"values": results, "left_out": left_out}


def clip_scores(case: Case, text: str, scorer, left_out: dict) -> dict:
    """CLIPScore of the whole edit, and by convention of the edit with black outside the mask. For
    PIE-Bench the border of the image counts as inside.
    """
    if scorer is None or not text.strip():
        left_out["clip"] = (
            "CLIP scores need a text"
            if scorer is not None
            else "CLIP scores need clip_rank_model (or clip and clip_vision) and a text"
        )
        return {}
    words, size = scorer.embed_text(text), scorer.image_size

    def score(pictures: torch.Tensor) -> torch.Tensor:
        return metrics.clip_score(scorer.embed_pictures(resize_square(pictures, size)), words)

    inside = {convention: metrics.regions_of(case.mask, convention)["inside"] for convention in metrics.CONVENTIONS}
    scores = {
        convention: torch.where(region.flatten(1).any(1), score(metrics.masked(case.edited, region)), torch.nan)
        for convention, region in inside.items()
    }
    return {"clip_whole": score(case.edited), "clip_inside": scores}


def mean(values: torch.Tensor | None) -> float:
    """The mean of the finite values; NaN if there are none."""
    kept = values[~values.isnan()] if values is not None else torch.empty(0)
    return float(kept.double().mean()) if len(kept) else math.nan


def means(results: dict, convention: str) -> list[float]:
    """The mean of every metric over the batch, in the order of ``NAMES``; NaN for skipped
    metrics.
    """
    return [mean(results["values"][convention].get(name)) for name in NAMES]


def plain_numbers(results: dict) -> dict:
    """All metrics as plain numbers: means and single values of both conventions, None for values
    that could not be measured, and the reasons for skipped metrics.
    """

    def plain(value: float):
        return None if math.isnan(value) else value

    result = {"left_out": results["left_out"]}
    for convention, values in results["values"].items():
        result[convention] = {
            name: {"mean": plain(mean(rows)), "each": [plain(row) for row in rows.tolist()]}
            for name, rows in values.items()
        }
    return result


def describe_metrics(results: dict, convention: str) -> dict:
    """The report: phrases with the means of one convention, and all numbers."""
    values = dict(zip(NAMES, means(results, convention)))
    says = [
        phrase("outside_metrics", f"{values['psnr_outside']:.2f}", f"{values['ssim_outside']:.4f}")
        if not math.isnan(values["psnr_outside"])
        else None,
        phrase("inside_metrics", f"{values['psnr_inside']:.2f}") if not math.isnan(values["psnr_inside"]) else None,
    ]
    says += [
        phrase(name, f"{values[name]:.3f}")
        for name in ("lpips_outside", "clip_inside", "mask_iou")
        if not math.isnan(values[name])
    ]
    missing = [why for why in results["left_out"].values() if "switched off" not in why]
    says += [phrase("left_out", "; ".join(missing))] if missing else []
    return make_report(says, convention=convention, **plain_numbers(results))


def metrics_to_json(report: dict) -> str:
    """The report as one JSON text."""
    words = "text", "warning", "says", "warnings"
    return json.dumps({key: value for key, value in report.items() if key not in words}, indent=1)
