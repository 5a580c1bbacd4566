"""The options of `run.py batch`. Standard library only."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..arguments import METHODS, add_running, bounded

DESCRIPTION = """\
Run many edits, one per row of JOB. A stopped run of the same job resumes.

JOB is a CSV, JSONL or Parquet file with one edit per row, or a folder of images with one --source and
--target for all. Columns: id, image, source, target, mask, method, checkpoint, and the settings seed, strength,
threshold, steps, cfg, size. A column named NODE.INPUT, such as Mask.noises, sets that input of the method's
graph. Images are searched next to the job file, then in the current folder. Options are the defaults of rows
without a value.
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
    add("job", type=Path, metavar="JOB", help="a .csv, .jsonl or .parquet file, or a folder of images")
    add(
        "--output",
        type=Path,
        default=Path("semantic-edit-batch"),
        metavar="DIR",
        help="folder of the run (default: %(default)s); the same command with the same folder resumes it",
    )
    add_edit_defaults(batch)
    add_workflow(batch)
    add_engine(batch)
    add_measures(batch)
    add("--retry-failed", action="store_true", help="run failed rows again")
    add(
        "--allow-change",
        action="store_true",
        help="resume although the job, a setting, a model or the pack changed; finished rows that did not change "
        "themselves are kept",
    )
    add("--check", action="store_true", help="check the job and every row without running it")
    add_running(batch)


def add_edit_defaults(batch) -> None:
    group = batch.add_argument_group("defaults of rows without a value")
    add = group.add_argument
    add("--source", metavar="TEXT", help="text that describes the images")
    add("--target", metavar="TEXT", help="text that describes the desired images")
    add("--method", choices=METHODS, help="default: diffedit")
    add("--checkpoint", metavar="NAME", help="name of a checkpoint in ComfyUI, or a file")
    for name, kind in SETTINGS.items():
        add(f"--{name}", type=kind, metavar="N", help=f"{name}, as for `run.py edit`")


def add_workflow(batch) -> None:
    group = batch.add_argument_group("own workflow")
    add = group.add_argument
    add(
        "--workflow",
        type=Path,
        metavar="FILE",
        help="run this workflow, saved by the editor or exported for the API, for every row",
    )
    add(
        "--map",
        action="append",
        default=[],
        metavar="COLUMN=NODE.INPUT",
        help="set an input from a column; NODE is an id or a title; may be repeated. The columns image, mask, source "
        "and target are mapped automatically if the workflow uses the node titles of this pack",
    )
    add("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="set an input for all rows")
    add("--result", metavar="NODE", help="id or title of the SaveImage node that saves the edit, if there are several")


def add_engine(batch) -> None:
    group = batch.add_argument_group("execution")
    add = group.add_argument
    add(
        "--workers",
        type=bounded(int, 1, 4096),
        metavar="N",
        help="ComfyUI processes, each with the model loaded (default: one per GPU, one on the CPU); more than one "
        "needs Ray",
    )
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="run with Ray Data, on the cluster at ADDRESS (e.g. auto) or, without ADDRESS, on this machine",
    )
    add("--no-ray", action="store_true", help="run in one process even if Ray is installed")
    add("--threads", type=bounded(int, 1, 1024), metavar="N", help="CPU threads of each worker")
    add(
        "--progress",
        choices=("line", "json"),
        default="line",
        help="format on stderr: a status line, or one JSON object per line (also written to progress.jsonl)",
    )


def add_measures(batch) -> None:
    group = batch.add_argument_group("measurements (Edit Metrics)")
    add = group.add_argument
    add("--convention", choices=CONVENTIONS, default="region", help="default: %(default)s")
    add("--lpips", choices=NETS, default="squeeze", help="LPIPS network; skipped if its files are missing")
    add("--clip-model", metavar="NAME", help="CLIP folder in models/clip_rank, for the CLIP scores")
