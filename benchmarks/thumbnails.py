"""Draws the thumbnails of the workflows for the template browser: each is run on a scene of the demo world, its picture put beside the source's.

    python run.py bench thumbnails

Left of the line the source, right of it the result, with a mask that was painted shown as a veil. Deterministic: the same checkpoint draws the same pictures.
"""
import argparse
import json
import pathlib
import sys
import tempfile

import common
import torch
from PIL import Image, ImageDraw

PACK = common.PACK
SIZE, QUALITY = 320, 80
GROUND, LIGHT = "green", (0.7, 0.12)


def scene_of(*objects, ground: str = GROUND):
    import scenes
    return scenes.Scene(tuple(scenes.Shape(*item) for item in objects), ground, *LIGHT)


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    """A painted mask [H, W]: a disc, in shares of the picture's side."""
    import scenes
    return (scenes.coverage(scenes.Shape("circle", "red", x, y, radius, 0.0)) > 0.5).float()


def circle(radius: float) -> torch.Tensor:
    """A thin painted line [H, W]: a circle around the middle."""
    import scenes
    axis = (torch.arange(scenes.SIZE) + 0.5) / scenes.SIZE
    return ((torch.hypot(axis[:, None] - 0.5, axis[None] - 0.5) - radius).abs() < 0.03).float()


def shows() -> dict[str, dict]:
    """By workflow: the picture before, the painted mask if there is one, texts and other widgets by title."""
    import scenes
    red, blue, yellow = (scene_of(("circle", colour, 0.45, 0.5, 0.24, 0.0)) for colour in ("red", "blue", "yellow"))
    edit = {"before": red, "texts": {"Source text": scenes.caption(red), "Target text": scenes.caption(yellow)}}
    ground = scene_of(("circle", "red", 0.45, 0.5, 0.24, 0.0), ground="yellow")
    return {
        "demo": {},
        "diffedit": edit, "sdedit": edit, "encode_decode": edit, "edict_edit": edit,
        "edict_reconstruction": {"before": red, "texts": {"Source text": scenes.caption(red)}},
        "add_object": {"before": scene_of(), "mask": disc(0.45, 0.5, 0.3), "texts": {"Target text": scenes.caption(blue)}, "widgets": {"Edit": {"seed": 1}}},
        "replace_object": {"before": red, "texts": {"Source text": scenes.caption(red), "Target text": scenes.caption(blue)}, "widgets": {"Edit": {"seed": 2}}},
        "replace_background": {"before": red, "mask": disc(0.45, 0.5, 0.24), "texts": {"Target text": scenes.caption(ground)}},
        "thin_mask": {"before": scene_of(ground="black"), "mask": circle(0.22), "texts": {"Target text": "a orange ring on a black background"},
                      "widgets": {"Shrink": {"kernels": "5, 3"}, "Edit": {"seed": 3}}},
    }


def thumbnail(before: torch.Tensor, after: torch.Tensor, mask: torch.Tensor | None) -> Image.Image:
    """Pictures [3, H, W] in 0..1: the left half of one, the right half of the other, a line between them."""
    if mask is not None:
        before = torch.where(mask > 0, 0.45 * before + 0.55, before)
    canvas, right = (Image.fromarray((picture.movedim(0, -1) * 255).round().byte().numpy()).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
                     for picture in (before, after))
    canvas.paste(right.crop((SIZE // 2, 0, SIZE, SIZE)), (SIZE // 2, 0))
    ImageDraw.Draw(canvas).line([(SIZE // 2, 0), (SIZE // 2, SIZE)], "white", 2)
    return canvas


def run_one(kitchen, name: str, before=None, mask: torch.Tensor | None = None, texts: dict | None = None, widgets: dict | None = None) -> Image.Image:
    import scenes
    graph = json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    inputs = {node["_meta"]["title"]: node["inputs"] for node in graph.values()}
    if before is not None:
        picture = scenes.render(before)[0]
        kitchen.put_picture(f"{name}.png", picture, mask)
        inputs["Image"]["image"], inputs["Model"]["ckpt_name"] = f"{name}.png", common.CHECKPOINT.name
        inputs["Size"]["megapixels"] = scenes.SIZE ** 2 / 1024 ** 2
    else:
        with Image.open(common.DEMO / "samples" / "source.png") as file:
            file.save(kitchen.folder / "input" / inputs["Image"]["image"])
        picture = kitchen.picture({"type": "input", "subfolder": "", "filename": inputs["Image"]["image"]})
    for title, text in (texts or {}).items():
        if title in inputs:
            inputs[title]["text"] = text
    for title, changes in (widgets or {}).items():
        inputs[title].update(changes)
    return thumbnail(picture, kitchen.picture(kitchen.run(graph)["Edited picture"][0]), mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=PACK / "workflows", help="folder for the thumbnails")
    parser.add_argument("names", nargs="*", help="workflows (default: all that the demo can show)")
    settings = parser.parse_args()
    common.load_pack()
    sys.path.append(str(PACK / "tests" / "helpers"))
    from graph_runner import Kitchen, folders_at, load_extras
    load_extras()
    with tempfile.TemporaryDirectory() as folder, folders_at(pathlib.Path(folder), common.DEMO):
        kitchen = Kitchen(pathlib.Path(folder))
        for name, show in shows().items():
            if not settings.names or name in settings.names:
                file = settings.output / f"{name}.jpg"
                run_one(kitchen, name, **show).save(file, quality=QUALITY, optimize=True)
                print(f"{file.name}: {file.stat().st_size / 1000:.1f} kB", flush=True)


if __name__ == "__main__":
    main()
