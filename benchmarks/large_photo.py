"""A small thing in a large picture: Edit Crop and Edit Stitch against editing the whole picture
scaled down, by this pack and by stock inpainting.

``python run.py bench large_photo [--edits 40] [--side 1024]``. Renders of held-out scenes with one
small thing; the edit puts another thing in its place inside its mask, by the demo model at its own
size (256 pixels). The whole-picture ways scale the result up and put the source's pixels back
outside the mask, so that all three can be compared. Per way:

- *accepted*: the judge finds the new thing in the surroundings of the mask;
- *sharpness*: mean gradient inside the mask over that of a render of the wanted scene;
- *outside*: largest difference from the source outside the mask, in levels of 255;
- *time*: processor time of the edits over that of the crops, on one thread.

Shares and means have 95 % intervals. Edits are kept in ``--json``, and a second run continues.

``--memory``: seconds and growth of the process's peak memory for cropping and stitching alone, at
12 and 48 megapixels, each in a separate process.
"""

import argparse
import random
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

from demo.world import edits, judge, render, scenes
from lab import common, peaks
from lab.compute import add_dtype, compute_in
from lab.records import JsonRecords
from lab.uncertainty import interval, share_text

MODEL_SIDE, CONTEXT, STEPS, CFG = 256, 2.0, 20, 5.0
THING = 0.09
"""The small thing's side, as a share of the picture's side."""
WAYS = ("crop", "whole picture", "stock inpainting")


