"""Does DiffEdit change what the text asks for and leave the rest unchanged?

``python run.py bench diffedit_quality [--quick]``, or ``python -m benchmarks.diffedit_quality``
with COMFYUI_PATH set.

Held-out scenes of one thing, half of them with a text for another thing, half with one for another
colour, edited by the demo checkpoint through the pack's nodes. The methods, at several strengths
(encode ratios):

- DiffEdit: DiffEditMask, DDIMInvert with the empty text, LatentBlendSampler along the inversion,
  all at their defaults;
- DiffEdit, closed mask: the same with DiffEditMask's smoothing 1 and grow 1, which close holes;
- DiffEdit, mask along edges: the same with DiffEditMask's noise_strength 0.6, normalisation adaptive,
  threshold 0.6 and edge_radius 4;
- Encode-Decode: the same inversion, sampled without a mask by the stock SamplerCustom;
- SDEdit: the stock KSampler with the strength as its denoise.

All have the same noise levels, steps and guidance. Printed: the overlap (IoU) of the mask with the
true mask of the thing; the share of edits that the judge accepts (thing, colour and ground are
those of the target, nothing else), also with the condition that the thing is in its place; the PSNR
outside the latent cells of the old and the new thing against the VAE's reconstruction of the source
(which excludes the loss of the VAE); and the network evaluations per edit.
"""

import argparse
import math
import sys
import time
from typing import Any

import torch

from lab import common, sheet
from lab.compute import add_dtype, compute_in
from lab.methods import ALONG_EDGES
from lab.records import JsonRecords

from .held_out import KINDS, HeldOut, draw, groups, judged, make_edits

STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9)
CLOSED = {"smoothing": 1.0, "grow": 1}
OF_MASK: dict[str, dict] = {"DiffEdit": {}, "DiffEdit, closed mask": CLOSED, "DiffEdit, mask along edges": ALONG_EDGES}
"""The settings of DiffEditMask by method."""
METHODS = (*OF_MASK, "Encode-Decode", "SDEdit")
MASKS: dict[str, dict] = {
    "default: clamp 0.5": {},
    "closed: smoothing 1, grow 1": CLOSED,
    "along edges": ALONG_EDGES,
    "along edges, without edge_radius": {**ALONG_EDGES, "edge_radius": 0},
    "smoothing 1": {"smoothing": 1.0},
    "clamp 0.35": {"threshold": 0.35},
    "clamp 0.35, smoothing 1": {"threshold": 0.35, "smoothing": 1.0},
    "min-max 0.5": {"normalisation": "min-max"},
    "min-max 0.35": {"normalisation": "min-max", "threshold": 0.35},
    "quantile 0.9": {"normalisation": "quantile", "threshold": 0.9},
    "quantile 0.8": {"normalisation": "quantile", "threshold": 0.8},
}
STEPS, CFG = 50, 7.5


class Bench(common.Demo):
    """The methods through the pack's nodes; results are in the order of the edits."""

    def __init__(self, checkpoint: str, seed: int, dtype: str = "default"):
        super().__init__(checkpoint)
        self.seed, self.evaluations = seed, common.Evaluations(compute_in(self.model, dtype))
        self.model = self.evaluations.model
        self.sampler = self.run("KSamplerSelect", sampler_name="ddim")[0]

    def begin(self, edits: list[HeldOut]) -> None:
        """Draw and encode the edits on which the other methods work."""
        self.edits, self.drawn = edits, draw(edits)
        self.latent = self.encode(self.drawn.before) | {"batch_index": [edit.index for edit in edits]}
        self.source = self.texts(*(edit.source for edit in edits))
        self.target, self.empty = self.texts(*(edit.target for edit in edits)), self.texts("")
        self.base = self.decode(self.latent)
        self.mask_costs: dict[tuple, int] = {}
        self.evaluations.take()

    def spent(self) -> float:
        """Evaluations per edit since the last call."""
        return self.evaluations.take() / len(self.edits)

    def mask(self, **settings) -> tuple:
        """DiffEditMask's outputs. If the node returns a mask of a contrast that it has kept, the
        evaluations of the first run are counted again.
        """
        inputs = {"source": self.source, "target": self.target, "latent": self.latent, "seed": self.seed}
        before = self.evaluations.count
        outputs = self.run("DiffEditMask", model=self.model, **inputs, **settings)
        contrast = settings.get("noises", 10), settings.get("noise_strength", 0.5)
        self.evaluations.count = before + self.mask_costs.setdefault(contrast, self.evaluations.count - before)
        return outputs

    def overlap(self, mask: torch.Tensor) -> list[float]:
        """IoU of masks [N, S, S] with the true mask of the thing, per edit; NaN if the source has
        no such thing.
        """
        return [
            common.iou(mask_of_edit > 0.5, true) if true.any() else math.nan
            for mask_of_edit, true in zip(mask, self.drawn.thing, strict=True)
        ]

    def inverted(self, steps: int, strength: float) -> tuple:
        """DDIMInvert's outputs under the empty text."""
        inputs = {"latent": self.latent, "steps": steps, "strength": strength}
        return self.run("DDIMInvert", model=self.model, conditioning=self.empty, **inputs)

    def blended(self, masked: dict, inversion) -> torch.Tensor:
        """DiffEdit's edit inside the mask of a latent, decoded."""
        texts = {"positive": self.target, "negative": self.empty, "cfg": CFG}
        edited = self.run("LatentBlendSampler", model=self.model, latent=masked, inversion=inversion, **texts)
        return self.decode(edited[0])

    def judged(self, results: torch.Tensor) -> list[dict]:
        """:func:`held_out.judged` of the edits."""
        return judged(results, self.base, self.edits, self.drawn.either)


