"""Align to Source on random trials: what it recovers, and whether it answers where it should not.

``python run.py bench align [--trials 200]``. A trial renders a scene, puts another scene's content
into up to 40 % of it, moves, zooms, turns and shears the result a little, brings it to another size
or crops it, changes its colours, adds noise and stores it with 8 bits. Every fifth trial is a pair
that does not match: another scene, or the picture mirrored or turned upside down.

A trial is *right* within 0.1 pixels of translation (at the centre, in pixels of the source), 0.1 %
of scale and a Delta E of 0.5; *silently wrong* is an answer that misses one of these without a
refusal, with a stated uncertainty (at the corners, in pixels) below 0.2, or any answer to a pair
that does not match.
"""

import argparse
import math
import random
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from demo.world import render, scenes
from lab import common

LIMITS = {"translation": 0.1, "scale": 0.1, "delta_e": 0.5}
TOLD = 0.2
"""Stated uncertainty from which the node warns."""
FINER = 2
"""Scenes are rendered this much finer than the pictures made of them."""


@dataclass(frozen=True)
class Trial:
    """Source and edited pictures [3, H, W], the true map (core's convention), gain and offset, and
    the share that was changed. ``matrix`` is None for a pair that does not match.
    """

    source: torch.Tensor
    edited: torch.Tensor
    matrix: torch.Tensor | None
    gain: torch.Tensor
    offset: torch.Tensor
    share: float


def make(seed: int, matching: bool = True) -> Trial:
    """One trial. The same seed gives the same trial."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    height, width = (rng.randrange(192, 641) for _ in range(2))
    fine = _scene(rng, FINER * height, FINER * width)
    source = _through(fine, torch.eye(2, 3, dtype=torch.float64), (height, width))
    blob, share = _blob(rng, FINER * height, FINER * width)
    changed = torch.where(blob, _scene(rng, FINER * height, FINER * width), fine)
    matrix, size = _motion(rng, height, width)
    if not matching:
        kind = rng.randrange(3)
        changed = _scene(rng, *fine.shape[-2:]) if kind == 0 else changed.flip(-1 if kind == 1 else -2)
    full = torch.eye(3, dtype=torch.float64)
    full[:2] = matrix
    edited = _through(changed, torch.linalg.inv(full)[:2], size)
    gain, offset = (torch.tensor([rng.uniform(*limits) for _ in range(3)]) for limits in ((0.88, 1.12), (-0.06, 0.06)))
    edited = gain[:, None, None] * edited + offset[:, None, None]
    edited = edited + rng.uniform(0, 0.02) * torch.randn(edited.shape, generator=generator)
    source, edited = ((one.clamp(0, 1) * 255).round() / 255 for one in (source, edited))
    return Trial(source, edited, matrix if matching else None, gain, offset, share)


def _scene(rng: random.Random, height: int, width: int) -> torch.Tensor:
    side = max(height, width)
    return render.render(scenes.random_scene(rng), side)[0][:, :height, :width]


def _blob(rng: random.Random, height: int, width: int) -> tuple[torch.Tensor, float]:
    """An ellipse or a rectangle of at most 40 % of the picture, and its share."""
    wanted, aspect = rng.uniform(0.02, 0.4), math.exp(rng.uniform(-0.5, 0.5))
    down, along = (math.sqrt(wanted * factor) for factor in (aspect, 1 / aspect))
    y = (torch.arange(height) / height - rng.uniform(0.2, 0.8))[:, None] / down
    x = (torch.arange(width) / width - rng.uniform(0.2, 0.8))[None] / along
    blob = x.square() + y.square() < 1 / math.pi if rng.random() < 0.5 else (x.abs() < 0.5) & (y.abs() < 0.5)
    return blob, float(blob.float().mean())


def _motion(rng: random.Random, height: int, width: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """A map and the edited picture's size: kept, rescaled, or a crop of another aspect ratio."""
    kind, zoom = rng.choice(("kept", "rescaled", "cropped")), rng.uniform(0.93, 1.07)
    turn, shear = (math.radians(rng.uniform(-0.6, 0.6)) for _ in range(2))
    linear = torch.tensor([[math.cos(turn), -math.sin(turn) + shear], [math.sin(turn), math.cos(turn)]]).double()
    linear = linear * zoom
    seen = torch.tensor([width, height]).double()  # pixels of the source that the edited picture shows
    if kind == "cropped":
        seen = seen * torch.tensor([rng.uniform(0.75, 1), rng.uniform(0.75, 1)])
    slack = (torch.tensor([width, height]) - seen) / 2
    shift = torch.tensor([rng.uniform(-1, 1), rng.uniform(-1, 1)]).double() * (slack + 0.03 * min(height, width))
    half = torch.tensor([width / 2, height / 2]).double()
    matrix = torch.cat([linear * half[None] / (seen[:, None] / 2), (shift / (seen / 2))[:, None]], 1)
    factor = 1.0 if kind == "kept" else rng.uniform(0.7, 1.5)
    size = (round(float(seen[1]) * factor), round(float(seen[0]) * factor))
    return matrix, size


