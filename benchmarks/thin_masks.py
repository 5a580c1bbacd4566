"""Does an edit inside a thin mask appear? With and without progressive mask shrinking.

``python run.py bench thin_masks [--quick]``, or ``python -m benchmarks.thin_masks`` with
COMFYUI_PATH set.

Empty grounds of the demo world, 256 pixels and latent cells of 8 pixels, and a text that puts a
thing there. Three kinds of masks:

- stroke: a slanted line, for a thing that has a colour;
- outline: the outline of such a thing, of one width everywhere;
- thing: the exact mask of a thing with thin parts (a violin's neck, an umbrella's stick, a
  bicycle's frame), the thing drawn at several sizes.

Three ways, same model, noise levels, guidance and seeds:

- noise mask: the mask set by SetLatentNoiseMask and the stock KSampler, as in most graphs;
- touched cells: LatentBlendSampler, whose mask keeps every latent cell that the mask touches;
- shrinking: ProgressiveMaskShrink before LatentBlendSampler, everything at its defaults.

Strokes and outlines appear if at least a tenth of the mask's pixels end up nearer to the named
colour than to the ground; the mean share of such pixels is printed too. This requires colour in the
mask, not a well-drawn thing, for which a stroke is too small. A thing appears if the judge finds
exactly that thing, in its colour, on the ground of the text; its ``painted`` is the share of the
mask's cells in which the judge finds it.
"""

import argparse
import math
import random
import sys
import time
from dataclasses import replace
from typing import NamedTuple

import torch

from demo.world import judge
from demo.world.render import SIZE, render_batch, rgb
from demo.world.scenes import Scene, caption, random_scene
from demo.world.things import COLOURS, PAINTED
from lab import common
from lab.compute import add_dtype, compute_in
from lab.records import JsonRecords

from .held_out import CELL

WIDTHS = (2, 4, 8, 16)
SIZES = (52, 72, 96)
THIN = ("umbrella", "guitar", "violin", "bicycle", "carrot", "rose", "tulip", "airplane")
KINDS = {"stroke": WIDTHS, "outline": WIDTHS, "thing": SIZES}
MASKS = tuple(f"{kind}-{width}" for kind, widths in KINDS.items() for width in widths)
SAME = ("seed", "steps", "cfg", "kernels", "dtype")
"""Settings that change a record."""
METHODS = ("noise mask", "touched cells", "shrinking")
APPEARS, BACKGROUND_DROP = 0.1, 24


class ThinEdit(NamedTuple):
    """An empty ground [S, S, 3], the mask [S, S] of 0 and 1, and the wanted scene."""

    picture: torch.Tensor
    mask: torch.Tensor
    wanted: Scene


def stroke(width: float, rng: random.Random) -> torch.Tensor:
    """A mask [S, S] of 0 and 1: a slanted line, ``width`` pixels wide."""
    axis = torch.arange(SIZE) + 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    turn, middle = rng.uniform(0, math.pi), rng.uniform(0.4, 0.6) * SIZE
    along = (x - middle) * math.cos(turn) + (y - middle) * math.sin(turn)
    across = (y - middle) * math.cos(turn) - (x - middle) * math.sin(turn)
    return ((across.abs() <= width / 2) & (along.abs() <= 0.3 * SIZE)).float()


def outline(cover: torch.Tensor, width: int) -> torch.Tensor:
    """The inner outline of a cover [S, S] of 0 and 1, ``width`` pixels wide."""
    inside = cover
    for _ in range(width):
        inside = 1 - torch.nn.functional.max_pool2d(1 - inside[None, None], 3, 1, 1)[0, 0]
    return cover * (1 - inside)


