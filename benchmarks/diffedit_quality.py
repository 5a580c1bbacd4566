"""Does DiffEdit change what it should and keep the rest?

``python run.py bench diffedit_quality [--quick]``, or ``python -m benchmarks.diffedit_quality`` with COMFYUI_PATH set.

Held-out scenes of one object, half of them to get another colour, half another shape, edited by the
demo checkpoint through the pack's real nodes at their default settings, ComfyUI loading both. Three
methods at several strengths (encode ratios):

- DiffEdit: DiffEditMask, DDIMInvert with the empty text, LatentBlendSampler along the inversion;
- Encode-Decode: the same inversion, sampled whole by the stock SamplerCustom;
- SDEdit: the stock KSampler at that denoise.

All take the same noise levels, steps and guidance. Printed are the overlap of the mask with the
object's own, the share of edits that the judge accepts (the right thing in the right place and
nothing else), the PSNR outside the old and the new object against the source's own reconstruction
by the VAE (so that the loss of the VAE is nobody's fault), and the network evaluations per edit.
"""

import argparse
import multiprocessing
import os
import random
import sys
import time
from dataclasses import dataclass

import torch

from demo import judge
from demo.scenes import Scene, caption, edit_of, random_scene, render
from lab import common

STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9)
METHODS = ("DiffEdit", "Encode-Decode", "SDEdit")
# Normalisation and threshold; the first is the default.
MASK_SETTINGS = (
    ("clamp", 0.5),
    ("clamp", 0.35),
    ("min-max", 0.5),
    ("min-max", 0.35),
    ("quantile", 0.9),
    ("quantile", 0.8),
)
STEPS, CFG, CELL, SHEET_STRENGTH = 50, 7.5, 8, 0.8


@dataclass(frozen=True)
class Edit:
    """A source scene and what it should become; ``index`` also seeds its noises."""

    index: int
    kind: str
    source: Scene
    target: Scene


def make_edits(count: int, seed: int) -> list[Edit]:
    """Colour and shape edits in turn, of scenes whose (shape, colour, ground) training never saw."""
    edits = []
    for index in range(count):
        rng = random.Random(f"diffedit {seed} {index}")
        source, kind = random_scene(rng, count=1, unseen=True), ("colour", "shape")[index % 2]
        edits.append(Edit(index, kind, source, edit_of(source, kind, rng)))
    return edits


def cells_of(*scenes: Scene) -> torch.Tensor:
    """Latent cells [h, w] with a pixel that mostly belongs to the first object of any of
    ``scenes``.
    """
    cover = torch.stack([render(scene)[1][0] for scene in scenes]).amax(0)
    return torch.nn.functional.max_pool2d(cover[None, None], CELL)[0, 0] > 0.5


class Bench(common.Demo):
    """The three methods through real nodes; results come in the order of the edits given."""

    def __init__(self, checkpoint: str, seed: int):
        super().__init__(checkpoint)
        self.seed, self.evaluations = seed, common.Evaluations(self.model)
        self.model = self.evaluations.model
        self.sampler = self.run("KSamplerSelect", sampler_name="ddim")[0]

    def measure(self, edits: list[Edit], strengths: tuple[float, ...]) -> tuple[list[dict], list[list[torch.Tensor]]]:
        """One record of plain numbers per edit, and one row of pictures for the contact sheet."""
        pictures = torch.stack([render(edit.source)[0] for edit in edits]).movedim(1, -1)
        latent = self.encode(pictures) | {"batch_index": [edit.index for edit in edits]}
        source, target, empty = (
            self.texts(*texts)
            for texts in ([caption(edit.source) for edit in edits], [caption(edit.target) for edit in edits], [""])
        )
        base, objects = self.decode(latent), [cells_of(edit.source) for edit in edits]
        either = [cells_of(edit.source, edit.target) for edit in edits]
        records = [
            {
                "index": edit.index,
                "kind": edit.kind,
                "source": caption(edit.source),
                "target": caption(edit.target),
                "iou": {},
                "results": {},
            }
            for edit in edits
        ]

        def find_mask(**settings):
            return self.run(
                "DiffEditMask",
                model=self.model,
                source=source,
                target=target,
                latent=latent,
                seed=self.seed,
                **settings,
            )

        self.evaluations.take()
        mask, heat, masked = find_mask()
        mask_cost = self.evaluations.take() / len(edits)
        for normalisation, threshold in MASK_SETTINGS:
            cells = find_mask(normalisation=normalisation, threshold=threshold)[2]["noise_mask"]
            for record, cell, true in zip(records, cells[:, 0], objects, strict=True):
                record["iou"][f"{normalisation} {threshold}"] = common.iou(cell > 0.5, true)
        self.evaluations.take()

        texts = dict(model=self.model, positive=target, negative=empty, cfg=CFG)
        costs = {"DiffEdit": mask_cost, "Encode-Decode": 0.0, "SDEdit": 0.0}
        shown: dict[str, torch.Tensor] = {}
        for strength in strengths:
            noised, inversion, _, sigmas = self.run(
                "DDIMInvert", model=self.model, conditioning=empty, latent=latent, steps=STEPS, strength=strength
            )
            inversion_cost = self.evaluations.take() / len(edits)
            for method in METHODS:
                if method == "DiffEdit":
                    edited = self.run("LatentBlendSampler", latent=masked, inversion=inversion, **texts)[0]
                elif method == "Encode-Decode":
                    edited = self.run(
                        "SamplerCustom",
                        add_noise=False,
                        noise_seed=0,
                        sampler=self.sampler,
                        sigmas=sigmas,
                        latent_image=noised,
                        **texts,
                    )[0]
                else:
                    edited = self.run(
                        "KSampler",
                        seed=self.seed,
                        steps=round(STEPS * strength),
                        sampler_name="ddim",
                        scheduler="normal",
                        latent_image=latent,
                        denoise=strength,
                        **texts,
                    )[0]
                results = self.decode(edited)
                spent = (
                    self.evaluations.take() / len(edits) + costs[method] + (inversion_cost if method != "SDEdit" else 0)
                )
                if strength == SHEET_STRENGTH:
                    shown[method] = results
                for number, edit in enumerate(edits):
                    outside = ~either[number].repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)
                    records[number]["results"][f"{method} {strength}"] = {
                        "accepted": judge.edit_accepted(results[number].movedim(-1, 0), edit.target),
                        "psnr": common.psnr(results[number], base[number], outside),
                        "evaluations": spent,
                    }
        columns = [pictures, base, heat, mask, *(shown[method] for method in METHODS if method in shown)]
        rows = [
            [(column[number].movedim(-1, 0) if column.ndim == 4 else column[number]) for column in columns]
            for number in range(len(edits))
        ]
        return records, rows


