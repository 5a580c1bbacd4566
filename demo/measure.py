"""Measure the demo's models on held-out scenes: python -m demo.measure --parts vae captions (with
COMFYUI_PATH set).

Training never used any (thing, ground) pair of these scenes. Pictures are made by ComfyUI's own
loader, samplers and the pack's nodes, and judged by ``world/judge.py``, which was trained on
renders only. Results are written to ``--json``, and a second run continues.

- judge: share of clean, degraded, spoiled and wrong renders that the judge accepts;
- vae: PSNR of the reconstruction;
- captions: pictures that show exactly the things, colours and the ground of their caption, by
  number of things;
- edits: DiffEdit at its defaults on replacing and recolouring one thing;
- edges: the same edits with the mask along edges, 16 steps, 4 noises, and guidance in the first half
  of the steps;
- instructed: the instruction model over all kinds of edits.
"""

import argparse
import json
import math
import pathlib
import random
import sys
from dataclasses import replace

import torch

from lab import common
from lab.methods import ALONG_EDGES

from .world import judge
from .world.edits import EDITS, random_edit
from .world.render import SIZE, render_batch
from .world.scenes import COLOUR_NAMES, GROUND_NAMES, Scene, caption, random_scene
from .world.things import KINDS, PAINTED

MODELS = common.PACK / "models"
CELL = 8


def held_out(count: int, seed: int, things: int) -> list[Scene]:
    """``count`` held-out scenes of this number of things."""
    return [
        random_scene(random.Random(f"held out {seed} {things} {index}"), things, unseen=True) for index in range(count)
    ]


def edits_of(kinds, count: int, seed: int, things: int | None = None) -> list:
    """``count`` held-out edits, their kinds in turn, each with its main wording."""
    return [
        random_edit(
            random.Random(f"edit {seed} {index}"), kinds[index % len(kinds)], unseen=True, count=things, vary=False
        )
        for index in range(count)
    ]


def wrong_scene(scene: Scene, rng: random.Random, what: str) -> Scene:
    """The scene with another ground, kind or colour."""
    if what == "ground":
        return replace(scene, ground=rng.choice([name for name in GROUND_NAMES if name != scene.ground]))
    first, *rest = scene.things
    if what == "kind":
        kind = rng.choice([kind for kind in KINDS if kind not in {thing.kind for thing in scene.things}])
        first = replace(first, kind=kind, colour=rng.choice(COLOUR_NAMES) if kind in PAINTED else None)
    else:
        first = replace(first, colour=rng.choice([name for name in COLOUR_NAMES if name != first.colour]))
    return replace(scene, things=(first, *rest))


def degrade(pictures: torch.Tensor, seed: int) -> torch.Tensor:
    """Pictures [N, 3, S, S] with a blur of 1.2 pixels and noise of 0.03, rounded to 8 bits."""
    from .world.render import blur

    soft = blur(pictures.flatten(0, 1)[:, None], 1.2).view_as(pictures)
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(seed))
    return ((soft + 0.03 * noise).clamp(0, 1) * 255).round() / 255


