"""What is left of the source after ten edits in a row?

``python run.py bench session_drift [--quick]``, or ``python -m benchmarks.session_drift`` with COMFYUI_PATH set.

Sessions of ten edits on demo scenes, each in a disc of its own in the left half of the picture, by
LatentBlendSampler. Six ways to hand a result on:

- pixels: decode after each edit and encode again, as a graph per edit does;
- pixels, stitched: the same, with BackgroundRestore's stitch before encoding again;
- latents: hand the latent on, decode once at the end;
- latents, stitched: the same, and stitch the end onto the source outside all masks;
- latents, tuned decoder: the same, decoded by DecoderFinetune for all masks together;
- latents, tuned and stitched: that, stitched.

Printed, outside all ten masks: the PSNR against the source picture, how many of the kept 8-bit
    values differ from it, and how far the latent has moved there.
Where a way is not exact the table says so in numbers: a decoder, tuned or not, is never exact to
    the last bit, and encoding loses at every round.
"""

import argparse
import random
import sys
import time

import torch

from demo.scenes import COLOUR_NAMES, SHAPES, Scene, Shape, caption, clash, coverage, random_scene, render
from lab import common

EDITS, STEPS, CFG, CELL = 10, 30, 5.0, 8


def make_session(index: int, seed: int) -> tuple[torch.Tensor, list[torch.Tensor], list[str]]:
    """A source picture [H, W, 3], a mask [H, W] for each edit, and what each should show."""
    rng = random.Random(f"session {seed} {index}")
    ground = random_scene(rng, 1).ground
    kept = Shape(rng.choice(SHAPES), _other(rng, ground), 0.82, rng.uniform(0.3, 0.7), 0.13, rng.uniform(-0.3, 0.3))
    source = Scene((kept,), ground, rng.uniform(0, 6.28), 0.2)
    masks, texts = [], []
    for _ in range(EDITS):
        x, y, radius = rng.uniform(0.16, 0.5), rng.uniform(0.16, 0.84), rng.uniform(0.1, 0.15)
        masks.append((coverage(Shape("circle", ground, x, y, radius, 0.0)) > 0.5).float())
        texts.append(caption(Scene((Shape(rng.choice(SHAPES), _other(rng, ground), x, y, radius, 0.0),), ground)))
    return render(source)[0].movedim(0, -1), masks, texts


def _other(rng: random.Random, ground: str) -> str:
    return rng.choice([name for name in COLOUR_NAMES if not clash(name, ground)])


class Bench(common.Demo):
    """The ways through real nodes; all sessions are one batch."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        sessions = [make_session(index, settings.seed) for index in range(settings.sessions)]
        self.source = torch.stack([source for source, _, _ in sessions])
        self.masks = [torch.stack([masks[k] for _, masks, _ in sessions]) for k in range(EDITS)]
        self.wanted = [self.texts(*(texts[k] for _, _, texts in sessions)) for k in range(EDITS)]
        self.empty = self.texts("")
        self.all_masks = torch.stack(self.masks).amax(0)

    def edit(self, latent: dict, k: int) -> dict:
        return self.run(
            "LatentBlendSampler",
            model=self.model,
            positive=self.wanted[k],
            negative=self.empty,
            latent=latent,
            mask=self.masks[k],
            seed=1000 * k,
            steps=STEPS,
            cfg=CFG,
        )[0]

    def stitch(self, source: torch.Tensor, edited: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.run("BackgroundRestore", image=source, edited=edited, mask=mask, method="stitch")[0]

    def through_pixels(self, is_stitched: bool) -> tuple[torch.Tensor, dict]:
        pictures = self.source
        for k in range(EDITS):
            latent = self.edit(self.encode(pictures), k)
            made = self.decode(latent)
            pictures = (self.stitch(pictures, made, self.masks[k]) if is_stitched else made).mul(255).round().div(255)
        return pictures, latent

    def measure(self) -> list[dict]:
        """One record per way and session."""
        results = {"pixels": self.through_pixels(False), "pixels, stitched": self.through_pixels(True)}
        latent = self.encode(self.source)
        for k in range(EDITS):
            latent = self.edit(latent, k)
            print(f"edit {k + 1} of {EDITS}", file=sys.stderr, flush=True)
        plain = self.decode(latent)
        tuned = self.run("DecoderFinetune", vae=self.vae, image=self.source, latent=latent, mask=self.all_masks)[
            0
        ].float()
        results["latents"] = plain, latent
        results["latents, stitched"] = self.stitch(self.source, plain, self.all_masks), latent
        results["latents, tuned decoder"] = tuned, latent
        results["latents, tuned and stitched"] = self.stitch(self.source, tuned, self.all_masks), latent
        first, outside = self.encode(self.source)["samples"], self.all_masks < 0.5
        cells = torch.nn.functional.max_pool2d(self.all_masks[:, None], CELL)[:, 0] == 0
        source, records = self.source.mul(255).round(), []
        for way, (pictures, final) in results.items():
            for index in range(len(source)):
                kept = outside[index]
                differs = (pictures[index].mul(255).round() != source[index])[kept]
                moved = (final["samples"][index] - first[index])[:, cells[index]].abs().max()
                records.append(
                    {
                        "way": way,
                        "session": index,
                        "psnr": common.psnr(pictures[index], self.source[index], kept),
                        "kept": int(differs.numel()),
                        "differ": int(differs.sum()),
                        "latent": float(moved),
                    }
                )
        return records


def report(records: list[dict], settings) -> str:
    rows = []
    for way in dict.fromkeys(record["way"] for record in records):
        chosen = [record for record in records if record["way"] == way]
        differ, kept = sum(record["differ"] for record in chosen), sum(record["kept"] for record in chosen)
        moved = max(record["latent"] for record in chosen)
        rows.append(
            [way, f"{common.mean(record['psnr'] for record in chosen):.1f}", f"{differ} of {kept}", f"{moved:.3g}"]
        )
    headers = ["handed on", "PSNR outside all masks", "kept 8-bit values that differ", "latent moved by at most"]
    return "\n".join(
        [
            f"## {settings.sessions} sessions of {EDITS} edits, {STEPS} steps, cfg {CFG:g}; "
            "100 dB is the most that is printed",
            "",
            common.markdown_table(headers, rows),
        ]
    )


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="2 sessions")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and edits")
    parser.add_argument("--json", help="write every number to this file")
    settings = parser.parse_args(argv)
    settings.sessions = 2 if settings.quick else settings.sessions
    if settings.sessions < 1:
        parser.error(f"expected --sessions of at least 1; got {settings.sessions}")
    started = time.time()
    records = Bench(settings).measure()
    print(report(records, settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    common.write_json(settings.json, {"versions": common.versions(), "records": records})
    return records


if __name__ == "__main__":
    main()
