"""Trade-off curves of editing methods as in DiffEdit's paper (Couairon et al. 2023, figures 4 to
7): realism and match with the text against the distance to the input.

``python run.py bench curves --images FOLDER --edits FILE --checkpoint NAME`` measures a user's
model on a user's pictures; FILE is CSV, a JSON list or JSON lines with ``image``, ``target`` and
optionally ``source`` and ``class``. ``--things N`` takes N held-out edits of the demo world, with
its own model and judge.

Each method makes every edit at each value of the varied setting: the encode ratio (default), or
DiffEdit's threshold, number of noises or mask strength. ``--out`` gets records.csv (a line per
edit), points.csv, curves.png, curves.svg, protocol.json and the pictures. A second run continues.

- lpips, rmse, psnr: distance to the input over the whole picture;
- clip: CLIPScore of the edit with the target's text (``--clip``);
- fid: realism, against ``--real`` or the inputs, with Inception's features (``--inception``) or
  with those of ``--clip`` (the output says which); fid_by_class: its mean over the classes;
- accepted, background: share that the judge accepts and PSNR in dB outside the thing (``--things``
  only).
"""

import argparse
import csv
import math
import pathlib
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from lab import common, edit_sets, fid, methods, pie_columns, plots, protocol, weights
from lab.compute import add_dtype, compute_in
from lab.records import CsvRecords

VARIED = {
    "strength": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "threshold": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    "noises": (1, 2, 4, 7, 10),
    "mask_strength": (0.2, 0.35, 0.5, 0.65, 0.8),
}
"""Settings that can be varied, with their values without --values."""
DEFAULT = {"strength": ("diffedit", "encode-decode", "sdedit")}
WORDS = {
    "strength": "encode ratio",
    "threshold": "threshold of the mask",
    "noises": "noises of the mask",
    "mask_strength": "noise strength of the mask",
}
PER_EDIT = ("lpips", "rmse", "psnr", "clip", "accepted", "background", "evaluations", "seconds")
PER_POINT = (*PER_EDIT, "fid", "fid_by_class")
THINGS = "semantic-edit-demo.safetensors"
LABELS = {
    "lpips": "LPIPS to the input (less: closer)",
    "rmse": "RMSE to the input (less: closer)",
    "clip": "CLIPScore with the target",
    "fid": "FID (less: more real)",
    "fid_by_class": "FID by class (less: more real)",
    "accepted": "share that the judge accepts",
    "background": "background PSNR in dB",
}


class Meter:
    """Measures edits; ``left_out`` maps the missing columns to the reasons."""

    def __init__(self, clip: str | None):
        lpips = common.pack_module("host.lpips")
        self.metrics, self.resize = (
            common.pack_module("core.pictures.metrics"),
            common.pack_module("core.pictures.ranking").resize_square,
        )
        self.left_out = {"lpips": why} if (why := lpips.missing("squeeze")) else {}
        self.lpips = None if self.left_out else lpips.load_lpips("squeeze")
        self.scorer: Any = pie_columns.load_clip(clip) if clip else None
        if not clip:
            self.left_out["clip"] = f"needs --clip, such as a folder with {weights.needed('clip')}"

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """CLIP's embeddings [N, D] of pictures [N, H, W, 3]."""
        return self.scorer.embed_pictures(self.resize(pictures.float(), self.scorer.image_size))

    def measure(self, edit: edit_sets.Edit, before: torch.Tensor, after: torch.Tensor) -> dict[str, float]:
        whole = torch.ones(before.shape[:3])
        error = float(self.metrics.mse(before, after, whole))
        values = {"rmse": math.sqrt(error), "psnr": float(self.metrics.psnr(before, after, whole))}
        if self.lpips is not None:
            values["lpips"] = float(self.lpips(before, after))
        if self.scorer is not None:
            words = self.scorer.embed_text(edit.target)
            values["clip"] = float(self.metrics.clip_score(self.features(after), words))
        return values | edit.judge(after)


