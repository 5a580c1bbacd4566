"""Write docs/evidence/batch.md from the results of `bench batch_rate`, with a plan for a million
edits.

    python run.py bench batch_rate --json batch.json
    python run.py bench batch_page batch.json
"""

import argparse
import json
import pathlib
import sys

from lab import common

PAGE = common.PACK / "docs" / "evidence" / "batch.md"
MILLION = 1_000_000
GPUS, SECONDS = (1, 8, 64), (2, 5, 10)
SHARE = 0.02
"""Goal: the engine's maximum share of an edit's time."""

HEAD = """# Batch runs

What [`run.py batch`](../guide/batch.md) costs beside the edits. `python run.py bench batch_rate` measures it, and
`python run.py bench batch_page` writes this page from its results. CPU seconds are those of the process, whatever else
the machine does. Measured on {device}, torch {torch}, ComfyUI {comfyui}, one thread. No number here was measured on a
GPU or on several machines.
"""


def number(value: float) -> str:
    """A number with three digits, or with separators of thousands."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def overhead(results: dict) -> str:
    """The section of the engine's cost per edit."""
    spent = results["cpu_ms"]
    about = {
        "check": "checking the row",
        "read": "reading and decoding its picture",
        "graph": "ComfyUI's executor, with a graph that loads and saves a picture",
        "finish": "Edit Metrics, PNG",
        "write": "picture and journal on disk",
    }
    rows = [(about[name], number(value)) for name, value in spent.items()]
    beside, serial = sum(spent.values()) / 1000, (spent["check"] + spent["graph"] + spent["write"]) / 1000
    return f"""## Overhead per edit

{results["rows"]} rows of {results["side"]} x {results["side"]} pixels with a workflow that edits nothing, without LPIPS
and CLIP.

{common.markdown_table(("part", "CPU ms per row"), rows)}

Reading and finishing overlap with the edit of another row. The other parts take {number(1000 * serial)} ms, less than
{SHARE:.0%} of any edit of more than {number(serial / SHARE)} s. If the same core edits, measures and reads
(a CPU whose cores are all busy), all parts together take less than {SHARE:.0%} of edits of more than
{number(beside / SHARE)} s.
"""


def scale(results: dict) -> str:
    """The section of large jobs."""
    about = {
        "job": "reading the job file",
        "write": "a line of the journal",
        "journal": "reading the journal on resume",
        "table": "writing the table",
    }
    rows = [(about[name], number(value)) for name, value in results["cpu_us"].items()]
    return f"""## Large jobs

{number(results["rows"])} rows without pictures. The job takes {number(results["bytes"]["job"])} bytes of memory a row.

{common.markdown_table(("part", "CPU microseconds per row"), rows)}
"""


def memory(results: dict) -> str:
    """The section of resident memory."""
    held = {int(step): value for step, value in results["resident_mib"].items()}
    rows = [(step, f"{value:.0f}") for step, value in held.items()]
    later = {step: value for step, value in held.items() if step >= results["rows"] / 2}
    first, last, spread = min(later), max(later), max(later.values()) - min(later.values())
    return f"""## Memory over {number(results["rows"])} rows

Resident MiB of one process; the edit: {results["edit"]}.

{common.markdown_table(("rows ended", "MiB"), rows)}

From row {first} to row {last} it changes by {later[last] - later[first]:+.1f} MiB, and in between by at most
{spread:.0f} MiB. The table is first written after a minute, and loads pyarrow: {results["pyarrow_mib"]:.0f} MiB in a
separate process.
"""


def rate(results: dict) -> str:
    """The section of rows per minute."""
    rates = results["rows_per_minute"]
    alone = rates["one process"]
    rows = [(way, number(value), f"{value / alone:.2f}") for way, value in rates.items()]
    return f"""## Rate

{results["rows"]} rows, SDEdit, {results["side"]} pixels, {results["steps"]} steps, between the first and the last row's
end, on {results["cores"]} cores. The server does not measure its edits; the other ways do. Other programs ran on the
machine meanwhile, so the ratios are rough.

{common.markdown_table(("way", "rows per minute", "to one process"), rows)}
"""


