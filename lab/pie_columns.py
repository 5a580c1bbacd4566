"""The columns of PIE-Bench's tables, in the convention of its script (Ju et al. 2024).

Both pictures are black inside the annotated mask, whose outermost rows and columns are set first;
PSNR, MSE, SSIM and LPIPS are computed over the full frame. A row whose mask covers everything has
NaN in these columns and does not count in the means.
"""

import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from . import common, dino, weights

OUTSIDE = ("psnr_unedit_part", "lpips_unedit_part", "mse_unedit_part", "ssim_unedit_part")
CLIP = ("clip_similarity_source_image", "clip_similarity_target_image", "clip_similarity_target_image_edit_part")
OFFICIAL = ("structure_distance", *OUTSIDE, *CLIP)
"""Column names in the script."""
PRINTED = {
    "structure_distance": ("structure x10^3", 1e3),
    "psnr_unedit_part": ("PSNR", 1.0),
    "lpips_unedit_part": ("LPIPS x10^3", 1e3),
    "mse_unedit_part": ("MSE x10^4", 1e4),
    "ssim_unedit_part": ("SSIM x10^2", 1e2),
    "clip_similarity_source_image": ("CLIP source", 1.0),
    "clip_similarity_target_image": ("CLIP whole", 1.0),
    "clip_similarity_target_image_edit_part": ("CLIP edited", 1.0),
}
"""Heading and factor of each column in published tables."""


class Columns:
    """Measures a row. ``left_out`` maps the missing columns to their requirements; ``files``
    describes the weights in use.

    Args:
        dino_file: DINO ViT-B/8 weights.
        clip_folder: a Hugging Face CLIP ViT-L/14 folder, or a name below models/clip_rank.
        peak: the value of white for DINO, 255 in published tables (see :meth:`dino.Dino.prepare`).
    """

    def __init__(self, dino_file: pathlib.Path | None = None, clip_folder: str | None = None, peak: float = 255.0):
        self.metrics, self.peak = common.pack_module("core.pictures.metrics"), peak
        self.resize = common.pack_module("core.pictures.ranking").resize_square
        self.left_out: dict[str, str] = {}
        self.files: dict[str, dict] = {}
        self.dino = None
        self.scorer: Any = None
        if dino_file:
            self.dino = dino.load(dino_file)
            self.files["dino"] = weights.describe("dino", dino_file)
        else:
            self.left_out["structure_distance"] = f"needs --dino with {weights.needed('dino')}"
        if clip_folder:
            self.scorer = load_clip(clip_folder)
            self.files["clip"] = describe_clip(clip_folder)
        else:
            self.left_out |= {name: f"needs --clip, a folder with {weights.needed('clip')}" for name in CLIP}
        lpips = common.pack_module("host.lpips")
        why = lpips.missing("squeeze")
        self.lpips = None if why else lpips.load_lpips("squeeze")
        if why:
            self.left_out["lpips_unedit_part"] = why
        else:
            file = lpips.find_file("squeeze")
            self.files["lpips"] = {"file": file.name, "sha256": weights.digest(file)}

    def measure(
        self, source: torch.Tensor, edited: torch.Tensor, mask: torch.Tensor, texts: tuple[str, str]
    ) -> dict[str, float]:
        """All columns of one row; NaN for those left out.

        Args:
            source, edited: [1, 512, 512, 3] in 0..1, in steps of 1/255.
            mask: [512, 512], the annotation.
            texts: the source's and the target's.
        """
        regions = self.metrics.regions_of(mask[None], "PIE-Bench")
        outside, inside = regions["outside"], regions["inside"]
        columns = dict.fromkeys(OFFICIAL, math.nan)
        for name in ("psnr", "mse", "ssim"):
            columns[f"{name}_unedit_part"] = float(getattr(self.metrics, name)(source, edited, outside, "PIE-Bench"))
        if self.lpips is not None and bool(outside.any()):
            outside_pictures = (self.metrics.masked(picture, outside) for picture in (source, edited))
            columns["lpips_unedit_part"] = float(self.lpips(*outside_pictures))
        if self.dino is not None:
            columns["structure_distance"] = float(self.dino.structure_distance(source, edited, self.peak))
        if self.scorer is not None:
            columns |= self.clip_scores(source, edited, inside, texts)
        return columns

    def clip_scores(self, source, edited, inside, texts: tuple[str, str]) -> dict[str, float]:
        """The three CLIP columns of one row."""
        pictures = torch.cat([source, edited, self.metrics.masked(edited, inside)])
        embedded = self.scorer.embed_pictures(self.resize(pictures, self.scorer.image_size))
        words = [self.scorer.embed_text(text) for text in texts]
        return dict(zip(CLIP, self.metrics.clip_score(embedded, torch.stack([words[0], words[1], words[1]])).tolist()))


def load_clip(folder: str):
    """A CLIP by the path of its folder, or by its name below models/clip_rank."""
    place = common.user_path(folder)
    if place.is_dir():
        import folder_paths

        folder_paths.add_model_folder_path("clip_rank", str(place.resolve().parent))
        folder = place.resolve().name
    return common.pack_module("host.clip_folder").load_clip_folder(folder)


def describe_clip(folder: str) -> dict:
    """File name and hash of a CLIP's weights, for the protocol."""
    place = common.user_path(folder)
    place = place if place.is_dir() else common.pack_module("host.clip_folder").list_folders()[folder]
    files = [place / name for name in ("model.safetensors", "pytorch_model.bin") if (place / name).is_file()]
    return weights.describe("clip", files[0]) if files else {"file": place.name}


def means(records: Iterable[dict], columns: Sequence[str] = OFFICIAL) -> dict[str, float]:
    """The mean of every column, ``rows``, and ``nan_rows``: the rows whose mask covers
    everything.
    """
    records = list(records)
    averages: dict[str, float] = {name: common.mean(record[name] for record in records) for name in columns}
    return averages | {"rows": len(records), "nan_rows": sum(math.isnan(row["psnr_unedit_part"]) for row in records)}


def table(groups: dict[str, dict[str, float]]) -> str:
    """Markdown: one line per group with its means, scaled as in published tables."""
    headings = ["method", *(heading for heading, _ in PRINTED.values()), "rows", "NaN rows"]
    lines = [
        [
            name,
            *(
                "-" if math.isnan(values[column]) else f"{factor * values[column]:.2f}"
                for column, (_, factor) in PRINTED.items()
            ),
            str(values["rows"]),
            str(values["nan_rows"]),
        ]
        for name, values in groups.items()
    ]
    return common.markdown_table(headings, lines)