class Case:
    """A large picture with a small thing, the mask of the area that may change, and the wanted
    scene.
    """

    def __init__(self, seed: int, side: int):
        rng = random.Random(f"large photo {seed}")
        edit = edits.random_edit(rng, "replace", unseen=True, count=1, vary=False)
        place = {"x": rng.uniform(0.25, 0.75), "y": rng.uniform(0.25, 0.75), "size": THING}
        self.before, self.after = (_with_place(scene, place) for scene in (edit.before, edit.after))
        self.picture, [cover] = render.render(self.before, side)
        self.wanted, [other] = render.render(self.after, side)
        grown = F.max_pool2d(torch.maximum(cover, other)[None, None], 2 * (side // 100) + 1, 1, side // 100)[0]
        self.mask = (grown > 0.05).float()
        self.text = scenes.caption(self.after)

    @property
    def image(self) -> torch.Tensor:
        return self.picture.movedim(0, -1)[None]


def _with_place(scene, place: dict):
    from dataclasses import replace

    return replace(scene, things=(replace(scene.things[0], **place),))


def sample(demo: common.Demo, text: str, image, mask, seed: int, stock: bool = False) -> torch.Tensor:
    """An edit (IMAGE) of a picture of the model's size inside its mask."""
    latent = demo.encode(image)
    positive, negative = demo.texts(text), demo.texts("")
    if stock:
        latent = demo.run("SetLatentNoiseMask", samples=latent, mask=mask)[0]
        widgets = dict(seed=seed, steps=STEPS, cfg=CFG, sampler_name="ddim", scheduler="normal", denoise=1.0)
        inputs = dict(model=demo.model, positive=positive, negative=negative, latent_image=latent)
        return demo.decode(demo.run("KSampler", **inputs, **widgets)[0])
    inputs = dict(model=demo.model, positive=positive, negative=negative, latent=latent, mask=mask)
    return demo.decode(demo.run("LatentBlendSampler", **inputs, seed=seed, steps=STEPS, cfg=CFG)[0])


def edit(demo: common.Demo, case: Case, way: str, seed: int) -> torch.Tensor:
    """The full picture (IMAGE) after an edit."""
    if way == "crop":
        widgets = dict(size=MODEL_SIDE, context=CONTEXT, multiple=8)
        crops, mask, crop = demo.run("EditCrop", image=case.image, mask=case.mask, **widgets)
        return demo.run("EditStitch", crop=crop, edited=sample(demo, case.text, crops, mask, seed))[0]
    small = F.interpolate(case.picture[None], (MODEL_SIDE, MODEL_SIDE), mode="bilinear", antialias=True)
    least = F.adaptive_max_pool2d(case.mask[None], MODEL_SIDE)[0]
    edited = sample(demo, case.text, small.movedim(1, -1), least, seed, way == "stock inpainting")
    large = F.interpolate(edited.movedim(-1, 1), case.picture.shape[-2:], mode="bicubic", antialias=True)
    restored = large.movedim(1, -1).clamp(0, 1)
    return demo.run("BackgroundRestore", image=case.image, mask=case.mask, method="stitch", edited=restored)[0]


def measured(case: Case, edited: torch.Tensor) -> dict[str, float]:
    """What is measured on an edited picture."""
    inside = case.mask[0] > 0
    picture = edited[0].movedim(-1, 0)
    return {
        "accepted": float(accepted(case, picture)),
        "sharpness": steepness(picture, inside) / steepness(case.wanted, inside),
        "outside": 255 * float((picture - case.picture).abs().amax(0)[~inside].max()),
    }


def steepness(picture: torch.Tensor, inside: torch.Tensor) -> float:
    """Mean over ``inside`` [H, W] of the absolute differences of neighbours in both directions of a
    picture [3, H, W], summed.
    """
    along, down = picture.diff(dim=-1)[..., :-1, :].abs(), picture.diff(dim=-2)[..., :, :-1].abs()
    return float((along + down).mean(0)[inside[:-1, :-1]].mean())


def accepted(case: Case, picture: torch.Tensor) -> bool:
    """Whether the judge finds the wanted thing, and not the old one, in the mask's surroundings."""
    rows, columns = (case.mask[0].any(axis).nonzero().flatten() for axis in (1, 0))
    half = int(0.75 * max(len(rows), len(columns)))
    top, left = (min(max(0, int(line.float().mean()) - half), picture.shape[-1] - 2 * half) for line in (rows, columns))
    part = picture[None, :, top : top + 2 * half, left : left + 2 * half]
    reading = judge.recognise(F.interpolate(part, (MODEL_SIDE, MODEL_SIDE), mode="bilinear", antialias=True))[0]
    return case.after.things[0].kind in reading.things and case.before.things[0].kind not in reading.things


def compare(settings: argparse.Namespace) -> None:
    """Edit what is not in the file yet, and print the table of the ways to edit."""
    kept = {"side": settings.side, "dtype": settings.dtype, "steps": STEPS, "cfg": CFG, "thing": THING}
    records = JsonRecords(settings.json, kept)
    demo = common.Demo()
    demo.model = compute_in(demo.model, settings.dtype)
    for seed in range(settings.edits):
        if not records.has(*(f"{seed} {way}" for way in WAYS)):
            case = Case(seed, settings.side)
            records.add([record(demo, case, way, seed) for way in WAYS])
            print(f"edit {seed + 1} of {settings.edits}", file=sys.stderr, flush=True)
    rows = [row for row in records.rows if row["seed"] < settings.edits]
    header = ["way", "edits", "accepted", "sharpness inside", "largest difference outside", "time"]
    print(common.markdown_table(header, lines(rows)))


def record(demo: common.Demo, case: Case, way: str, seed: int) -> dict:
    """An edit's columns."""
    started = time.process_time()
    edited = edit(demo, case, way, seed)
    spent = time.process_time() - started
    return {"key": f"{seed} {way}", "seed": seed, "way": way, **measured(case, edited), "seconds": spent}


def lines(rows: list[dict]) -> list[list]:
    """The rows of the table."""
    by_way = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    seconds = {way: sum(row["seconds"] for row in chosen) for way, chosen in by_way.items()}
    return [
        [
            way,
            len(chosen),
            share_text(common.mean(row["accepted"] for row in chosen), len(chosen)),
            interval(row["sharpness"] for row in chosen).words(".2f"),
            f"{max(row['outside'] for row in chosen):.1f}",
            f"{seconds[way] / seconds[WAYS[0]]:.2f}",
        ]
        for way, chosen in by_way.items()
    ]


def large(megapixels: int) -> None:
    """Print seconds and MiB of cropping and stitching one random picture of 3:2."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    nodes = common.load_pack()
    image = torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, height, width)
    mask[:, height // 3 : height // 3 + 600, width // 3 : width // 3 + 800] = 1
    before, started = peaks.peak_memory(), time.perf_counter()
    crops, _, crop = common.call(nodes["EditCrop"], image=image, mask=mask, size=1024)
    stitched = common.call(nodes["EditStitch"], crop=crop, edited=1 - crops)[0]
    seconds = time.perf_counter() - started
    growth = (peaks.peak_memory() - before) / 2**20
    picture = image.numel() * 4 / 2**20
    equal = torch.equal(stitched[:, mask[0] == 0], image[:, mask[0] == 0])
    print(f"| {megapixels} | {picture:.0f} | {growth:.0f} | {seconds:.1f} | {'yes' if equal else 'no'} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--json", help="write every number to this file after each edit; a second run continues it")
    add_dtype(parser)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        large(options.one)
    elif options.memory:
        print("| megapixels | picture (MiB) | growth (MiB) | seconds | outside bit-equal |\n|---:|---:|---:|---:|---|")
        for megapixels in (12, 48):
            command = [sys.executable, "-m", "benchmarks.large_photo", "--one", str(megapixels)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=common.PACK)
            print(done.stdout.splitlines()[-1], flush=True)
    else:
        compare(options)


if __name__ == "__main__":
    main()
