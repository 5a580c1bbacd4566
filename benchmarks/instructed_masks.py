"""Does a mask from one instruction cover what has to change?

``python run.py bench instructed_masks [--quick]``, or ``python -m benchmarks.instructed_masks``
with COMFYUI_PATH set.

Held-out edits of all kinds of the demo world, by its instruction model. Per kind:

- IoU of DiffEditMask's mask, from the instruction alone, with the true change between the scenes
  before and after: the pixels of the things that change (of the ground: all other pixels); IoU with
  the latent cells that these pixels touch; the highest IoU with the true change that one threshold of
  the heat map, chosen for the edit, can have; and the highest that a mask of whole cells can have;
- with ``--whole``: IoU of the model's own whole edit with the same: the difference of its final
  latent from the source's, thresholded by the same normalisation. It estimates the best that a mask
  can reach;
- with ``--whole``: the share of edits that the judge accepts, of the model's own whole edit and of
  the edit inside the mask;
- with ``--whole``: PSNR outside the latent cells of the mask and of the change, against the VAE's
  own reconstruction.

"add, place not said": the instruction names a new thing and no place, so that the true mask is one
of many possible ones. These edits are listed separately and counted in the total.
"""

import argparse
import time

import torch

from lab import common
from lab.compute import add_dtype
from lab.records import JsonRecords

from .held_out import CELL, HeldOut, cells_of, draw, groups, judged, make_edits
from .instructed import CFG, CHECKPOINT, STEPS, Instructed

KINDS = ("replace", "recolour", "remove", "add", "ground")
SETTINGS = {"noises": 10, "noise_strength": 0.7, "threshold": 0.5, "normalisation": "adaptive", "edge_radius": 4}


def group_of(edit: HeldOut) -> str:
    """The kind of an edit; additions whose instruction names no place are a separate kind."""
    new = [edit.edit.after.things[place] for place in edit.edit.changed_after]
    return "add, place not said" if edit.kind == "add" and not new[0].worn else edit.kind


def changes(edits: list[HeldOut]) -> torch.Tensor:
    """The pixels that have to change, [N, S, S] of 0 and 1: those of the changed things of either
    scene; if the ground changes, those of no thing.
    """
    from demo.world.render import render_batch

    masks = []
    for edit in edits:
        before, after = (render_batch([scene]).masks[0] for scene in (edit.edit.before, edit.edit.after))
        if edit.kind == "ground":
            masks.append((after.amax(0) <= 0.5).float())
            continue
        parts = [before[place] for place in edit.edit.changed_before]
        parts += [after[place] for place in edit.edit.changed_after]
        masks.append((torch.stack(parts).amax(0) > 0.5).float())
    return torch.stack(masks)


def best_of_thresholds(heat: torch.Tensor, truth: torch.Tensor) -> float:
    """The highest IoU with pixels [S, S] of 0 and 1 that the latent cells above one threshold of a
    heat map [S, S] can have.
    """
    cells, inside = (torch.nn.functional.avg_pool2d(field[None, None], CELL).flatten() for field in (heat, truth))
    covered = CELL**2 * inside[cells.sort(descending=True)[1]].cumsum(0)
    chosen = CELL**2 * torch.arange(1, len(cells) + 1)
    return float((covered / (chosen + truth.sum() - covered)).max())


def best_of_cells(truth: torch.Tensor) -> float:
    """The highest IoU with pixels [S, S] of 0 and 1 that a mask of whole latent cells can have: the
    cells are added in the order of the share of their pixels that are 1.
    """
    return best_of_thresholds(truth, truth)


