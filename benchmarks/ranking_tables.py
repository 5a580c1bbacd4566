"""Tables and contact sheet of ``clip_ranking``."""

import math
import pathlib

from lab import common
from lab.sheet import ranked_rows, read_picture
from lab.uncertainty import share_text, standard_error

SHARES = {"top": "top", "top 20 %": "top fifth", "any": "random", "bottom 20 %": "bottom fifth", "bottom": "bottom"}
"""Columns of shares accepted, with their keys in the result of ``summarise``."""


def picture_file(folder: pathlib.Path, key: str, number: int) -> pathlib.Path:
    """The file of a prediction of a batch; the number after the last prediction's is the source."""
    return folder / f"{int(key):03d}-{number:02d}.png"


def fifth(count: int) -> int:
    """20 % of a batch of ``count``, rounded, at least 1."""
    return max(1, round(count / 5))


def summarise(ranked: list[list[bool]]) -> dict:
    """Shares accepted, gains and their standard errors over batches of verdicts, each best-ranked
    first.
    """
    gains = [batch[0] - sum(batch) / len(batch) for batch in ranked]
    part = fifth(len(ranked[0]))
    tops, bottoms = (
        [sum(verdicts) / part for verdicts in ends]
        for ends in zip(*((batch[:part], batch[-part:]) for batch in ranked), strict=True)
    )
    differences = [top - bottom for top, bottom in zip(tops, bottoms, strict=True)]
    right = [
        (first and not second)
        for batch in ranked
        for place, first in enumerate(batch)
        for second in batch[place + 1 :]
        if first != second
    ]
    return {
        "top": common.mean(batch[0] for batch in ranked),
        "random": common.mean(sum(batch) / len(batch) for batch in ranked),
        "bottom": common.mean(batch[-1] for batch in ranked),
        "gain": common.mean(gains),
        "error": standard_error(gains),
        "top fifth": common.mean(tops),
        "bottom fifth": common.mean(bottoms),
        "fifths": common.mean(differences),
        "fifths error": standard_error(differences),
        "pairs": common.mean(right),
    }


def report(summaries: dict, batches: int, choice: int, predictions: int) -> str:
    """Markdown tables of all batches and of those with a choice."""
    lines = []
    for title, part in (
        (f"All {batches} batches of {predictions}", "all"),
        (f"The {choice} batches with a choice", "choice"),
    ):
        rows = []
        for name, values in summaries[part].items():
            rows.append(
                (
                    name,
                    *(f"{values[key]:.0%}" for key in SHARES.values()),
                    f"{100 * values['gain']:+.1f} +- {100 * values['error']:.1f}",
                    f"{100 * values['fifths']:+.1f} +- {100 * values['fifths error']:.1f}",
                    f"{values['pairs']:.0%}" if not math.isnan(values["pairs"]) else "-",
                )
            )
        lines += [
            f"## {title}: share accepted",
            "",
            common.markdown_table(
                ["region, background weight", *SHARES, "top - any", "top 20 % - bottom 20 %", "pairs"], rows
            ),
            "",
        ]
    return "\n".join(lines)


def table_of_ways(rows: list[dict], way: str) -> str:
    """Blended Latent Diffusion's table of the batches made in both ways: Latent Blend Sampler,
    ranked by ``way``, and stock inpainting.
    """
    rows = [row for row in rows if "stock" in row]
    records_of_way = {
        "Latent Blend Sampler": [row | {"best": row["ranked"][way][0]} for row in rows],
        "KSampler, noise mask": [row["stock"] for row in rows],
    }
    base, table = common.mean(row["stock"]["seconds"] for row in rows), []
    for name, records in records_of_way.items():
        accepted = [verdict for record in records for verdict in record["accepted"]]
        precision = [sum(record["accepted"]) / len(record["accepted"]) for record in records]
        table.append(
            [
                name,
                f"{common.mean(map(float, accepted)):.0%} +- {100 * standard_error(precision):.0f}",
                share_text(common.mean(float(record["best"]) for record in records), len(records)),
                f"{common.mean(record['diversity'] for record in records):.3f}",
                f"{common.mean(record['evaluations'] for record in records):.0f}",
                f"{common.mean(record['seconds'] for record in records) / base:.2f}",
            ]
        )
    headers = ["way", "batch precision", "best of batch", "diversity", "evaluations", "time"]
    return f"## Ways to make the {len(rows)} batches\n\n" + common.markdown_table(headers, table)


def draw_sheet(rows: list[dict], settings, way: str) -> None:
    """Write the sheet: the first batches with a choice, in CLIP's order, with refused predictions
    in a red frame.
    """
    chosen = [row for row in rows if any(row["accepted"]) and not all(row["accepted"])][: settings.sheet_rows]
    if not chosen:
        raise SystemExit("no batch has both accepted and refused predictions: there is no picture to draw")
    drawn = [
        [read_picture(picture_file(settings.pictures, row["key"], number)) for number in (len(row["accepted"]), *order)]
        for row, order in ((row, row["orders"][way]) for row in chosen)
    ]
    labels = [f"{row['source']}  ->  {row['text']}" for row in chosen]
    ranked_rows(drawn, [[None, *row["ranked"][way]] for row in chosen], labels).save(settings.sheet, optimize=True)
