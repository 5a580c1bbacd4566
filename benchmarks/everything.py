"""Run every benchmark of the pack, one after the other, and write a page for each.

``python run.py bench [--quick] [--only NAME ...] [--out FOLDER]``. A page is the output of its
benchmark, beside it the numbers as JSON if the benchmark has that option, and plots as PNG and SVG;
index.md lists the pages. A second run skips benchmarks that have finished with the same arguments,
repeats those that failed, and continues those that keep records. ``--quick`` runs short forms, one
per core and at most four at once, which show that everything works; their numbers are not evidence.

support_table and memory write docs/evidence/support.md and docs/evidence/memory.md themselves. The
other pages of docs/evidence are written from the pages of the full run. Benchmarks on a user's own
data (pie_bench, curves on folders, fid, metrics) are not included.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lab import common

MINUTES = pathlib.Path(__file__).with_name("minutes.json")
"""CPU minutes of earlier runs by form and benchmark, written by ``--record``."""
OUT = common.PACK / "docs" / "evidence" / "runs"


class Benchmark(NamedTuple):
    """A module, and its arguments for the full and the short form; ``{out}`` in them is the run's
    folder.
    """

    module: str
    full: tuple[str, ...] = ()
    short: tuple[str, ...] = ("--quick",)


BENCHMARKS = {
    "diffedit_quality": Benchmark("benchmarks.diffedit_quality", short=("--scenes", "2", "--strengths", "0.8")),
    "fewer_evaluations": Benchmark("benchmarks.fewer_evaluations", short=("--scenes", "2", "--ways", "16x4", "10x4")),
    "mask_noises": Benchmark("benchmarks.mask_noises"),
    "edict_cost": Benchmark("benchmarks.edict_cost", short=("--scenes", "2", "--ways", "16:3", "12:3")),
    "crop_evaluations": Benchmark("benchmarks.crop_evaluations"),
    "curves": Benchmark(
        "benchmarks.curves",
        ("--things", "40", "--out", "{out}/curves"),
        ("--things", "1", "--values", "0.5", "0.8", "--steps", "10", "--out", "{out}/curves"),
    ),
    "inversion_table": Benchmark("benchmarks.inversion_table", short=("--scenes", "1", "--steps", "5")),
    "edict_tables": Benchmark("benchmarks.edict_tables", short=("--quick", "--mixings", "0.93", "1")),
    "patterns": Benchmark(
        "benchmarks.paper_pictures",
        ("--pictures", "{out}/patterns", "--sheet", "{out}/patterns.png"),
        ("--quick", "--pictures", "{out}/patterns", "--sheet", "{out}/patterns.png"),
    ),
    "hats": Benchmark(
        "benchmarks.paper_pictures",
        ("--part", "hats", "--pictures", "{out}/hats", "--sheet", "{out}/hats.png"),
        ("--part", "hats", "--quick", "--pictures", "{out}/hats", "--sheet", "{out}/hats.png"),
    ),
    "clip_ranking": Benchmark(
        "benchmarks.clip_ranking", short=("--batches", "2", "--predictions", "5", "--steps", "10")
    ),
    "thin_masks": Benchmark(
        "benchmarks.thin_masks", short=("--edits", "1", "--steps", "10", "--masks", "stroke-2", "outline-2")
    ),
    "background": Benchmark(
        "benchmarks.background", short=("--scenes", "1", "--paper-scenes", "0", "--sampling-steps", "5")
    ),
    "background_noise": Benchmark("benchmarks.background_noise", short=("--edits", "2", "--steps", "8")),
    "decoder_finetune": Benchmark(
        "benchmarks.decoder_finetune", short=("--quick", "--decoders", "TAESD", "--skip", "memory")
    ),
    "session_drift": Benchmark("benchmarks.session_drift", short=("--sessions", "1", "--steps", "5")),
    "instructed_masks": Benchmark("benchmarks.instructed_masks", ("--whole",)),
    "instruction_drift": Benchmark("benchmarks.instruction_drift", short=("--sessions", "1", "--steps", "2")),
    "align": Benchmark("benchmarks.align", short=("--trials", "2")),
    "large_photo": Benchmark("benchmarks.large_photo", short=("--edits", "1", "--side", "512")),
    "batch_rate": Benchmark("benchmarks.batch_rate", short=("--parts", "overhead", "--rows-timed", "5")),
    "peers": Benchmark("benchmarks.peers"),
    "growth": Benchmark("benchmarks.growth", ("--plots", "{out}/growth"), ("--quick", "--plots", "{out}/growth")),
    "poisson": Benchmark("benchmarks.poisson", short=("--sizes", "256")),
    "support_table": Benchmark("tools.support_table", short=("--print", "--families", "sd15", "flux")),
    "memory": Benchmark("tools.memory", short=("--print", "--steps", "2")),
}


def source_of(benchmark: Benchmark) -> str:
    """The text of a benchmark's script."""
    return (common.PACK / f"{benchmark.module.replace('.', '/')}.py").read_text(encoding="utf-8")


def command(name: str, quick: bool, out: pathlib.Path) -> list[str]:
    """The command line of a benchmark."""
    benchmark = BENCHMARKS[name]
    arguments = [part.replace("{out}", str(out)) for part in (benchmark.short if quick else benchmark.full)]
    if '"--json"' in source_of(benchmark):
        arguments += ["--json", str(out / f"{name}.json")]
    return [sys.executable, "-m", benchmark.module, *arguments]


