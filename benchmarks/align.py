"""Align to Source on random trials: its accuracy, and its answers to pairs that do not match.

``python run.py bench align [--trials 200]``. A trial renders a scene, puts another scene's content
into up to 40 % of it, moves, zooms, turns and shears the result a little, brings it to another size
or crops it, changes its colours, adds noise and stores it with 8 bits. Every fifth trial is a pair
that does not match: another scene, or the picture mirrored or turned upside down.

``--photographs FOLDER`` takes windows of the pictures there instead of scenes, at half of their
pixels or more, and stores every second result as JPEG.

A trial is *right* within 0.1 pixels of translation (at the centre, in pixels of the source), 0.1 %
of scale and a Delta E of 0.5. It is *silently wrong* if the answer misses one of these without a
refusal and without a warning of uncertain positions or colours, or if a pair that does not match
gets any answer.
"""

import argparse
import functools
import json
import math
import pathlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from demo.world import render, scenes
from lab import common, photographs

VERDICTS = ("right", "right, warned", "wrong, warned", "refused", "refused rightly", "silently wrong")
UNWARNED = ("right", "silently wrong")
ANSWERED = (*UNWARNED, "right, warned", "wrong, warned")
STATED = ("agreement", "advantage", "uncertainty", "colour_uncertainty")
LIMITS = {"translation": 0.1, "scale": 0.1, "delta_e": 0.5}
FINER = 2
"""Factor by which scenes are rendered finer than the pictures that are resampled from them. For
photographs, the largest such factor that their size allows, if that is less.
"""
JPEG = (75, 95)
"""Range of the quality of results that are stored as JPEG."""
Views = Callable[[int, int], torch.Tensor]
"""Returns a fine picture [3, H, W]; every call gives another one."""


@dataclass(frozen=True)
class Trial:
    """Source and edited pictures [3, H, W], the true map (core's convention), gain and offset, and
    the share that was changed. ``matrix`` is None for a pair that does not match. ``name`` is the
    photograph's.
    """

    source: torch.Tensor
    edited: torch.Tensor
    matrix: torch.Tensor | None
    gain: torch.Tensor
    offset: torch.Tensor
    share: float
    name: str = ""


def make(seed: int, matching: bool = True, pictures: Sequence[pathlib.Path] = ()) -> Trial:
    """One trial, of ``pictures`` or of scenes. The same seed gives the same trial."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    height, width = (rng.randrange(192, 641) for _ in range(2))
    finer, name = float(FINER), ""
    view: Callable[[int, int], torch.Tensor] = functools.partial(_scene, rng)
    if pictures:
        chosen = rng.sample(pictures, 3 if len(pictures) > 2 else 2)
        (height, width), finer = _fitted(photographs.photograph(chosen[0]), height, width)
        view, name = _windows(rng, chosen), chosen[0].name
    fine = view(round(finer * height), round(finer * width))
    source = _through(fine, torch.eye(2, 3, dtype=torch.float64), (height, width))
    blob, share = _blob(rng, *fine.shape[-2:])
    changed = torch.where(blob, view(*fine.shape[-2:]), fine)
    matrix, size = _motion(rng, height, width)
    if not matching:
        kind = rng.randrange(3)
        changed = view(*fine.shape[-2:]) if kind == 0 else changed.flip(-1 if kind == 1 else -2)
    full = torch.eye(3, dtype=torch.float64)
    full[:2] = matrix
    edited = _through(changed, torch.linalg.inv(full)[:2], size)
    gain, offset = (torch.tensor([rng.uniform(*limits) for _ in range(3)]) for limits in ((0.88, 1.12), (-0.06, 0.06)))
    edited = gain[:, None, None] * edited + offset[:, None, None]
    edited = edited + rng.uniform(0, 0.02) * torch.randn(edited.shape, generator=generator)
    source, edited = ((picture.clamp(0, 1) * 255).round() / 255 for picture in (source, edited))
    if pictures and rng.random() < 0.5:
        stored = photographs.through_jpeg(edited, rng.randint(*JPEG))
        same = _through(blob[None].float(), torch.linalg.inv(full)[:2], size)[0] < 0.01
        offset = offset + (stored - edited)[:, same].mean(1)  # grey pictures get a tint
        edited = stored
    return Trial(source, edited, matrix if matching else None, gain, offset, share, name)


def _fitted(picture: torch.Tensor, height: int, width: int) -> tuple[tuple[int, int], float]:
    """The trial's size, no larger than the photograph, and how much finer the photograph is used."""
    height, width = min(height, picture.shape[1]), min(width, picture.shape[2])
    return (height, width), min(FINER, picture.shape[1] / height, picture.shape[2] / width)


