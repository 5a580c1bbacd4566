"""PIE-Bench and PIE-Bench++ with their official columns, over the pack's methods or any folder of
edits.

``python run.py bench pie-bench FOLDER --checkpoint NAME [--methods diffedit edict]`` edits every
row with the pack's nodes; ``--edited FOLDER`` measures pictures of another tool. FOLDER is the
user's copy of PIE-Bench (mapping_file.json beside annotation_images) or of PIE-Bench++ (parquet,
needs pyarrow).

``--out`` gets rows.csv (a line per row and method), means.csv (by category and over all), table.md,
protocol.json and, if the pack edits, the pictures. A second run continues; a row that failed has
its error in rows.csv and is tried again in the next run. Columns whose weights are not given are
left out, with a note. The VAE alone (method ``vae``) is measured in the same convention as the
upper limit.
"""

import argparse
import csv
import math
import pathlib
import sys
import time

import numpy as np
import torch
from PIL import Image

from lab import common, methods, pie_columns, pie_rows, protocol
from lab.records import CsvRecords

FIELDS = ("method", "key", "category", *pie_columns.OFFICIAL, "evaluations", "seconds", "mask_iou", "seed")
DEFAULT = ("vae", "diffedit", "blended", "edict", "flowedit")


# ---- results ----


def summarise(results: CsvRecords, names: list[str], folder: pathlib.Path) -> dict[str, dict]:
    """Write means.csv and table.md; returns the means over all rows by method."""
    totals, lines = {}, []
    for name in names:
        records = results.good(method=name)
        totals[name] = pie_columns.means(records)
        groups = {"all": records} | {
            str(category): [row for row in records if int(row["category"]) == category]
            for category in sorted({int(row["category"]) for row in records})
        }
        lines += [{"method": name, "category": group} | pie_columns.means(chosen) for group, chosen in groups.items()]
    with (folder / "means.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["method", "category", *pie_columns.OFFICIAL, "rows", "nan_rows"])
        writer.writeheader()
        writer.writerows(lines)
    (folder / "table.md").write_text(pie_columns.table(totals) + "\n", encoding="utf-8")
    return totals


# ---- a row ----


def edit_row(editor: methods.Editor, name: str, row: pie_rows.Row, settings, path: pathlib.Path) -> dict:
    """Edit a row and write its picture; returns the record's evaluations, seconds and mask_iou."""
    picture, _ = row.picture()
    mask = row.mask[None]
    if settings.size != pie_rows.SIDE:
        picture = resized(picture, settings.size)
        mask = torch.nn.functional.interpolate(mask[None], (settings.size,) * 2, mode="area")[0]
    result = editor.run(name, methods.Task(picture, row.source, row.target, mask, settings.seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (255 * result.picture[0]).round().byte().numpy()
    Image.fromarray(pixels).resize((pie_rows.SIDE,) * 2, Image.Resampling.LANCZOS).save(path)
    overlap = math.nan
    if result.mask is not None:
        overlap = common.iou(result.mask[0] > 0.5, mask[0] > 0.5)
    return {"evaluations": result.evaluations, "seconds": result.seconds, "mask_iou": overlap}


def resized(picture: torch.Tensor, side: int) -> torch.Tensor:
    """A picture [1, H, W, 3] resized to [1, side, side, 3] by Lanczos, in 8 bits."""
    image = Image.fromarray((255 * picture[0]).round().byte().numpy())
    return torch.from_numpy(np.array(image.resize((side, side), Image.Resampling.LANCZOS))).float()[None] / 255


def measure_row(columns: pie_columns.Columns, row: pie_rows.Row, file: pathlib.Path) -> tuple[dict, bool]:
    """The official columns of an edit's file, and whether a picture had to be resized."""
    (source, source_resized), (edited, edited_resized) = row.picture(), pie_rows.read_edit(file)
    return columns.measure(source, edited, row.mask, (row.source, row.target)), source_resized or edited_resized


def run_row(bench: "Bench", name: str, row: pie_rows.Row) -> dict:
    """The record of a row; an error is recorded in it."""
    record = {"method": name, "key": row.key, "category": row.category, "seed": bench.settings.seed}
    try:
        if name not in methods.METHODS:
            file, costs = pie_rows.find_edit(bench.settings.edited, row), {}
            if file is None:
                raise ValueError(f"no edit of {row.image_path}")
        else:
            path = pathlib.PurePosixPath(row.image_path).with_suffix(".png")
            file = bench.settings.out / name / "annotation_images" / path
            costs = edit_row(bench.editor, name, row, bench.settings, file)
        columns, was_resized = measure_row(bench.columns, row, file)
        bench.resized += was_resized
        return record | costs | columns
    except (ValueError, OSError, RuntimeError) as error:
        return record | {"error": f"{type(error).__name__}: {error}"}


class Bench:
    """A run over rows and methods."""

    def __init__(self, settings):
        common.load_pack()
        self.settings, self.resized = settings, 0
        self.source, self.rows = pie_rows.read(settings.folder, settings.categories)
        self.rows = self.rows[: settings.rows] if settings.rows else self.rows
        self.columns = pie_columns.Columns(settings.dino, settings.clip, settings.peak)
        self.editor = load_editor(settings) if settings.checkpoint else None
        self.names = [settings.label, *(["vae"] if self.editor else [])] if settings.edited else settings.methods
        settings.out.mkdir(parents=True, exist_ok=True)
        self.protocol = protocol.of_pie_bench(self)
        protocol.check_same(settings.out / "protocol.json", self.protocol, "pie-bench")
        self.results = CsvRecords(settings.out / "rows.csv", FIELDS, ("method", "key"), ("category", "seed"))

    def run(self) -> dict[str, dict]:
        """Edit and measure all rows that are not done; returns the means by method."""
        todo = [(name, row) for row in self.rows for name in self.names if not self.results.is_done(name, row.key)]
        started = time.perf_counter()
        for number, (name, row) in enumerate(todo, 1):
            record = run_row(self, name, row)
            self.results.add(record)
            spent = (time.perf_counter() - started) / 60
            outcome = record.get("error") or f"{spent:.1f} min"
            print(f"{number} of {len(todo)}: {name} {row.key}, {outcome}", file=sys.stderr, flush=True)
        totals = summarise(self.results, self.names, self.settings.out)
        failed = [
            record_with_error
            for record_with_error in self.results.failed()
            if record_with_error["method"] in self.names
        ]
        self.protocol["result"] = {
            "rows": len(self.rows),
            "resized_pictures_in_this_run": self.resized,
            "rows_with_errors": len(failed),
            "nan_rows": {name: values["nan_rows"] for name, values in totals.items()},
        }
        common.write_json(self.settings.out / "protocol.json", self.protocol)
        return totals

    def report(self, totals: dict[str, dict]) -> str:
        """The table, and notes on missing columns and failed rows."""
        lines = [f"{self.source}, {len(self.rows)} rows", "", pie_columns.table(totals), ""]
        reasons: dict[str, list[str]] = {}
        for name, why in self.columns.left_out.items():
            reasons.setdefault(why, []).append(name)
        lines += [f"- left out: {', '.join(names)}: {why}" for why, names in reasons.items()]
        errors = self.protocol["result"]["rows_with_errors"]
        lines += [f"- {errors} rows failed; rows.csv has the reasons, and another run tries them again"] * bool(errors)
        return "\n".join([*lines, f"- protocol: {self.settings.out / 'protocol.json'}"])


def load_editor(settings) -> methods.Editor:
    chosen = methods.Settings(settings.steps, settings.strength, settings.cfg, settings.exact_cfg)
    return methods.load_editor(settings.checkpoint, chosen)


# ---- the command line ----


def category_numbers(texts: list[str]) -> list[int]:
    """``["1", "4-7"]`` as numbers."""
    numbers: list[int] = []
    for text in texts:
        first, _, last = text.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            raise ValueError(f"--categories got {text!r}; expected numbers from 0 to 9, or ranges such as 4-7")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=common.user_path, help="PIE-Bench's or PIE-Bench++'s folder")
    parser.add_argument("--methods", nargs="+", choices=list(methods.METHODS), default=list(DEFAULT))
    parser.add_argument(
        "--edited",
        type=common.user_path,
        help="measure only: a folder of edits by any tool; with --checkpoint also the VAE alone",
    )
    parser.add_argument("--label", help="name of the tool that made them (default: the folder's name)")
    parser.add_argument("--checkpoint", help="a checkpoint's file, or its name in ComfyUI's folder")
    parser.add_argument("--categories", nargs="+", help="numbers from 0 to 9, or ranges such as 4-7 (default: all)")
    parser.add_argument("--rows", type=int, help="only the first rows")
    parser.add_argument("--out", type=common.user_path, default="pie-bench", help="folder of the results")
    parser.add_argument("--dino", type=common.user_path, help="DINO ViT-B/8 weights, for the structure distance")
    parser.add_argument("--clip", help="a CLIP ViT-L/14 folder, or a name below models/clip_rank")
    parser.add_argument(
        "--peak", type=float, default=255.0, help="value of white in DINO's input: 255 as published tables, or 1"
    )
    parser.add_argument("--size", type=int, default=pie_rows.SIDE, help="side in pixels at which the model edits")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--strength", type=float, default=0.8, help="encode ratio")
    parser.add_argument("--cfg", type=float, default=7.5, help="guidance of edits")
    parser.add_argument("--exact-cfg", type=float, default=3.0, help="guidance of exact inversions and their edits")
    parser.add_argument("--seed", type=int, default=0, help="seed of every row")
    return parser


def main(argv: list[str] | None = None) -> dict:
    parser = arguments()
    settings = parser.parse_args(argv)
    if not settings.edited and not settings.checkpoint:
        parser.error("give --checkpoint to edit with, or --edited with a folder to measure")
    if settings.edited and not settings.edited.is_dir():
        parser.error(f"{settings.edited} is no folder")
    settings.label = settings.label or (settings.edited.resolve().name if settings.edited else None)
    if settings.label in methods.METHODS:
        parser.error(f"{settings.label} is the name of a method of the pack; give another --label")
    try:
        settings.categories = category_numbers(settings.categories) if settings.categories else None
        bench = Bench(settings)
    except ValueError as error:
        raise SystemExit(f"pie-bench: {error}") from error
    totals = bench.run()
    print(bench.report(totals))
    return totals


if __name__ == "__main__":
    main()