def read_json(path: pathlib.Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def is_done(entry: dict, line: Sequence[str]) -> bool:
    """Whether an ``entry`` of done.json belongs to a finished run of this command line."""
    return entry.get("arguments") == list(line[1:]) and entry.get("code") == 0


def counted(number: int) -> str:
    return f"{number} benchmark{'' if number == 1 else 's'}"


def plan(names: Sequence[str], left: Sequence[str], form: str, out: pathlib.Path) -> str:
    """One line of text: the benchmarks to run, the folder, and the recorded CPU minutes."""
    known = read_json(MINUTES).get(form, {})
    minutes = sum(known[name] for name in left if name in known)
    unknown = [name for name in left if name not in known]
    time_needed = f"about {minutes:.0f} CPU minutes" if len(unknown) < len(left) else "time not recorded"
    if unknown and len(unknown) < len(left):
        time_needed += f" and the time of {', '.join(unknown)}, which is not recorded"
    if not left:
        return f"{counted(len(names))} ({form} form), all done before; pages in {out}"
    done = f", {len(names) - len(left)} done before" if len(left) < len(names) else ""
    return f"{counted(len(left))} to run ({form} form{done}), {time_needed}; pages in {out}: {', '.join(left)}"


def run_one(line: Sequence[str], page: pathlib.Path) -> dict:
    """Run a command line with its output in ``page``: its arguments, its exit code, and the minutes
    of wall and CPU time (CPU time is 0 on Windows, where a child's is not available).
    """
    started = time.perf_counter()
    with page.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(line, stdout=output, cwd=common.PACK)
        used = 0.0
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            used = usage.ru_utime + usage.ru_stime
    return {
        "arguments": list(line[1:]),
        "code": process.wait(),
        "minutes": round((time.perf_counter() - started) / 60, 2),
        "cpu_minutes": round(used / 60, 2),
    }


def run_all(names: Sequence[str], quick: bool, out: pathlib.Path, make: Callable = command) -> dict[str, dict]:
    """Run the benchmarks that are not done: one at a time, or, in the short form, whose times are
    not evidence, one per core and at most four.

    Args:
        make: ``make(name, quick, out)`` gives a benchmark's command line.

    Returns:
        By name the result of :func:`run_one`; ``out``/done.json keeps them.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = read_json(out / "done.json")
    lines = {name: make(name, quick, out) for name in names}
    left = [name for name in names if not is_done(done.get(name, {}), lines[name])]
    print(plan(names, left, "short" if quick else "full", out), file=sys.stderr, flush=True)

    def run(number: int, name: str) -> tuple[str, dict]:
        print(f"{number}/{len(left)} {name}", file=sys.stderr, flush=True)
        return name, run_one(lines[name], out / f"{name}.md")

    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1) if quick else 1) as pool:
        running = [pool.submit(run, number, name) for number, name in enumerate(left, 1)]
        try:
            for ended in concurrent.futures.as_completed(running):
                name, result = ended.result()
                done[name] = result
                common.write_json(out / "done.json", done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C ends the run, not one benchmark
            raise
    return {name: done[name] for name in names}


def index(results: dict[str, dict], form: str) -> str:
    """A Markdown page that lists the benchmarks, with their results."""
    rows = []
    for name, entry in results.items():
        result = f"[done]({name}.md)" if entry["code"] == 0 else f"[failed]({name}.md) (exit code {entry['code']})"
        rows.append([name, result, entry["minutes"], entry["cpu_minutes"]])
    table = common.markdown_table(["benchmark", "result", "minutes", "CPU minutes"], rows)
    known = ", ".join(f"{name} {value}" for name, value in common.versions().items())
    return f"# All benchmarks, {form} form\n\nWritten by `python run.py bench`. {known}.\n\n{table}\n"


def record(results: dict[str, dict], form: str) -> None:
    """Write the CPU minutes for :func:`plan` of later runs."""
    known = read_json(MINUTES)
    known[form] = known.get(form, {}) | {name: entry["cpu_minutes"] for name, entry in results.items()}
    common.write_json(MINUTES, known)


def main(argv: list[str] | None = None) -> dict[str, dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short forms")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, help="run only these")
    parser.add_argument(
        "--out", type=common.user_path, help="folder of the pages (default: docs/evidence/runs; runs/quick if --quick)"
    )
    parser.add_argument("--record", action="store_true", help="write the CPU minutes to benchmarks/minutes.json")
    settings = parser.parse_args(argv)
    out = (settings.out or (OUT / "quick" if settings.quick else OUT)).resolve()
    form = "short" if settings.quick else "full"
    results = run_all(settings.only or list(BENCHMARKS), settings.quick, out)
    common.use_comfyui()  # for its version
    every = {name: entry for name, entry in read_json(out / "done.json").items() if name in BENCHMARKS}
    (out / "index.md").write_text(index(every, form), encoding="utf-8")
    print(index(results, form))
    if settings.record:
        record({name: entry for name, entry in results.items() if entry["code"] == 0}, form)
    if any(entry["code"] for entry in results.values()):
        raise SystemExit(1)
    return results


if __name__ == "__main__":
    main()