def _windows(rng: random.Random, pictures: Sequence[pathlib.Path]) -> Views:
    """A window of the first photograph, then of the second and of the last one."""
    rest = [*pictures]

    def view(height: int, width: int) -> torch.Tensor:
        path = rest.pop(0) if len(rest) > 1 else rest[0]
        return photographs.window(photographs.photograph(path), rng, height, width)

    return view


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
    """A random affine map [2, 3] and the edited picture's size (height, width): the source's,
    another scale of it, or that of a crop.
    """
    kind, zoom = rng.choice(("kept", "rescaled", "cropped")), rng.uniform(0.93, 1.07)
    turn, shear = (math.radians(rng.uniform(-0.6, 0.6)) for _ in range(2))
    linear = torch.tensor([[math.cos(turn), -math.sin(turn) + shear], [math.sin(turn), math.cos(turn)]]).double()
    linear = linear * zoom
    extent = torch.tensor([width, height]).double()  # pixels of the source that the edited picture shows
    if kind == "cropped":
        extent = extent * torch.tensor([rng.uniform(0.75, 1), rng.uniform(0.75, 1)])
    slack = (torch.tensor([width, height]) - extent) / 2
    shift = torch.tensor([rng.uniform(-1, 1), rng.uniform(-1, 1)]).double() * (slack + 0.03 * min(height, width))
    half = torch.tensor([width / 2, height / 2]).double()
    matrix = torch.cat([linear * half[None] / (extent[:, None] / 2), (shift / (extent / 2))[:, None]], 1)
    factor = 1.0 if kind == "kept" else rng.uniform(0.7, 1.5)
    size = (round(float(extent[1]) * factor), round(float(extent[0]) * factor))
    return matrix, size


