"""AlignToSource: align the result of any editor with its source, and find the region that
changed.
"""

import json
import math

import torch

from ...core.errors import NodeError
from ...core.pictures import alignment
from ...core.pictures.layout import bchw_to_bhwc, bhwc_to_bchw
from ...core.pictures.registration import LEAST_AGREEMENT, UNCERTAIN_COLOURS, Registration, most_uncertain, register
from ...host import progress
from ...host.reports import make_report, phrase
from ..pictures import broadcast, masks_of_pictures, read_pictures

COLOURS = ("gain and offset", "smooth field", "off")
LEAST_SIDE = 32
"""Minimum length of both sides of both images, in pixels."""


def align_to_source(image, edited, colour: str, threshold: float, grow: int, mask=None):
    """The aligned images (IMAGE), the mask of changes (MASK), and the report.

    Raises:
        NodeError: images that are too small, numbers of images or masks that do not match, or an
            edit that cannot be aligned with its source.
    """
    source, edited = read_pictures(image), read_pictures(edited)
    for name, picture in (("image", source), ("edited", edited)):
        if min(picture.shape[1:3]) < LEAST_SIDE:
            raise NodeError(
                f"got {name} of {picture.shape[2]} x {picture.shape[1]} pixels; expected at least {LEAST_SIDE} x "
                f"{LEAST_SIDE}; use larger images."
            )
    count = len(edited)
    source = bhwc_to_bchw(broadcast("source images", source, count, "edited images"))
    edited = bhwc_to_bchw(edited)
    size = (source.shape[-2], source.shape[-1])
    allowed = None if mask is None else masks_of_pictures(mask, size, count, "edited images")
    bar = progress.Progress(count * (4 + alignment.bands(size[0])))
    pictures, masks, entries = [], [], []
    for k in range(count):
        item_mask = None if allowed is None else allowed[k]
        aligned, changed, entry = _align_one(
            source[k], edited[k], item_mask, colour, threshold, grow, bar, k if count > 1 else None
        )
        pictures.append(aligned)
        masks.append(changed)
        entries.append(entry)
    return bchw_to_bhwc(torch.stack(pictures)), torch.stack(masks), _report(entries, allowed is not None)


def _align_one(source, edited, allowed, colour: str, threshold: float, grow: int, bar, number: int | None):
    registration = register(source, edited, allowed, colour == "smooth field")
    bar.advance(3)
    _require_match(registration, (source.shape[-2], source.shape[-1]), number)
    if colour == "off":
        registration = registration.without_colour()
    aligned, reached = alignment.align(source, edited, registration, bar.advance)
    changed = alignment.changed_region(source, aligned, reached, threshold, grow)
    before, after = alignment.colour_errors(source, edited, registration, changed)
    entry = _numbers(registration, (source.shape[-2], source.shape[-1])) | {
        "delta_e_before": before,
        "delta_e_after": after,
        "changed": float(changed.mean()),
        "reached": float(reached.float().mean()),
        "changed_outside": None,
    }
    if allowed is not None:
        inside = (allowed > 0).float()
        entry["changed_outside"] = float((changed * (1 - inside)).mean())
        changed = changed * inside
    bar.advance()
    return aligned, changed, entry


def _require_match(registration: Registration, size: tuple[int, int], number: int | None) -> None:
    fault, which = registration.fault(size), "" if number is None else f"image {number + 1}: "
    agreement = f"{registration.agreement:.0%}"
    advice = "or connect a mask of the edited region, so that only the rest is compared."
    if fault == "other":
        raise NodeError(
            f"{which}the edited image matches the source in {agreement} of the area that can be compared; expected at "
            f"least {LEAST_AGREEMENT:.0%}. Connect an edit of this image that is not mirrored or rotated, {advice}"
        )
    if fault == "repeats":
        raise NodeError(
            f"{which}the edited image matches the source in {agreement} of the area that can be compared, but it "
            "matches a mirrored or rotated source as well, because the matching parts are repetitive or symmetric, "
            "such as tiles; expected more unique content. Connect an edit of this image that is not mirrored or "
            f"rotated, {advice}"
        )
    if fault == "loose":
        raise NodeError(
            f"{which}the images have too little in common: the alignment is accurate to only "
            f"{registration.uncertainty:.1f} px at the corners; expected {most_uncertain(size):.1f} px or better. "
            "Connect an edit that leaves more of the image unchanged, such as edges in two directions, "
            f"{advice}"
        )


def _numbers(registration: Registration, size: tuple[int, int]) -> dict[str, float | bool]:
    right, down = registration.offset(size)
    across, along = registration.matrix[0, 0], registration.matrix[1, 0] * size[0] / size[1]
    return {
        "right": right,
        "down": down,
        "scale": registration.scale,
        "turned": math.degrees(math.atan2(float(along), float(across))),
        "agreement": registration.agreement,
        "advantage": registration.advantage,
        "uncertainty": registration.uncertainty,
        "placed_roughly": registration.is_uncertain(size),
        "colour_uncertainty": registration.colour_uncertainty,
    }


def _report(entries: list[dict], has_mask: bool) -> dict:
    first = entries[0]
    says = [
        phrase(
            "aligned",
            f"{first['right']:+.2f}",
            f"{first['down']:+.2f}",
            f"{100 * first['scale']:.2f} %",
            f"{first['uncertainty']:.2f}",
        ),
        phrase("changed_picture", f"{sum(entry['changed'] for entry in entries) / len(entries):.1%}"),
    ]
    if first["delta_e_before"] is not None:
        says.insert(1, phrase("colour_error", f"{first['delta_e_before']:.1f}", f"{first['delta_e_after']:.1f}"))
    warnings = []
    worst = max(entry["uncertainty"] for entry in entries)
    if any(entry["placed_roughly"] for entry in entries):
        warnings.append(phrase("align_uncertain", f"{worst:.1f}"))
    worst = max(entry["colour_uncertainty"] for entry in entries)
    if worst > UNCERTAIN_COLOURS:
        warnings.append(phrase("colours_uncertain", f"{worst:.1f}"))
    least = min(entry["reached"] for entry in entries)
    if least < 0.999:
        says.append(phrase("align_covers", f"{least:.1%}"))
    if has_mask and (outside := max(entry["changed_outside"] for entry in entries)) > 0.001:
        warnings.append(phrase("changed_outside", f"{outside:.1%}"))
    return make_report(says, warnings, pictures=entries)


def alignment_to_json(report: dict) -> str:
    """The report as JSON text."""
    return json.dumps({"text": report["text"], "warning": report["warning"], "pictures": report["pictures"]}, indent=1)