def make_edit(kind: str, width: int, index: int, seed: int) -> ThinEdit:
    """The edit of a number; ``width`` is the thing's side for the kind ``thing``, else the mask's
    width.
    """
    rng = random.Random(f"thin {seed} {kind} {width} {index}")
    kinds = THIN if kind == "thing" else PAINTED
    scene = random_scene(rng, 1, kinds=kinds, worn=False)
    side = width / SIZE if kind == "thing" else rng.uniform(0.5, 0.6)
    margin = 0.5 * side + 0.04
    thing = replace(scene.things[0], size=side, x=rng.uniform(margin, 1 - margin), y=rng.uniform(margin, 1 - margin))
    wanted = replace(scene, things=(thing,))
    cover = (render_batch([wanted]).masks[0][0] > 0.5).float()
    masks = {"stroke": lambda: stroke(width, rng), "outline": lambda: outline(cover, width), "thing": lambda: cover}
    picture = render_batch([replace(scene, things=())]).pictures[0].movedim(0, -1)
    return ThinEdit(picture, masks[kind](), wanted)


def painted(result: torch.Tensor, source: torch.Tensor, mask: torch.Tensor, colour: str) -> float:
    """Share of the mask's pixels of an IMAGE [S, S, 3] that are closer to the named colour than to
    the source's pixel.
    """
    paint = torch.tensor(rgb(torch.tensor(COLOURS[colour], dtype=torch.float64)[None].numpy())[0], dtype=torch.float32)
    where = mask > 0.5
    to_paint, to_source = (result[where] - paint).norm(dim=-1), (result[where] - source[where]).norm(dim=-1)
    return float((to_paint < to_source).float().mean())


def found(kind: str, result: torch.Tensor, base: torch.Tensor, edit: ThinEdit) -> dict:
    """Whether the edit appears, and the share of the mask that shows it."""
    thing = edit.wanted.things[0]
    if kind != "thing":
        assert thing.colour is not None, f"a {thing.kind} has no colour to paint"
        share = painted(result, base, edit.mask, thing.colour)
        return {"appears": float(share >= APPEARS), "painted": share}
    reading = judge.recognise(result.movedim(-1, 0)[None].clamp(0, 1))[0]
    cells = torch.nn.functional.max_pool2d(edit.mask[None, None], CELL)[0, 0] > 0.5
    shows = reading.cells.get(thing.kind, torch.zeros_like(cells))
    return {"appears": float(reading.shows(edit.wanted)), "painted": float(shows[cells].float().mean())}


