"""How many noises does DiffEditMask need, and does it help to draw them in pairs or to stop early?

``python run.py bench mask_noises``, or ``python -m benchmarks.mask_noises`` with COMFYUI_PATH set.

The contrast of held-out edits of the demo world is computed separately under each of 25 noises: ten
independent ones, the negatives of the first five, and ten others for a reference. All rules are
then applied to the same contrasts:

- fixed: the first n noises;
- pairs: the first n / 2 noises and their negatives (antithetic sampling);
- stop at s: two noises at a time, until the mask of all so far overlaps (IoU) that of two fewer by
  at least s;
- decided at s: two noises at a time, until the cells whose mean is less than two standard errors
  from the threshold are at most a share s of the mask.

Printed: the mean number of noises, and the overlap of the mask with that of the ten other noises
(the last row of "fixed" is the overlap of two independent masks of ten noises) and with the true
mask; for the latter 95 % intervals of the difference from ten noises.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator

import torch

from demo.world.edits import EDITS
from lab import common
from lab.compute import add_dtype
from lab.records import JsonRecords
from lab.uncertainty import Interval, interval, paired_difference

from .diffedit_quality import CLOSED, Bench
from .held_out import CELL, HeldOut, groups, make_edits

MOST, PAIRS = 10, 5
STRENGTH = 0.5
"""Noise strength, the node's default."""
STOPS, DECIDED = (0.9, 0.95, 0.98), (0.1, 0.2, 0.4)


def contrasts(bench: Bench, noises: torch.Tensor) -> torch.Tensor:
    """The contrast [N, B, h, w] of a batch of edits under each of ``noises`` [N, B, C, h, w]."""
    host, latents = common.pack_module("host.sampling"), common.pack_module("host.latents")
    sigma = host.sigma_at_strength(bench.model, STRENGTH)

    def run(predictor, x0):
        maps = []
        for noise in noises:
            noised = predictor.noised(x0, noise.to(x0), sigma)
            target, source = predictor.eps_of_each(noised, sigma, ("positive", "negative"))
            maps.append((target - source).abs().mean(1).float().cpu())
        return torch.stack(maps)

    samples = latents.read_latent(bench.latent, bench.model)
    with torch.inference_mode():
        guider = host.make_guider(bench.model, bench.target, bench.source)
        return host.run_algorithm(guider, samples, torch.tensor([sigma, 0.0]), run)


def draw_noises(edits: list[HeldOut], seed: int, shape) -> torch.Tensor:
    """[2 MOST + PAIRS, B, C, h, w]: ten noises, the negatives of the first five, ten others."""
    generators = [torch.Generator().manual_seed(seed + edit.index) for edit in edits]
    drawn = torch.stack([torch.randn((2 * MOST, *shape), generator=generator) for generator in generators], 1)
    return torch.cat([drawn[:MOST], -drawn[:PAIRS], drawn[MOST:]])


def mask_of(maps: torch.Tensor, settings: dict) -> torch.Tensor:
    """The binary mask [h, w] of the mean of contrasts [N, h, w]."""
    return common.pack_module("core.masks.diffedit").mask_from_contrast(maps.mean(0)[None], **settings)[0][0] > 0.5


def undecided(maps: torch.Tensor, settings: dict) -> float:
    """Number of cells whose mean contrast is less than two standard errors from the threshold, over
    the number of cells of the mask; infinite for an empty mask.
    """
    blur = common.pack_module("core.masks.operations").gaussian_blur
    smooth = blur(maps, settings.get("smoothing", 0.0))
    mean, error = smooth.mean(0), smooth.std(0) / math.sqrt(len(maps))
    edge = 1.5 * mean.mean()
    cells = float((mean > edge).sum())
    return float(((mean - edge).abs() < 2 * error).sum()) / cells if cells else math.inf


def stopped(maps: torch.Tensor, settings: dict, rule: str, share: float) -> int:
    """The number of noises that a stopping rule uses, two at a time."""
    for count in range(4, len(maps) + 1, 2):
        if rule == "stop":
            done = common.iou(mask_of(maps[:count], settings), mask_of(maps[: count - 2], settings)) >= share
        else:
            done = undecided(maps[:count], settings) <= share
        if done:
            return count
    return len(maps)


