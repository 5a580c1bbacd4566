"""Blended Latent Diffusion's background: one noise for the run, or a fresh one at every step as in
algorithm 1?

``python run.py bench background_noise [--quick]``, or ``python -m benchmarks.background_noise`` with COMFYUI_PATH set.

Empty grounds of the demo world, a square mask, and a text that asks for one object on that ground;
same model, noise levels, guidance and seeds for both. Two numbers per sampler and noise:

- right: the share of the edits in which the demo world's judge finds exactly the object of the text
  (its shape, its colour) on the ground of the text;
- other colours: the share of the mask's pixels whose nearest colour of the world is neither the
  ground's nor the object's, which seams and smears raise (soft outlines and light keep it above
  zero in a right picture too).
"""

import argparse
import random
import sys
import time

import torch

from demo import judge
from demo.scenes import COLOUR_NAMES, COLOURS, SHAPES, SIZE, Scene, Shape, clash, render
from lab import common

NOISES = ("one per run", "one per step")
SAMPLERS = ("ddim", "dpmpp_2m", "euler_ancestral")
SIDE = SIZE // 2


def make_edit(index: int, seed: int) -> tuple[Scene, Scene, torch.Tensor, str]:
    """(an empty ground, the scene that is asked for, the mask [SIZE, SIZE], the text)."""
    rng = random.Random(f"background noise {seed} {index}")
    ground, kind = rng.choice(COLOUR_NAMES), rng.choice(SHAPES)
    colour = rng.choice([name for name in COLOUR_NAMES if not clash(name, ground)])
    empty = Scene((), ground, rng.uniform(0, 6.28), rng.uniform(0.05, 0.25))
    top, left = (rng.randrange(8, SIZE - SIDE - 8) for _ in range(2))
    mask = torch.zeros(SIZE, SIZE)
    mask[top : top + SIDE, left : left + SIDE] = 1
    middle = [(corner + SIDE / 2) / SIZE for corner in (left, top)]
    wanted = Scene((Shape(kind, colour, *middle, 0.2, 0.0),), ground, 0.0, 0.0)
    return empty, wanted, mask, f"a {colour} {kind} on a {ground} background"


def other_colours(picture: torch.Tensor, mask: torch.Tensor, wanted: Scene) -> float:
    """Share of the mask's pixels in IMAGE [H, W, 3] nearest to neither the ground's nor the
    object's colour.
    """
    palette = torch.tensor([COLOURS[name] for name in COLOUR_NAMES])
    nearest = torch.cdist(picture[mask > 0.5], palette).argmin(-1)
    asked = torch.tensor([COLOUR_NAMES.index(name) for name in (wanted.ground, wanted.objects[0].colour)])
    return float((~torch.isin(nearest, asked)).float().mean())


def measure(demo: common.Demo, settings: argparse.Namespace) -> list[dict]:
    """One record per sampler, noise and edit."""
    edits = [make_edit(index, settings.seed) for index in range(settings.edits)]
    empties, wanted, masks, texts = zip(*edits, strict=True)
    latent = demo.encode(torch.stack([render(scene)[0] for scene in empties]).movedim(1, -1))
    given = {
        "model": demo.model,
        "latent": latent,
        "mask": torch.stack(masks),
        "seed": settings.seed,
        "steps": settings.steps,
        "cfg": settings.cfg,
        "positive": demo.texts(*texts),
        "negative": demo.texts(""),
    }
    records = []
    for sampler in SAMPLERS:
        for noise in NOISES:
            edited = demo.run("LatentBlendSampler", sampler_name=sampler, background_noise=noise, **given)[0]
            for picture, mask, scene in zip(demo.decode(edited), masks, wanted, strict=True):
                right = judge.caption_accepted(picture.movedim(-1, 0), scene)
                records.append(
                    {"sampler": sampler, "noise": noise, "right": right, "other": other_colours(picture, mask, scene)}
                )
            print(f"{sampler}, {noise}", file=sys.stderr, flush=True)
    return records


def report(records: list[dict], settings: argparse.Namespace) -> str:
    rows = []
    for sampler in SAMPLERS:
        for noise in NOISES:
            some = [record for record in records if (record["sampler"], record["noise"]) == (sampler, noise)]
            right, other = (common.mean(record[name] for record in some) for name in ("right", "other"))
            rows.append([sampler, noise, f"{right:.1%}", f"{other:.1%}"])
    title = f"## {settings.edits} edits, {settings.steps} steps, cfg {settings.cfg:g}"
    headers = ["sampler", "background noise", "right", "other colours"]
    return "\n".join([title, "", common.markdown_table(headers, rows)])


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="4 edits")
    parser.add_argument("--cfg", type=float, default=5.0, help="guidance; the paper's code uses 5")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0, help="seed of the edits and noises")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--json", help="write every number to this file")
    settings = parser.parse_args(argv)
    settings.edits = 4 if settings.quick else settings.edits
    if settings.edits < 1:
        parser.error(f"expected --edits of at least 1; got {settings.edits}")
    started = time.time()
    records = measure(common.Demo(settings.checkpoint), settings)
    print(report(records, settings))
    print(f"{(time.time() - started) / 60:.1f} min", file=sys.stderr)
    common.write_json(settings.json, {"versions": common.versions(), "records": records})
    return records


if __name__ == "__main__":
    main()