def methods_of(bench: Bench, strength: float, masked: dict[str, dict]) -> dict[str, tuple[torch.Tensor, float]]:
    """Each method's pictures at a strength, and the evaluations per edit without the mask's."""
    noised, inversion, _, sigmas = bench.inverted(STEPS, strength)
    up, results = bench.spent(), {}
    for method, latent in masked.items():
        results[method] = bench.blended(latent, inversion), up + bench.spent()
    texts = {"model": bench.model, "positive": bench.target, "negative": bench.empty, "cfg": CFG}
    decoded = bench.run(
        "SamplerCustom",
        add_noise=False,
        noise_seed=0,
        sampler=bench.sampler,
        sigmas=sigmas,
        latent_image=noised,
        **texts,
    )[0]
    results["Encode-Decode"] = bench.decode(decoded), up + bench.spent()
    drawn = bench.run(
        "KSampler",
        seed=bench.seed,
        steps=round(STEPS * strength),
        sampler_name="ddim",
        scheduler="normal",
        latent_image=bench.latent,
        denoise=strength,
        **texts,
    )[0]
    results["SDEdit"] = bench.decode(drawn), bench.spent()
    return results


def measure(bench: Bench, edits: list[HeldOut], strengths: tuple[float, ...]) -> tuple[list[dict], list[list]]:
    """One record per edit, and its pictures at the last strength."""
    bench.begin(edits)
    found = {method: bench.mask(**widgets) for method, widgets in OF_MASK.items()}
    mask_cost = bench.spent() / len(found)
    records: list[dict[str, Any]] = [
        {"key": str(edit.index), "kind": edit.kind, "source": edit.source, "target": edit.target, "iou": {}}
        for edit in edits
    ]
    for name, settings in MASKS.items():
        for record, value in zip(records, bench.overlap(bench.mask(**settings)[0]), strict=True):
            record["iou"][name] = value
    bench.spent()
    results: dict[str, tuple[torch.Tensor, float]] = {}
    for strength in strengths:
        results = methods_of(bench, strength, {method: outputs[2] for method, outputs in found.items()})
        for method, (pictures, cost) in results.items():
            cost += mask_cost if method.startswith("DiffEdit") else 0
            for record, result in zip(records, bench.judged(pictures), strict=True):
                record[f"{method} {strength:g}"] = result | {"evaluations": cost}
    mask, heat, _ = found["DiffEdit, mask along edges"]
    columns = [bench.drawn.before, heat, mask, *(results[method][0] for method in METHODS)]
    return records, [[column[number] for column in columns] for number in range(len(edits))]


# ---- summary ----


def summarise(rows: list[dict], strengths: tuple[float, ...]) -> dict:
    """Means over the edits: overlap per mask setting, and per method and strength (accepted share, also by
    kind, background in dB, evaluations).
    """
    points = {}
    for name in (f"{method} {strength:g}" for method in METHODS for strength in strengths):
        points[name] = {
            value: common.mean(row[name][value] for row in rows)
            for value in ("accepted", "in place", "background", "evaluations")
        } | {kind: common.mean(row[name]["accepted"] for row in rows if row["kind"] == kind) for kind in KINDS}
    overlap = {
        name: {"all": common.mean(row["iou"][name] for row in rows)}
        | {kind: common.mean(row["iou"][name] for row in rows if row["kind"] == kind) for kind in KINDS}
        for name in MASKS
    }
    return {"edits": len(rows), "mask": overlap, "points": points}