# ---- workers ----

_bench: Bench | None = None


def _start_worker(checkpoint: str, seed: int) -> None:
    global _bench
    _bench = Bench(checkpoint, seed)


def _work(task: tuple[list[Edit], tuple[float, ...]]) -> tuple[list[dict], list]:
    records, rows = _bench.measure(*task)
    return records, [[picture.numpy() for picture in row] for row in rows]  # plain arrays cross processes as bytes


def measure_all(edits: list[Edit], settings: argparse.Namespace) -> tuple[list[dict], list[list[torch.Tensor]]]:
    """All edits in groups, over one process per core (one in all on a GPU). An edit's result does
    not depend on its group but for rounding.
    """
    tasks = [
        (edits[start : start + settings.batch], settings.strengths) for start in range(0, len(edits), settings.batch)
    ]
    workers, started, records, rows = min(settings.workers, len(tasks)), time.time(), [], []
    if workers > 1:
        pool = multiprocessing.get_context("spawn").Pool(workers, _start_worker, (settings.checkpoint, settings.seed))
        stream = pool.imap(_work, tasks)
    else:
        pool = None
        _start_worker(settings.checkpoint, settings.seed)
        stream = map(_work, tasks)
    try:
        for some_records, some_rows in stream:
            records += some_records
            rows += [[torch.from_numpy(picture) for picture in row] for row in some_rows]
            left = (time.time() - started) / len(records) * (len(edits) - len(records)) / 60
            print(f"{len(records)} of {len(edits)} edits, about {left:.1f} min left", file=sys.stderr, flush=True)
    finally:
        if pool is not None:
            pool.terminate()
    return records, rows


# ---- summary ----


def summarise(records: list[dict], strengths: tuple[float, ...]) -> dict:
    """Means over the edits: overlap per mask setting, and per method and strength (accepted share,
    also by kind, PSNR in dB, evaluations).
    """
    kinds = sorted({record["kind"] for record in records})
    points = {}
    for method in METHODS:
        for strength in strengths:
            results = [(record["kind"], record["results"][f"{method} {strength}"]) for record in records]
            points[f"{method} {strength}"] = {
                "accepted": common.mean(result["accepted"] for _, result in results),
                "psnr": common.mean(result["psnr"] for _, result in results),
                "evaluations": common.mean(result["evaluations"] for _, result in results),
            } | {
                f"accepted {kind}": common.mean(result["accepted"] for own, result in results if own == kind)
                for kind in kinds
            }
    overlap = {}
    for name in records[0]["iou"]:
        values = [(record["kind"], record["iou"][name]) for record in records]
        overlap[name] = {"all": common.mean(value for _, value in values)}
        overlap[name] |= {kind: common.mean(value for own, value in values if own == kind) for kind in kinds}
    return {"edits": len(records), "kinds": kinds, "mask": overlap, "points": points}


