"""The options of `run.py batch`. Standard library only."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..arguments import METHODS, add_running, bounded

DESCRIPTION = """\
Run many edits, one per row of JOB, and go on where an earlier run of the same job stopped.

JOB is a CSV, JSONL or Parquet file with one edit per row, or a folder of pictures with one --source and
--target for all. Columns: id, image, source, target, mask, method, checkpoint, and the settings seed, strength,
threshold, steps, cfg, size. A column named NODE.INPUT, such as Mask.noises, sets that input of the method's
graph. Pictures are looked for beside the job file, then in the current folder. Options give the value for rows
that have none.
"""
CONVENTIONS = ("region", "PIE-Bench")
NETS = ("squeeze", "alex", "vgg", "none")
SETTINGS = {
    "seed": bounded(int, 0, 2**64 - 1),
    "strength": bounded(float, 0.0, 1.0),
    "threshold": bounded(float, 0.0, 1.0),
    "steps": bounded(int, 1, 10000),
    "cfg": bounded(float, 0.0, 100.0),
    "size": bounded(int, 104, 4096),
}
"""Settings of an edit by name, each with its argparse type."""


def add_batch(commands) -> None:
    batch = commands.add_parser(
        "batch",
        help="run thousands of edits, resumable, on one machine or a cluster",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = batch.add_argument
    add("job", type=Path, metavar="JOB", help="a .csv, .jsonl or .parquet file, or a folder of pictures")
    add(
        "--output",
        type=Path,
        default=Path("semantic-edit-batch"),
        metavar="DIR",
        help="folder of the run (default: %(default)s); the same command with the same folder goes on with it",
    )
    add_edit_defaults(batch)
    add_workflow(batch)
    add_engine(batch)
    add_measures(batch)
    add("--retry-failed", action="store_true", help="run the rows again that failed before")
    add(
        "--allow-change",
        action="store_true",
        help="go on although the job, a setting, a model or the pack changed: rows that are done and did not change "
        "themselves stay as they are",
    )
    add("--check", action="store_true", help="check the job and every row, and run nothing")
    add_running(batch)


def add_edit_defaults(batch) -> None:
    group = batch.add_argument_group("values for rows that have none")
    add = group.add_argument
    add("--source", metavar="TEXT", help="what the pictures show now")
    add("--target", metavar="TEXT", help="what they should show")
    add("--method", choices=METHODS, help="default: diffedit")
    add("--checkpoint", metavar="NAME", help="a name that ComfyUI knows, or a file")
    for name, kind in SETTINGS.items():
        add(f"--{name}", type=kind, metavar="N", help=f"as for `run.py edit`: {name}")


def add_workflow(batch) -> None:
    group = batch.add_argument_group("another workflow than the methods'")
    add = group.add_argument
    add("--workflow", type=Path, metavar="FILE", help="run this workflow, of the editor or the API, for every row")
    add(
        "--map",
        action="append",
        default=[],
        metavar="COLUMN=NODE.INPUT",
        help="put a column into an input; NODE is an id or a title; may be repeated. image, mask, source and target "
        "are placed by themselves where the workflow has nodes of the pack's titles",
    )
    add("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="set an input for all rows")
    add("--result", metavar="NODE", help="the SaveImage that saves the edit, by id or title, where there are several")


def add_engine(batch) -> None:
    group = batch.add_argument_group("where it runs")
    add = group.add_argument
    add(
        "--workers",
        type=bounded(int, 1, 4096),
        metavar="N",
        help="copies of ComfyUI, each with the model loaded (default: one per GPU, one on the CPU); more than one "
        "needs Ray",
    )
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="run through Ray Data: of the cluster at ADDRESS (such as auto), or without ADDRESS on this machine",
    )
    add("--no-ray", action="store_true", help="run in one process although Ray is installed")
    add("--threads", type=bounded(int, 1, 1024), metavar="N", help="CPU threads of each worker")
    add(
        "--progress",
        choices=("line", "json"),
        default="line",
        help="what stderr shows: a line, or a JSON object per line (always in progress.jsonl of the run's folder)",
    )


def add_measures(batch) -> None:
    group = batch.add_argument_group("measures, by Edit Metrics")
    add = group.add_argument
    add("--convention", choices=CONVENTIONS, default="region", help="default: %(default)s")
    add("--lpips", choices=NETS, default="squeeze", help="LPIPS network; left out where its files are missing")
    add("--clip-model", metavar="NAME", help="a CLIP folder that CLIPRankModelLoader knows, for the CLIP scores")
