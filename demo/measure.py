"""Measures the demo checkpoint on held-out scenes: python -m demo.measure (with COMFYUI_PATH set,
unless the pack lies in ComfyUI's custom_nodes).

Two questions: how well does its VAE bring held-out pictures back (PSNR), and how many held-out
    captions does it turn into pictures that the judge
(``judge.py``, which has never seen the model) accepts? The checkpoint is loaded by ComfyUI's own
loader and sampled by ComfyUI's own sampler.
"""

import argparse
import pathlib
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from lab import common

from . import judge
from .scenes import SIZE, Scene, caption, random_scene, render

CHECKPOINT = common.CHECKPOINT
OBJECTS = {1: 1.0, 2: 0.25, 3: 0.25}
"""Number of objects in a caption: share of ``--captions`` to draw. One object, its colour and its
shape, is what the checkpoint has to know.
"""


def held_out_scenes(count: int, seed: int, objects: int | None = None) -> list[Scene]:
    """Scenes of ``objects`` (None: one to three, as the world draws them), every (shape, colour,
    ground) among those that training never saw.
    """
    return [random_scene(random.Random(f"held out {seed} {index}"), objects, unseen=True) for index in range(count)]


def reconstruction_psnr(vae, scenes: Sequence[Scene], batch: int = 8) -> float:
    """Mean over the scenes of the PSNR in dB between the render and what the VAE makes of it."""
    values = []
    for start in range(0, len(scenes), batch):
        pictures = torch.stack([render(scene)[0] for scene in scenes[start : start + batch]]).movedim(1, -1)
        with torch.inference_mode():  # as the weights were loaded
            back = vae.decode(vae.encode(pictures))
        values += [common.psnr(one, other) for one, other in zip(pictures, back.cpu(), strict=True)]
    return sum(values) / len(values)


