"""How few evaluations does an edit by DiffEdit need?

``python run.py bench fewer_evaluations``, or ``python -m benchmarks.fewer_evaluations`` with COMFYUI_PATH set.

Held-out edits of the demo world (half replace a thing, half recolour it), the mask found with
several numbers of noises, inverted and edited with several numbers of steps, all else equal and
through the pack's real nodes. Printed for every pair: network evaluations of one edit, the share
that the judge accepts, how many edits that the dearest pair gets right this one loses and how many
it wins, the share with the thing in its place, the PSNR outside the thing against the VAE's own
reconstruction, and the overlap (IoU) of the mask with the thing's own and
with the mask of the most noises.
"""

import argparse
import re
import sys
import time

from lab import common
from lab.records import JsonRecords

from .diffedit_quality import CFG, CLOSED, Bench
from .held_out import HeldOut, groups, make_edits

PAIRS = tuple(f"{steps}x{noises}" for steps in (50, 25, 16, 10) for noises in (10, 4, 2))
MOST = 10
"""Noises of the mask that all others are compared with, the node's default."""
MEANS = ("evaluations", "accepted", "in place", "background", "iou", "same mask")


def key_of(edit: HeldOut, pair: str) -> str:
    return f"{edit.index} {pair}"


def measure(bench: Bench, edits: list[HeldOut], pairs: list[str], settings) -> list[dict]:
    """One record per edit and pair of steps and noises."""
    mask_settings = {} if settings.plain_mask else CLOSED
    wanted = [tuple(map(int, pair.split("x"))) for pair in pairs]
    bench.begin(edits)
    masks, costs, found = {}, {}, []
    for noises in sorted({MOST} | {noises for _, noises in wanted}):
        masks[noises], costs[noises] = bench.mask(noises=noises, **mask_settings), bench.spent()
    for steps in dict.fromkeys(steps for steps, _ in wanted):
        _, inversion, *_ = bench.inverted(steps, settings.strength)
        up = bench.spent()
        for noises in (noises for own, noises in wanted if own == steps):
            mask, _, masked = masks[noises]
            results = bench.judged(bench.blended(masked, inversion))
            spent, overlaps = costs[noises] + up + bench.spent(), bench.overlap(mask)
            found += [
                {
                    "key": key_of(edit, f"{steps}x{noises}"),
                    "index": edit.index,
                    "kind": edit.kind,
                    "steps": steps,
                    "noises": noises,
                    "evaluations": spent,
                    "iou": overlaps[number],
                    "same mask": common.iou(mask[number] > 0.5, masks[MOST][0][number] > 0.5),
                    **results[number],
                }
                for number, edit in enumerate(edits)
            ]
    return found


def summarise(rows: list[dict]) -> list[dict]:
    """Means for every pair of steps and noises, the fewest evaluations first; ``lost`` and ``won`` count the
    edits that only the dearest pair, and only this one, has accepted.
    """
    points, verdicts = [], {}
    for pair in dict.fromkeys((row["steps"], row["noises"]) for row in rows):
        chosen = [row for row in rows if (row["steps"], row["noises"]) == pair]
        means = {name: common.mean(row[name] for row in chosen) for name in MEANS}
        points.append({"steps": pair[0], "noises": pair[1], "edits": len(chosen), **means})
        verdicts[pair] = {row["index"]: row["accepted"] for row in chosen}
    points.sort(key=lambda point: point["evaluations"])
    dearest = verdicts[points[-1]["steps"], points[-1]["noises"]]
    for point in points:
        own = verdicts[point["steps"], point["noises"]]
        both = [(dearest[index], accepted) for index, accepted in own.items() if index in dearest]
        point["lost"], point["won"] = both.count((1.0, 0.0)), both.count((0.0, 1.0))
    return points


def report(points: list[dict], settings) -> str:
    rows = [
        (
            f"{point['steps']} steps, {point['noises']} noises",
            str(point["edits"]),
            f"{point['evaluations']:.0f}",
            f"{point['accepted']:.0%}",
            f"{point['lost']} / {point['won']}",
            f"{point['in place']:.0%}",
            f"{point['background']:.1f} dB",
            point["iou"],
            point["same mask"],
        )
        for point in points
    ]
    mask = "default mask" if settings.plain_mask else "mask with smoothing 1 and grow 1"
    same = f"with that of {MOST} noises"
    headers = ["", "edits", "evaluations", "accepted", "lost / won", "in place", "background", "mask IoU", same]
    return "\n".join(
        [f"## Strength {settings.strength:g}, cfg {CFG}, {mask}", "", common.markdown_table(headers, rows)]
    )


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100, help="held-out scenes, one edit each, both kinds in turn")
    parser.add_argument("--quick", action="store_true", help="4 scenes")
    parser.add_argument("--pairs", nargs="+", default=PAIRS, help="steps of the whole schedule x noises, such as 25x4")
    parser.add_argument("--strength", type=float, default=0.8, help="encode ratio")
    parser.add_argument("--plain-mask", action="store_true", help="DiffEditMask at its defaults, without closing holes")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--batch", type=int, default=5, help="edits at a time")
    parser.add_argument("--json", help="write every number to this file after each batch, and go on from what it holds")
    settings = parser.parse_args(argv)
    settings.scenes = 4 if settings.quick else settings.scenes
    if min(settings.scenes, settings.batch) < 1 or not 0 < settings.strength <= 1:
        parser.error(
            f"expected --scenes and --batch of at least 1 and --strength in 0..1; "
            f"got {settings.scenes}, {settings.batch} and {settings.strength:g}"
        )
    if not all(re.fullmatch(r"[1-9]\d*x[1-9]\d*", pair) for pair in settings.pairs):
        parser.error(f"expected --pairs of steps x noises, such as 25x4; got {' '.join(settings.pairs)}")
    started, bench = time.time(), Bench(settings.checkpoint, settings.seed)
    same = ("seed", "strength", "plain_mask")
    kept = JsonRecords(settings.json, {name: getattr(settings, name) for name in same} | {"cfg": CFG})
    edits = make_edits(settings.scenes, settings.seed)
    for group in groups(edits, settings.batch):
        missing = [pair for pair in settings.pairs if not kept.has(*(key_of(edit, pair) for edit in group))]
        if missing:
            kept.add(measure(bench, group, missing, settings))
        print(f"edit {group[-1].index + 1} of {len(edits)}", file=sys.stderr, flush=True)
    points = summarise([row for row in kept.rows if row["index"] < settings.scenes])
    print(report(points, settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    kept.write(summary=points)
    return points


if __name__ == "__main__":
    main()
