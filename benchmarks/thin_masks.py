"""Does a thin mask get its edit? With and without progressive mask shrinking.

``python run.py bench thin_masks [--quick]``, or ``python -m benchmarks.thin_masks`` with COMFYUI_PATH set.

Empty grounds of the demo world, a ring or a slanted stroke as mask, and a text that puts a ring or
a cross of another colour there. Three ways, same model, noise levels, guidance and seeds:

- noise mask: the mask set by SetLatentNoiseMask and the stock KSampler, as most graphs do it;
- touched cells: LatentBlendSampler, whose mask keeps every latent cell that the mask touches;
- shrinking: ProgressiveMaskShrink before LatentBlendSampler, everything at its defaults.

An edit appears if at least a tenth of the mask's pixels end up nearest to the colour asked for
among the world's ten; how many do on average is printed too. That asks for paint in the mask, not
for a well-drawn shape: a stroke two pixels wide has room for no more. Widths are in pixels of a
128-pixel picture with latent cells of 8 pixels.
"""

import argparse
import math
import random
import sys
import time

import torch

from demo.scenes import COLOUR_NAMES, COLOURS, SIZE, Scene, clash, render
from lab import common

WIDTHS = (2, 4, 8, 16)
KINDS = {"ring": "ring", "stroke": "cross"}
METHODS = ("noise mask", "touched cells", "shrinking")
STEPS, APPEARS = 50, 0.1
BACKGROUND_DROP = 12


def outline(kind: str, width: float, rng: random.Random) -> torch.Tensor:
    """A mask [SIZE, SIZE] of 0 and 1: a circle's outline or a slanted line, ``width`` pixels wide."""
    axis = torch.arange(SIZE) + 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    if kind == "ring":
        reach = rng.uniform(0.2, 0.3) * SIZE
        left, top = (rng.uniform(reach + width, SIZE - reach - width) for _ in range(2))
        return ((torch.hypot(x - left, y - top) - reach).abs() <= width / 2).float()
    turn, middle = rng.uniform(0, math.pi), rng.uniform(0.4, 0.6) * SIZE
    along, across = (
        (x - middle) * math.cos(turn) + (y - middle) * math.sin(turn),
        (y - middle) * math.cos(turn) - (x - middle) * math.sin(turn),
    )
    return ((across.abs() <= width / 2) & (along.abs() <= 0.3 * SIZE)).float()


def make_edit(kind: str, width: int, index: int, seed: int) -> tuple[Scene, torch.Tensor, str, str]:
    """(an empty ground, the mask, the text, the colour asked for)."""
    rng = random.Random(f"thin {seed} {kind} {width} {index}")
    ground = rng.choice(COLOUR_NAMES)
    colour = rng.choice([name for name in COLOUR_NAMES if not clash(name, ground)])
    scene = Scene((), ground, rng.uniform(0, 2 * math.pi), rng.uniform(0.05, 0.25))
    return scene, outline(kind, width, rng), f"a {colour} {KINDS[kind]} on a {ground} background", colour


def painted(picture: torch.Tensor, mask: torch.Tensor, colour: str) -> float:
    """Share of the mask's pixels in IMAGE [H, W, 3] that are nearest to ``colour``."""
    palette = torch.tensor([COLOURS[name] for name in COLOUR_NAMES])
    nearest = torch.cdist(picture[mask > 0.5], palette).argmin(-1)
    return float((nearest == COLOUR_NAMES.index(colour)).float().mean())


