"""Background noise of Blended Latent Diffusion: one noise for the whole run, or new noise at every
step as in algorithm 1.

``python run.py bench background_noise [--quick]``, or ``python -m benchmarks.background_noise``
with COMFYUI_PATH set.

Empty grounds of the demo world, a square mask, and a text that asks for one thing on that ground;
same model, noise levels, guidance and seeds for both. Three numbers per sampler and noise:

- right: the share of the edits in which the judge finds exactly the thing of the text, in its
  colour, on the ground of the text;
- thing: the same, with any ground;
- seam: energy along the mask's border against the VAE's own reconstruction of the empty ground
  (times 1e4), as in ``background.py``. Seams and smears raise it, as does a thing that reaches the
  border.
"""

import argparse
import random
import sys
import time
from dataclasses import replace

import torch

from demo.world import judge
from demo.world.render import SIZE, render_batch
from demo.world.scenes import Scene, caption, random_scene
from lab import common
from lab.compute import add_dtype, compute_in
from lab.records import JsonRecords

from .background import seam_energy

NOISES = ("one per run", "one per step")
SAMPLERS = ("ddim", "dpmpp_2m", "euler_ancestral")
SIDE = SIZE // 2


def make_edit(index: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, Scene]:
    """(An empty ground [SIZE, SIZE, 3], the mask [SIZE, SIZE] of 0 and 1, the wanted scene)."""
    rng = random.Random(f"background noise {seed} {index}")
    scene = random_scene(rng, 1, worn=False)
    top, left = (rng.randrange(16, SIZE - SIDE - 16) for _ in range(2))
    mask = torch.zeros(SIZE, SIZE)
    mask[top : top + SIDE, left : left + SIDE] = 1
    return render_batch([replace(scene, things=())]).pictures[0].movedim(0, -1), mask, scene


def measure(demo: common.Demo, settings: argparse.Namespace, numbers: range) -> list[dict]:
    """One record per sampler, noise and edit."""
    pictures, masks, wanted = zip(*(make_edit(index, settings.seed) for index in numbers), strict=True)
    latent = demo.encode(torch.stack(pictures)) | {"batch_index": list(numbers)}
    inputs = {
        "model": demo.model,
        "latent": latent,
        "mask": torch.stack(masks),
        "seed": settings.seed,
        "steps": settings.steps,
        "cfg": settings.cfg,
        "positive": demo.texts(*map(caption, wanted)),
        "negative": demo.texts(""),
    }
    base, rows = demo.decode(latent), []
    for sampler in SAMPLERS:
        for noise in NOISES:
            edited = demo.run("LatentBlendSampler", sampler_name=sampler, background_noise=noise, **inputs)[0]
            results = demo.decode(edited)
            readings = judge.recognise(results.movedim(-1, 1).clamp(0, 1))
            for place, index in enumerate(numbers):
                rows.append(
                    {
                        "key": f"{sampler} {noise} {index}",
                        "sampler": sampler,
                        "noise": noise,
                        "right": float(readings[place].shows(wanted[place])),
                        "thing": float(readings[place].shows_things(wanted[place])),
                        "seam": seam_energy(results[place], base[place], masks[place] > 0.5),
                    }
                )
    return rows


def report(rows: list[dict], settings: argparse.Namespace) -> str:
    """Markdown: the means per sampler and noise."""
    table = []
    for sampler in SAMPLERS:
        for noise in NOISES:
            chosen = [row for row in rows if (row["sampler"], row["noise"]) == (sampler, noise)]
            right, thing, seam = (common.mean(row[name] for row in chosen) for name in ("right", "thing", "seam"))
            table.append([sampler, noise, f"{right:.0%}", f"{thing:.0%}", f"{seam:.1f}"])
    title = f"## {settings.edits} edits, {settings.steps} steps, cfg {settings.cfg:g}"
    headers = ["sampler", "background noise", "right", "thing", "seam, 1e-4"]
    return "\n".join([title, "", common.markdown_table(headers, table)])


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="4 edits")
    parser.add_argument("--cfg", type=float, default=5.0, help="guidance; the paper's code uses 5")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0, help="seed of the edits and noises")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--batch", type=int, default=8, help="edits at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.edits = 4 if settings.quick else settings.edits
    if min(settings.edits, settings.steps, settings.batch) < 1:
        parser.error(
            f"expected --edits, --steps and --batch of at least 1; got {settings.edits}, {settings.steps} "
            f"and {settings.batch}"
        )
    started, demo = time.time(), common.Demo(settings.checkpoint)
    demo.model = compute_in(demo.model, settings.dtype)
    records = JsonRecords(settings.json, {name: getattr(settings, name) for name in ("seed", "steps", "cfg", "dtype")})
    ways = [f"{sampler} {noise}" for sampler in SAMPLERS for noise in NOISES]
    for start in range(0, settings.edits, settings.batch):
        numbers = range(start, min(start + settings.batch, settings.edits))
        if not records.has(*(f"{way} {index}" for way in ways for index in numbers)):
            records.add(measure(demo, settings, numbers))
        print(f"edit {numbers[-1] + 1} of {settings.edits}", file=sys.stderr, flush=True)
    wanted = {f"{way} {index}" for way in ways for index in range(settings.edits)}
    print(report([row for row in records.rows if row["key"] in wanted], settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    return records.rows


if __name__ == "__main__":
    main()
