"""Draw the thumbnails of the workflows for the template browser: each workflow is run unchanged on
its sample picture.

    python run.py bench thumbnails

The result fills the thumbnail; the source is in its lower left corner, with a painted mask shown as
a veil. A workflow of several edits shows all of them. Deterministic: the same checkpoint draws the
same pictures.
"""

import argparse
import pathlib
import tempfile

import numpy
import torch
from PIL import Image, ImageDraw, ImageFont

from lab import common

SIZE, QUALITY = 320, 80
INSET, MARGIN, BORDER, STRIP = 104, 8, 2, 4
"""In pixels: side of the picture in the corner and of the strip's pictures, distance from the edge,
white line; and the number of pictures beside the source.
"""


STOOD_IN_FOR = frozenset(("instruct_kontext", "instruct_qwen", "instruct_klein"))
"""Workflows of large models. The demo's model is run on their picture and instruction instead, and
the thumbnail says so.
"""
LABEL, LABEL_HEIGHT, LETTERS = "drawn by the pack's small model", 26, 15
STRIPS = {"best_of_many": "All pictures"}
"""Workflows whose thumbnail has a row of pictures, and the node that saves them."""


def image_of(picture: torch.Tensor, side: int = SIZE) -> Image.Image:
    """A picture [3, H, W] in 0..1 as a square."""
    return Image.fromarray((picture.movedim(0, -1) * 255).round().byte().numpy()).resize(
        (side, side), Image.Resampling.LANCZOS
    )


def with_border(canvas: Image.Image, small: Image.Image, left: int, top: int) -> None:
    """Paste ``small`` with a white line around it."""
    ImageDraw.Draw(canvas).rectangle(
        [left - BORDER, top - BORDER, left + small.width + BORDER - 1, top + small.height + BORDER - 1], "white"
    )
    canvas.paste(small, (left, top))


def veiled(before: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The picture with its painted mask shown as a veil."""
    return before if mask is None else torch.where(mask > 0, 0.45 * before + 0.55, before)


def thumbnail(before: torch.Tensor, after: torch.Tensor, strip: list[torch.Tensor]) -> Image.Image:
    """Draw pictures [3, H, W] in 0..1: ``after`` with ``before`` in its corner, or with a row of
    ``before`` and the pictures of ``strip`` at its lower edge.
    """
    canvas = image_of(after)
    if not strip:
        with_border(canvas, image_of(before, INSET), MARGIN, SIZE - INSET - MARGIN)
    row = [before, *strip] if strip else []
    side = (SIZE - MARGIN) // max(1, len(row)) - MARGIN
    for place, picture in enumerate(row):
        with_border(canvas, image_of(picture, side), MARGIN + place * (side + MARGIN), SIZE - side - MARGIN)
    return canvas


def labelled(canvas: Image.Image) -> Image.Image:
    """The picture with a line at its top that names the model."""
    draw = ImageDraw.Draw(canvas)
    draw.rectangle([0, 0, SIZE, LABEL_HEIGHT - 1], "#202020")
    draw.text((SIZE / 2, LABEL_HEIGHT / 2), LABEL, "white", ImageFont.load_default(LETTERS), "mm")
    return canvas


def sheet(pictures: list[torch.Tensor]) -> Image.Image:
    """Four pictures in two rows."""
    side = (SIZE - BORDER) // 2
    canvas = Image.new("RGB", (SIZE, SIZE), "white")
    for place, picture in enumerate(pictures):
        canvas.paste(image_of(picture, side), (place % 2 * (side + BORDER), place // 2 * (side + BORDER)))
    return canvas


def read_sample(runner, file: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A picture of the input folder [3, H, W] and its painted mask [H, W], if any."""
    picture = runner.picture({"type": "input", "subfolder": "", "filename": file})
    with Image.open(runner.folder / "input" / file) as image:
        alpha = torch.from_numpy(numpy.array(image.getchannel("A"))) if "A" in image.getbands() else None
    return picture, None if alpha is None else (alpha < 128).float()


def run_one(runner, name: str) -> Image.Image:
    """The thumbnail of a workflow, run unchanged on its sample picture."""
    from workflow_graphs import Graph

    graph = Graph("instruct" if name in STOOD_IN_FOR else name)
    if name in STOOD_IN_FOR:
        large = Graph(name)
        instruction = large["Instruction text"]
        graph["Instruction text"]["text"] = instruction.get("text") or instruction["prompt"]
        graph["Image"]["image"] = large["Image"]["image"]
    places = [title for title in graph.ids if title.endswith(" place")]
    picture, mask = read_sample(runner, graph["Image"]["image"])
    for place in places:
        step = place.removesuffix(" place")
        graph.add(step, "SaveImage", images=[graph.ids[f"{step} keep"], 0], filename_prefix=step)
    made = {title: [runner.picture(entry) for entry in entries] for title, entries in runner.run(graph.nodes).items()}
    if places:
        masks = [read_sample(runner, graph[place]["image"])[1] for place in places]
        painted = torch.stack([mask for mask in masks if mask is not None]).sum(0).clamp(max=1)
        return sheet([veiled(picture, painted), *(made[place.removesuffix(" place")][0] for place in places)])
    drawn = thumbnail(
        veiled(picture, mask), made["Edited picture"][0], made[STRIPS[name]][:STRIP] if name in STRIPS else []
    )
    return labelled(drawn) if name in STOOD_IN_FOR else drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=pathlib.Path, default=common.PACK / "workflows", help="folder for the thumbnails"
    )
    parser.add_argument("names", nargs="*", help="workflows (default: all)")
    settings = parser.parse_args()
    settings.output.mkdir(parents=True, exist_ok=True)
    common.load_pack()
    from graph_runner import GraphRunner, folders_at, load_extras
    from workflow_graphs import TITLES

    load_extras()
    with tempfile.TemporaryDirectory() as folder, folders_at(pathlib.Path(folder), common.CHECKPOINT.parent):
        runner = GraphRunner(pathlib.Path(folder))
        for sample in (common.DEMO / "samples").glob("*.png"):
            (runner.folder / "input" / f"semantic-edit-{sample.name}").write_bytes(sample.read_bytes())
        for name, title in TITLES.items():
            if not settings.names or name in settings.names:
                file = settings.output / f"{title}.jpg"
                run_one(runner, name).save(file, quality=QUALITY, optimize=True)
                print(f"{file.name}: {file.stat().st_size / 1000:.1f} kB", flush=True)


if __name__ == "__main__":
    main()