def _through(fine: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resample the fine picture [3, H, W] through an affine map onto a grid of ``size`` (height,
    width): bicubic, after a Gaussian blur of 0.3 output pixels against aliasing.
    """
    grid = F.affine_grid(matrix[None], [1, 1, *size], align_corners=False)
    step = (matrix[:, :2].abs() @ torch.tensor([2 / size[1], 2 / size[0]]).double()).clamp(min=1e-9)
    width = float((step * torch.tensor([fine.shape[-1], fine.shape[-2]]) / 2).max())
    blur = common.pack_module("core.masks.operations").gaussian_blur(fine, 0.3 * width).double()
    mirrored = "reflection"
    return F.grid_sample(blur[None], grid, mode="bicubic", padding_mode=mirrored, align_corners=False)[0].float()


def errors(trial: Trial, registration) -> dict[str, float]:
    """Errors of a registration of a matching pair: translation in pixels, scale in percent, the
    worst corner in pixels, and the mean Delta E over pixels that are not clipped.
    """
    height, width = trial.source.shape[-2:]
    half = torch.tensor([width, height]).double() / 2
    assert trial.matrix is not None, "errors are defined for matching pairs only"
    back = torch.linalg.inv(trial.matrix[:, :2])
    apart = (back @ (registration.matrix - trial.matrix)) * half[:, None]
    corners = [apart @ torch.tensor([x, y, 1.0]).double() for x in (-1, 1) for y in (-1, 1)]
    true_scale = float(torch.linalg.det(trial.matrix[:, :2]).abs().sqrt())
    colour = common.pack_module("core.pictures.colour")
    cast = trial.gain[:, None, None] * trial.source + trial.offset[:, None, None]
    usable = colour.unclipped(trial.source) & colour.unclipped(cast)
    difference = colour.delta_e(registration.colour.apply(cast), trial.source)
    return {
        "translation": float(apart[:, 2].norm()),
        "scale": 100 * abs(registration.scale / true_scale - 1),
        "corner": max(float(corner.norm()) for corner in corners),
        "delta_e": float(difference[usable].mean()) if usable.any() else 0.0,
    }


def judge(trial: Trial, registration) -> tuple[str, dict[str, float]]:
    """A verdict of ``VERDICTS`` and the errors of a matching pair."""
    size = (trial.source.shape[-2], trial.source.shape[-1])
    refused = registration.fault(size) is not None
    if trial.matrix is None:
        return ("refused rightly" if refused else "silently wrong"), {}
    measured = errors(trial, registration)
    right = all(measured[name] <= limit for name, limit in LIMITS.items())
    warned = registration.is_uncertain(size) or registration.has_uncertain_colours
    if refused:
        return "refused", measured
    if warned:
        return ("right, warned" if right else "wrong, warned"), measured
    return ("right" if right else "silently wrong"), measured


def record(seed: int, trial: Trial) -> dict:
    """Register a trial; returns the verdict, the registration's own estimates and the errors."""
    started = time.perf_counter()
    registration = common.pack_module("core.pictures.registration").register(trial.source, trial.edited)
    seconds = time.perf_counter() - started
    verdict, measured = judge(trial, registration)
    stated = {name: getattr(registration, name) for name in STATED}
    return {
        "seed": seed,
        "name": trial.name,
        "verdict": verdict,
        "matching": trial.matrix is not None,
        "changed": trial.share,
        "seconds": seconds,
        **stated,
        "errors": measured,
    }


def line(entry: dict) -> str:
    """One line of text about a trial."""
    numbers = {name: entry[name] for name in ("changed", *STATED)} | entry["errors"]
    return f"seed {entry['seed']}{' ' + entry['name'] if entry.get('name') else ''}: {entry['verdict']}; " + ", ".join(
        f"{name} {value:.3f}" for name, value in numbers.items()
    )


def table(entries: list[dict]) -> str:
    """The summary of trials in Markdown."""
    counts = [(name, sum(entry["verdict"] == name for entry in entries)) for name in VERDICTS]
    parts = [common.markdown_table(["verdict", "trials"], counts)]
    units = {"translation": "pixels", "scale": "%", "corner": "pixels", "delta_e": "Delta E"}
    for title, verdicts in (("answers without a warning", UNWARNED), ("all answers", ANSWERED)):
        chosen = [entry["errors"] for entry in entries if entry["verdict"] in verdicts and entry["errors"]]
        if not chosen:
            continue
        rows = []
        for name, unit in units.items():
            values = torch.tensor([errors[name] for errors in chosen])
            spread = (values.median(), values.quantile(0.95), values.max())
            rows.append((f"{name} ({unit})", *(f"{float(value):.3f}" for value in spread)))
        parts.append(common.markdown_table([f"error of {title} ({len(chosen)})", "median", "95 %", "largest"], rows))
    answered = [entry for entry in entries if entry["errors"] and entry["verdict"] != "refused"]
    covered = sum(entry["errors"]["corner"] <= entry["uncertainty"] for entry in answered)
    seconds = torch.tensor([entry["seconds"] for entry in entries]).median()
    parts.append(
        f"Corners within the stated uncertainty: {covered} of {len(answered)} answers. Median {seconds:.1f} s a pair."
    )
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first trial")
    parser.add_argument("--photographs", metavar="FOLDER", help="use the photographs of a folder instead of scenes")
    parser.add_argument("--json", type=pathlib.Path, help="file of finished trials; a second run continues it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    done = json.loads(options.json.read_text()) if options.json and options.json.is_file() else {}
    pictures = photographs.photographs_of(options.photographs) if options.photographs else []
    seeds = range(options.first, options.first + options.trials)
    for seed in seeds:
        if str(seed) not in done:
            done[str(seed)] = record(seed, make(seed, seed % 5 != 4, pictures))
            common.write_json(options.json, done)
        print(line(done[str(seed)]), flush=True)
    print("\n" + table([done[str(seed)] for seed in seeds]))


if __name__ == "__main__":
    main()
