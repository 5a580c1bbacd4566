"""Does CLIPRank put the good predictions first?

``python run.py bench clip_ranking [--quick]``, or ``python -m benchmarks.clip_ranking`` with
COMFYUI_PATH set.

Batches of predictions of held-out demo scenes: LatentBlendSampler replaces or recolours one thing
of each, in the box around it. The demo's own CLIP ranks each batch under the target's caption, and
the judge of the demo world, which was trained on neither model, decides which predictions show the
caption. Printed for every region and background weight:

- top, bottom: share accepted of the best- and the worst-ranked of every batch;
- random: share accepted of all, the expected value of a random choice;
- gain: top minus random, in percentage points, with the standard error over the batches;
- pairs: of all pairs of an accepted and a refused prediction of one batch, the share that is ranked
  in the right order (chance: 50 %).

``batches with a choice`` are those with both accepted and refused predictions; in the others every
ranking is equally good.
"""

import argparse
import math
import sys
import time

import torch

from lab import common
from lab.records import JsonRecords

from .held_out import HeldOut, draw, make_edits, shown

REGIONS = ("masked", "crop", "whole")
BACKGROUNDS = (0.0, 0.5, 2.0)
MARGIN = 12  # pixels around the thing


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
    """Predictions and rankings through real nodes."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.settings = settings
        self.ranker = self.run("CLIPRankModelLoader", folder=settings.clip)[0]

    def predictions(self, edit: HeldOut) -> dict:
        """One batch: source, target, mask, predictions, and which of them the judge accepts."""
        settings = self.settings
        source, _, thing, _ = draw([edit])
        mask, latent, empty = box_around(thing[0] > 0.5), self.encode(source), self.texts("")
        edited = self.run(
            "LatentBlendSampler",
            model=self.model,
            positive=self.texts(edit.target),
            negative=empty,
            latent=latent,
            mask=mask,
            seed=1000 * edit.index + settings.seed,
            steps=settings.steps,
            cfg=settings.cfg,
            sampler_name="euler",
            scheduler="normal",
            predictions=settings.predictions,
        )[0]
        pictures = self.decode(edited)
        accepted = shown(pictures, [edit.edit.after] * len(pictures))
        return {"source": source, "text": edit.target, "mask": mask, "pictures": pictures, "accepted": accepted}

    def measure(self, edit: HeldOut, ways: list[tuple[str, float]]) -> dict:
        """The verdicts of one batch: in the order of the batch, and for every ranking with the
        best-ranked first.
        """
        batch = self.predictions(edit)
        ranked = {
            f"{region}, {weight:g}": [batch["accepted"][number] for number in self.order(batch, region, weight)]
            for region, weight in ways
        }
        return {"key": str(edit.index), "text": batch["text"], "accepted": batch["accepted"], "ranked": ranked}

    def order(self, batch: dict, region: str, background: float) -> list[int]:
        return self.run(
            "CLIPRank",
            images=batch["pictures"],
            text=batch["text"],
            mask=batch["mask"],
            source=batch["source"],
            region=region,
            background=background,
            clip_rank_model=self.ranker,
        )[4]


def summarise(ranked: list[list[bool]]) -> dict:
    """The shares over batches of verdicts, the best-ranked first."""
    gains = [batch[0] - sum(batch) / len(batch) for batch in ranked]
    mean = common.mean(gains)
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
        "gain": mean,
        "error": math.sqrt(sum((gain - mean) ** 2 for gain in gains) / max(1, len(gains) - 1) / len(gains)),
        "pairs": common.mean(right),
    }


def report(found: dict, batches: int, choice: int, predictions: int) -> str:
    lines = []
    for title, part in (
        (f"All {batches} batches of {predictions}", "all"),
        (f"The {choice} batches with a choice", "choice"),
    ):
        rows = []
        for name, values in found[part].items():
            rows.append(
                (
                    name,
                    *(f"{values[key]:.0%}" for key in ("top", "random", "bottom")),
                    f"{100 * values['gain']:+.1f} +- {100 * values['error']:.1f}",
                    f"{values['pairs']:.0%}" if not math.isnan(values["pairs"]) else "-",
                )
            )
        lines += [
            f"## {title}: share accepted",
            "",
            common.markdown_table(["region, background weight", "top", "random", "bottom", "gain", "pairs"], rows),
            "",
        ]
    return "\n".join(lines)


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
    parser.add_argument("--json", help="write every number to this file after each batch, and go on from what it holds")
    settings = parser.parse_args(argv)
    settings.batches = 8 if settings.quick else settings.batches
    if settings.batches < 1 or settings.predictions < 2:
        parser.error(
            f"expected at least 1 batch of at least 2 predictions; got {settings.batches} of {settings.predictions}"
        )
    started, bench = time.time(), Bench(settings)
    ways = [(region, weight) for region in settings.regions for weight in settings.backgrounds]
    same = ("seed", "predictions", "things", "steps", "cfg", "regions", "backgrounds")
    kept = JsonRecords(settings.json, {name: getattr(settings, name) for name in same})
    for edit in make_edits(settings.batches, settings.seed, things=settings.things):
        if not kept.has(str(edit.index)):
            kept.add([bench.measure(edit, ways)])
        said = f"{sum(kept.rows[-1]['accepted'])} of {settings.predictions} accepted"
        print(f"batch {edit.index + 1} of {settings.batches}, {said}", file=sys.stderr, flush=True)
    rows = [row for row in kept.rows if int(row["key"]) < settings.batches]
    choice = [row for row in rows if any(row["accepted"]) and not all(row["accepted"])]
    found = {
        part: {name: summarise([row["ranked"][name] for row in some]) for name in rows[0]["ranked"]} if some else {}
        for part, some in (("all", rows), ("choice", choice))
    }
    print(report(found, len(rows), len(choice), settings.predictions))
    print(f"measured in {(time.time() - started) / 60:.1f} minutes")
    kept.write(summary=found)
    return found


if __name__ == "__main__":
    main()