class Bench(common.Demo):
    """The three methods through real nodes."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.seed, self.cfg, self.kernels = settings.seed, settings.cfg, settings.kernels

    def edit(self, method: str, latent: dict, mask: torch.Tensor, texts: dict) -> dict:
        if method == "noise mask":
            masked = self.run("SetLatentNoiseMask", samples=latent, mask=mask)[0]
            return self.run(
                "KSampler",
                model=self.model,
                seed=self.seed,
                steps=STEPS,
                cfg=self.cfg,
                sampler_name="ddim",
                scheduler="normal",
                latent_image=masked,
                denoise=1.0,
                **texts,
            )[0]
        model, masked = self.model, latent
        if method == "shrinking":
            model, masked, _ = self.run(
                "ProgressiveMaskShrink", model=self.model, latent=latent, mask=mask, kernels=self.kernels
            )
        return self.run(
            "LatentBlendSampler",
            model=model,
            latent=masked,
            mask=mask,
            seed=self.seed,
            steps=STEPS,
            cfg=self.cfg,
            **texts,
        )[0]

    def measure(self, kind: str, width: int, count: int) -> list[dict]:
        """One record per edit and method."""
        edits = [make_edit(kind, width, index, self.seed) for index in range(count)]
        pictures = torch.stack([render(scene)[0] for scene, *_ in edits]).movedim(1, -1)
        masks = torch.stack([mask for _, mask, *_ in edits])
        latent = self.encode(pictures)
        texts = {"positive": self.texts(*(text for *_, text, _ in edits)), "negative": self.texts("")}
        base, records = self.decode(latent), []
        near = torch.nn.functional.max_pool2d(masks[:, None], 2 * BACKGROUND_DROP + 1, 1, BACKGROUND_DROP)[:, 0] > 0
        for method in METHODS:
            results = self.decode(self.edit(method, latent, masks, texts))
            records += [
                {
                    "kind": kind,
                    "width": width,
                    "method": method,
                    "index": index,
                    "painted": painted(results[index], masks[index], colour),
                    "background": common.psnr(results[index], base[index], ~near[index]),
                }
                for index, (*_, colour) in enumerate(edits)
            ]
        return records


def report(records: list[dict], settings) -> str:
    rows = []
    for kind in KINDS:
        for width in sorted({record["width"] for record in records}):
            chosen = [
                [
                    record
                    for record in records
                    if (record["kind"], record["width"], record["method"]) == (kind, width, method)
                ]
                for method in METHODS
            ]
            rows.append(
                [
                    kind,
                    str(width),
                    *(f"{sum(record['painted'] >= APPEARS for record in some)} of {len(some)}" for some in chosen),
                    *(f"{common.mean(record['painted'] for record in some):.0%}" for some in chosen),
                ]
            )
    totals = [[record for record in records if record["method"] == method] for method in METHODS]
    rows.append(
        [
            "all",
            "",
            *(f"{sum(record['painted'] >= APPEARS for record in some)} of {len(some)}" for some in totals),
            *(f"{common.mean(record['painted'] for record in some):.0%}" for some in totals),
        ]
    )
    headers = [
        "mask",
        "pixels wide",
        *(f"appears: {method}" for method in METHODS),
        *(f"painted: {method}" for method in METHODS),
    ]
    lowest = min(record["background"] for record in records)
    title = (
        f"## {settings.edits} edits for each mask and width, {STEPS} steps, "
        f"cfg {settings.cfg:g}, kernels {settings.kernels}"
    )
    return "\n".join(
        [
            title,
            "",
            common.markdown_table(headers, rows),
            "",
            f"Background (more than {BACKGROUND_DROP} pixels from the mask) against the VAE's own picture: "
            f"at least {lowest:.1f} dB in every edit.",
        ]
    )


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=40, help="edits for each mask and width")
    parser.add_argument("--quick", action="store_true", help="4 edits")
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS), help="widths of the masks in pixels")
    parser.add_argument("--cfg", type=float, default=5.0, help="guidance; the paper's code uses 5")
    parser.add_argument("--kernels", default="7, 5, 3", help="ProgressiveMaskShrink's kernels")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the edits and noises")
    parser.add_argument("--json", help="write every number to this file")
    settings = parser.parse_args(argv)
    settings.edits = 4 if settings.quick else settings.edits
    if settings.edits < 1 or min(settings.widths) < 1:
        parser.error(f"expected --edits and --widths of at least 1; got {settings.edits} and {settings.widths}")
    started, bench, records = time.time(), Bench(settings), []
    for kind in KINDS:
        for width in settings.widths:
            records += bench.measure(kind, width, settings.edits)
            print(f"{kind} of {width} pixels, {(time.time() - started) / 60:.1f} min", file=sys.stderr, flush=True)
    print(report(records, settings))
    common.write_json(settings.json, {"versions": common.versions(), "records": records})
    return records


if __name__ == "__main__":
    main()
