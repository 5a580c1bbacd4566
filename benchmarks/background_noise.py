"""Blended Latent Diffusion's background: one noise for the run, or a fresh one at every step as in algorithm 1?

``python run.py bench background_noise [--quick]``, or ``python benchmarks/background_noise.py`` with COMFYUI_PATH set.

Empty grounds of the demo world, a square mask, and a text that puts a square of another colour there; same model, levels, guidance and seeds. Printed: the
share of the mask's pixels that end up nearest to the colour asked for, and how far the pixels of the mask that lie at its border are from the ground's own
(a seam shows as a difference where the ground goes on).
"""
import argparse
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import common  # noqa: E402
import thin_masks  # noqa: E402
import torch  # noqa: E402
from scenes import SIZE, render  # noqa: E402

NOISES = ("one per run", "one per step")


def square(index: int, seed: int) -> torch.Tensor:
    """A mask [SIZE, SIZE]: a square of a third of the picture's side."""
    rng, side, mask = random.Random(f"background {seed} {index}"), SIZE // 3, torch.zeros(SIZE, SIZE)
    top, left = (rng.randrange(8, SIZE - side - 8) for _ in range(2))
    mask[top:top + side, left:left + side] = 1
    return mask


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="4 edits")
    parser.add_argument("--cfg", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT))
    settings = parser.parse_args(argv)
    count, demo = 4 if settings.quick else settings.edits, common.Demo(settings.checkpoint)
    edits = [thin_masks.make_edit("stroke", 16, index, settings.seed) for index in range(count)]
    grounds = torch.stack([render(scene)[0] for scene, *_ in edits]).movedim(1, -1)
    masks = torch.stack([square(index, settings.seed) for index in range(count)])
    inner = -torch.nn.functional.max_pool2d(-masks[:, None], 5, 1, 2)[:, 0]
    border, latent = (masks - inner) > 0, demo.encode(grounds)
    texts = {"positive": demo.texts(*(text for *_, text, _ in edits)), "negative": demo.texts("")}
    records = []
    for sampler in ("ddim", "euler_ancestral"):
        for noise in NOISES:
            edited = demo.run("LatentBlendSampler", model=demo.model, latent=latent, mask=masks, seed=settings.seed, steps=settings.steps, cfg=settings.cfg,
                              sampler_name=sampler, background_noise=noise, **texts)[0]
            pictures = demo.decode(edited)
            records += [{"sampler": sampler, "noise": noise, "painted": thin_masks.painted(pictures[k], masks[k], edits[k][-1]),
                         "border": float((pictures[k] - grounds[k])[border[k]].abs().mean())} for k in range(count)]
    rows = []
    for sampler in ("ddim", "euler_ancestral"):
        for noise in NOISES:
            some = [one for one in records if (one["sampler"], one["noise"]) == (sampler, noise)]
            rows.append([sampler, noise, f"{common.mean(one['painted'] for one in some):.1%}", f"{common.mean(one['border'] for one in some):.4f}"])
    print(common.markdown_table(["sampler", "background noise", "painted", "border against the ground"], rows))
    return records


if __name__ == "__main__":
    main()
