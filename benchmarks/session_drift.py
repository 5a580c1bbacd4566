"""How much of the source remains after ten edits in a row?

``python run.py bench session_drift [--quick]``, or ``python -m benchmarks.session_drift`` with
COMFYUI_PATH set.

Sessions of ten edits on demo scenes, each with one thing in a separate disc in the left half of the
picture, by LatentBlendSampler. Six ways to pass the result on:

- pixels: decode after each edit and encode again, as with one graph per edit;
- pixels, stitched: the same, with BackgroundRestore's stitch before encoding again;
- latents: pass the latent on, decode once at the end;
- latents, stitched: the same, and stitch the end onto the source outside all masks;
- latents, tuned decoder: pass the latent on, decode by DecoderFinetune for all masks together;
- latents, tuned and stitched: the same, stitched.

Printed, outside all ten masks: the PSNR against the source picture, the share of the 8-bit values
that differ from it, and the largest change of the latent. A decoder, tuned or not, is never exact
to the last bit, and every encoding loses; the table shows by how much.
"""

import argparse
import random
import sys
import time
from dataclasses import replace

import torch

from demo.world.render import SIZE, render_batch
from demo.world.scenes import Scene, caption, random_ground, random_thing
from demo.world.things import KINDS
from lab import common
from lab.compute import add_dtype, compute_in
from lab.records import JsonRecords

from .held_out import CELL

EDITS, STEPS, CFG = 10, 30, 5.0


def make_session(index: int, seed: int) -> tuple[torch.Tensor, list[torch.Tensor], list[str]]:
    """A source picture [H, W, 3], a mask [H, W] for each edit, and the caption of each edit."""
    rng = random.Random(f"session {seed} {index}")
    ground = random_ground(rng)
    thing = replace(random_thing(rng, rng.choice(KINDS), 0.24, 0.3), x=0.82, y=rng.uniform(0.3, 0.7))
    masks, texts = [], []
    for _ in range(EDITS):
        x, y, radius = rng.uniform(0.16, 0.5), rng.uniform(0.16, 0.84), rng.uniform(0.1, 0.15)
        masks.append(disc(x, y, radius))
        texts.append(caption(Scene((random_thing(rng, rng.choice(KINDS), 0.2, 0.3),), **ground)))
    return render_batch([Scene((thing,), **ground)]).pictures[0].movedim(0, -1), masks, texts


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    """A mask [SIZE, SIZE] of 0 and 1; centre and radius are shares of the side."""
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    down, across = torch.meshgrid(axis - y, axis - x, indexing="ij")
    return (torch.hypot(across, down) <= radius).float()


class Bench(common.Demo):
    """The ways through the pack's nodes; a few sessions are one batch."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.model, self.steps = compute_in(self.model, settings.dtype), settings.steps

    def begin(self, numbers: range, seed: int) -> None:
        """Draw the sessions on which :meth:`measure` works."""
        self.numbers = numbers
        sessions = [make_session(index, seed) for index in numbers]
        self.source = torch.stack([source for source, _, _ in sessions])
        self.masks = [torch.stack([masks[k] for _, masks, _ in sessions]) for k in range(EDITS)]
        self.wanted = [self.texts(*(texts[k] for _, _, texts in sessions)) for k in range(EDITS)]
        self.empty = self.texts("")
        self.all_masks = torch.stack(self.masks).amax(0)

    def encode(self, pictures: torch.Tensor) -> dict:
        return super().encode(pictures) | {"batch_index": list(self.numbers)}

    def edit(self, latent: dict, k: int) -> dict:
        """The LATENT after edit number ``k``."""
        return self.run(
            "LatentBlendSampler",
            model=self.model,
            positive=self.wanted[k],
            negative=self.empty,
            latent=latent,
            mask=self.masks[k],
            seed=1000 * k,
            steps=self.steps,
            cfg=CFG,
        )[0]

    def stitch(self, source: torch.Tensor, edited: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.run("BackgroundRestore", image=source, edited=edited, mask=mask, method="stitch")[0]

    def through_pixels(self, is_stitched: bool) -> tuple[torch.Tensor, dict]:
        """Pictures and LATENT after all edits, each of which starts from an encoded picture."""
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
        source, rows = self.source.mul(255).round(), []
        for way, (pictures, final) in results.items():
            for index in range(len(source)):
                background = outside[index]
                differs = (pictures[index].mul(255).round() != source[index])[background]
                moved = (final["samples"][index] - first[index])[:, cells[index]].abs().max()
                rows.append(
                    {
                        "key": f"{way} {self.numbers[index]}",
                        "way": way,
                        "session": self.numbers[index],
                        "psnr": common.psnr(pictures[index], self.source[index], background),
                        "kept": int(differs.numel()),
                        "differ": int(differs.sum()),
                        "latent": float(moved),
                    }
                )
        return rows


def report(records: list[dict], settings) -> str:
    """Markdown: the ways' means over the sessions."""
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
            f"## {settings.sessions} sessions of {EDITS} edits, {settings.steps} steps, cfg {CFG:g}; "
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
    parser.add_argument("--batch", type=int, default=5, help="sessions at a time")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each edit")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.sessions = 2 if settings.quick else settings.sessions
    if min(settings.sessions, settings.batch) < 1:
        parser.error(f"expected --sessions and --batch of at least 1; got {settings.sessions} and {settings.batch}")
    started, bench = time.time(), Bench(settings)
    records = JsonRecords(
        settings.json, {"seed": settings.seed, "steps": settings.steps, "cfg": CFG, "dtype": settings.dtype}
    )
    for start in range(0, settings.sessions, settings.batch):
        numbers = range(start, min(start + settings.batch, settings.sessions))
        if not records.has(*(f"pixels {index}" for index in numbers)):
            bench.begin(numbers, settings.seed)
            records.add(bench.measure())
    rows = [row for row in records.rows if row["session"] < settings.sessions]
    print(report(rows, settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    return rows


if __name__ == "__main__":
    main()
