"""Draw the help pages' pictures of Align to Source and of Edit Crop: ``python run.py bench
large_pictures``.

They show random trials of ``benchmarks/align.py``, and an edit of ``benchmarks/large_photo.py`` by
the demo model.
"""

import torch
from PIL import Image, ImageDraw, ImageFont

from benchmarks import align, large_photo
from lab import common

MEDIA = common.PACK / "js" / "docs" / "media"
TILE, GAP, LABEL = 224, 8, 22
TRIAL, EDIT, SEED = 8, 0, 0


def sheet(pictures: dict[str, torch.Tensor]) -> Image.Image:
    """Pictures [3 or 1, H, W] in a row under their labels."""
    tiles = []
    for picture in pictures.values():
        values = (picture.expand(3, -1, -1).movedim(0, -1).clamp(0, 1) * 255).round().byte().numpy()
        tiles.append(Image.fromarray(values))
        tiles[-1].thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    height = LABEL + max(tile.height for tile in tiles) + GAP
    canvas = Image.new("RGB", (len(pictures) * (TILE + GAP) + GAP, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for column, (label, tile) in enumerate(zip(pictures, tiles, strict=True)):
        draw.text((GAP + column * (TILE + GAP), 4), label, "black", font)
        canvas.paste(tile, (GAP + column * (TILE + GAP), LABEL))
    return canvas


def draw_align(demo: common.Demo) -> Image.Image:
    trial = align.make(TRIAL)
    given = {name: one.movedim(0, -1)[None] for name, one in (("image", trial.source), ("edited", trial.edited))}
    aligned, changed, _ = demo.run("AlignToSource", **given)
    return sheet({
        "source": trial.source,
        "an editor's result": trial.edited,
        "aligned": aligned[0].movedim(-1, 0),
        "what really changed": changed,
    })  # fmt: skip


def draw_crop(demo: common.Demo) -> Image.Image:
    case = large_photo.Case(EDIT, 1024)
    crops, mask, crop = demo.run(
        "EditCrop", image=case.image, mask=case.mask, size=large_photo.MODEL_SIDE, context=large_photo.CONTEXT
    )
    edited = large_photo.sample(demo, case.text, crops, mask, SEED)
    stitched = demo.run("EditStitch", crop=crop, edited=edited)[0]
    return sheet({
        "a large picture": case.picture,
        "Edit Crop": crops[0].movedim(-1, 0),
        f"-> {case.after.things[0].name}": edited[0].movedim(-1, 0),
        "Edit Stitch": stitched[0].movedim(-1, 0),
    })  # fmt: skip


def main() -> None:
    demo = common.Demo()
    for name, draw in (("AlignToSource", draw_align), ("EditCrop", draw_crop)):
        file = MEDIA / f"{name}.png"
        draw(demo).save(file, optimize=True)
        print(f"drew {file.name}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
