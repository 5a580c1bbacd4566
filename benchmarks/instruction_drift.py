"""How much of the background survives ten edits by instruction, each of them reverted?

``python run.py bench instruction_drift [--quick]``, or ``python -m benchmarks.instruction_drift``
(COMFYUI_PATH set).

A thing is recoloured by an instruction and gets its colour back by the next one, ten times. Three
ways to hand a result on:

- bare, pixels: the instruction model alone; decoded after every edit and encoded again;
- bare, latents: the instruction model alone; the latent is handed on;
- in the mask: the mask of every instruction by DiffEditMask, the edit inside it by
  LatentBlendSampler, latents handed on; the output is stitched onto the source outside all masks
  (BackgroundRestore).

Measured outside the latent cells of the thing, against the source picture, after every reversion:
PSNR, SSIM, the shift of the picture (pixels, least squares on the luminance), and the mean colour
difference (CIE 1976 Delta E); and the number of pictures in which the judge still finds the first
scene.
"""

import argparse
import random
import time

import torch
import torch.nn.functional as F

from demo.world.render import SIZE, render_batch
from demo.world.scenes import COLOUR_NAMES, Scene, random_scene
from demo.world.things import PAINTED
from lab import common
from lab.compute import add_dtype
from lab.records import JsonRecords

from .held_out import cells_of, shown
from .instructed import CFG, CHECKPOINT, STEPS, Instructed

TRIPS = 10
WAYS = ("bare, pixels", "bare, latents", "in the mask")


def make_session(index: int, seed: int) -> tuple[Scene, str, str]:
    """A scene of one thing that can be recoloured, the instruction for it, and the instruction that
    reverts it.
    """
    rng = random.Random(f"drift {seed} {index}")
    scene = random_scene(rng, 1, unseen=True, kinds=PAINTED, worn=False)
    thing = scene.things[0]
    colour = rng.choice([name for name in COLOUR_NAMES if name != thing.colour])
    return scene, f"make the {thing.kind} {colour}", f"make the {thing.kind} {thing.colour}"


def moved(picture: torch.Tensor, source: torch.Tensor, where: torch.Tensor) -> float:
    """Shift in pixels of ``picture`` [H, W, 3] against ``source``: Gauss-Newton on the luminance
    over ``where`` [H, W], weighted least squares.
    """
    moving, fixed = (
        (part.double() * torch.tensor([0.2126, 0.7152, 0.0722])).sum(-1)[None, None] for part in (picture, source)
    )
    side, shift = moving.shape[-1], torch.zeros(2, dtype=torch.float64)
    weight = where.double().clone()
    weight[:4], weight[-4:], weight[:, :4], weight[:, -4:] = 0, 0, 0, 0
    for _ in range(6):
        affine = torch.tensor([[1, 0, 2 * shift[0] / side], [0, 1, 2 * shift[1] / side]], dtype=torch.float64)[None]
        grid = F.affine_grid(affine, list(moving.shape), align_corners=False)
        back = F.grid_sample(moving, grid, mode="bicubic", padding_mode="border", align_corners=False)[0, 0]
        across = (back.roll(-1, 1) - back.roll(1, 1)) / 2
        down = (back.roll(-1, 0) - back.roll(1, 0)) / 2
        slopes = torch.stack([across, down]).flatten(1) * weight.flatten().sqrt()
        rest = (fixed[0, 0] - back).flatten() * weight.flatten().sqrt()
        shift = shift + torch.linalg.lstsq(slopes.T, rest[:, None]).solution[:, 0]
    return float(shift.norm())


def lab(pictures: torch.Tensor) -> torch.Tensor:
    """CIE L*a*b* (D65) of sRGB pictures [..., 3] in 0..1."""
    values = pictures.double().clamp(0, 1)
    linear = torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = linear @ torch.tensor(to_xyz, dtype=torch.float64).T / torch.tensor([0.95047, 1.0, 1.08883])
    root = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