def generate(
    model, clip, vae, texts: Sequence[str], seed: int = 0, steps: int = 30, cfg: float = 5.0, batch: int = 8
) -> torch.Tensor:
    """A picture [3, SIZE, SIZE] in 0..1 per text: euler, the "normal" scheduler, an empty negative;
    text k starts at the noise of seed + k.
    """
    nodes = common.load_pack()
    import comfy.sample

    said, pictures = time.time(), []
    empty = common.encode_texts(nodes, clip, [""])
    for start in range(0, len(texts), batch):
        group = texts[start : start + batch]
        generators = [torch.Generator().manual_seed(seed + start + index) for index in range(len(group))]
        noise = torch.stack([torch.randn((4, SIZE // 8, SIZE // 8), generator=generator) for generator in generators])
        with torch.inference_mode():
            positive = common.encode_texts(nodes, clip, group)
            latents = comfy.sample.sample(
                model, noise, steps, cfg, "euler", "normal", positive, empty, torch.zeros_like(noise), disable_pbar=True
            )
            pictures.append(vae.decode(latents).movedim(-1, 1).float().cpu())
        if time.time() - said > 20:
            said = time.time()
            print(f"captions: {start + len(group)} of {len(texts)}", file=sys.stderr, flush=True)
    return torch.cat(pictures).clamp(0, 1)


@dataclass
class Acceptance:
    """How many pictures the judge accepts: wholly (also by number of objects), and in the ground,
    the colours or the shapes alone.
    """

    total: int = 0
    accepted: int = 0
    ground: int = 0
    colours: int = 0
    shapes: int = 0
    by_count: dict[int, tuple[int, int]] = field(default_factory=dict)
    verdicts: list[bool] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.accepted / max(1, self.total)

    def add(self, scene: Scene, seen: judge.Seen) -> None:
        """Count one picture, of which the judge saw ``seen``, against the scene of its caption."""
        ground = seen.ground == scene.ground
        whole = judge.shows_caption(seen, scene)
        self.total += 1
        self.accepted += whole
        self.ground += ground
        self.colours += Counter(item.colour for item in seen.objects) == Counter(item.colour for item in scene.objects)
        self.shapes += Counter(item.shape for item in seen.objects) == Counter(item.shape for item in scene.objects)
        right, all_of_it = self.by_count.get(len(scene.objects), (0, 0))
        self.by_count[len(scene.objects)] = (right + whole, all_of_it + 1)
        self.verdicts.append(whole)


def judge_captions(pictures: torch.Tensor, scenes: Sequence[Scene]) -> Acceptance:
    """Ask the judge of each picture [N, 3, S, S] whether it shows what its scene's caption says."""
    result = Acceptance()
    for picture, scene in zip(pictures, scenes, strict=True):
        result.add(scene, judge.look(picture))
    return result


def caption_acceptance(
    model, clip, vae, scenes: Sequence[Scene], seed: int = 0, steps: int = 30, cfg: float = 5.0, batch: int = 8
) -> tuple[Acceptance, torch.Tensor]:
    """Generate a picture for each scene's caption and judge it; returns the counts and the pictures
    [N, 3, SIZE, SIZE].
    """
    pictures = generate(model, clip, vae, [caption(scene) for scene in scenes], seed, steps, cfg, batch)
    return judge_captions(pictures, scenes), pictures


def contact_sheet(
    rows: Sequence[Sequence[torch.Tensor]],
    path: pathlib.Path | str,
    titles: Sequence[str] = (),
    labels: Sequence[str | Sequence[str]] = (),
) -> None:
    """Save rows of pictures ([3, S, S], or [S, S] for maps, in 0..1) as one PNG.

    ``titles`` stand over the columns; ``labels`` stand under each row, one text for the row or one
        (of several lines, maybe) for each picture.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    gap, line = 4, 14
    below = (
        max(
            (text.count("\n") + 1 for label in labels for text in ([label] if isinstance(label, str) else label)),
            default=0,
        )
        * line
    )
    top, step = (line if titles else 0) + gap, SIZE + gap + below
    sheet = Image.new("RGB", (max(len(row) for row in rows) * (SIZE + gap) + gap, top + step * len(rows)), (32, 32, 32))
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((gap + column * (SIZE + gap), 2), title, fill=(230, 230, 230))
    for position, row in enumerate(rows):
        height = top + position * step
        for column, picture in enumerate(row):
            picture = picture.detach().float().cpu().clamp(0, 1)
            picture = picture.expand(3, *picture.shape) if picture.ndim == 2 else picture
            picture = torch.nn.functional.interpolate(picture[None], (SIZE, SIZE), mode="nearest")[0]
            sheet.paste(
                Image.fromarray((picture.movedim(0, -1).numpy() * 255).round().astype(np.uint8)),
                (gap + column * (SIZE + gap), height),
            )
        if position < len(labels):
            texts = [labels[position]] if isinstance(labels[position], str) else labels[position]
            for column, text in enumerate(texts):
                draw.multiline_text(
                    (gap + column * (SIZE + gap), height + SIZE + 1), text, fill=(230, 230, 230), spacing=1
                )
    sheet.save(path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default=str(CHECKPOINT), help="the checkpoint file to measure")
    parser.add_argument("--captions", type=int, default=200, help="held-out scenes to reconstruct and captions to draw")
    parser.add_argument("--steps", type=int, default=30, help="sampling steps")
    parser.add_argument("--cfg", type=float, default=5.0, help="guidance scale")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and of the noise")
    parser.add_argument(
        "--batch",
        type=int,
        default=8,
        help="captions sampled at a time; the pictures do not depend on it but for rounding",
    )
    parser.add_argument(
        "--sheet", help="write the first 48 pictures, captions below them, to this PNG; rejected ones have a red frame"
    )
    settings = parser.parse_args(argv)
    if settings.captions < 1 or settings.batch < 1 or settings.steps < 1:
        parser.error(
            f"--captions, --batch and --steps must be at least 1; "
            f"got {settings.captions}, {settings.batch} and {settings.steps}"
        )
    started = time.time()
    model, clip, vae = common.load_checkpoint(common.load_pack(), settings.checkpoint)
    scenes = held_out_scenes(settings.captions, settings.seed)
    print(
        f"VAE reconstruction: {reconstruction_psnr(vae, scenes, settings.batch):.2f} dB PSNR, "
        f"mean over {len(scenes)} held-out scenes",
        flush=True,
    )
    print(
        f"held-out captions accepted by the judge (euler, normal, {settings.steps} steps, cfg {settings.cfg:g}):",
        flush=True,
    )
    for objects, share in OBJECTS.items():
        chosen = held_out_scenes(max(1, round(settings.captions * share)), settings.seed, objects)
        result, drawn = caption_acceptance(
            model, clip, vae, chosen, settings.seed, settings.steps, settings.cfg, settings.batch
        )
        print(
            f"  {objects} object{'s' if objects > 1 else ''}: "
            f"{result.accepted} of {result.total} = {result.share:.1%} "
            f"(ground right {result.ground / result.total:.0%}, "
            f"colours {result.colours / result.total:.0%}, shapes {result.shapes / result.total:.0%})",
            flush=True,
        )
        if objects == 1:
            scenes, pictures, verdicts = chosen, drawn, result.verdicts
    if settings.sheet:
        shown = []
        for picture, right in zip(pictures[:48], verdicts, strict=False):
            framed = picture.clone()
            if not right:
                for edge in (framed[:, :3], framed[:, -3:], framed[:, :, :3], framed[:, :, -3:]):
                    edge.copy_(torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand_as(edge))
            shown.append(framed)
        texts = [
            "\n".join([f"{item.colour} {item.shape}" for item in scene.objects] + [f"on {scene.ground}"])
            for scene in scenes[:48]
        ]
        starts = range(0, len(shown), 8)
        contact_sheet(
            [shown[start : start + 8] for start in starts],
            settings.sheet,
            labels=[texts[start : start + 8] for start in starts],
        )
        print(f"contact sheet: {settings.sheet}")
    print(f"measured in {(time.time() - started) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # faster than more for nets this small
    main()