class Bench:
    """The edits, the methods and the results of a run."""

    def __init__(self, settings):
        self.settings, self.name = settings, settings.vary
        chosen = methods.Settings(settings.steps, 0.8, settings.cfg, noises=settings.noises)
        self.editor = methods.load_editor(settings.checkpoint, chosen)
        self.editor.model = compute_in(self.editor.model, settings.dtype)
        self.meter = Meter(settings.clip)
        self.edits = sources(settings)
        self.tasks = [(method, value) for method in settings.methods for value in settings.values]
        settings.out.mkdir(parents=True, exist_ok=True)
        self.fid, self.fid_kind, why = choose_fid(settings.inception, self.meter)
        self.left_out = self.meter.left_out | ({"fid": why} if why else {})
        fixed = {
            "varied": self.name,
            "data": "the world of things" if settings.things else settings.edits.name,
            "seed": settings.seed,
            "longest_side": settings.longest,
            "dtype": settings.dtype,
            "fid_features": self.fid_kind,
            "model": protocol.of_model(self.editor, settings.checkpoint),
        }
        written = {"fixed": fixed, "left_out": self.left_out, "versions": protocol.versions()}
        protocol.check_same(settings.out / "protocol.json", written, "curves")
        fields = ("method", "value", "key", *PER_EDIT)
        self.records = CsvRecords(settings.out / "records.csv", fields, ("method", "value", "key"))

    def file(self, method: str, value: float, key: str) -> pathlib.Path:
        return self.settings.out / "pictures" / method / f"{self.name} {value:g}" / f"{key}.png"

    def run_one(self, edit: edit_sets.Edit, method: str, value: float) -> dict:
        """Edit, write the picture, and measure the written file."""
        record = {"method": method, "value": value, "key": edit.key}
        try:
            before = edit.picture()
            fields = {self.name: int(value) if self.name == "noises" else value}
            self.editor.settings = replace(self.editor.settings, **fields)
            outcome = self.editor.run(method, methods.Task(before, edit.source, edit.target, seed=self.settings.seed))
            path = self.file(method, value, edit.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = (255 * outcome.picture[0]).round().byte()
            Image.fromarray(pixels.numpy()).save(path)
            measured = self.meter.measure(edit, before, pixels[None].float() / 255)
            return record | measured | {"evaluations": outcome.evaluations, "seconds": outcome.seconds}
        except (ValueError, OSError) as error:
            return record | {"error": f"{type(error).__name__}: {error}"}

    def run(self) -> list[dict]:
        started = time.perf_counter()
        for number, edit in enumerate(self.edits, 1):
            for method, value in self.tasks:
                if not self.records.is_done(method, value, edit.key):
                    self.records.add(self.run_one(edit, method, value))
            minutes = (time.perf_counter() - started) / 60
            print(f"{number} of {len(self.edits)} edits, {minutes:.1f} min", file=sys.stderr, flush=True)
        points = [self.point(method, value) for method, value in self.tasks]
        with (self.settings.out / "points.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ("method", "value", "edits", *PER_POINT))
            writer.writeheader()
            writer.writerows(points)
        plots.save(panels(points, self.settings.values, self.name), self.settings.out / "curves")
        return points

    def point(self, method: str, value: float) -> dict:
        """Means over the edits, and FID of all of them together."""
        records = self.records.good(method=method, value=value)
        means = {"method": method, "value": value, "edits": len(records)}
        means |= {name: common.mean(record[name] for record in records) for name in PER_EDIT}
        means |= {"fid": math.nan, "fid_by_class": math.nan}
        if self.fid is None:
            return means
        done = {record["key"] for record in records}
        made: dict[str, list[torch.Tensor]] = {}
        for edit in self.edits:
            if edit.key in done:
                made.setdefault(edit.kind, []).append(read(self.file(method, value, edit.key)))
        real = self.real()
        everything = [[picture for pictures in group.values() for picture in pictures] for group in (real, made)]
        means["fid"] = fid.distance(self.fid, *everything)
        means["fid_by_class"] = fid.by_class(self.fid, real, {kind: made[kind] for kind in made if kind})
        return means

    def real(self) -> dict[str, list[torch.Tensor]]:
        """The pictures that FID compares with, by class: --real, a perfect editor's pictures, or
        the inputs.
        """
        if not hasattr(self, "_real"):
            if self.settings.real:
                self._real = edit_sets.real_pictures(self.settings.real, self.settings.longest)
            elif self.settings.things:
                self._real = edit_sets.real_things(self.settings.things, self.settings.seed)
            else:
                self._real = {"": [edit.picture()[0] for edit in self.edits]}
        return self._real


def read(path: pathlib.Path) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).float() / 255


def sources(settings) -> list[edit_sets.Edit]:
    if settings.things:
        return edit_sets.of_things(settings.things, settings.seed)
    edits = edit_sets.of_files(settings.images, settings.edits, settings.longest)
    return edits[: settings.rows] if settings.rows else edits


def choose_fid(inception: pathlib.Path | None, meter: Meter):
    """(torchmetrics' FID, the name of its features, why there is none)."""
    if inception:
        return fid.inception(inception), "Inception", ""
    if why := fid.missing(False):
        return None, "none", why
    if meter.scorer is None:
        return None, "none", f"needs --inception with {weights.needed('inception')}, or --clip for CLIP's features"
    return fid.of_clip(meter.scorer), "the CLIP of --clip, not Inception", ""


def panels(points: list[dict], values: list[float], name: str) -> list[plots.Panel]:
    """Match and realism against the distance to the input, with the values noted at the points."""
    distance = "rmse" if all(math.isnan(point["lpips"]) for point in points) else "lpips"
    labels = list(dict.fromkeys(methods.METHODS[point["method"]].label for point in points))
    made = []
    for across, up in ((distance, "clip"), ("clip", "fid"), ("background", "accepted")):
        curves = {
            label: [
                (point[across], point[up], f"{point['value']:g}")
                for point in points
                if methods.METHODS[point["method"]].label == label
            ]
            for label in labels
        }
        if any(math.isfinite(x) and math.isfinite(y) for curve in curves.values() for x, y, _ in curve):
            made.append(plots.Panel(LABELS[across], LABELS[up], curves, f"Numbers at the points: {WORDS[name]}"))
    return made


def report(bench: Bench, points: list[dict]) -> str:
    columns = [name for name in PER_POINT if any(math.isfinite(point[name]) for point in points)]
    formats = {"accepted": "{:.0%}", "evaluations": "{:.0f}", "rmse": "{:.3f}", "lpips": "{:.3f}"}
    rows = [
        [methods.METHODS[point["method"]].label, f"{point['value']:g}", point["edits"]]
        + ["-" if math.isnan(point[name]) else formats.get(name, "{:.2f}").format(point[name]) for name in columns]
        for point in points
    ]
    lines = [common.markdown_table(["method", bench.name, "edits", *columns], rows), ""]
    if bench.fid is not None:
        lines.append(f"- FID with the features of {bench.fid_kind}")
    lines += [f"- left out: {name}: {why}" for name, why in bench.left_out.items()]
    failed = len(bench.records.failed())
    lines += [f"- {failed} edits failed; records.csv has the reasons, and another run tries them again"] * bool(failed)
    return "\n".join(lines)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = common.user_path
    parser.add_argument("--images", type=path, help="folder of the pictures that --edits names")
    parser.add_argument("--edits", type=path, help="CSV, JSON or JSON lines: image, target, source, class")
    parser.add_argument("--things", type=int, help="this many held-out edits of the demo world instead")
    parser.add_argument("--checkpoint", help="a checkpoint's file, or its name in ComfyUI's folder")
    parser.add_argument("--methods", nargs="+", choices=[name for name in methods.METHODS if name != "vae"])
    parser.add_argument("--vary", choices=list(VARIED), default="strength", help="strength is the encode ratio")
    parser.add_argument("--values", nargs="+", type=float)
    parser.add_argument("--real", type=path, help="pictures that FID compares with; subfolders are classes")
    parser.add_argument("--inception", type=path, help="Inception's weights, for FID")
    parser.add_argument("--clip", help="a CLIP's folder, or its name below models/clip_rank")
    parser.add_argument("--longest", type=int, default=512, help="longest side of a user's pictures")
    parser.add_argument("--rows", type=int, help="only the first edits")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--noises", type=int, default=10, help="noises of DiffEdit's mask")
    parser.add_argument("--cfg", type=float, default=7.5)
    parser.add_argument("--seed", type=int, default=0)
    add_dtype(parser)
    parser.add_argument("--out", type=path, default="curves", help="folder of the results")
    return parser


def main(argv: list[str] | None = None) -> list[dict]:
    parser = arguments()
    settings = parser.parse_args(argv)
    if bool(settings.things) == bool(settings.images and settings.edits):
        parser.error("give --images and --edits, or --things")
    if settings.things:
        settings.checkpoint = settings.checkpoint or THINGS
        settings.clip = settings.clip or str(common.PACK / "models" / "clip_rank" / "semantic-edit-demo")
    if not settings.checkpoint:
        parser.error("give --checkpoint")
    settings.methods = settings.methods or list(DEFAULT.get(settings.vary, ("diffedit",)))
    settings.values = settings.values or list(VARIED[settings.vary])
    try:
        bench = Bench(settings)
    except ValueError as error:
        raise SystemExit(f"curves: {error}") from error
    points = bench.run()
    print(report(bench, points))
    common.write_json(settings.out / "points.json", common.without_nan(points))
    return points


if __name__ == "__main__":
    main()