class Bench(Instructed):
    def begin(self, numbers: range, seed: int) -> None:
        """Draw the sessions on which :meth:`trips` works."""
        self.numbers, self.sessions = numbers, [make_session(index, seed) for index in numbers]
        drawn = render_batch([scene for scene, _, _ in self.sessions])
        self.source = drawn.pictures.movedim(1, -1).mul(255).round().div(255)
        self.outside = cells_of(torch.stack([masks[0] for masks in drawn.masks])) < 0.5

    def encode(self, pictures: torch.Tensor) -> dict:
        return super().encode(pictures) | {"batch_index": list(self.numbers)}

    def trips(self, way: str) -> list[dict]:
        """One record per session and pair of edits."""
        latent, masks = self.encode(self.source), torch.zeros(len(self.source), SIZE, SIZE)
        rows = []
        for edit in range(2 * TRIPS):
            told = [revert if edit % 2 else recolour for _, recolour, revert in self.sessions]
            if way == "in the mask":
                mask = self.mask(latent, told, edit)[0]
                edited = self.inside(latent, mask, told, edit)
                masks = torch.maximum(masks, mask)
                outputs = self.run(
                    "BackgroundRestore", image=self.source, edited=self.decode(edited), mask=masks, method="stitch"
                )[0]
            else:
                edited = self.bare(latent["samples"], told, edit)
                outputs = self.decode(edited)
            outputs = outputs.mul(255).round().div(255)
            is_handed_on_as_pixels = way == "bare, pixels"
            latent = self.encode(outputs) if is_handed_on_as_pixels else latent | {"samples": edited["samples"]}
            if edit % 2:
                rows += self.measured(way, edit // 2 + 1, outputs)
        return rows

    def measured(self, way: str, trip: int, pictures: torch.Tensor) -> list[dict]:
        """The records of one way after a number of pairs of edits; pictures [N, S, S, 3]."""
        metrics = common.pack_module("core.pictures.metrics")
        ssim = metrics.ssim(pictures, self.source, self.outside.float())
        apart = (lab(pictures) - lab(self.source)).norm(dim=-1)
        right = shown(pictures, [scene for scene, _, _ in self.sessions])
        return [
            {
                "key": f"{way} {number} {trip}",
                "way": way,
                "trip": trip,
                "session": number,
                "psnr": common.psnr(pictures[row], self.source[row], self.outside[row]),
                "ssim": float(ssim[row]),
                "offset": moved(pictures[row], self.source[row], self.outside[row]),
                "delta e": float(apart[row][self.outside[row]].mean()),
                "right": float(right[row]),
            }
            for row, number in enumerate(self.numbers)
        ]


def report(records: list[dict], settings) -> str:
    """Markdown: means per way after 1, 3 and all pairs of edits."""
    rows = []
    for way in WAYS:
        for trip in (1, 3, TRIPS):
            chosen = [row for row in records if row["way"] == way and row["trip"] == trip]
            if chosen:
                means = {
                    name: common.mean(row[name] for row in chosen) for name in ("psnr", "ssim", "offset", "delta e")
                }
                texts = [f"{value:.{3 if name in ('ssim', 'offset') else 1}f}" for name, value in means.items()]
                right = sum(row["right"] for row in chosen)
                rows.append([way, str(trip), *texts, f"{right:.0f} of {len(chosen)}"])
    headers = ["way", "edits taken back", "PSNR", "SSIM", "moved by, pixels", "Delta E", "still the scene"]
    title = f"## {settings.sessions} pictures, {TRIPS} edits and as many back; {settings.steps} steps, cfg {CFG:g}"
    return "\n".join([title, "", common.markdown_table(headers, rows)])


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="2 sessions")
    parser.add_argument("--checkpoint", default=str(CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and edits")
    parser.add_argument("--steps", type=int, default=STEPS, help="of every edit")
    parser.add_argument("--batch", type=int, default=4, help="sessions at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.sessions = 2 if settings.quick else settings.sessions
    if min(settings.sessions, settings.batch) < 1:
        parser.error(f"expected --sessions and --batch of at least 1; got {settings.sessions} and {settings.batch}")
    started, bench = time.time(), Bench(settings.checkpoint, settings.steps, settings.dtype)
    same = {name: getattr(settings, name) for name in ("seed", "steps", "dtype")}
    records = JsonRecords(settings.json, same | {"cfg": CFG, "trips": TRIPS})
    for start in range(0, settings.sessions, settings.batch):
        numbers = range(start, min(start + settings.batch, settings.sessions))
        bench.begin(numbers, settings.seed)
        for way in WAYS:
            if not records.has(*(f"{way} {index} {TRIPS}" for index in numbers)):
                records.add(bench.trips(way))
    rows = [row for row in records.rows if row["session"] < settings.sessions]
    print(report(rows, settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    return rows


if __name__ == "__main__":
    main()