def _through(fine: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The fine picture seen through a map on a grid of ``size``, without aliasing: each sample is
    the mean of 3 x 3 bicubic ones of a picture that was blurred by the pixel's width.
    """
    grid = F.affine_grid(matrix[None], [1, 1, *size], align_corners=False)
    step = (matrix[:, :2].abs() @ torch.tensor([2 / size[1], 2 / size[0]]).double()).clamp(min=1e-9)
    width = float((step * torch.tensor([fine.shape[-1], fine.shape[-2]]) / 2).max())
    blur = common.room("core.masks.operations").gaussian_blur(fine, 0.3 * width).double()
    mirrored = "reflection"
    return F.grid_sample(blur[None], grid, mode="bicubic", padding_mode=mirrored, align_corners=False)[0].float()


def errors(trial: Trial, found) -> dict[str, float]:
    """Translation in pixels, scale in percent, the worst corner in pixels, and Delta E."""
    height, width = trial.source.shape[-2:]
    half = torch.tensor([width, height]).double() / 2
    back = torch.linalg.inv(trial.matrix[:, :2])
    apart = (back @ (found.matrix - trial.matrix)) * half[:, None]
    corners = [apart @ torch.tensor([x, y, 1.0]).double() for x in (-1, 1) for y in (-1, 1)]
    true_scale = float(torch.linalg.det(trial.matrix[:, :2]).abs().sqrt())
    colour = common.room("core.pictures.colour")
    cast = trial.gain[:, None, None] * trial.source + trial.offset[:, None, None]
    usable = colour.unclipped(trial.source) & colour.unclipped(cast)
    difference = colour.delta_e(found.colour.apply(cast), trial.source)
    return {
        "translation": float(apart[:, 2].norm()),
        "scale": 100 * abs(found.scale / true_scale - 1),
        "corner": max(float(corner.norm()) for corner in corners),
        "delta_e": float(difference[usable].mean()) if usable.any() else 0.0,
    }


def judge(trial: Trial, found) -> tuple[str, dict[str, float]]:
    """("right", "wrong", "refused", "told", ...) and the errors of a matching pair."""
    refused = found.fault(tuple(trial.source.shape[-2:])) is not None
    if trial.matrix is None:
        return ("refused rightly" if refused else "silently wrong"), {}
    measured = errors(trial, found)
    right = all(measured[name] <= limit for name, limit in LIMITS.items())
    if refused:
        return "refused", measured
    if right:
        return "right", measured
    return ("wrong, uncertainty told" if found.uncertainty > TOLD else "silently wrong"), measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first trial")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    registration = common.room("core.pictures.registration")
    counts: dict[str, int] = {}
    table, seconds = [], []
    agreements = {"matching": [], "others": []}
    for seed in range(options.first, options.first + options.trials):
        trial = make(seed, matching=seed % 5 != 4)
        started = time.perf_counter()
        found = registration.register(trial.source, trial.edited)
        seconds.append(time.perf_counter() - started)
        verdict, measured = judge(trial, found)
        counts[verdict] = counts.get(verdict, 0) + 1
        agreements["others" if trial.matrix is None else "matching"].append(found.agreement)
        if measured and verdict != "refused":
            table.append(measured)
        if options.verbose or verdict.startswith(("silently", "wrong")) or verdict == "refused":
            numbers = ", ".join(f"{name} {value:.3f}" for name, value in measured.items())
            print(
                f"seed {seed}: {verdict}, agreement {found.agreement:.2f}, uncertainty {found.uncertainty:.3f}, "
                f"changed {trial.share:.0%}, {numbers}",
                flush=True,
            )
    print("\n| verdict | trials |\n|---|---:|")
    for verdict, count in sorted(counts.items()):
        print(f"| {verdict} | {count} |")
    print("\n| error | median | 95 % | largest |\n|---|---:|---:|---:|")
    units = {"translation": "pixels", "scale": "%", "corner": "pixels", "delta_e": "Delta E"}
    for name, unit in units.items():
        values = torch.tensor([entry[name] for entry in table])
        print(f"| {name} ({unit}) | {values.median():.3f} | {values.quantile(0.95):.3f} | {values.max():.3f} |")
    spans = {name: f"{min(values):.2f} to {max(values):.2f}" for name, values in agreements.items() if values}
    print(f"\nagreement: {spans}; {torch.tensor(seconds).median():.2f} s a pair (median)")


if __name__ == "__main__":
    main()