class Measure:
    """The parts: each method returns one record per picture."""

    def __init__(self, settings):
        self.settings, self.demo = settings, None

    def load(self) -> common.Demo:
        self.demo = self.demo or common.Demo()
        return self.demo

    def judge(self, count: int, seed: int) -> list[dict]:
        """The judge's verdicts on right, degraded, spoiled and wrong renders."""
        from .training.spoil import Spoiler

        records = []
        for index, scene in enumerate(held_out(count, seed, 1) + held_out(count // 2, seed, 2)):
            rng = random.Random(f"wrong {seed} {index}")
            picture = render_batch([scene]).pictures
            fault = random.Random(f"fault {seed} {index}")
            place = fault.randrange(len(scene.things))
            spoiled = render_batch([scene], change=Spoiler([scene], [place], fault)).pictures
            views = [picture, degrade(picture, seed + index), degrade(spoiled, seed + index)]
            clean, soft, bad = judge.recognise(torch.cat(views))
            seen = {"clean": clean, "degraded": soft, "spoiled": bad}
            record = {name: reading.shows(scene) for name, reading in seen.items()}
            record |= {f"{name}, things: {len(scene.things)}": record[name] for name in list(record)}
            for what in ("ground", "kind", *(["colour"] if scene.things[0].colour else [])):
                record[f"held against another {what}"] = soft.shows(wrong_scene(scene, rng, what))
            records.append(record)
        return records

    def vae(self, count: int, seed: int) -> list[dict]:
        """PSNR in dB of reconstructions."""
        demo, records = self.load(), []
        for scene in held_out(count, seed, 1):
            picture = render_batch([scene]).pictures.movedim(1, -1)
            records.append({"psnr": common.psnr(demo.decode(demo.encode(picture))[0], picture[0])})
        return records

    def captions(self, count: int, seed: int) -> list[dict]:
        """The judge's verdicts on pictures of captions of one and of two things."""
        demo, records = self.load(), []
        tasks = [(scene, 1) for scene in held_out(count, seed, 1)] + [
            (scene, 2) for scene in held_out(count // 3, seed, 2)
        ]
        for start in range(0, len(tasks), self.settings.batch):
            group = tasks[start : start + self.settings.batch]
            numbers = list(range(seed + start, seed + start + len(group)))
            noises = [
                torch.randn((4, SIZE // CELL, SIZE // CELL), generator=torch.Generator().manual_seed(n))
                for n in numbers
            ]
            latent = {
                "samples": torch.zeros(len(group), 4, SIZE // CELL, SIZE // CELL),
                "batch_index": list(range(len(group))),
            }
            made = self.sample(demo, torch.stack(noises), latent, [caption(scene) for scene, _ in group])
            for (scene, things), reading in zip(group, judge.recognise(made.movedim(-1, 1).clamp(0, 1))):
                records.append(
                    {
                        f"{things}": reading.shows(scene),
                        f"{things} ground": reading.ground == scene.ground,
                        f"{things} things": reading.shows_things(scene),
                    }
                )
            print(f"captions: {start + len(group)} of {len(tasks)}", file=sys.stderr, flush=True)
        return records

    def sample(self, demo, noise, latent, texts) -> torch.Tensor:
        """IMAGEs sampled from ``noise`` by Euler with the "normal" scheduler and an empty negative.
        The noise is an argument, so that a picture does not depend on its batch.
        """
        import comfy.sample

        with torch.inference_mode():
            samples = comfy.sample.sample(
                demo.model,
                noise,
                self.settings.steps,
                self.settings.cfg,
                "euler",
                "normal",
                demo.texts(*texts),
                demo.texts(""),
                latent["samples"],
                disable_pbar=True,
            )
        return demo.decode({"samples": samples})

    def edits(self, count: int, seed: int) -> list[dict]:
        """DiffEdit at its defaults."""
        return self.diffedit(count, seed, {}, 50, self.load().model)

    def edges(self, count: int, seed: int) -> list[dict]:
        """DiffEdit in 40 evaluations, with the mask along edges."""
        demo = self.load()
        half = demo.run("CFGOverride", model=demo.model, cfg=1.0, start_percent=0.55, end_percent=1.0)[0]
        return self.diffedit(count, seed, {"noises": 4, **ALONG_EDGES}, 16, half)

    def diffedit(self, count: int, seed: int, mask_widgets: dict, steps: int, model) -> list[dict]:
        """The judge's verdicts, background PSNR in dB and mask IoU of DiffEdit; ``model`` samples."""
        demo, records = self.load(), []
        edits = edits_of(("replace", "recolour"), count, seed, 1)
        for start in range(0, count, self.settings.batch):
            group = edits[start : start + self.settings.batch]
            drawn = render_batch([edit.before for edit in group])
            after = render_batch([edit.after for edit in group])
            latent = demo.encode(drawn.pictures.movedim(1, -1)) | {
                "batch_index": list(range(start, start + len(group)))
            }
            source, target = (
                demo.texts(*map(caption, scenes)) for scenes in zip(*((e.before, e.after) for e in group))
            )
            texts = {"source": source, "target": target, "latent": latent, "seed": seed}
            masked = demo.run("DiffEditMask", model=demo.model, **texts, **mask_widgets)
            inverted = demo.run("DDIMInvert", model=demo.model, conditioning=demo.texts(""), latent=latent, steps=steps)
            edited = demo.run(
                "LatentBlendSampler",
                model=model,
                positive=target,
                negative=demo.texts(""),
                cfg=7.5,
                latent=masked[2],
                inversion=inverted[1],
            )[0]
            results, base = demo.decode(edited), demo.decode(latent)
            for row, (edit, reading) in enumerate(zip(group, judge.recognise(results.movedim(-1, 1).clamp(0, 1)))):
                both = torch.maximum(drawn.masks[row][0], after.masks[row][0])
                cells = torch.nn.functional.max_pool2d(both[None, None], CELL)[0, 0] > 0.5
                outside = ~cells.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)
                records.append(
                    {
                        "accepted": reading.shows(edit.after),
                        f"accepted {edit.kind}": reading.shows(edit.after),
                        "background": common.psnr(results[row], base[row], outside),
                        "iou": common.iou(masked[0][row] > 0.5, drawn.masks[row][0] > 0.5),
                    }
                )
            print(f"edits: {start + len(group)} of {count}", file=sys.stderr, flush=True)
        return records

    def instructed(self, count: int, seed: int) -> list[dict]:
        """The judge's verdicts on edits by the instruction model."""
        demo, records = self.load(), []
        import folder_paths

        folder_paths.add_model_folder_path("diffusion_models", str(MODELS / "diffusion_models"))
        name = "semantic-edit-things-instruct.safetensors"
        model = demo.run("UNETLoader", unet_name=name, weight_dtype="default")[0]
        from comfy_extras.nodes_ip2p import InstructPixToPixConditioning

        for index, edit in enumerate(edits_of(EDITS, count, seed)):
            picture = render_batch([edit.before]).pictures.movedim(1, -1)
            both = common.call(
                InstructPixToPixConditioning,
                positive=demo.texts(edit.instruction),
                negative=demo.texts(""),
                vae=demo.vae,
                pixels=picture,
            )
            edited = demo.run(
                "KSampler",
                model=model,
                seed=seed + index,
                steps=20,
                cfg=self.settings.instruct_cfg,
                positive=both[0],
                negative=both[1],
                latent_image=both[2],
                sampler_name="euler",
                scheduler="normal",
                denoise=1.0,
            )[0]
            reading = judge.recognise(demo.decode(edited).movedim(-1, 1).clamp(0, 1))[0]
            records.append({"accepted": reading.shows(edit.after), f"accepted {edit.kind}": reading.shows(edit.after)})
            print(f"instructed: {index + 1} of {count}", file=sys.stderr, flush=True)
        return records


def means(records: list[dict]) -> dict[str, tuple[float, int]]:
    """The mean and the number of values of every column, without columns that contain NaN."""
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [float(record[name]) for record in records if name in record] for name in names}
    return {
        name: (sum(values) / len(values), len(values))
        for name, values in columns.items()
        if not any(map(math.isnan, values))
    }


COUNTS = {"judge": 200, "vae": 100, "captions": 300, "edits": 200, "edges": 200, "instructed": 100}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(COUNTS), default=list(COUNTS))
    parser.add_argument("--count", type=int, help="scenes or edits per part (default: as published)")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cfg", type=float, default=3.0)
    parser.add_argument("--instruct-cfg", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path, help="file of finished parts; a second run continues it")
    settings = parser.parse_args()
    done = json.loads(settings.json.read_text()) if settings.json and settings.json.is_file() else {}
    measure = Measure(settings)
    for part in settings.parts:
        if part not in done:
            done[part] = means(getattr(measure, part)(settings.count or COUNTS[part], settings.seed))
            common.write_json(settings.json, done)
        rows = [
            (name, f"{mean:.1f}" if mean > 1.5 else f"{mean:.3f}", number)
            for name, (mean, number) in done[part].items()
        ]
        print(f"\n{part}\n\n" + common.markdown_table(["measure", "mean", "of"], rows), flush=True)


if __name__ == "__main__":
    main()
