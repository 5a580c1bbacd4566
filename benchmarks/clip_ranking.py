"""Does CLIPRank put the good predictions first?

``python run.py bench clip_ranking [--quick]``, or ``python -m benchmarks.clip_ranking`` with
COMFYUI_PATH set.

LatentBlendSampler replaces or recolours one thing of a held-out demo scene, in the box around it,
and makes a batch of predictions. The demo's CLIP ranks each batch under the target's caption. The
judge of the demo world, which was trained on neither model, decides which predictions show
the caption. Printed for every region and background weight:

- top, bottom: share accepted of the best- and the worst-ranked of every batch;
- top 20 %, bottom 20 %: the same of the first and the last fifth of every batch (rounded, at least
  one), and their difference with its standard error over the batches;
- random: share accepted of all, the expected value of a random choice;
- gain: top minus random, in percentage points, with the standard error over the batches;
- pairs: of all pairs of an accepted and a refused prediction of one batch, the share that is ranked
  in the right order (chance: 50 %).

``batches with a choice`` are those with both accepted and refused predictions; in the others every
ranking is equally good.

``--stock N`` also makes the first N batches by KSampler with the mask as a noise mask, and prints
Blended Latent Diffusion's own table for both ways: batch precision (share accepted), best of the
batch (by the first of ``--regions`` and ``--backgrounds``), diversity (mean RMSE between two
predictions of a batch inside the mask), evaluations and processor time. ``--pictures`` saves the
predictions, from which ``--sheet`` draws the batches with a choice in CLIP's order (by the last
region and background).
"""

import argparse
import itertools
import pathlib
import sys
import time
from collections.abc import Callable

import torch

from lab import common
from lab.compute import add_dtype, compute_in
from lab.records import JsonRecords
from lab.sheet import save_picture

from .held_out import HeldOut, draw, make_edits, shown
from .ranking_tables import draw_sheet, picture_file, report, summarise, table_of_ways

REGIONS = ("masked", "crop", "whole")
BACKGROUNDS = (0.0, 0.5, 2.0)
MARGIN = 12  # pixels around the thing
COSTS = ("diversity", "evaluations", "seconds")
SHARES = {"top": "top", "top 20 %": "top fifth", "any": "random", "bottom 20 %": "bottom fifth", "bottom": "bottom"}
"""Columns of shares accepted, with their keys in the result of ``summarise``."""


def box_around(inside: torch.Tensor) -> torch.Tensor:
    """A mask [1, S, S] with the box that a user would draw around ``inside`` [S, S]."""
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    mask = torch.zeros(1, *inside.shape)
    mask[
        :,
        max(0, int(rows[0]) - MARGIN) : int(rows[-1]) + 1 + MARGIN,
        max(0, int(columns[0]) - MARGIN) : int(columns[-1]) + 1 + MARGIN,
    ] = 1
    return mask


class Bench(common.Demo):
    """Predictions and rankings by the pack's nodes."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.settings, self.evaluations = settings, common.Evaluations(compute_in(self.model, settings.dtype))
        self.model = self.evaluations.model
        self.ranker = self.run("CLIPRankModelLoader", folder=settings.clip)[0]

    def case(self, edit: HeldOut) -> dict:
        """The inputs that all ways to make a batch share."""
        source, _, thing, _ = draw([edit])
        settings = self.settings
        shared = {
            "model": self.model,
            "positive": self.texts(edit.target),
            "negative": self.texts(""),
            "seed": 1000 * edit.index + settings.seed,
            "steps": settings.steps,
            "cfg": settings.cfg,
            "sampler_name": "euler",
            "scheduler": "normal",
        }
        mask = box_around(thing[0] > 0.5)
        return {"edit": edit, "source": source, "mask": mask, "latent": self.encode(source), "shared": shared}

    def warm_up(self) -> None:
        """Run one step, so that the time of the first run does not count."""
        case = self.case(make_edits(1, self.settings.seed, things=self.settings.things)[0])
        case["shared"]["steps"] = 1
        self.blended(case)

    def blended(self, case: dict) -> dict:
        """A LATENT of predictions by LatentBlendSampler."""
        count = self.settings.predictions
        inputs = {"latent": case["latent"], "mask": case["mask"], "predictions": count}
        return self.run("LatentBlendSampler", **case["shared"], **inputs)[0]

    def stock(self, case: dict) -> dict:
        """ComfyUI's own inpainting: KSampler, the mask as a noise mask."""
        batch = self.run("RepeatLatentBatch", samples=case["latent"], amount=self.settings.predictions)[0]
        masked = self.run("SetLatentNoiseMask", samples=batch, mask=case["mask"])[0]
        return self.run("KSampler", latent_image=masked, **case["shared"])[0]

    def batch(self, case: dict, way: Callable[[dict], dict]) -> dict:
        """One batch: predictions, the judge's verdicts, diversity, and cost per prediction."""
        self.evaluations.take()
        started = time.process_time()
        edited = way(case)
        seconds = time.process_time() - started
        pictures = self.decode(edited)
        return {
            "pictures": pictures,
            "accepted": shown(pictures, [case["edit"].edit.after] * len(pictures)),
            "diversity": diversity(pictures, case["mask"][0] > 0.5),
            "evaluations": self.evaluations.take() / len(pictures),
            "seconds": seconds / len(pictures),
        }

    def measure(self, edit: HeldOut, ways: list[tuple[str, float]]) -> dict:
        """Record of one batch: the verdicts in the order of the batch, and for every way of
        ranking, best first.
        """
        case = self.case(edit)
        batch = self.batch(case, self.blended)
        orders = {f"{way[0]}, {way[1]:g}": self.order(case, batch["pictures"], *way) for way in ways}
        record = {"key": str(edit.index), "source": edit.source, "text": edit.target, "orders": orders}
        record["ranked"] = {name: [batch["accepted"][number] for number in order] for name, order in orders.items()}
        if self.settings.pictures:
            for number, picture in enumerate([*batch["pictures"], case["source"][0]]):
                save_picture(picture, picture_file(self.settings.pictures, str(edit.index), number))
        record |= {name: batch[name] for name in ("accepted", *COSTS)}
        return record

    def measure_stock(self, edit: HeldOut, way: tuple[str, float]) -> dict:
        """Record of a batch by ComfyUI's own inpainting, with the verdict on the best-ranked
        prediction.
        """
        case = self.case(edit)
        batch = self.batch(case, self.stock)
        best = self.order(case, batch["pictures"], *way)[0]
        return {name: batch[name] for name in ("accepted", *COSTS)} | {"best": batch["accepted"][best]}

    def order(self, case: dict, pictures: torch.Tensor, region: str, background: float) -> list[int]:
        """CLIPRank's order of the pictures: indices, best first."""
        return self.run(
            "CLIPRank",
            images=pictures,
            text=case["edit"].target,
            mask=case["mask"],
            source=case["source"],
            region=region,
            background=background,
            clip_rank_model=self.ranker,
        )[4]


