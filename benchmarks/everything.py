"""Every benchmark of the pack, one after the other, each into a page of its own.

``python run.py bench everything [--quick] [--out FOLDER]``. A benchmark that has finished with the same
arguments is not run again, so that a run goes on where it stopped; one that failed is, and its page keeps
what it said. ``--quick`` takes each benchmark's own short form. Benchmarks of a user's data (pie-bench,
curves, fid, metrics) are not among them.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

from lab import common

NAMES = (
    "diffedit_quality",
    "fewer_evaluations",
    "inversion_table",
    "clip_ranking",
    "thin_masks",
    "background",
    "background_noise",
    "decoder_finetune",
    "session_drift",
    "poisson",
)
QUICK = tuple(name for name in NAMES if name != "poisson")
"""Those with a short form; the others always take seconds."""


def command(name: str, quick: bool) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if quick and name in QUICK else [])]


def read(path: pathlib.Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def run_all(names: list[str], quick: bool, out: pathlib.Path, make=command) -> dict[str, dict]:
    """Run what is not done yet; returns, by name, the command's arguments, exit code and minutes, which
    ``out``/done.json keeps. ``make(name, quick)`` gives a benchmark's command line.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = read(out / "done.json")
    for name in names:
        line = make(name, quick)
        known = done.get(name, {})
        if known.get("arguments") == line[1:] and known.get("code") == 0:
            print(f"{name}: done before", file=sys.stderr, flush=True)
            continue
        print(f"{name}: begins", file=sys.stderr, flush=True)
        started = time.perf_counter()
        with (out / f"{name}.md").open("w", encoding="utf-8") as page:
            code = subprocess.run(line, stdout=page, cwd=common.PACK).returncode
        minutes = round((time.perf_counter() - started) / 60, 2)
        done[name] = {"arguments": line[1:], "code": code, "minutes": minutes}
        common.write_json(out / "done.json", done)
    return {name: done[name] for name in names}


def main(argv: list[str] | None = None) -> dict[str, dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each benchmark's short form")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="these alone")
    parser.add_argument("--out", type=common.user_path, default="benchmarks-out", help="folder of the pages")
    settings = parser.parse_args(argv)
    found = run_all(list(settings.only or NAMES), settings.quick, settings.out)
    rows = [
        [name, "done" if one["code"] == 0 else f"failed ({one['code']})", one["minutes"]] for name, one in found.items()
    ]
    print(common.markdown_table(["benchmark", "result", "minutes"], rows))
    if any(one["code"] for one in found.values()):
        raise SystemExit(1)
    return found


if __name__ == "__main__":
    main()
