"""summary.html: counts, measures with their distributions, seconds, failures and the contact sheet.

One file beside the run's pictures: no script, no network.
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
    "seconds_edit": "seconds of ComfyUI",
    "seconds_total": "seconds of all stages",
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto; max-width: 1320px; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.plots { display: flex; flex-wrap: wrap; gap: 1.5rem } figure { margin: 0 }
figcaption { font-size: .85rem; color: #555 }
svg { background: #f6f7f9 } img { max-width: 100%; border: 1px solid #ddd } td.reason { max-width: 60rem }
"""


def number(value: float) -> str:
    return f"{value:.4g}"


def values_of(records: Iterable[dict[str, Any]], name: str) -> list[float]:
    found = (record.get(name) for record in records)
    return [float(value) for value in found if value is not None and math.isfinite(value)]


def histogram(values: Sequence[float], caption: str) -> str:
    """A histogram as inline SVG, with its ends and its highest bar named."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    counts = Counter(min(int((value - low) / span * BINS), BINS - 1) for value in values)
    most, wide = max(counts.values()), WIDTH / BINS
    bars = "".join(
        f'<rect x="{place * wide:.1f}" y="{HEIGHT * (1 - count / most):.1f}" width="{wide - 1:.1f}" '
        f'height="{HEIGHT * count / most:.1f}" fill="#3b5b8c"/>'
        for place, count in sorted(counts.items())
    )
    ends = f"{number(low)} to {number(high)}, at most {most} in a bar"
    picture = f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(caption)}">{bars}</svg>'
    return f"<figure>{picture}<figcaption>{escape(caption)}<br>{ends}</figcaption></figure>"


def measures(records: list[dict[str, Any]]) -> str:
    """Table and histograms of all measures that were taken."""
    found = {name: values_of(records, name) for name in MEASURES}
    found = {name: values for name, values in found.items() if values}
    if not found:
        return "<p>No measures were taken.</p>"
    lines = []
    for name, values in found.items():
        cells = (len(values), statistics.fmean(values), statistics.median(values), min(values), max(values))
        texts = "".join(f'<td class="n">{number(cell)}</td>' for cell in cells)
        lines.append(f"<tr><td>{escape(MEASURES[name])}</td>{texts}</tr>")
    heads = "".join(f'<th class="n">{head}</th>' for head in ("rows", "mean", "median", "least", "most"))
    plots = "".join(histogram(values, MEASURES[name]) for name, values in found.items())
    table = f"<table><tr><th></th>{heads}</tr>{''.join(lines)}</table>"
    return f'{table}<h2>Distributions</h2><div class="plots">{plots}</div>'


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
    """How many rows each method has, done and failed."""
    counts = Counter((str(record.get("method") or "not begun"), record["status"]) for record in records)
    methods = sorted({method for method, _ in counts})
    lines = "".join(
        f'<tr><td>{escape(method)}</td><td class="n">{counts[method, "done"]}</td>'
        f'<td class="n">{counts[method, "failed"]}</td></tr>'
        for method in methods
    )
    return f'<table><tr><th>method</th><th class="n">done</th><th class="n">failed</th></tr>{lines}</table>'


def write(
    folder: Path, name: str, counts: dict[str, int], records: list[dict[str, Any]], run: dict[str, Any], table: Path
) -> Path:
    """Write summary.html.

    Args:
        name: what the job is called.
        counts: rows, done, failed, left.
        records: of all rows that ended.
        run: the fingerprint's document.
        table: the file of the measures.
    """
    done = [record for record in records if record["status"] == "done"]
    title = f"{name}: {counts['done']} of {counts['rows']} edits done"
    facts = {**counts, "fingerprint": run["fingerprint"], "pack": run["pack"]}
    rows = "".join(f"<tr><td>{escape(str(key))}</td><td>{escape(str(value))}</td></tr>" for key, value in facts.items())
    has_sheet = (folder / "contact.jpg").is_file()
    sheet = (
        '<img src="contact.jpg" alt="source, mask and edit of some rows">' if has_sheet else "<p>No edit is done.</p>"
    )
    body = (
        f"<h1>{escape(title)}</h1><table>{rows}</table>"
        f'<p>All rows: <a href="{quote(table.name)}">{escape(table.name)}</a>, '
        f'<a href="journal.jsonl">journal.jsonl</a>. '
        f'The run: <a href="job.json">job.json</a>. Edits: <a href="pictures/">pictures</a>.</p>'
        f"<h2>Methods</h2>{by_method(records)}<h2>Measures</h2>{measures(done)}"
        f"<h2>Failed rows</h2>{failures(records)}<h2>Some edits: source, mask, edit</h2>{sheet}"
    )
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    text = f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'
    write_file(folder / "summary.html", text.encode("utf-8", "backslashreplace"))
    return folder / "summary.html"