def diversity(pictures: torch.Tensor, inside: torch.Tensor) -> float:
    """Mean RMSE between two of the IMAGEs [N, S, S, 3] over the pixels ``inside`` [S, S]."""
    values = pictures[:, inside]
    return common.mean(
        float((values[first] - values[second]).square().mean().sqrt())
        for first, second in itertools.combinations(range(len(values)), 2)
    )


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=50, help="held-out scenes, both kinds of edits in turn")
    parser.add_argument("--predictions", type=int, default=8, help="predictions of each")
    parser.add_argument("--quick", action="store_true", help="8 batches")
    parser.add_argument(
        "--things", type=int, default=1, choices=(1, 2, 3), help="things in a scene, one of which is edited"
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cfg", type=float, default=5.0)
    parser.add_argument("--regions", nargs="+", default=REGIONS, choices=REGIONS)
    parser.add_argument("--backgrounds", nargs="+", type=float, default=BACKGROUNDS, help="background weights")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--clip", default="semantic-edit-demo", help="a folder of models/clip_rank")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--stock", type=int, default=0, help="also make this many batches by ComfyUI's own inpainting")
    parser.add_argument("--pictures", type=pathlib.Path, help="save the predictions in this folder")
    parser.add_argument("--sheet", help="draw batches of --pictures to this PNG")
    parser.add_argument("--sheet-rows", type=int, default=4)
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.batches = 8 if settings.quick else settings.batches
    if settings.batches < 1 or settings.predictions < 2:
        parser.error(
            f"expected at least 1 batch of at least 2 predictions; got {settings.batches} of {settings.predictions}"
        )
    if settings.sheet and not settings.pictures:
        parser.error("--sheet draws the pictures that --pictures saves; give both")
    started, bench = time.time(), Bench(settings)
    ways = [(region, weight) for region in settings.regions for weight in settings.backgrounds]
    same = ("seed", "predictions", "things", "steps", "cfg", "regions", "backgrounds", "dtype")
    records = JsonRecords(settings.json, {name: getattr(settings, name) for name in same})
    bench.warm_up()
    for edit in make_edits(settings.batches, settings.seed, things=settings.things):
        if not records.has(str(edit.index)):
            records.add([bench.measure(edit, ways)])
        [row] = [row for row in records.rows if row["key"] == str(edit.index)]
        if edit.index < settings.stock and "stock" not in row:
            records.add([row | {"stock": bench.measure_stock(edit, ways[0])}])
        verdict = f"{sum(row['accepted'])} of {settings.predictions} accepted"
        print(f"batch {edit.index + 1} of {settings.batches}, {verdict}", file=sys.stderr, flush=True)
    rows = [row for row in records.rows if int(row["key"]) < settings.batches]
    choice = [row for row in rows if any(row["accepted"]) and not all(row["accepted"])]
    summaries = {
        part: {name: summarise([row["ranked"][name] for row in chosen]) for name in rows[0]["ranked"]} if chosen else {}
        for part, chosen in (("all", rows), ("choice", choice))
    }
    print(report(summaries, len(rows), len(choice), settings.predictions))
    way = f"{ways[0][0]}, {ways[0][1]:g}"
    if settings.stock:
        print(table_of_ways(rows, way) + "\n")
    if settings.sheet:
        draw_sheet(rows, settings, f"{ways[-1][0]}, {ways[-1][1]:g}")
    print(f"measured in {(time.time() - started) / 60:.1f} minutes")
    records.write(summary=summaries)
    return summaries


if __name__ == "__main__":
    main()
