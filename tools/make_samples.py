"""Draw the sample pictures of the example workflows: demo/samples/*.png, and first.json with the
default edit of ``run.py edit``.

    COMFYUI_PATH=... python -m tools.make_samples

A painted mask is stored in the alpha channel, as by the editor's mask painter: transparent where
the mask is. A new picture needs a new name, because existing copies are not replaced.
"""

import json
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image

from demo.world.render import SIZE, render
from demo.world.scenes import Scene, Thing, put_on
from lab import common

SAMPLES = common.PACK / "demo" / "samples"
LIGHT: dict[str, Any] = dict(light=-2.2, shade=0.12)
WOOD: dict[str, Any] = dict(ground="wood", patch=(14, 0.1922, 0.2809, 0.75), **LIGHT)
GRASS: dict[str, Any] = dict(ground="grass", patch=(6, 0.5, 0.4, 0.75), **LIGHT)
SNOW: dict[str, Any] = dict(ground="snow", patch=(9, 0.563, 0.0834, 0.75), **LIGHT)
SAND: dict[str, Any] = dict(ground="sand", patch=(19, 0.1678, 0.8307, 0.75), **LIGHT)
MEADOW: dict[str, Any] = dict(ground="grass", patch=(4, 0.2023, 0.6214, 0.75), **LIGHT)

DOG = Scene((Thing("dog", None, 0.48, 0.55, 0.66, 0.0, True),), **GRASS)
STRAWBERRY = Scene((Thing("strawberry", None, 0.5, 0.52, 0.58, -0.05),), **WOOD)
PENGUIN = Scene((Thing("penguin", None, 0.5, 0.52, 0.58, 0.04, True),), **SNOW)
BACKPACK = Scene((Thing("backpack", "red", 0.5, 0.52, 0.58, -0.045, True),), **MEADOW)
HORSE = Scene((Thing("horse", None, 0.5, 0.52, 0.66, 0.054),), **SAND)
TRIO = Scene(
    (
        Thing("car", "red", 0.26, 0.3, 0.34),
        Thing("balloon", "yellow", 0.72, 0.3, 0.34),
        Thing("teapot", "green", 0.5, 0.75, 0.34),
    ),
    **SNOW,
)
TRIO_EDITED = Scene((TRIO.things[0], Thing("balloon", "purple", 0.72, 0.3, 0.34), TRIO.things[2]), **SNOW)
FIRST = {"picture": "dog.png", "source": "a dog on grass", "target": "a cat on grass", "seed": 0}
"""The edit of ``run.py edit`` without options: the first edit of the templates."""


class Sample(NamedTuple):
    """A picture [3, H, W] in 0..1 and its painted mask [H, W] of 0 and 1 or None."""

    picture: torch.Tensor
    mask: torch.Tensor | None = None


def picture_of(scene: Scene) -> torch.Tensor:
    return render(scene)[0]


def axes() -> tuple[torch.Tensor, torch.Tensor]:
    """The pixels' vertical [H, 1] and horizontal [1, W] positions as shares of the picture's side."""
    places = (torch.arange(SIZE) + 0.5) / SIZE
    return places[:, None], places[None]


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    """A painted disc [H, W], in shares of the picture's side."""
    down, across = axes()
    return (torch.hypot(down - y, across - x) < radius).float()


def stroke(start: tuple[float, float], end: tuple[float, float], width: float) -> torch.Tensor:
    """A painted line [H, W] from (x, y) to (x, y), in shares of the picture's side."""
    down, across = axes()
    length = (end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2
    along = ((across - start[0]) * (end[0] - start[0]) + (down - start[1]) * (end[1] - start[1])) / length
    along = along.clamp(0, 1)
    x, y = start[0] + along * (end[0] - start[0]), start[1] + along * (end[1] - start[1])
    return (torch.hypot(down - y, across - x) < width / 2).float()


def samples() -> dict[str, Sample]:
    """All samples by name."""
    wood, lawn, head = picture_of(Scene((), **WOOD)), picture_of(Scene((), **GRASS)), put_on(DOG.things[0], "hat", None)
    blob = (disc(0.46, 0.50, 0.17) + disc(0.56, 0.48, 0.18) + disc(0.50, 0.58, 0.16)).clamp(max=1)
    paint = torch.where(blob > 0, torch.tensor((0.96, 0.55, 0.12))[:, None, None], wood)
    kept = (render(HORSE)[1][0] > 0.1).float()
    return {
        "dog": Sample(picture_of(DOG)),
        "strawberry": Sample(picture_of(STRAWBERRY)),
        "penguin": Sample(picture_of(PENGUIN)),
        "backpack": Sample(picture_of(BACKPACK)),
        "trio": Sample(picture_of(TRIO)),
        "hat": Sample(picture_of(DOG), disc(head.x, head.y - 0.02, 0.17)),
        "horse": Sample(picture_of(HORSE), kept),
        "paint": Sample(paint, disc(0.5, 0.5, 0.31)),
        "stroke": Sample(wood, stroke((0.25, 0.32), (0.75, 0.68), 0.07)),
        "lawn": Sample(lawn, disc(0.5, 0.5, 0.34)),
        "table_first": Sample(wood, disc(0.27, 0.29, 0.2)),
        "table_second": Sample(wood, disc(0.73, 0.31, 0.2)),
        "table_third": Sample(wood, disc(0.5, 0.74, 0.2)),
        "table_top": large(Scene((Thing("strawberry", None, 0.32, 0.6, 0.11),), **WOOD), (0.32, 0.6), 0.085),
        "trio_elsewhere": Sample(elsewhere(TRIO_EDITED)),
    }


def large(scene: Scene, centre: tuple[float, float], radius: float, side: int = 768) -> Sample:
    """A larger picture with a painted disc."""
    places = (torch.arange(side) + 0.5) / side
    painted = torch.hypot(places[:, None] - centre[1], places[None] - centre[0]) < radius
    return Sample(render(scene, side)[0], painted.float())


def elsewhere(scene: Scene, side: int = 288) -> torch.Tensor:
    """A scene as the result of another editor: another size, shifted, zoomed, in warmer colours."""
    zoom, right, down = 0.965, 0.03, -0.02
    grid = F.affine_grid(torch.tensor([[[zoom, 0, right], [0, zoom, down]]]), [1, 3, side, side], align_corners=False)
    picture = F.grid_sample(
        render(scene, 2 * SIZE)[0][None], grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    warm = torch.tensor([0.98, 0.94, 0.84])[:, None, None]
    return (picture[0] * warm + 0.01).clamp(0, 1)


def main() -> None:
    SAMPLES.mkdir(exist_ok=True)
    for name, sample in samples().items():
        pixels = sample.picture if sample.mask is None else torch.cat([sample.picture, 1 - sample.mask[None]])
        file = SAMPLES / f"{name}.png"
        Image.fromarray((pixels.movedim(0, -1) * 255).round().byte().numpy()).save(file, optimize=True)
        print(f"{file.name}: {file.stat().st_size / 1000:.1f} kB")
    (SAMPLES / "first.json").write_text(json.dumps(FIRST, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
