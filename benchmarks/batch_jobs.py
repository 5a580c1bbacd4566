"""Jobs for `run.py batch` from held-out edits of the demo world or from PIE-Bench, and the
evaluation of a run.

    python -m benchmarks.batch_jobs world --count 60 --output JOB
    python run.py batch JOB/job.jsonl --output RUN
    python -m benchmarks.batch_jobs judge JOB RUN
    python -m benchmarks.batch_jobs pie PIE-BENCH --output JOB
    python -m benchmarks.batch_jobs export RUN --output EDITED

``world`` writes pictures, masks of the changes, and the scenes, with which ``judge`` compares every
edit (``demo/world/judge.py``). ``pie`` takes a folder of PIE-Bench or PIE-Bench++ as ``bench
pie-bench`` does; ``export`` renames a run's edits so that ``bench pie-bench --edited`` finds them.
"""

import argparse
import dataclasses
import json
import pathlib
import random
import shutil
import sys

import numpy as np
from PIL import Image

from lab import common, pie_rows

KINDS = ("replace", "recolour")


def save(picture, path: pathlib.Path) -> None:
    """A picture [3, H, W] or a mask [H, W] in 0..1 as PNG."""
    values = (picture * 255).round().byte().numpy()
    Image.fromarray(values.transpose(1, 2, 0) if values.ndim == 3 else values).save(path)


def write_lines(path: pathlib.Path, rows: list[dict]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def world(settings: argparse.Namespace) -> None:
    """Write the job of held-out edits of the demo world."""
    import torch

    from demo.world.edits import random_edit
    from demo.world.render import render_batch
    from demo.world.scenes import caption

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
    """Print the share of edits that show exactly the wanted scene, by kind of edit."""
    import torch

    from demo.world import judge as judging
    from demo.world.scenes import Scene, Thing

    scenes = json.loads((settings.job / "scenes.json").read_text(encoding="utf-8"))
    verdicts: dict[str, list[bool]] = {}
    for record in records(settings.run):
        if record["status"] != "done":
            continue
        with Image.open(settings.run / record["picture"]) as file:
            pixels = torch.from_numpy(np.array(file.convert("RGB"))).movedim(-1, 0)[None] / 255
        scene = scenes[record["id"]]
        things = tuple(thing_of(entry, Thing) for entry in scene.pop("things"))
        wanted = Scene(things=things, **scene)
        verdicts.setdefault(record["id"].partition("/")[0], []).append(judging.recognise(pixels)[0].shows(wanted))
    for kind, accepted in sorted(verdicts.items()):
        print(f"{kind}: {sum(accepted)} of {len(accepted)} accepted")


def thing_of(entry: dict, kind: type):
    """A Thing of a scene from JSON, with the thing that it wears."""
    fields = {name: thing_of(value, kind) if isinstance(value, dict) else value for name, value in entry.items()}
    return kind(**fields)


def pie(settings: argparse.Namespace) -> None:
    """Write the job of a PIE-Bench folder."""
    name, entries = pie_rows.read(settings.folder)
    for kind in ("pictures", "masks"):
        (settings.output / kind).mkdir(parents=True, exist_ok=True)
    rows = []
    for entry in entries:
        with entry.open() as picture:
            picture.convert("RGB").save(settings.output / "pictures" / f"{entry.key}.png")
        save(entry.mask, settings.output / "masks" / f"{entry.key}.png")
        row = {"id": entry.key, "image": f"pictures/{entry.key}.png", "source": entry.source, "target": entry.target}
        rows.append(row | ({"mask": f"masks/{entry.key}.png"} if settings.masks else {}))
    write_lines(settings.output / "job.jsonl", rows)
    print(f"{name}, {len(rows)} rows: {settings.output / 'job.jsonl'}")


def export(settings: argparse.Namespace) -> None:
    """Copy the edits of a run to ID.png, which `bench pie-bench --edited` finds by their keys."""
    settings.output.mkdir(parents=True, exist_ok=True)
    for record in records(settings.run_folder):
        if record["status"] == "done" and pathlib.PurePath(record["id"]).name == record["id"]:
            shutil.copyfile(settings.run_folder / record["picture"], settings.output / f"{record['id']}.png")
    print(settings.output)


def records(run: pathlib.Path) -> list[dict]:
    """The last record of every row in a run's journal."""
    lines = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return list({record["key"]: record for record in map(json.loads, lines)}.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    made = commands.add_parser("world", help="held-out edits of the demo world")
    made.add_argument("--count", type=int, default=60)
    made.add_argument("--seed", type=int, default=0)
    made.set_defaults(run=world)
    judged = commands.add_parser("judge", help="compare the edits of a run with the wanted scenes")
    judged.add_argument("job", type=pathlib.Path)
    judged.add_argument("run_folder", type=pathlib.Path)
    judged.set_defaults(run=lambda given: judge(argparse.Namespace(job=given.job, run=given.run_folder)))
    bench = commands.add_parser("pie", help="PIE-Bench")
    bench.add_argument("folder", type=pathlib.Path)
    bench.set_defaults(run=pie)
    exported = commands.add_parser("export", help="the edits of a run as ID.png")
    exported.add_argument("run_folder", type=pathlib.Path)
    exported.add_argument("--output", type=pathlib.Path, required=True)
    exported.set_defaults(run=export)
    for command in (made, bench):
        command.add_argument("--output", type=pathlib.Path, required=True)
        command.add_argument("--masks", action="store_true", help="give the rows the exact masks")
    settings = parser.parse_args()
    settings.run(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
