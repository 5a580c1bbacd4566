"""How few evaluations does an edit by DiffEdit need?

``python run.py bench fewer_evaluations``, or ``python -m benchmarks.fewer_evaluations`` with
COMFYUI_PATH set.

Held-out edits of the demo world, of all kinds in turn. The mask is found with several numbers of
noises, and the picture is inverted and edited with several numbers of steps, all else equal and by
the pack's nodes; :mod:`.ways` adds other schemes, guidance in a part of the steps, and other
settings of the mask. Printed for every way:

- network evaluations of one edit, and the share that the judge accepts;
- how many edits only the first way gets right (lost), and how many only this way (won);
- the PSNR outside the thing against the VAE's own reconstruction;
- the differences of both from the first way with 95 % intervals (paired bootstrap over the edits);
- the overlap (IoU) of the mask with the true mask, and with the mask of the most noises.

A second table has the accepted share by kind of edit.
"""

import argparse
import math
import sys
import time
from dataclasses import replace

from demo.world.edits import EDITS
from lab import common
from lab.compute import add_dtype
from lab.records import JsonRecords
from lab.uncertainty import Interval, paired_difference

from .diffedit_quality import CFG, Bench
from .held_out import HeldOut, groups, make_edits
from .ways import EXPECTED, MASKS, Way, edited, inverted

WAYS = ("50x10", "25x4", "16x4", "10x4")
MOST = 10
"""Noises of the mask with which all others are compared: the node's default."""
MEANS = ("evaluations", "accepted", "in place", "background", "iou", "same mask")


def key_of(edit: HeldOut, way: str) -> str:
    return f"{edit.index} {way}"


def measure(bench: Bench, edits: list[HeldOut], names: list[str], settings) -> list[dict]:
    """One record per edit and way."""
    usual = "plain" if settings.plain_mask else "closed"
    read = {name: Way.read(name) for name in names}
    ways = {name: replace(way, mask=way.mask or usual) for name, way in read.items()}
    bench.begin(edits)
    masks, costs, records = {}, {}, []
    for name in dict.fromkeys(way.mask for way in ways.values()):
        for noises in sorted({MOST} | {way.noises for way in ways.values() if way.mask == name}):
            found = bench.drawn.either if name == "true" else bench.mask(noises=noises, **MASKS[name])[0]
            masks[name, noises], costs[name, noises] = found, bench.spent()
    for steps, scheme in dict.fromkeys((way.steps, way.scheme) for way in ways.values()):
        same = {name: way for name, way in ways.items() if (way.steps, way.scheme) == (steps, scheme)}
        inversion = inverted(bench, next(iter(same.values())), settings.strength)
        up = bench.spent()
        for name, way in same.items():
            mask, most = masks[way.mask, way.noises], masks[way.mask, MOST]
            results = bench.judged(edited(bench, way, mask, inversion, CFG))
            spent, overlaps = costs[way.mask, way.noises] + up + bench.spent(), bench.overlap(mask)
            records += [
                {
                    "key": key_of(edit, name),
                    "index": edit.index,
                    "kind": edit.kind,
                    "way": name,
                    "evaluations": spent,
                    "iou": overlaps[number],
                    "same mask": common.iou(mask[number] > 0.5, most[number] > 0.5),
                    **results[number],
                }
                for number, edit in enumerate(edits)
            ]
    return records


def column(rows: list[dict], name: str) -> dict[int, float]:
    """The values of a column by the number of the edit, without those that are missing or NaN."""
    return {row["index"]: row[name] for row in rows if row[name] is not None and not math.isnan(row[name])}


