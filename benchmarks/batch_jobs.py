"""Jobs for `run.py batch` from benchmarks: held-out edits of the world of things, and PIE-Bench; and
what became of a world's run.

    python -m benchmarks.batch_jobs world --count 60 --output JOB
    python run.py batch JOB/job.jsonl --checkpoint semantic-edit-things.safetensors --output RUN
    python -m benchmarks.batch_jobs judge JOB RUN
    python -m benchmarks.batch_jobs pie PIE-BENCH --output JOB

``world`` writes pictures, masks of what changes, and the scenes, so that ``judge`` can hold every
edit against the scene that was asked for (``demo/world/judge.py``). ``pie`` takes PIE-Bench's folder
(``mapping_file.json`` and ``annotation_images``) and decodes its masks; the batch then runs with
``--convention PIE-Bench``.
"""

import argparse
import dataclasses
import json
import pathlib
import random
import sys

import numpy as np
from PIL import Image

from lab import common

SIDE = 512
"""PIE-Bench's pictures and masks are square, of so many pixels a side."""
KINDS = ("replace", "recolour")


def save(picture, path: pathlib.Path) -> None:
    """A picture [3, H, W] or a mask [H, W] in 0..1 as PNG."""
    values = (picture * 255).round().byte().numpy()
    Image.fromarray(values.transpose(1, 2, 0) if values.ndim == 3 else values).save(path)


def write_lines(path: pathlib.Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def world(settings: argparse.Namespace) -> None:
    import torch

    from demo.world.render import render_batch
    from demo.world.scenes import caption, random_edit

    folder = settings.output
    folder.mkdir(parents=True, exist_ok=True)
    rows, scenes = [], {}
    for index in range(settings.count):
        rng = random.Random(f"edit {settings.seed} {index}")
        edit = random_edit(rng, KINDS[index % len(KINDS)], unseen=True, count=1, vary=False)
        before, after = render_batch([edit.before]), render_batch([edit.after])
        save(before.pictures[0], folder / f"{index:05}.png")
        save(torch.maximum(before.masks[0][0], after.masks[0][0]), folder / f"{index:05}-mask.png")
        name, texts = f"{edit.kind}/{index:05}", {"source": caption(edit.before), "target": caption(edit.after)}
        row = {"id": name, "image": f"{index:05}.png", **texts, "seed": settings.seed + index}
        rows.append(row | ({"mask": f"{index:05}-mask.png"} if settings.masks else {}))
        scenes[name] = dataclasses.asdict(edit.after)
    write_lines(folder / "job.jsonl", rows)
    common.write_json(folder / "scenes.json", scenes)
    print(folder / "job.jsonl")


def judge(settings: argparse.Namespace) -> None:
    """Shares of the edits that show exactly the scene that was asked for, by kind of edit."""
    import torch

    from demo.world import judge as judging
    from demo.world.scenes import Scene, Thing

    scenes = json.loads((settings.job / "scenes.json").read_text(encoding="utf-8"))
    found: dict[str, list[bool]] = {}
    lines = (settings.run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    last = {record["key"]: record for record in map(json.loads, lines)}
    for record in last.values():
        if record["status"] != "done":
            continue
        with Image.open(settings.run / record["picture"]) as file:
            pixels = torch.from_numpy(np.array(file.convert("RGB"))).movedim(-1, 0)[None] / 255
        scene = scenes[record["id"]]
        things = tuple(thing_of(entry, Thing) for entry in scene.pop("things"))
        wanted = Scene(things=things, **scene)
        found.setdefault(record["id"].partition("/")[0], []).append(judging.look(pixels)[0].shows(wanted))
    for kind, accepted in sorted(found.items()):
        print(f"{kind}: {sum(accepted)} of {len(accepted)} accepted")


def thing_of(entry: dict, kind: type):
    """A thing of a scene from JSON, with what it wears."""
    fields = {name: thing_of(value, kind) if isinstance(value, dict) else value for name, value in entry.items()}
    return kind(**fields)


def decoded(runs: list[int]) -> np.ndarray:
    """PIE-Bench's mask, uint8 [SIDE, SIDE]: pairs of start and length over the flattened picture.
    Its border counts as inside, as in its own evaluation.
    """
    mask = np.zeros(SIDE * SIDE, np.uint8)
    for start, length in zip(runs[::2], runs[1::2]):
        mask[start : start + length] = 255
    mask = mask.reshape(SIDE, SIDE)
    mask[[0, -1]], mask[:, [0, -1]] = 255, 255
    return mask


def pie(settings: argparse.Namespace) -> None:
    mapping = settings.folder / "mapping_file.json"
    if not mapping.is_file():
        raise SystemExit(f"{mapping}: no such file; give the folder of PIE-Bench with mapping_file.json.")
    entries, rows = json.loads(mapping.read_text(encoding="utf-8")), []
    (settings.output / "masks").mkdir(parents=True, exist_ok=True)
    for name, entry in entries.items():
        Image.fromarray(decoded(entry["mask"])).save(settings.output / "masks" / f"{name}.png")
        texts = {kind: entry[f"{key}_prompt"].translate(str.maketrans("", "", "[]"))
                 for kind, key in (("source", "original"), ("target", "editing"))}  # fmt: skip
        image = (settings.folder / "annotation_images" / entry["image_path"]).absolute()
        row = {"id": name, "image": str(image), **texts, "edit type": entry.get("editing_type_id")}
        rows.append(row | ({"mask": f"masks/{name}.png"} if settings.masks else {}))
    write_lines(settings.output / "job.jsonl", rows)
    print(settings.output / "job.jsonl")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    made = commands.add_parser("world", help="held-out edits of the world of things")
    made.add_argument("--count", type=int, default=60)
    made.add_argument("--seed", type=int, default=0)
    made.set_defaults(run=world)
    judged = commands.add_parser("judge", help="hold a world's run against the scenes that were asked for")
    judged.add_argument("job", type=pathlib.Path)
    judged.add_argument("run_folder", type=pathlib.Path)
    judged.set_defaults(run=lambda given: judge(argparse.Namespace(job=given.job, run=given.run_folder)))
    bench = commands.add_parser("pie", help="PIE-Bench")
    bench.add_argument("folder", type=pathlib.Path)
    bench.set_defaults(run=pie)
    for command in (made, bench):
        command.add_argument("--output", type=pathlib.Path, required=True)
        command.add_argument("--masks", action="store_true", help="give the rows the exact masks")
    settings = parser.parse_args()
    settings.run(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
