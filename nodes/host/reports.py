"""Reports of nodes about their runs, as phrases with values.

The editor shows the phrases in its language (``locales/<language>/main.json``,
``semanticEditReports``); logs and other programs get the English text. A *warning* is a phrase
about a run that succeeded but probably did not give the desired result.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PHRASES = {
    "steps": "{0} steps",
    "noise_std": "noise std {0}",
    "drift": "drift {0}",
    "round_trip_error": "round-trip error {0}",
    "far_from_noise": "the result is far from noise, so edits will be poor; try mixing {0}, lower guidance, "
    "or fewer steps.",
    "other_weights": "the model weights differ from those of the inversion, so even the same text gives another image.",
    "other_wrappers": "the patches or wrappers of the model differ from those of the inversion, so even the "
    "same text may give another image.",
    "far_from_noise_otherwise": "the result is far from noise, so edits will be poor; try lower guidance, a lower "
    "strength, or another number of steps.",
    "outgrown": "the values exceeded the exact range of float64, so the round trip is only approximate.",
    "without_step_cache": "{0} disabled, to avoid predictions of earlier steps",
    "changed": "edited {0} of the latent, the rest is unchanged",
    "moved": "moved the latent by {0} of its norm",
    "not_moved": "the predictions for source and target are equal, so nothing was changed; use two "
    "texts that differ in what should change.",
    "levels_from": "{0} steps from {1}; not used: {2}",
    "part_of_steps": "{0} of {1} steps",
    "noise_left": "the result still contains noise (sigma {0}): connect this latent to noisy_latent of "
    "the next Latent Blend Sampler, and the source to its latent",
    "mask_stages": "stages may change {0}, the last {1} of the latent",
    "mask_covers": "mask covers {0}",
    "same_texts": "the predictions for source and target are equal, so the mask is empty; use two texts "
    "that differ in what should change.",
    "other_picture_size": "the image in the conditioning has {0} latent cells and the latent {1}, so the edit "
    "may be shifted; encode the image that is in the conditioning.",
    "mask_empty_threshold": "a mask is empty; lower the threshold, or use normalisation min-max.",
    "mask_empty_unchanged": "a mask is empty, so its image is unchanged.",
    "mask_empty_nothing": "a mask is empty, so nothing will change.",
    "mask_empty_source": "the mask is empty, so the result is the source.",
    "mask_empty_drawn": "the mask is empty, so the whole image was optimised towards the source, including the edit.",
    "mask_full": "the mask covers everything, so there is no background to restore.",
    "no_background_weight": "the background weight is 0, so nothing was optimised.",
    "hardly_improved": "the background improved little in {0} passes; use more steps.",
    "no_background": "no background",
    "background": "PSNR of the background {0} dB before, {1} dB after",
    "background_mismatch": "outside the mask the edit does not match the source ({0} dB after removing the "
    "difference in level); connect an edit of this image, at the same position.",
    "edit_scaled": "the edit was scaled from {0} to {1}",
    "source_scaled": "the source was scaled from {0} to {1}",
    "aligned": "shift {0}, {1} px, scale {2}, corners accurate to {3} px",
    "colour_error": "colour error {0} Delta E before, {1} after",
    "changed_picture": "{0} of the image changed",
    "changed_outside": "{0} of the image changed outside the given mask; the mask of changes excludes this part.",
    "align_covers": "the edit covers {0} of the source; the rest is filled from the source",
    "align_uncertain": "the alignment is accurate to only {0} px at the corners, because the images have "
    "little in common.",
    "colours_uncertain": "the colours are accurate to only {0} Delta E, because the images have little in common.",
    "crops": "crops: {0}, {1} each, from {2}",
    "crop_scaled": "scaled to {0} (x {1})",
    "stitched": "crops inserted: {0}, at most {1} of the image changed",
    "passes": "{0} passes",
    "no_longer_improving": "stopped, because the background no longer improved",
    "inside": "PSNR inside {0} dB, compared with the edit before tuning",
    "outside_metrics": "outside PSNR {0} dB, SSIM {1}",
    "inside_metrics": "inside PSNR {0} dB",
    "lpips_outside": "LPIPS outside {0}",
    "clip_inside": "CLIP inside {0}",
    "mask_iou": "mask IoU {0}",
    "left_out": "left out: {0}",
    "best_of": "best of {0}: {1}",
    "over_last": "{0} above the last",
    "text_cut": "the text is longer than the {0} tokens that CLIP reads; the rest is ignored.",
}
"""English texts by key, with values as {0}, {1}."""


@dataclass(frozen=True)
class Phrase:
    """An entry of ``PHRASES`` with its values."""

    key: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return PHRASES[self.key].format(*self.values)

    def to_json(self) -> dict:
        return {"key": self.key, "values": list(self.values), "text": str(self)}


def phrase(key: str, *values) -> Phrase:
    """A phrase with its values as text."""
    return Phrase(key, tuple(map(str, values)))


def make_report(says: Sequence[Phrase | str | None], warnings: Sequence[Phrase | str | None] = (), **numbers) -> dict:
    """A report for the editor and the log.

    Args:
        says: what the run did. None is skipped; a str (a name, an untranslated note) is shown
            unchanged.
        warnings: probable problems with the result; shown in amber, logged as warnings.
        numbers: anything else, JSON.

    Returns:
        ``text`` (English, with the warnings), ``warning`` (English, "" without one), ``says`` and
        ``warnings`` (phrases as {key, values, text}, or str), and ``numbers``.
    """
    said, warned = ([item for item in items if item] for items in (says, warnings))
    text, warning = ", ".join(map(str, said)), " ".join(map(str, warned))
    return {
        "text": f"{text}. {warning}" if text and warning else text or warning,
        "warning": warning,
        "says": list(map(_to_json, said)),
        "warnings": list(map(_to_json, warned)),
        **numbers,
    }


def _to_json(item: Phrase | str) -> dict | str:
    return item.to_json() if isinstance(item, Phrase) else item
