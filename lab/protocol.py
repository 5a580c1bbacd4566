"""The protocol of a measurement: data, settings, model, weights and versions, for comparison with
published numbers.
"""

import importlib.metadata
import json
import pathlib
import subprocess
from typing import Any

from . import common, methods, weights

CONVENTION = {
    "mask": "flat [start, length, ...] runs, from 0, row by row over 512 x 512; then the first and last row and column "
    "are set",
    "outside": "both pictures black inside the mask, mean over the full frame; NaN where the mask covers everything, "
    "and the mean is over the rest",
    "psnr": "peak 1, at most 100 dB (the official script gives infinity for identical pictures)",
    "ssim": "Gaussian window of 11, sigma 1.5, peak 1, mirrored border",
    "lpips": "squeeze",
    "structure": "MSE of the cosine self-similarity of the keys of layer 11 of DINO ViT-B/8 at 224 x 224, "
    "bilinear with antialiasing",
    "clip": "100 x cosine, at least 0; edited: black outside the mask; bicubic to the model's size, rounded to 8 bit",
    "other_sizes": "an edit that is not square: its right lower 512 x 512; another size: Lanczos to 512 x 512",
}


def pack_version() -> str:
    """The repository's commit, or the version if it is not a git checkout."""
    done = subprocess.run(
        ["git", "-C", str(common.PACK), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    if done.returncode == 0:
        return done.stdout.strip()
    return next(
        line.split('"')[1]
        for line in (common.PACK / "pyproject.toml").read_text(encoding="utf-8").splitlines()
        if line.startswith("version")
    )


def versions() -> dict[str, str]:
    """Versions of all packages involved; missing packages are left out."""
    known = {"semantic-edit": pack_version(), **common.versions()}
    for package in ("torchmetrics", "torchvision", "transformers", "Pillow"):
        try:
            known[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return known


def of_model(editor: methods.Editor, checkpoint: str) -> dict[str, Any]:
    """The checkpoint, its dtypes, and the settings of the methods."""
    path = methods.find_checkpoint(checkpoint)
    return {
        "checkpoint": path.name,
        "sha256": weights.digest(path),
        "model_dtype": str(editor.model.model.get_dtype()),
        "vae_dtype": str(editor.demo.vae.vae_dtype),
        "settings": vars(editor.settings) | {"flow_cfg": list(editor.settings.flow_cfg)},
    }


def of_pie_bench(bench) -> dict[str, Any]:
    """The protocol of a run of benchmarks/pie_bench.py. ``fixed`` must not change when a run is
    continued.
    """
    settings, editor = bench.settings, bench.editor
    edits = {
        name: {
            "method": methods.METHODS[name].label if name in methods.METHODS else "made by another tool",
            "annotated_mask_is_an_input": methods.METHODS[name].uses_annotation
            if name in methods.METHODS
            else "not known",
        }
        for name in bench.names
    }
    fixed: dict[str, Any] = {
        "data": bench.source,
        "peak_in_front_of_dino": settings.peak,
        "weights": bench.columns.files,
        "left_out": bench.columns.left_out,
    }
    if editor:
        fixed |= {"model": of_model(editor, settings.checkpoint), "seed": settings.seed, "edited_at": settings.size}
    rows: dict[str, int] = {}
    for row in bench.rows:
        rows[str(row.category)] = rows.get(str(row.category), 0) + 1
    return {
        "fixed": fixed,
        "methods": edits,
        "rows_by_category": rows,
        "convention": CONVENTION,
        "annotated_mask_as_an_input": "without the border that the measures set",
        "versions": versions(),
    }


def check_same(path: pathlib.Path, protocol: dict, name: str) -> None:
    """Write a protocol, unless the file's has other fixed entries.

    Raises:
        SystemExit: a fixed entry differs; the message names it.
    """
    if path.is_file():
        before, now = json.loads(path.read_text(encoding="utf-8"))["fixed"], json.loads(json.dumps(protocol["fixed"]))
        changed = sorted(key for key in before | now if before.get(key) != now.get(key))
        if changed:
            raise SystemExit(
                f"{name}: {path.parent} holds results of another {' and '.join(changed)}; give another --out"
            )
    common.write_json(path, protocol)