def batching(results: dict) -> str:
    """The section of rows as one batch."""
    rows = [
        (
            f"{case['side']} pixels, {case['texts']} text{'s' if case['texts'] > 1 else ''}",
            number(case["one_by_one_s"]),
            number(case["one_batch_s"]),
            f"{case['one_by_one_s'] / case['one_batch_s']:.2f}",
            f"{case['equal_rows']} of {case['rows']}",
            case["largest_difference_of_255"],
        )
        for case in results["cases"]
    ]
    heads = ("case", "CPU s one by one", "CPU s as a batch", "times faster", "rows equal", "largest difference of 255")
    cases, largest = results["cases"], max(case["side"] for case in results["cases"])
    gains: dict[bool, list[float]] = {case["side"] == largest: [] for case in cases}
    for case in cases:
        gains[case["side"] == largest].append(case["one_by_one_s"] / case["one_batch_s"])
    below = f", {max(gains[False]):.2f} below it" if False in gains else ""
    equal = all(case["equal_rows"] == case["rows"] for case in cases)
    return f"""## Rows as one batch

{cases[0]["rows"]} rows of one model and one set of settings, SDEdit with {cases[0]["steps"]} steps, the noise of each
row the same both ways.

{common.markdown_table(heads, rows)}

On the CPU a batch is at best {max(gains[True]):.2f} times as fast at {largest} pixels{below}. Its pictures are
{"equal" if equal else "not bit-equal"} to those of separate runs. Therefore `run.py batch` runs every row separately.
A batch on a GPU was not measured.
"""


def plan(results: dict) -> str:
    """The section of a million edits, calculated from the other parts."""
    spent, size = results["overhead"]["cpu_ms"], results["overhead"]["bytes"]
    large = results["scale"]
    hours = [(f"{seconds} s", *(number(MILLION * seconds / count / 3600) for count in GPUS)) for seconds in SECONDS]
    driver = (spent["check"] + spent["read"] + spent["write"]) / 1000
    storage = MILLION * (size["picture"] + size["journal"] + large["bytes"]["table_on_disk"]) / 1e9
    work = MILLION * spent["finish"] / 1000 / 3600
    start = MILLION * (large["cpu_us"]["job"] + large["cpu_us"]["journal"]) / 1e6
    heads = ("seconds per edit on one GPU", *(f"{count} GPU{'s' if count > 1 else ''}" for count in GPUS))
    return f"""## A plan for a million edits

Calculated from the numbers above. Hours by seconds of one edit:

{common.markdown_table(heads, hours)}

- Beside the GPUs, Edit Metrics and PNG take {number(work)} core hours in all. They overlap with the edits if every GPU
  has {number(spent["finish"] / 1000 / SECONDS[0])} cores at {SECONDS[0]} s an edit.
- Storage: {number(storage)} GB at {results["overhead"]["side"]} pixels (random pictures, which PNG does not compress;
  photographs take less), of which the journal is {number(MILLION * size["journal"] / 1e9)} GB. The pictures are spread
  over 256 folders.
- Memory of the driver: {number(MILLION * large["bytes"]["job"] / 1e9)} GB for the rows.
- Starting or resuming: {number(start)} CPU s to read job and journal, and
  {number(MILLION * spent["check"] / 1e3)} CPU s to check the rows, besides ComfyUI's own start.
- The first limit is the driver, which reads and writes all rows: {number(1 / driver)} rows a second on one
  core. At {SECONDS[0]} s an edit that is {number(SECONDS[0] / driver)} GPUs. Beyond it, split the job file and give
  each part its own `--output`.
- Not measured: the network between driver and workers, a folder of pictures on a network disk, Ray with more than two
  workers.
"""


PARTS = {"overhead": overhead, "scale": scale, "memory": memory, "rate": rate, "batching": batching}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path, nargs="+", help="JSON files of bench batch_rate; later ones win")
    merged: dict = {}
    for path in parser.parse_args().results:
        results = json.loads(path.read_text(encoding="utf-8"))
        known = {name: value for name, value in results.pop("versions").items() if value != "unknown"}
        merged |= results | {"versions": merged.get("versions", {}) | known}
    sections = [HEAD.format(**merged["versions"])] + [PARTS[name](merged[name]) for name in PARTS if name in merged]
    missing = ", ".join(name for name in PARTS if name not in merged)
    sections += [f"Not measured yet: {missing}.\n"] if missing else []
    PAGE.write_text("\n".join([*sections, plan(merged)]), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
