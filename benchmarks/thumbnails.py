"""Draws the thumbnails of the workflows for the template browser: each is run on a scene of the demo world.

    python run.py bench thumbnails

The result fills the picture, the source stands in its lower left corner, with a mask that was painted shown as a veil. An edit in several steps
shows them all. Deterministic: the same checkpoint draws the same pictures.
"""
import argparse
import pathlib
import sys
import tempfile

import common
import torch
from PIL import Image, ImageDraw

sys.path.append(str(common.PACK / "tests" / "helpers"))

from workflow_graphs import Graph, disc, picture_of, ring, scene  # noqa: E402

SIZE, QUALITY = 320, 80
INSET, MARGIN, BORDER, STRIP = 104, 8, 2, 4
"""Of the picture in the corner and of the strip: side, distance from the edge, white line, pictures beside the source. All but the last in pixels."""


def shows() -> dict[str, dict]:
    """By workflow: the picture before (a scene or pixels), the painted mask if there is one, texts and other widgets by title."""
    import scenes
    place = (0.6, 0.42)
    red, blue, yellow = (scene(("circle", colour, *place, 0.27, 0.0)) for colour in ("red", "blue", "yellow"))
    edit = {"before": red, "texts": {"Source text": scenes.caption(red), "Target text": scenes.caption(yellow)}}
    room, ground = disc(*place, 0.33), scene(("circle", "red", *place, 0.27, 0.0), ground="yellow")
    blob = (disc(0.52, 0.42, 0.18) + disc(0.66, 0.38, 0.19) + disc(0.6, 0.52, 0.16)).clamp(max=1)
    scribble = torch.where(blob > 0, torch.tensor(scenes.COLOURS["blue"])[:, None, None], picture_of(scene()))
    return {
        "demo": {},
        "diffedit": edit, "sdedit": edit, "encode_decode": edit, "edict_edit": edit,
        "edict_reconstruction": {"before": red, "texts": {"Source text": scenes.caption(red)}},
        "add_object": {"before": scene(), "mask": room, "texts": {"Target text": scenes.caption(blue)}, "widgets": {"Edit": {"seed": 1}}},
        "replace_object": {"before": red, "texts": {"Source text": scenes.caption(red), "Target text": scenes.caption(blue)},
                           "widgets": {"Edit": {"seed": 1}}},
        "replace_background": {"before": red, "mask": disc(*place, 0.27), "texts": {"Target text": scenes.caption(ground)},
                               "widgets": {"Edit": {"seed": 2}}},
        "scribble_edit": {"before": scribble, "mask": disc(*place, 0.35), "texts": {"Target text": scenes.caption(blue)},
                          "widgets": {"Edit": {"seed": 2}}},
        "thin_mask": {"before": scene(ground="black"), "mask": ring(0.5, 0.5, 0.22),
                      "texts": {"Target text": "a cyan ring on a black background"}, "widgets": {"Shrink": {"kernels": "5, 3"}, "Edit": {"seed": 7}}},
        "best_of_many": {"before": scene(), "mask": room, "texts": {"Target text": scenes.caption(blue)}, "strip": "All pictures",
                         "widgets": {"Edit": {"predictions": 6}, "Rank": {"text": scenes.caption(blue), "background": 2}, "Finetune": {"steps": 40},
                                     "Ranking model": {"folder": "semantic-edit-demo"}}},
        "edit_session": session(),
    }


def session() -> dict:
    """Three objects, one after the other, each in a mask of its own."""
    import scenes
    items = {"First": ("circle", "red", 0.27, 0.27, 0.17, 0.0), "Second": ("square", "blue", 0.74, 0.3, 0.17, 0.0),
             "Third": ("circle", "yellow", 0.5, 0.74, 0.17, 0.0)}
    texts = {f"{name} text": scenes.caption(scene(*list(items.values())[:number])) for number, name in enumerate(items, 1)}
    return {"before": scene(), "texts": texts, "steps": {name: disc(item[2], item[3], 0.23) for name, item in items.items()},
            "widgets": {f"{name} edit": {"seed": seed} for name, seed in zip(items, (11, 12, 10))}}


def image_of(picture: torch.Tensor, side: int = SIZE) -> Image.Image:
    """A picture [3, H, W] in 0..1 as a square."""
    return Image.fromarray((picture.movedim(0, -1) * 255).round().byte().numpy()).resize((side, side), Image.Resampling.LANCZOS)


def with_border(canvas: Image.Image, small: Image.Image, left: int, top: int) -> None:
    """Paste ``small`` with a white line around it."""
    ImageDraw.Draw(canvas).rectangle([left - BORDER, top - BORDER, left + small.width + BORDER - 1, top + small.height + BORDER - 1], "white")
    canvas.paste(small, (left, top))


def veiled(before: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The picture with what was painted shown as a veil."""
    return before if mask is None else torch.where(mask > 0, 0.45 * before + 0.55, before)


def thumbnail(before: torch.Tensor, after: torch.Tensor, strip: list[torch.Tensor]) -> Image.Image:
    """Pictures [3, H, W] in 0..1: ``after``, and ``before`` in its corner; or below it the pictures of ``strip``, ``before`` as the first of them."""
    canvas = image_of(after)
    if not strip:
        with_border(canvas, image_of(before, INSET), MARGIN, SIZE - INSET - MARGIN)
    row = [before, *strip] if strip else []
    side = (SIZE - MARGIN) // max(1, len(row)) - MARGIN
    for place, picture in enumerate(row):
        with_border(canvas, image_of(picture, side), MARGIN + place * (side + MARGIN), SIZE - side - MARGIN)
    return canvas


def sheet(pictures: list[torch.Tensor]) -> Image.Image:
    """Four pictures, in reading order."""
    side = (SIZE - BORDER) // 2
    canvas = Image.new("RGB", (SIZE, SIZE), "white")
    for place, picture in enumerate(pictures):
        canvas.paste(image_of(picture, side), (place % 2 * (side + BORDER), place // 2 * (side + BORDER)))
    return canvas


def run_one(kitchen, name: str, before=None, mask: torch.Tensor | None = None, texts: dict | None = None, widgets: dict | None = None,
            strip: str = "", steps: dict | None = None) -> Image.Image:
    graph = Graph(name)
    if before is not None:
        picture = before if isinstance(before, torch.Tensor) else picture_of(before)
        kitchen.put_picture(f"{name}.png", picture, mask)
        graph.fill(f"{name}.png", picture.shape[-1], texts or {}, widgets or {})
    else:
        file = graph["Image"]["image"]
        (kitchen.folder / "input" / file).write_bytes((common.DEMO / "samples" / "source.png").read_bytes())
        picture = kitchen.picture({"type": "input", "subfolder": "", "filename": file})
    for step, place in (steps or {}).items():
        kitchen.put_picture(f"{step}.png", picture, place)
        graph[f"{step} place"]["image"] = f"{step}.png"
        graph.add(step, "SaveImage", images=[graph.ids[f"{step} keep"], 0], filename_prefix=step)
    made = {title: [kitchen.picture(entry) for entry in entries] for title, entries in kitchen.run(graph.nodes).items()}
    if steps:
        return sheet([veiled(picture, sum(steps.values()).clamp(max=1)), *(made[step][0] for step in steps)])
    return thumbnail(veiled(picture, mask), made["Edited picture"][0], made[strip][:STRIP] if strip else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=common.PACK / "workflows", help="folder for the thumbnails")
    parser.add_argument("names", nargs="*", help="workflows (default: all that the demo can show)")
    settings = parser.parse_args()
    common.load_pack()
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
