"""summary.html: counts, metrics with their distributions, seconds, failures and the contact sheet.

One file in the run's folder, without scripts or network access.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..files import write_file

BINS, WIDTH, HEIGHT = 24, 300, 90
MOST_FAILURES = 200
MEASURES = {
    "psnr_outside": "PSNR outside the mask, dB",
    "ssim_outside": "SSIM outside the mask",
    "mse_outside": "MSE outside the mask",
    "lpips_outside": "LPIPS outside the mask",
    "psnr_inside": "PSNR inside the mask, dB",
    "ssim_inside": "SSIM inside the mask",
    "clip_whole": "CLIP score of the whole edit",
    "clip_inside": "CLIP score inside the mask",
    "seconds_edit": "Seconds in ComfyUI",
    "seconds_total": "Seconds of all stages",
}
COLORS = {"done": "#3b5b8c", "failed": "#b3402e", "left": "#c9ced6"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto; max-width: 1320px; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse }
td, th { padding: .3rem 1rem .3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e3e6ea }
th { color: #555; font-weight: 600 } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
td.reason { max-width: 60rem; overflow-wrap: anywhere } .facts { color: #555; font-size: .9rem }
.bar { display: flex; height: 14px; max-width: 640px; background: #f6f7f9 }
.counts span { margin-right: 1.4rem }
.counts i { display: inline-block; width: 11px; height: 11px; margin-right: .4rem }
.plots { display: flex; flex-wrap: wrap; gap: 1.8rem } figure { margin: 0; width: 300px }
figcaption { font-size: .9rem; margin-bottom: .3rem } svg text { font: 11px system-ui, sans-serif; fill: #555 }
img { max-width: 100%; border: 1px solid #ddd }
"""


def number(value: float) -> str:
    return f"{value:.4g}"


def values_of(records: Iterable[dict[str, Any]], name: str) -> list[float]:
    values = (record.get(name) for record in records)
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def histogram(values: Sequence[float], caption: str) -> str:
    """A histogram as inline SVG: the counts start at 0, the values span the range of the data."""
    low, high = min(values), max(values)
    span = high - low
    counts = Counter(min(int((value - low) / span * BINS), BINS - 1) for value in values)
    most = max(counts.values())
    left = 7 * len(str(most)) + 6
    wide, base = (WIDTH - left) / BINS, HEIGHT + 6
    bars = "".join(
        f'<rect x="{left + place * wide:.1f}" y="{base - HEIGHT * count / most:.1f}" width="{wide - 1:.1f}" '
        f'height="{HEIGHT * count / most:.1f}" fill="{COLORS["done"]}"/>'
        for place, count in sorted(counts.items())
    )
    axes = f'<path d="M{left - 1.5} 5V{base + 0.5}H{WIDTH}" fill="none" stroke="#aab1bb"/>'
    ends = (
        f'<text x="{left - 5}" y="14" text-anchor="end">{most}</text>'
        f'<text x="{left - 5}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{left}" y="{base + 15}">{number(low)}</text>'
        f'<text x="{WIDTH}" y="{base + 15}" text-anchor="end">{number(high)}</text>'
    )
    shape = f'width="{WIDTH}" height="{base + 20}" role="img" aria-label="{escape(caption)}"'
    return f"<figure><figcaption>{escape(caption)}</figcaption><svg {shape}>{bars}{axes}{ends}</svg></figure>"


def captions(names: dict[str, list[float]]) -> dict[str, str]:
    """Names of the metrics. Without a mask, the values inside are those of the whole image."""
    if any(name.endswith("_outside") for name in names):
        return MEASURES
    return {name: text.replace("inside the mask", "of the whole image") for name, text in MEASURES.items()}