def summarise(rows: list[dict], names: list[str]) -> list[dict]:
    """Means for every way in the order of ``names``. ``lost`` and ``won`` count the edits accepted
    only by the first way and only by this one; ``more accepted`` and ``more background`` are the
    mean differences from the first way with their intervals.
    """
    by_way = {name: [row for row in rows if row["way"] == name] for name in names}
    points = []
    for name, chosen in by_way.items():
        if not chosen:
            continue
        point = {"way": name, "edits": len(chosen)}
        point |= {value: common.mean(column(chosen, value).values()) for value in MEANS}
        for value in ("accepted", "background"):
            first, values = column(by_way[names[0]], value), column(chosen, value)
            point[f"more {value}"] = list(paired_difference(values, first))
            if value == "accepted":
                both = [(first[index], verdict) for index, verdict in values.items() if index in first]
                point["lost"], point["won"] = both.count((1.0, 0.0)), both.count((0.0, 1.0))
        point["kinds"] = {
            kind: common.mean(row["accepted"] for row in chosen if row["kind"] == kind)
            for kind in dict.fromkeys(row["kind"] for row in chosen)
        }
        points.append(point)
    return points


def report(points: list[dict], settings) -> str:
    """Both tables, in Markdown."""
    rows, first = [], points[0]["way"]
    for point in points:
        accepted, background = (Interval(*point[f"more {value}"]) for value in ("accepted", "background"))
        is_first = point["way"] == first
        rows.append(
            (
                Way.read(point["way"]).words,
                str(point["edits"]),
                f"{point['evaluations']:.0f}",
                f"{point['accepted']:.0%}",
                "-" if is_first else accepted.scaled(100).words("+.0f"),
                f"{point['lost']} / {point['won']}",
                f"{point['background']:.1f}",
                "-" if is_first else background.words("+.1f"),
                point["iou"],
                point["same mask"],
            )
        )
    mask = "default mask" if settings.plain_mask else "mask with smoothing 1 and grow 1"
    headers = [
        "",
        "edits",
        "evaluations",
        "accepted",
        "difference in points",
        "lost / won",
        "background (dB)",
        "difference in dB",
        "mask IoU",
        f"with that of {MOST} noises",
    ]
    kinds = list(points[0]["kinds"])
    shares = [
        (Way.read(point["way"]).words, *(f"{point['kinds'].get(kind, math.nan):.0%}" for kind in kinds))
        for point in points
    ]
    return "\n".join(
        [
            f"## Strength {settings.strength:g}, cfg {CFG}, {mask}",
            "",
            common.markdown_table(headers, rows),
            "",
            "Accepted, by kind of edit:",
            "",
            common.markdown_table(["", *kinds], shares),
        ]
    )


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100, help="held-out scenes, one edit each")
    parser.add_argument("--quick", action="store_true", help="5 scenes")
    parser.add_argument("--kinds", nargs="+", choices=EDITS, default=EDITS, help="kinds of the edits, in turn")
    parser.add_argument("--ways", nargs="+", default=WAYS, help=f"{EXPECTED}; the others are compared with the first")
    parser.add_argument("--strength", type=float, default=0.8, help="encode ratio")
    parser.add_argument("--plain-mask", action="store_true", help="DiffEditMask at its defaults, without closing holes")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--batch", type=int, default=5, help="edits at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.scenes = 5 if settings.quick else settings.scenes
    if min(settings.scenes, settings.batch) < 1 or not 0 < settings.strength <= 1:
        parser.error(
            f"expected --scenes and --batch of at least 1 and --strength in 0..1; "
            f"got {settings.scenes}, {settings.batch} and {settings.strength:g}"
        )
    names = list(dict.fromkeys(settings.ways))
    try:
        for name in names:
            Way.read(name)
    except ValueError as error:
        parser.error(str(error))
    started, bench = time.time(), Bench(settings.checkpoint, settings.seed, settings.dtype)
    same = ("seed", "strength", "plain_mask", "kinds", "dtype")
    records = JsonRecords(settings.json, {name: getattr(settings, name) for name in same} | {"cfg": CFG})
    edits = make_edits(settings.scenes, settings.seed, settings.kinds)
    for group in groups(edits, settings.batch):
        missing = [name for name in names if not records.has(*(key_of(edit, name) for edit in group))]
        if missing:
            records.add(measure(bench, group, missing, settings))
        print(f"edit {group[-1].index + 1} of {len(edits)}", file=sys.stderr, flush=True)
    points = summarise([row for row in records.rows if row["index"] < settings.scenes], names)
    print(report(points, settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    records.write(summary=points)
    return points


if __name__ == "__main__":
    main()
