"""How few evaluations does an edit by DiffEdit need?

``python run.py bench fewer_evaluations``, or ``python -m benchmarks.fewer_evaluations`` with COMFYUI_PATH set.

Held-out edits of the demo world (half replace a thing, half recolour it), the mask found with
several numbers of noises, inverted and edited with several numbers of steps, all else equal and
through the pack's real nodes. Printed for every pair: network evaluations of one edit, the share
that the judge accepts, also where the thing has to be in its place, the PSNR outside the thing
against the VAE's own reconstruction, and the overlap (IoU) of the mask with the thing's own and
with the mask of the most noises.
"""

import argparse
import sys
import time

from lab import common
from lab.json_records import JsonRecords

from .diffedit_quality import CFG, CLOSED, Bench
from .held_out import HeldOut, groups, make_edits

STEPS, NOISES = (10, 16, 25, 50), (2, 4, 10)
MEANS = ("evaluations", "accepted", "in place", "background", "iou", "same mask")


def measure(bench: Bench, edits: list[HeldOut], settings) -> list[dict]:
    """One record per edit and pair of steps and noises."""
    mask_settings = {} if settings.plain_mask else CLOSED
    bench.begin(edits)
    masks, costs = {}, {}
    for noises in sorted(settings.noises):
        mask, _, masked = bench.mask(noises=noises, **mask_settings)
        masks[noises], costs[noises] = (mask, masked), bench.spent()
    most, found = masks[max(masks)][0], []
    for steps in settings.steps:
        _, inversion, *_ = bench.inverted(steps, settings.strength)
        up = bench.spent()
        for noises, (mask, masked) in masks.items():
            results = bench.judged(bench.blended(masked, inversion))
            spent = costs[noises] + up + bench.spent()
            overlaps = bench.overlap(mask)
            for number, edit in enumerate(edits):
                found.append(
                    {
                        "key": f"{edit.index}, {steps} steps, {noises} noises",
                        "index": edit.index,
                        "kind": edit.kind,
                        "steps": steps,
                        "noises": noises,
                        "evaluations": spent,
                        "iou": overlaps[number],
                        "same mask": common.iou(mask[number] > 0.5, most[number] > 0.5),
                        **results[number],
                    }
                )
    return found


def summarise(rows: list[dict]) -> list[dict]:
    """Means for every pair of steps and noises, the fewest evaluations first."""
    points = []
    for steps, noises in dict.fromkeys((row["steps"], row["noises"]) for row in rows):
        chosen = [row for row in rows if (row["steps"], row["noises"]) == (steps, noises)]
        means = {name: common.mean(row[name] for row in chosen) for name in MEANS}
        points.append({"steps": steps, "noises": noises, "edits": len(chosen), **means})
    return sorted(points, key=lambda point: point["evaluations"])


def report(points: list[dict], settings) -> str:
    rows = [
        (
            f"{point['steps']} steps, {point['noises']} noises",
            f"{point['evaluations']:.0f}",
            f"{point['accepted']:.0%}",
            f"{point['in place']:.0%}",
            f"{point['background']:.1f} dB",
            point["iou"],
            point["same mask"],
        )
        for point in points
    ]
    mask = "default mask" if settings.plain_mask else "mask with smoothing 1 and grow 1"
    headers = [
        "",
        "evaluations",
        "accepted",
        "in place",
        "background",
        "mask IoU",
        f"with {max(settings.noises)} noises",
    ]
    return "\n".join(
        [
            f"## {points[0]['edits']} edits, strength {settings.strength:g}, cfg {CFG}, {mask}",
            "",
            common.markdown_table(headers, rows),
        ]
    )


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100, help="held-out scenes, one edit each, both kinds in turn")
    parser.add_argument("--quick", action="store_true", help="4 scenes")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="steps of the whole schedule")
    parser.add_argument("--noises", type=int, nargs="+", default=NOISES, help="noises of the mask")
    parser.add_argument("--strength", type=float, default=0.8, help="encode ratio")
    parser.add_argument("--plain-mask", action="store_true", help="DiffEditMask at its defaults, without closing holes")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--batch", type=int, default=5, help="edits at a time")
    parser.add_argument("--json", help="write every number to this file after each batch, and go on from what it holds")
    settings = parser.parse_args(argv)
    settings.scenes = 4 if settings.quick else settings.scenes
    if min(settings.scenes, settings.batch, *settings.steps, *settings.noises) < 1 or not 0 < settings.strength <= 1:
        parser.error(
            f"expected --scenes, --batch, --steps and --noises of at least 1 and --strength in 0..1; got "
            f"{settings.scenes}, {settings.batch}, {settings.steps}, {settings.noises} and {settings.strength:g}"
        )
    started, bench = time.time(), Bench(settings.checkpoint, settings.seed)
    same = ("seed", "strength", "plain_mask", "steps", "noises")
    kept = JsonRecords(settings.json, {name: getattr(settings, name) for name in same} | {"cfg": CFG})
    edits, pairs = make_edits(settings.scenes, settings.seed), [(s, n) for s in settings.steps for n in settings.noises]
    for group in groups(edits, settings.batch):
        if not kept.has(*(f"{edit.index}, {s} steps, {n} noises" for edit in group for s, n in pairs)):
            kept.add(measure(bench, group, settings))
        print(f"edit {group[-1].index + 1} of {len(edits)}", file=sys.stderr, flush=True)
    points = summarise([row for row in kept.rows if row["index"] < settings.scenes])
    print(report(points, settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    kept.write(summary=points)
    return points


if __name__ == "__main__":
    main()
