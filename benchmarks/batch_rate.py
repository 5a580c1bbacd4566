"""Throughput of `run.py batch`, its cost besides the edits, and whether its memory stays constant.

    python run.py bench batch_rate --parts overhead memory rate --json batch.json

- ``overhead``: CPU seconds per row of each part of the engine except the edit, on 512-pixel
  pictures, with a workflow that only loads and saves a picture;
- ``scale``: memory and time of a job of many rows besides its edits;
- ``memory``: resident memory of one process over ``--rows`` rows of such a workflow;
- ``rate``: rows per minute with 1 and more workers, and of the same rows sent one by one to a
  ComfyUI server;
- ``batching``: seconds and pixels of rows as one batch and one by one.

CPU seconds are those of this process and do not depend on the machine's load; rates do.
"""

import argparse
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import psutil
from PIL import Image

from benchmarks.batch_together import batching
from lab import common

CHECKPOINT = "semantic-edit-demo.safetensors"
EMPTY = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}, "_meta": {"title": "Image"}},
    "2": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "x"},
        "_meta": {"title": "Edited picture"},
    },
}
"""A workflow without an edit: its cost is that of the engine alone."""


def make_job(folder: pathlib.Path, rows: int, side: int) -> pathlib.Path:
    """Write job.jsonl with ``rows`` rows on up to 16 different random pictures; returns its path."""
    rng = np.random.default_rng(0)
    for number in range(min(16, rows)):
        small = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    lines = [
        {"id": f"{number}", "image": f"{number % 16}.png", "target": "a red ball on grass", "seed": number}
        for number in range(rows)
    ]
    (folder / "job.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "empty.json").write_text(json.dumps(EMPTY), encoding="utf-8")
    return folder / "job.jsonl"


def command(job: pathlib.Path, output: pathlib.Path, *options: str) -> list[str]:
    words = [sys.executable, str(common.PACK / "run.py"), "--json", "batch", str(job), "--output", str(output)]
    return [*words, "--cpu", "--threads", "1", "--lpips", "none", *options]


def environment() -> dict[str, str]:
    return os.environ | {"COMFYUI_PATH": str(common.find_comfyui()), "COMFYUI_PYTHON": sys.executable}


def overhead(settings: argparse.Namespace) -> dict:
    """CPU milliseconds per row of reading, of a graph without an edit, of measuring and encoding,
    and of writing.
    """
    from cli.batch import plan as plans
    from cli.batch import worker as workers
    from cli.batch.comfy import Comfy, Place
    from cli.batch.rows import read_job
    from cli.batch.store import Store

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        rows = read_job(make_job(folder, settings.rows_timed, settings.side))
        tree = str(common.find_comfyui())
        comfy = Comfy(Place(tree, tree, (), True, 1), folder / "comfy")
        graph = copy.deepcopy(EMPTY)
        definitions = comfy.definitions({"LoadImage", "SaveImage"})
        targets = {"workflow": plans.targets_of(graph, {"image", "target"}, {}, definitions, own=False)}
        plan = plans.Plan(comfy.place, folder, folder, {}, {"workflow": graph}, targets, {}, lpips="none")
        worker, store = workers.Worker(plan, folder, comfy), Store(folder / "run")
        run = {"fingerprint": "f", "job": {}, "settings": {}, "models": {}, "pack": ""}
        store.begin(store.hold(), run, {})
        store.read_journal()
        spent = dict.fromkeys(("check", "read", "graph", "finish", "write"), 0.0)
        for row in rows:
            clock = Clock(spent)
            assert not plan.check(row)
            clock.add("check")
            loaded = workers.load(plan, row)
            clock.add("read")
            kept, _ = worker.edit(row, loaded)
            clock.add("graph")
            outcome = worker.finish(row, loaded, kept, {"edit": 0.0, "waited": 0.0})
            clock.add("finish")
            store.commit(outcome)
            clock.add("write")
        size = sum(path.stat().st_size for path in (folder / "run" / "pictures").iterdir()) / len(rows)
        line = (folder / "run" / "journal.jsonl").stat().st_size / len(rows)
        began = time.process_time()
        table = store.write_table(rows)
        table_seconds = time.process_time() - began
        store.close()
        return {
            "rows": len(rows),
            "side": settings.side,
            "cpu_ms": {name: 1000 * value / len(rows) for name, value in spent.items()},
            "bytes": {"picture": size, "journal": line, "table": table.stat().st_size / len(rows)},
            "table_ms": 1000 * table_seconds / len(rows),
        }


class Clock:
    """Adds this process's CPU seconds since the previous call to a part."""

    def __init__(self, spent: dict[str, float]):
        self.spent, self.last = spent, time.process_time()

    def add(self, part: str) -> None:
        now = time.process_time()
        self.spent[part] = self.spent.get(part, 0.0) + now - self.last
        self.last = now


def memory(settings: argparse.Namespace) -> dict:
    """Resident MiB of one process during a run, by number of finished rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        job = make_job(folder, settings.rows, 104)
        words = command(job, folder / "run", "--no-ray")
        words += ["--workflow", str(folder / "empty.json")] if settings.empty else edit_options(104)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        samples, path = {}, folder / "run" / "journal.jsonl"
        while process.poll() is None:
            time.sleep(0.1)
            ended = path.read_bytes().count(b"\n") if path.exists() else 0
            step = ended // (settings.rows // 10) * (settings.rows // 10)
            if ended and step not in samples:
                try:
                    samples[step] = psutil.Process(process.pid).memory_info().rss / 2**20
                except psutil.Error:
                    break
        edit = "none" if settings.empty else "SDEdit, 1 step, 104 pixels"
        return {"rows": settings.rows, "edit": edit, "resident_mib": samples, "pyarrow_mib": of_pyarrow()}


def of_pyarrow() -> float:
    """MiB that a process grows by when it writes a table."""
    code = (
        "import io, psutil\nused = lambda: psutil.Process().memory_info().rss\nbefore = used()\n"
        "import pyarrow, pyarrow.parquet\npyarrow.parquet.write_table(pyarrow.table({'a': [1.0]}), io.BytesIO())\n"
        "print((used() - before) / 2**20)"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def edit_options(side: int, steps: int = 1) -> list[str]:
    return ["--method", "sdedit", "--steps", str(steps), "--size", str(side), "--checkpoint", CHECKPOINT]


def rate(settings: argparse.Namespace) -> dict:
    """Rows per minute between the end of the first and of the last row, for one process, for each
    number of workers, and for a server.
    """
    rates = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        job = make_job(folder, settings.rows_rated, settings.rated_side)
        options = edit_options(settings.rated_side, settings.steps)
        ways = {"one process": ["--no-ray"]} | {
            f"Ray, {count} worker{'s' if count > 1 else ''}": ["--ray", "--workers", str(count)]
            for count in settings.workers
        }
        for way, more in ways.items():
            output = folder / way.replace(" ", "-").replace(",", "")
            done = subprocess.run(
                command(job, output, *options, *more), capture_output=True, text=True, env=environment()
            )
            assert json.loads(done.stdout.splitlines()[-1])["done"] == settings.rows_rated, done.stderr
            lines = [json.loads(line) for line in (output / "progress.jsonl").read_text().splitlines()]
            rates[way] = lines[-1]["rows_per_minute"]
        rates["a server, one by one"] = one_by_one(job, settings)
    about = {"rows": settings.rows_rated, "side": settings.rated_side, "steps": settings.steps, "cores": os.cpu_count()}
    return about | {"rows_per_minute": rates}


def one_by_one(job: pathlib.Path, settings: argparse.Namespace) -> float:
    """Rows per minute of the same graphs sent to a ComfyUI server, each after the previous one has
    finished.
    """
    from cli.client import run_graph
    from cli.console import configure
    from cli.edit import EditSettings, fill_edit_graph
    from cli.environment import Environment
    from cli.methods import method_file
    from cli.run_folder import RunFolder
    from cli.server import serving

    configure(argparse.Namespace(json=False, quiet=True, verbose=False))
    tree = common.find_comfyui()
    place = Environment(pathlib.Path(sys.executable), tree, False)
    run = RunFolder(tree)
    flags = ["--disable-api-nodes", "--disable-all-custom-nodes", "--whitelist-custom-nodes", run.pack_name]
    template, ended = json.loads(method_file("sdedit").read_text(encoding="utf-8")), []
    with serving(place, tree, run, flags, cpu=True) as server:
        for line in job.read_text(encoding="utf-8").splitlines():
            row, graph = json.loads(line), copy.deepcopy(template)
            image = run.bring(job.parent / row["image"], f"{row['id']}.png")
            edit = EditSettings(
                pathlib.Path(image), "", row["target"], method="sdedit", seed=row["seed"], steps=settings.steps
            )
            fill_edit_graph(graph, edit, CHECKPOINT, area=settings.rated_side**2, brought={"image": image})
            result = run_graph(server, graph)
            saved = next(outputs["images"] for outputs in result.outputs.values() if outputs.get("images"))
            server.client.view(saved[0])
            ended.append(time.monotonic())
    return 60 * (len(ended) - 1) / (ended[-1] - ended[0])


def scale(settings: argparse.Namespace) -> dict:
    """Costs of a large job besides its edits: bytes and CPU microseconds per row of reading the job
    file, of writing and of reading the journal, and of the table.
    """
    from cli.batch.rows import read_job
    from cli.batch.store import Store
    from cli.batch.worker import failed

    with tempfile.TemporaryDirectory() as name:
        folder, count = pathlib.Path(name), settings.rows_scaled
        texts = {"source": "a bowl of strawberries on a table", "target": "a bowl of oranges on a table"}
        with open(folder / "job.jsonl", "w", encoding="utf-8") as file:
            for number in range(count):
                file.write(
                    json.dumps({"id": f"{number}", "image": f"pictures/{number}.png", **texts, "seed": number}) + "\n"
                )
        before, spent = psutil.Process().memory_info().rss, dict.fromkeys(("job", "write", "journal", "table"), 0.0)
        clock = Clock(spent)
        rows = read_job(folder / "job.jsonl")
        clock.add("job")
        job_bytes = psutil.Process().memory_info().rss - before
        run = {"fingerprint": "f", "job": {}, "settings": {}, "models": {}, "pack": ""}
        store = Store(folder / "run")
        store.begin(store.hold(), run, {})
        store.read_journal()
        measured = {"method": "diffedit", "psnr_outside": 30.5, "ssim_outside": 0.95, "seconds_edit": 4.5, **texts}
        clock.add("other")
        for row in rows:
            store.write_line(failed(row, "edit", "x" * 200).record | measured)
        clock.add("write")
        store.close()
        again, before = Store(folder / "run"), psutil.Process().memory_info().rss
        again.hold()
        clock.add("other")
        again.read_journal()
        clock.add("journal")
        table = again.write_table(rows)
        clock.add("table")
        again.close()
        spent.pop("other", None)
        size = {"job": job_bytes / count, "table_on_disk": table.stat().st_size / count}
        return {"rows": count, "cpu_us": {k: 1e6 * v / count for k, v in spent.items()}, "bytes": size}


PARTS = {"scale": scale, "overhead": overhead, "memory": memory, "rate": rate, "batching": batching}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--side", type=int, default=512, help="pixels, of overhead")
    parser.add_argument("--rows-timed", type=int, default=40, help="rows of overhead")
    parser.add_argument("--rows", type=int, default=1000, help="rows of memory")
    parser.add_argument("--rows-scaled", type=int, default=50_000, help="rows of scale")
    parser.add_argument("--empty", action="store_true", help="memory: a workflow without an edit")
    parser.add_argument("--rows-rated", type=int, default=24, help="rows of rate")
    parser.add_argument("--rated-side", type=int, default=128, help="pixels, of rate")
    parser.add_argument("--batched-sides", type=int, nargs="+", default=[128, 256], help="pixels, of batching")
    parser.add_argument("--steps", type=int, default=8, help="of rate and batching")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=pathlib.Path)
    settings = parser.parse_args()
    results = {}
    for part in settings.parts:
        results[part] = PARTS[part](settings)
        print(json.dumps({part: results[part]}, indent=1), flush=True)
    common.write_json(settings.json, results | {"versions": common.versions()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