def measures(records: list[dict[str, Any]]) -> str:
    """A table of all metrics that were measured, and histograms of those that vary."""
    by_name = {name: values_of(records, name) for name in MEASURES}
    by_name = {name: values for name, values in by_name.items() if values}
    if not by_name:
        return "<p>No measurements.</p>"
    called, lines = captions(by_name), []
    for name, values in by_name.items():
        cells = (len(values), statistics.fmean(values), statistics.median(values), min(values), max(values))
        texts = "".join(f'<td class="n">{number(cell)}</td>' for cell in cells)
        lines.append(f"<tr><td>{escape(called[name])}</td>{texts}</tr>")
    heads = "".join(f'<th class="n">{head}</th>' for head in ("rows", "mean", "median", "minimum", "maximum"))
    varied = {name: values for name, values in by_name.items() if min(values) < max(values)}
    plots = "".join(histogram(values, called[name]) for name, values in varied.items())
    table = f"<table><tr><th></th>{heads}</tr>{''.join(lines)}</table>"
    return f'{table}<h2>Distributions</h2><div class="plots">{plots}</div>' if plots else table


def failures(records: list[dict[str, Any]]) -> str:
    lost = [record for record in records if record["status"] == "failed"]
    if not lost:
        return "<p>No row failed.</p>"
    lines = "".join(
        f'<tr><td class="n">{record["row"]}</td><td>{escape(record["id"][:80])}</td><td>{escape(record["stage"])}</td>'
        f'<td class="reason">{escape(str(record["reason"])[:500])}</td></tr>'
        for record in lost[:MOST_FAILURES]
    )
    more = f"<p>{len(lost) - MOST_FAILURES} more are in the table.</p>" if len(lost) > MOST_FAILURES else ""
    heads = '<th class="n">row</th><th>id</th><th>stage</th><th>reason</th>'
    return f"<table><tr>{heads}</tr>{lines}</table>{more}"


def by_method(records: list[dict[str, Any]]) -> str:
    """A table with the numbers of done and failed rows per method."""
    counts = Counter((str(record.get("method") or "not run"), record["status"]) for record in records)
    methods = sorted({method for method, _ in counts})
    lines = "".join(
        f'<tr><td>{escape(method)}</td><td class="n">{counts[method, "done"]}</td>'
        f'<td class="n">{counts[method, "failed"]}</td></tr>'
        for method in methods
    )
    return f'<table><tr><th>method</th><th class="n">done</th><th class="n">failed</th></tr>{lines}</table>'


def progress(counts: dict[str, int]) -> str:
    """Done, failed and left as one bar, with their numbers below."""
    parts = [(name, counts[name]) for name in COLORS]
    bar = "".join(f'<div style="flex: {count}; background: {COLORS[name]}"></div>' for name, count in parts if count)
    keys = "".join(f'<span><i style="background: {COLORS[name]}"></i>{count} {name}</span>' for name, count in parts)
    return f'<div class="bar">{bar}</div><p class="counts">{keys}</p>'


def write(
    folder: Path, name: str, counts: dict[str, int], records: list[dict[str, Any]], run: dict[str, Any], table: Path
) -> Path:
    """Write summary.html.

    Args:
        name: the name of the job.
        counts: numbers of rows, done, failed, left.
        records: the records of all rows that have ended.
        run: the document of the fingerprint.
        table: the file of the table of metrics.
    """
    done = [record for record in records if record["status"] == "done"]
    title = f"{name}: {counts['done']} of {counts['rows']} edits done"
    has_sheet = (folder / "contact.jpg").is_file()
    sheet = (
        '<img src="contact.jpg" alt="source, mask and edit of some rows">' if has_sheet else "<p>No edit is done.</p>"
    )
    body = (
        f"<h1>{escape(title)}</h1>{progress(counts)}"
        f'<p>All rows: <a href="{quote(table.name)}">{escape(table.name)}</a>, '
        f'<a href="journal.jsonl">journal.jsonl</a>. '
        f'The run: <a href="job.json">job.json</a>. Edits: <a href="pictures/">pictures</a>.</p>'
        f'<p class="facts">Fingerprint {escape(run["fingerprint"])}, pack {escape(str(run["pack"]))}</p>'
        f"<h2>Methods</h2>{by_method(records)}<h2>Measures</h2>{measures(done)}"
        f"<h2>Failed rows</h2>{failures(records)}<h2>Some edits: source, mask, edit</h2>{sheet}"
    )
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    text = f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'
    write_file(folder / "summary.html", text.encode("utf-8", "backslashreplace"))
    return folder / "summary.html"