class Bench(Instructed):
    widgets = SETTINGS

    def measure(self, edits: list[HeldOut], seed: int, is_whole: bool) -> list[dict]:
        """One record per edit; the edits are one batch."""
        drawn, truth = draw(edits), changes(edits)
        latent = self.encode(drawn.before) | {"batch_index": [edit.index for edit in edits]}
        told = [edit.edit.instruction for edit in edits]
        mask, heat, _ = self.mask(latent, told, seed, **self.widgets)
        touched = torch.nn.functional.max_pool2d(truth[:, None], CELL)[:, 0]
        rows = [
            {
                "key": f"{edit.index}{' whole' if is_whole else ''}",
                "kind": group_of(edit),
                "iou": common.iou(mask[row] > 0.5, truth[row] > 0.5),
                "iou of cells": common.iou(mask[row, ::CELL, ::CELL] > 0.5, touched[row] > 0.5),
                "best threshold": best_of_thresholds(heat[row], truth[row]),
                "best of cells": best_of_cells(truth[row]),
            }
            for row, edit in enumerate(edits)
        ]
        return self.with_edits(rows, edits, latent, mask, truth, seed) if is_whole else rows

    def with_edits(self, rows, edits, latent, mask, truth, seed) -> list[dict]:
        """Add to the records the results of the whole edit and of the edit inside the mask."""
        told, diffedit = [edit.edit.instruction for edit in edits], common.pack_module("core.masks.diffedit")
        whole = self.bare(latent["samples"], told, seed)
        apart = (whole["samples"] - latent["samples"]).abs().mean(1)
        difference_mask = diffedit.mask_from_contrast(apart, method="adaptive")[0]
        difference_mask = difference_mask.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
        base, either = self.decode(latent), torch.maximum(cells_of(truth), mask)
        results = {
            "whole": judged(self.decode(whole), base, edits, either),
            "inside": judged(self.decode(self.inside(latent, mask, told, seed)), base, edits, either),
        }
        for number, row in enumerate(rows):
            row["iou of the whole edit"] = common.iou(difference_mask[number] > 0.5, truth[number] > 0.5)
            for name, verdicts in results.items():
                row[f"{name} accepted"] = verdicts[number]["accepted"]
                row[f"{name} background"] = verdicts[number]["background"]
        return rows


COLUMNS = {
    "iou": 2,
    "iou of cells": 2,
    "best threshold": 2,
    "best of cells": 2,
    "iou of the whole edit": 2,
    "whole accepted": 2,
    "inside accepted": 2,
    "whole background": 1,
    "inside background": 1,
}
"""Metrics and their decimals."""


def report(records: list[dict], widgets: dict) -> str:
    """Markdown: means per kind of edit."""
    kinds = dict.fromkeys(row["kind"] for row in records)
    sets = {kind: [row for row in records if row["kind"] == kind] for kind in kinds} | {"all": records}
    sets["all whose place is said"] = [row for row in records if row["kind"] != "add, place not said"]
    if "whole accepted" in records[0]:
        sets["all that the whole edit gets right"] = [row for row in records if row["whole accepted"]]
    columns = {name: digits for name, digits in COLUMNS.items() if name in records[0]}
    rows = [
        [
            name,
            *(f"{common.mean(row[column] for row in chosen):.{digits}f}" for column, digits in columns.items()),
            str(len(chosen)),
        ]
        for name, chosen in sets.items()
    ]
    settings = ", ".join(f"{name} {value}" for name, value in widgets.items())
    return "\n".join(
        [f"## {len(records)} held-out edits; {settings}", "", common.markdown_table(["edits", *columns, "of"], rows)]
    )


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="10 edits")
    parser.add_argument("--whole", action="store_true", help="make the edits as well")
    parser.add_argument("--threshold", type=float, default=SETTINGS["threshold"], help="of the mask")
    parser.add_argument("--edge-radius", type=int, default=SETTINGS["edge_radius"], help="of the mask; 0 is off")
    parser.add_argument("--checkpoint", default=str(CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes, edits and noises")
    parser.add_argument("--batch", type=int, default=5, help="edits at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.edits = 10 if settings.quick else settings.edits
    if min(settings.edits, settings.batch) < 1:
        parser.error(f"expected --edits and --batch of at least 1; got {settings.edits} and {settings.batch}")
    started, bench = time.time(), Bench(settings.checkpoint, dtype=settings.dtype)
    bench.widgets = {**SETTINGS, "threshold": settings.threshold, "edge_radius": settings.edge_radius}
    same = {"seed": settings.seed, "dtype": settings.dtype}
    records = JsonRecords(settings.json, same | {"steps": STEPS, "cfg": CFG, **bench.widgets})
    edits = make_edits(settings.edits, settings.seed, KINDS, None)
    ending = " whole" if settings.whole else ""
    wanted = [f"{edit.index}{ending}" for edit in edits]
    for group in groups(edits, settings.batch):
        if not records.has(*(f"{edit.index}{ending}" for edit in group)):
            records.add(bench.measure(group, settings.seed, settings.whole))
    rows = [row for row in records.rows if row["key"] in set(wanted)]
    print(report(rows, bench.widgets))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    return rows


if __name__ == "__main__":
    main()
