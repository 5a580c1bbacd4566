"""Reports of nodes about their runs, as phrases with values.

The editor shows the phrases in its language (``locales/<language>/main.json``,
``semanticEditReports``); logs and other programs get the English text. A *warning* is a separate
phrase: the run succeeded, but its result is probably not the wanted one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PHRASES = {
    "steps": "{0} steps",
    "noise_std": "noise std {0}",
    "drift": "drift {0}",
    "round_trip_error": "round trip error {0}",
    "far_from_noise": "far from noise, so edits will be poor: try mixing {0}, less guidance, or fewer steps.",
    "other_weights": "the weights are not those of the inversion, so even the same text makes another picture.",
    "other_wrappers": "the model's patches or wrappers are not those of the inversion, so even the same text may make "
    "another picture.",
    "far_from_noise_otherwise": "far from noise, so edits will be poor: try less guidance, a lower strength, "
    "or another number of steps.",
    "outgrown": "the values outgrew what doubles hold exactly, so the picture comes back only nearly.",
    "without_step_cache": "asked without {0}, which would answer with earlier steps",
    "changed": "changed {0} of the latent, kept the rest exactly",
    "moved": "moved the latent by {0} of its size",
    "not_moved": "source and target make the model predict the same, so nothing was changed; "
    "give two texts that differ in what should change.",
    "levels_from": "{0} steps from the {1} ({2} here do not count)",
    "part_of_steps": "{0} of {1} steps",
    "noise_left": "noise is left (sigma {0}): connect this latent as noisy_latent of the next Latent Blend Sampler, "
    "with the source as its latent",
    "mask_stages": "may change {0}, at last {1} of the latent",
    "mask_covers": "mask covers {0}",
    "same_texts": "source and target make the model predict the same, so the mask is empty; "
    "give two texts that differ in what should change.",
    "other_picture_size": "the picture in the conditioning is {0} latent cells, the latent {1}, so the edit may be "
    "shifted; "
    "encode the picture that went into the conditioning.",
    "mask_empty_threshold": "a mask is empty; lower the threshold, or use normalisation min-max.",
    "mask_empty_unchanged": "a mask is empty, so its picture is unchanged.",
    "mask_empty_nothing": "a mask is empty, so nothing will change.",
    "mask_empty_source": "the mask is empty, so the source was given back.",
    "mask_empty_drawn": "the mask is empty, so the whole picture was drawn to the source, the edit as well.",
    "mask_full": "the mask covers everything, so there is no background to restore.",
    "no_background_weight": "the background weight is 0, so there was nothing to do.",
    "hardly_improved": "the background hardly improved in {0} passes; take more steps.",
    "no_background": "no background",
    "background": "background {0} to {1} dB",
    "background_mismatch": "outside the mask the edit does not match the source ({0} dB apart from the level); "
    "connect an edit of this very picture, in its place.",
    "edit_scaled": "the edit was scaled from {0} to {1}",
    "source_scaled": "the source was scaled from {0} to {1}",
    "aligned": "moved by {0}, {1} px, scale {2}, corners to within {3} px",
    "colour_error": "colours {0} to {1} Delta E",
    "changed_picture": "changed {0} of the picture",
    "changed_outside": "{0} of the picture changed outside the given mask, which the mask of changes leaves out.",
    "align_covers": "reaches {0} of the source, which fills the rest",
    "align_uncertain": "placed only to within {0} px at the corners: little that is alike holds the pictures in place.",
    "crops": "crops: {0} of {1}, from {2}",
    "crop_scaled": "to be edited at {0} (x {1})",
    "stitched": "stitched {0}, at most {1} of the picture changed",
    "passes": "{0} passes",
    "no_longer_improving": "no longer improving",
    "inside": "inside kept to {0} dB",
    "outside_metrics": "outside {0} dB, SSIM {1}",
    "inside_metrics": "inside {0} dB",
    "lpips_outside": "LPIPS outside {0}",
    "clip_inside": "CLIP inside {0}",
    "mask_iou": "IoU of the masks {0}",
    "left_out": "left out: {0}",
    "best_of": "best of {0}: {1}",
    "over_last": "{0} over the last",
    "text_cut": "the text is longer than the {0} tokens that CLIP reads; the rest is not seen.",
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