def verdict(summary: dict, strengths: tuple[float, ...]) -> tuple[bool, list[str]]:
    """Whether DiffEdit's curve of (accepted, PSNR) lies above both others: each of their points is
    matched by one of its own in both. And why not.
    """
    points = summary["points"]
    curves = {
        method: [(points[f"{method} {one}"]["accepted"], points[f"{method} {one}"]["psnr"]) for one in strengths]
        for method in METHODS
    }
    lines, above = [], True
    for other in METHODS[1:]:
        missed = common.not_matched(curves["DiffEdit"], curves[other])
        above &= not missed
        pairs = zip(strengths, curves[other], strict=True)
        names = [f"{strength:g} ({point[0]:.0%}, {point[1]:.1f} dB)" for strength, point in pairs if point in missed]
        lines.append(
            f"over {other}: "
            + (f"no, it has no match for strength {', '.join(names)}" if missed else "yes, at every strength")
        )
    return above, lines


def report(summary: dict, strengths: tuple[float, ...]) -> str:
    kinds = summary["kinds"]
    masks = [
        (("default: " if number == 0 else "") + name, values["all"], *(values[kind] for kind in kinds))
        for number, (name, values) in enumerate(summary["mask"].items())
    ]
    rows = []
    for strength in strengths:
        for method in METHODS:
            point = summary["points"][f"{method} {strength}"]
            rows.append(
                (
                    f"{method} {strength:g}",
                    f"{point['accepted']:.0%}",
                    *(f"{point[f'accepted {kind}']:.0%}" for kind in kinds),
                    f"{point['psnr']:.1f}",
                    f"{point['evaluations']:.0f}",
                )
            )
    above, lines = verdict(summary, strengths)
    return "\n".join(
        [
            f"## Mask: mean IoU with the object's true mask on the latent grid, {summary['edits']} edits",
            "",
            common.markdown_table(["normalisation, threshold", "all", *kinds], masks),
            "",
            f"## Edits: share accepted, PSNR outside the old and the new object (dB), "
            f"network evaluations per edit; {STEPS}-step schedule, cfg {CFG}",
            "",
            common.markdown_table(["method, strength", "accepted", *kinds, "PSNR", "evaluations"], rows),
            "",
            f"DiffEdit's curve of (accepted, background PSNR) lies above both others: {'yes' if above else 'NO'}",
            *(f"- {line}" for line in lines),
        ]
    )


def write_sheet(records: list[dict], rows: list[list[torch.Tensor]], path: str, count: int = 16) -> None:
    """One row per edit at strength 0.8, marked with what the judge said of each method."""
    from demo.measure import contact_sheet

    labels = []
    for record in records[:count]:
        said = ", ".join(
            f"{method} {'accepted' if record['results'][f'{method} {SHEET_STRENGTH}']['accepted'] else 'refused'}"
            for method in METHODS
        )
        labels.append(f"{record['source']}  ->  {record['target']}:  {said}")
    contact_sheet(rows[:count], path, ["source", "reconstruction", "heat map", "mask", *METHODS], labels)


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scenes", type=int, default=100, help="held-out scenes, one edit each, colour and shape in turn"
    )
    parser.add_argument("--quick", action="store_true", help="10 scenes")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS, help="encode ratios")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--batch", type=int, default=5, help="edits at a time")
    parser.add_argument(
        "--workers",
        type=int,
        default=1 if torch.cuda.is_available() else os.cpu_count(),
        help="processes that share the edits",
    )
    parser.add_argument("--json", help="write every number to this file")
    parser.add_argument("--sheet", help="write a contact sheet to this PNG (needs strength 0.8)")
    settings = parser.parse_args(argv)
    settings.strengths = tuple(settings.strengths)
    settings.scenes = 10 if settings.quick else settings.scenes
    if settings.scenes < 2 or settings.batch < 1 or settings.workers < 1:
        parser.error(
            f"expected --scenes of at least 2 (one edit of each kind), --batch and --workers of at least 1; "
            f"got {settings.scenes}, {settings.batch} and {settings.workers}"
        )
    if not all(0 < strength <= 1 for strength in settings.strengths):
        parser.error(
            f"--strengths are encode ratios in 0..1; "
            f"got {', '.join(f'{strength:g}' for strength in settings.strengths)}"
        )
    if settings.sheet and SHEET_STRENGTH not in settings.strengths:
        parser.error(f"--sheet shows strength {SHEET_STRENGTH}, which is not among --strengths; add it")
    started = time.time()
    records, rows = measure_all(make_edits(settings.scenes, settings.seed), settings)
    summary = summarise(records, settings.strengths)
    summary["above"], _ = verdict(summary, settings.strengths)
    print(report(summary, settings.strengths))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    if settings.json:
        common.use_comfyui()
        document = {
            "settings": {
                "scenes": settings.scenes,
                "seed": settings.seed,
                "strengths": settings.strengths,
                "steps": STEPS,
                "cfg": CFG,
            },
            "versions": common.versions(),
            "summary": summary,
            "records": records,
        }
        common.write_json(settings.json, document)
    if settings.sheet:
        write_sheet(records, rows, settings.sheet)
    return summary


if __name__ == "__main__":
    main()
