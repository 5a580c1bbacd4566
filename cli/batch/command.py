"""`run.py batch`: check everything, run the remaining rows, and write table, contact sheet and
summary.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from ..arguments import DEMO_CHECKPOINT
from ..console import Problem, deliver, say
from ..edit import find_checkpoint, picture_side
from ..environment import Environment
from ..run_folder import RunFolder, base_directory
from ..server import device_of
from . import contact, fingerprint, ray_engine, summary
from .arguments import SETTINGS
from .comfy import Comfy, Place
from .engines import run_here
from .plan import TEXTS, WORKFLOW, Plan
from .planning import make_templates
from .progress import Report, clock
from .rows import Row, read_job
from .store import Store
from .worker import Outcome, Worker, failed

SHARDED_FROM = 10_000
"""Number of rows above which a job spreads its images over 256 folders."""
REFRESH, SHARE = 60.0, 20.0
"""Minimum seconds between two writes of the table while rows run, and that minimum as a multiple of
the last write's duration.
"""


def batch_command(options: argparse.Namespace, environment: Environment) -> dict[str, Any]:
    output = options.output.absolute()
    rows = read_job(options.job.absolute(), output)
    say(f"{len(rows)} row{'s' if len(rows) != 1 else ''} in {options.job}")
    base = base_directory(environment, options)
    cpu = options.cpu or device_of(environment) == "cpu"
    on_ray = uses_ray(options, cpu)
    store, folder = Store(output), RunFolder(base)
    try:
        document = {} if options.check and not output.exists() else store.hold()
        checkpoints = find_checkpoints(options, rows, base)
        place = make_place(options, environment, base, cpu, checkpoints)
        # With Ray this process only checks the rows, so that the actors can use all GPUs.
        comfy = Comfy(
            place if not on_ray else Place(place.comfyui, place.base, place.checkpoints, True, 1), folder.path
        )
        plan = make_plan(options, rows, comfy, place, checkpoints)
        problems = {row.key: reason for row in rows if (reason := plan.check(row))}
        for number, (key, reason) in enumerate(problems.items()):
            if number < 20:
                say(f"row {next(row.number for row in rows if row.key == key)} cannot run: {reason}")
        if len(problems) > 20:
            say(f"... and {len(problems) - 20} more rows cannot run")
        if options.check:
            say(f"{len(rows) - len(problems)} of {len(rows)} rows can run; nothing was run")
            return {"rows": len(rows), "can_run": len(rows) - len(problems), "problems": list(problems.values())}
        run = begin(options, store, document, rows, plan, comfy)
        return go(options, store, rows, problems, plan, comfy, run, on_ray, folder)
    finally:
        store.close()
        folder.remove()


def uses_ray(options: argparse.Namespace, cpu: bool) -> bool:
    """Whether Ray runs the job: if requested, or with several workers if it is installed."""
    wanted = options.ray is not None or (options.workers or 1) > 1
    if options.no_ray or not wanted:
        return False
    if ray_engine.available():
        return True
    if options.ray is not None:
        raise Problem(f'--ray needs Ray. Install it with\n    {sys.executable} -m pip install "ray[data]" pyarrow')
    say(
        "Ray is not installed, so one worker is used; for several, install it with "
        f'`{sys.executable} -m pip install "ray[data]"`'
    )
    return False


def find_checkpoints(options: argparse.Namespace, rows: list[Row], base: Path) -> dict[str, tuple[str, Path | None]]:
    """(name, file) of every checkpoint that the job or an option gives."""
    default = [options.checkpoint or DEMO_CHECKPOINT] if not options.workflow or options.checkpoint else []
    given = {str(row.values["checkpoint"]) for row in rows if "checkpoint" in row.values}
    return {name: find_checkpoint(name, base) for name in sorted({*given, *default})}


def make_place(options, environment, base: Path, cpu: bool, checkpoints: dict) -> Place:
    folders = {
        str(file.parent) for given, (_, file) in checkpoints.items() if file and Path(given).expanduser().is_file()
    }
    # The same number with and without Ray, because the number of threads changes rounding.
    threads = options.threads or (max(1, (os.cpu_count() or 1) // (options.workers or 1)) if cpu else None)
    return Place(str(environment.comfyui), str(base), tuple(sorted(folders)), cpu, threads)


def make_plan(options: argparse.Namespace, rows: list[Row], comfy: Comfy, place: Place, checkpoints: dict) -> Plan:
    defaults: dict[str, Any] = (
        {} if options.workflow else {"method": "diffedit", "checkpoint": DEMO_CHECKPOINT, "seed": 0}
    )
    for name in ("method", "checkpoint", *TEXTS, *SETTINGS):
        if getattr(options, name) is not None:
            defaults[name] = getattr(options, name)
    templates, targets = make_templates(options, rows, defaults, comfy)
    known = comfy.folders.get_filename_list("checkpoints")
    usable = {
        given: (name, side_of(options, comfy, name, file))
        for given, (name, file) in checkpoints.items()
        if name in known
    }
    if not options.workflow and defaults["checkpoint"] not in usable and not usable:
        raise Problem(
            f"--checkpoint {defaults['checkpoint']} is neither a file nor a checkpoint that ComfyUI knows. It knows: "
            f"{', '.join(known) or 'none'}."
        )
    job = options.job.absolute()
    return Plan(
        place=place,
        folder=job if job.is_dir() else job.parent,
        beside=Path.cwd(),
        defaults=defaults,
        templates=templates,
        targets=targets,
        checkpoints=usable,
        result=options.result,
        convention=options.convention,
        lpips=options.lpips,
        clip_model=options.clip_model,
        sharded=len(rows) > SHARDED_FROM,
    )


def side_of(options: argparse.Namespace, comfy: Comfy, name: str, file: Path | None) -> int:
    """The working size of a checkpoint, or --size."""
    path = file or comfy.folders.get_full_path("checkpoints", name)
    return options.size or picture_side(name, Path(path) if path else None)


def begin(options, store: Store, document: dict, rows: list[Row], plan: Plan, comfy: Comfy) -> dict[str, Any]:
    """Compare with the earlier run of this folder, repair the state after a crash, and write
    job.json.
    """
    names = ("defaults", "convention", "lpips", "clip_model", "result")
    chosen = {name: getattr(plan, name) for name in names}
    settings = {**chosen.pop("defaults"), **{name: value for name, value in chosen.items() if value is not None}}
    for name, graph in plan.templates.items():
        settings[f"graph of {name}"] = fingerprint.digest_of(graph)[:16]
    if options.workflow:
        settings |= {"map": sorted(options.map), "set": sorted(options.set)}
    named: dict[str, Path] = {}
    for graph in plan.templates.values():
        named |= comfy.model_files(graph)
    if WORKFLOW not in plan.templates:
        used = {plan.values(row).get("checkpoint") for row in rows}
        named = {name: path for name, path in named.items() if name not in dict(plan.checkpoints.values())}
        names_used = {plan.checkpoints[given][0] for given in plan.checkpoints if given in used}
        named |= comfy.model_files({"used": {"inputs": {name: name for name in names_used}}})
    models = fingerprint.model_digests(named, document.get("models", {}))
    run = fingerprint.fingerprint(rows, settings, models)
    store.read_journal()
    changes = store.changes(document, run, rows)
    if changes and not options.allow_change:
        raise Problem(
            f"{store.folder} contains another run: {'; '.join(changes)}. Choose another --output, or add "
            "--allow-change to continue this run: finished rows that did not change are kept."
        )
    for change in changes:
        say(f"continuing although {change}")
    details = {"models": models, "versions": versions(), "job": str(options.job), "sharded": plan.sharded}
    store.begin(document, run, details)
    prints = [*document.get("fingerprints", []), run["fingerprint"]]
    store.repair(rows, prints)
    if store.repaired or store.lost:
        say(f"repaired: {store.repaired} images had no line in the journal; {store.lost} lines had no complete image")
    plan.fingerprint = run["fingerprint"]
    return run


def versions() -> dict[str, str]:
    import torch
    from comfyui_version import __version__ as comfyui

    return {"comfyui": comfyui, "torch": torch.__version__, "python": sys.version.split()[0]}


def go(options, store, rows, problems, plan, comfy, run, on_ray, folder) -> dict[str, Any]:
    """Run the remaining rows and write the results."""
    began = time.monotonic()
    left = store.left(rows, options.retry_failed)
    report = Report(store.folder / "progress.jsonl", store.counts(rows), options.progress == "json")
    table = Table(store, rows)

    def take(outcome: Outcome) -> None:
        known = store.ended[outcome.key][0] if outcome.key in store.ended else ""
        report.take(store.commit(outcome), known)
        table.refresh()

    counts = report.counts
    say(f"{counts['done']} done, {counts['failed']} failed, {len(left)} to run in {store.folder}")
    try:
        for row in left:
            if row.key in problems:
                take(failed(row, "check", problems[row.key]))
        able = [row for row in left if row.key not in problems]
        able.sort(key=lambda row: (str(plan.values(row).get("checkpoint")), plan.template(row), row.number))
        if able and on_ray:
            run_ray(options, plan, able, take)
        elif able:
            run_here(Worker(plan, folder.path, comfy), able, take)
    finally:
        report.end()
    return finish(options, store, rows, plan, run, time.monotonic() - began)


def run_ray(options, plan: Plan, rows: list[Row], take) -> None:
    workers = ray_engine.connect(options.ray, options.workers, plan.place.cpu)
    workers = min(workers, len(rows))
    say(f"Ray: {workers} worker{'s' if workers != 1 else ''}, each with its own ComfyUI")
    try:
        ray_engine.run_on_ray(plan, rows, workers, take)
    finally:
        ray_engine.disconnect()


class Table:
    """Rewrites the table of metrics at intervals while rows run."""

    def __init__(self, store: Store, rows: list[Row]):
        self.store, self.rows, self.last, self.took = store, rows, time.monotonic(), 0.0

    def refresh(self) -> None:
        now = time.monotonic()
        if now - self.last > max(REFRESH, SHARE * self.took):
            self.store.write_table(self.rows)
            self.last = time.monotonic()
            self.took = self.last - now


def finish(options, store: Store, rows: list[Row], plan: Plan, run: dict, seconds: float) -> dict[str, Any]:
    table = store.write_table(rows)
    records = list(store.records(rows))
    chosen = contact.choose(records)
    by_key = {record["key"] for record in chosen}
    sources = {row.key: path for row in rows if row.key in by_key for path in list(plan.files(row).values())[:1]}
    contact.sheet(store.folder, chosen, sources)
    counts = store.counts(rows)
    page = summary.write(store.folder, options.job.name, counts, records, run, table)
    say(f"{counts['done']} done, {counts['failed']} failed, {counts['left']} left after {clock(seconds)}")
    for path in (table, page):
        deliver(str(path))
    return {**counts, "table": str(table), "summary": str(page), "seconds": round(seconds, 3)}