def verdict(summary: dict, strengths: tuple[float, ...]) -> list[str]:
    """For each DiffEdit and each other method: whether every strength of the other is matched by a
    strength of DiffEdit in (accepted, background), and which are not.
    """
    points, lines = summary["points"], []
    curves = {
        method: [
            (points[f"{method} {strength:g}"]["accepted"], points[f"{method} {strength:g}"]["background"])
            for strength in strengths
        ]
        for method in METHODS
    }
    for mine in OF_MASK:
        for other in METHODS[len(OF_MASK) :]:
            missed = common.not_matched(curves[mine], curves[other])
            pairs = zip(strengths, curves[other], strict=True)
            names = [
                f"{strength:g} ({point[0]:.0%}, {point[1]:.1f} dB)" for strength, point in pairs if point in missed
            ]
            text = f"no match for strength {', '.join(names)}" if missed else "above it at every strength"
            lines.append(f"{mine} against {other}: {text}")
    return lines


def report(summary: dict, strengths: tuple[float, ...]) -> str:
    masks = [(name, values["all"], *(values[kind] for kind in KINDS)) for name, values in summary["mask"].items()]
    rows = []
    for strength in strengths:
        for method in METHODS:
            point = summary["points"][f"{method} {strength:g}"]
            shares = (f"{point[value]:.0%}" for value in ("accepted", *KINDS, "in place"))
            name = f"{method} {strength:g}"
            rows.append((name, *shares, f"{point['background']:.1f} dB", f"{point['evaluations']:.0f}"))
    return "\n".join(
        [
            f"## Mask: mean IoU with the thing's true mask, {summary['edits']} edits",
            "",
            common.markdown_table(["mask", "all", *KINDS], masks),
            "",
            f"## {summary['edits']} edits, {STEPS}-step schedule, cfg {CFG}",
            "",
            common.markdown_table(
                ["method, strength", "accepted", *KINDS, "in place", "background", "evaluations"], rows
            ),
            "",
            "Curves of (accepted, background) over the strengths:",
            "",
            *(f"- {line}" for line in verdict(summary, strengths)),
        ]
    )


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100, help="held-out scenes, one edit each, both kinds in turn")
    parser.add_argument("--quick", action="store_true", help="10 scenes at strengths 0.5 and 0.8")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS, help="encode ratios")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--batch", type=int, default=5, help="edits at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    parser.add_argument("--sheet", help="write the pictures of the edits of this run at the last strength to this PNG")
    settings = parser.parse_args(argv)
    strengths = tuple(settings.strengths)
    if settings.quick:
        settings.scenes, strengths = 10, (0.5, 0.8)
    if settings.scenes < 2 or settings.batch < 1 or not all(0 < strength <= 1 for strength in strengths):
        parser.error(
            f"expected --scenes of at least 2 (one edit of each kind), --batch of at least 1 and --strengths in 0..1; "
            f"got {settings.scenes}, {settings.batch} and {strengths}"
        )
    started, bench = time.time(), Bench(settings.checkpoint, settings.seed, settings.dtype)
    same = {"seed": settings.seed, "dtype": settings.dtype}
    records = JsonRecords(settings.json, same | {"strengths": strengths, "steps": STEPS, "cfg": CFG, "masks": MASKS})
    pictures, labels = [], []
    edits = make_edits(settings.scenes, settings.seed)
    for group in groups(edits, settings.batch):
        if not records.has(*(str(edit.index) for edit in group)):
            new, rows = measure(bench, group, strengths)
            records.add(new)
            pictures += rows
            labels += [label(row, strengths[-1]) for row in new]
        print(f"edit {group[-1].index + 1} of {len(edits)}", file=sys.stderr, flush=True)
    wanted = {str(edit.index) for edit in edits}
    summary = summarise([row for row in records.rows if row["key"] in wanted], strengths)
    print(report(summary, strengths))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    records.write(summary=summary)
    if settings.sheet and pictures:
        sheet.contact_sheet(pictures, settings.sheet, ["source", "heat map", "mask along edges", *METHODS], labels)
    return summary


def label(row: dict, strength: float) -> str:
    """The judge's verdicts on all methods, as a caption."""
    verdicts = ", ".join(
        f"{method} {'accepted' if row[f'{method} {strength:g}']['accepted'] else 'refused'}" for method in METHODS
    )
    return f"{row['source']}  ->  {row['target']}:  {verdicts}"


if __name__ == "__main__":
    main()