class Bench(common.Demo):
    """The three methods through the pack's nodes."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.settings, self.model = settings, compute_in(self.model, settings.dtype)

    def edit(self, method: str, latent: dict, mask: torch.Tensor, texts: dict) -> dict:
        """The LATENT of an edit by one of the methods."""
        steps, shared = self.settings.steps, dict(seed=self.settings.seed, cfg=self.settings.cfg, **texts)
        if method == "noise mask":
            masked = self.run("SetLatentNoiseMask", samples=latent, mask=mask)[0]
            stock = {"sampler_name": "ddim", "scheduler": "normal", "latent_image": masked, "denoise": 1.0}
            return self.run("KSampler", model=self.model, steps=steps, **stock, **shared)[0]
        model, masked = self.model, latent
        if method == "shrinking":
            model, masked, _ = self.run(
                "ProgressiveMaskShrink", model=self.model, latent=latent, mask=mask, kernels=self.settings.kernels
            )
        return self.run("LatentBlendSampler", model=model, latent=masked, mask=mask, steps=steps, **shared)[0]

    def measure(self, kind: str, width: int, numbers: range) -> list[dict]:
        """One record per edit and method."""
        edits = [make_edit(kind, width, index, self.settings.seed) for index in numbers]
        masks = torch.stack([edit.mask for edit in edits])
        latent = self.encode(torch.stack([edit.picture for edit in edits])) | {"batch_index": list(numbers)}
        texts = {"positive": self.texts(*(caption(edit.wanted) for edit in edits)), "negative": self.texts("")}
        base, rows = self.decode(latent), []
        near = torch.nn.functional.max_pool2d(masks[:, None], 2 * BACKGROUND_DROP + 1, 1, BACKGROUND_DROP)[:, 0] > 0
        for method in METHODS:
            results = self.decode(self.edit(method, latent, masks, texts))
            for place, (index, edit) in enumerate(zip(numbers, edits, strict=True)):
                rows.append(
                    {
                        "key": f"{kind} {width} {method} {index}",
                        "kind": kind,
                        "width": width,
                        "method": method,
                        "text": caption(edit.wanted),
                        "background": common.psnr(results[place], base[place], ~near[place]),
                        **found(kind, results[place], base[place], edit),
                    }
                )
        return rows


def appearing(rows: list[dict], method: str) -> set[str]:
    """The keys, without the method, of the edits that appear with it."""
    return {row["key"].replace(method, "") for row in rows if row["method"] == method and row["appears"]}


def report(rows: list[dict], settings) -> str:
    """Markdown: edits that appear and painted shares, by mask and method."""

    def line(title: list[str], chosen: list[dict]) -> list[str]:
        of_method = [[row for row in chosen if row["method"] == method] for method in METHODS]
        appear = [f"{sum(row['appears'] for row in part):.0f} of {len(part)}" for part in of_method]
        return [*title, *appear, *(f"{common.mean(row['painted'] for row in part):.0%}" for part in of_method)]

    table = []
    for kind, widths in KINDS.items():
        rows_of_way = [row for row in rows if row["kind"] == kind]
        measured_widths = [width for width in widths if any(row["width"] == width for row in rows_of_way)]
        table += [
            line([kind, str(width)], [row for row in rows_of_way if row["width"] == width]) for width in measured_widths
        ]
        table += [line([kind, "all"], rows_of_way)] if len(measured_widths) > 1 else []
    appears = {method: appearing(rows, method) for method in METHODS[1:]}
    gained, lost = (len(appears[a] - appears[b]) for a, b in (METHODS[:0:-1], METHODS[1:]))
    headers = ["mask", "pixels", *(f"appears: {name}" for name in METHODS), *(f"painted: {name}" for name in METHODS)]
    lowest = min(row["background"] for row in rows)
    return "\n".join(
        [
            f"## {settings.edits} edits for each mask and width, {settings.steps} steps, cfg {settings.cfg:g}, "
            f"kernels {settings.kernels}",
            "",
            common.markdown_table(headers, table),
            "",
            f"{gained} edits appear with shrinking alone, {lost} with touched cells alone. "
            f"Background (more than {BACKGROUND_DROP} pixels from the mask) against the VAE's own picture: "
            f"at least {lowest:.1f} dB in every edit.",
        ]
    )


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=20, help="edits for each mask and width")
    parser.add_argument("--quick", action="store_true", help="2 edits")
    parser.add_argument("--masks", nargs="+", default=MASKS, choices=MASKS, help="kinds and their pixels")
    parser.add_argument("--cfg", type=float, default=5.0, help="guidance; the paper's code uses 5")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--kernels", default="7, 5, 3", help="ProgressiveMaskShrink's kernels")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the edits and noises")
    parser.add_argument("--batch", type=int, default=10, help="edits at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.edits = 2 if settings.quick else settings.edits
    if min(settings.edits, settings.steps, settings.batch) < 1:
        parser.error(
            f"expected --edits, --steps and --batch of at least 1; got {settings.edits}, {settings.steps} "
            f"and {settings.batch}"
        )
    started, bench = time.time(), Bench(settings)
    records = JsonRecords(settings.json, {name: getattr(settings, name) for name in SAME})
    tasks = [(kind, int(width)) for kind, width in (name.split("-") for name in settings.masks)]
    for start in range(0, settings.edits, settings.batch):
        numbers = range(start, min(start + settings.batch, settings.edits))
        for kind, width in tasks:
            if not records.has(*(f"{kind} {width} {method} {index}" for method in METHODS for index in numbers)):
                records.add(bench.measure(kind, width, numbers))
            print(f"{kind} of {width} pixels, edits to {numbers[-1] + 1}", file=sys.stderr, flush=True)
    wanted = {
        f"{kind} {width} {method} {index}"
        for kind, width in tasks
        for method in METHODS
        for index in range(settings.edits)
    }
    print(report([row for row in records.rows if row["key"] in wanted], settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    return records.rows


if __name__ == "__main__":
    main()