def rules(maps: torch.Tensor, settings: dict) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and contrasts of every rule, for one edit's contrasts [2 MOST + PAIRS, h, w]."""
    first, negatives = maps[:MOST], maps[MOST : MOST + PAIRS]
    for count in (1, 2, 3, 4, 6, 8, MOST):
        yield f"fixed {count}", first[:count]
    for pairs in range(1, PAIRS + 1):
        yield f"pairs {2 * pairs}", torch.cat([first[:pairs], negatives[:pairs]])
    for rule, shares in (("stop", STOPS), ("decided", DECIDED)):
        for share in shares:
            yield f"{rule} at {share:g}", first[: stopped(first, settings, rule, share)]


def measure(bench: Bench, edits: list[HeldOut], settings: dict) -> list[dict]:
    """One record per edit: the noises and overlaps of every rule."""
    bench.begin(edits)
    maps = contrasts(bench, draw_noises(edits, bench.seed, bench.latent["samples"].shape[1:]))
    records = []
    for number, edit in enumerate(edits):
        reference = mask_of(maps[-MOST:, number], settings)
        thing = bench.drawn.thing[number] > 0.5
        values = {}
        for name, used in rules(maps[:, number], settings):
            mask = mask_of(used, settings)
            pixels = mask.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)
            overlap = common.iou(pixels, thing) if thing.any() else None
            values[name] = {"noises": len(used), "reference": common.iou(mask, reference), "thing": overlap}
        records.append({"key": str(edit.index), "index": edit.index, "kind": edit.kind, "rules": values})
    return records


def summarise(rows: list[dict]) -> list[dict]:
    """Per rule the means of the noises and of the overlaps, with intervals of the overlap with the
    reference and of the difference from ten noises in the overlap with the true mask.
    """
    points, most = [], f"fixed {MOST}"
    for name in rows[0]["rules"]:
        values = {row["index"]: row["rules"][name] for row in rows}
        things = {
            index: values_of_edit["thing"]
            for index, values_of_edit in values.items()
            if values_of_edit["thing"] is not None
        }
        most_noises = {row["index"]: row["rules"][most]["thing"] for row in rows if row["index"] in things}
        points.append(
            {
                "rule": name,
                "edits": len(rows),
                "noises": common.mean(values_of_edit["noises"] for values_of_edit in values.values()),
                "reference": list(interval(values_of_edit["reference"] for values_of_edit in values.values())),
                "thing": common.mean(things.values()),
                "more thing": list(paired_difference(things, most_noises)),
            }
        )
    return points


def report(points: list[dict], settings: dict) -> str:
    """The rules' table, in Markdown."""
    rows = [
        (
            point["rule"],
            f"{point['noises']:.1f}",
            f"{2 * point['noises']:.0f}",
            Interval(*point["reference"]).words(".3f"),
            f"{point['thing']:.3f}",
            Interval(*point["more thing"]).words("+.3f"),
        )
        for point in points
    ]
    headers = ["rule", "noises", "evaluations", "IoU with ten others", "IoU with the thing", "difference from fixed 10"]
    text = ", ".join(f"{name} {value:g}" for name, value in settings.items()) or "default mask"
    return f"## {points[0]['edits']} edits, {text}\n\n{common.markdown_table(headers, rows)}"


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=50, help="held-out scenes, one edit each")
    parser.add_argument("--quick", action="store_true", help="5 scenes")
    parser.add_argument("--kinds", nargs="+", choices=EDITS, default=EDITS, help="kinds of the edits, in turn")
    parser.add_argument("--plain-mask", action="store_true", help="DiffEditMask at its defaults, without closing holes")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--batch", type=int, default=10, help="edits at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.scenes = 5 if settings.quick else settings.scenes
    if min(settings.scenes, settings.batch) < 1:
        parser.error(f"expected --scenes and --batch of at least 1; got {settings.scenes} and {settings.batch}")
    started, bench = time.time(), Bench(settings.checkpoint, settings.seed, settings.dtype)
    mask_settings = {} if settings.plain_mask else CLOSED
    records = JsonRecords(
        settings.json, {name: getattr(settings, name) for name in ("seed", "kinds", "plain_mask", "dtype")}
    )
    edits = make_edits(settings.scenes, settings.seed, settings.kinds)
    for group in groups(edits, settings.batch):
        if not records.has(*(str(edit.index) for edit in group)):
            records.add(measure(bench, group, mask_settings))
        print(f"edit {group[-1].index + 1} of {len(edits)}", file=sys.stderr, flush=True)
    points = summarise([row for row in records.rows if row["index"] < settings.scenes])
    print(report(points, mask_settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    records.write(summary=points)
    return points


if __name__ == "__main__":
    main()
