"""Draw the sample pictures that the example workflows open with: demo/samples/*.png but source.png,
which is a sample of its own.

    COMFYUI_PATH=... python -m tools.make_samples

A painted mask lies in the alpha channel, as the editor's mask painter saves it: transparent where
the mask is.
"""

import torch
from PIL import Image

from demo import scenes
from lab import common

PACK = common.PACK
PLACE = (0.6, 0.42)


def samples() -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
    """By name: the picture [3, H, W] in 0..1 and the painted mask [H, W], if any."""
    common.use_comfyui()  # the helpers of the tests come with it
    from workflow_graphs import disc, picture_of, ring, scene

    circle, empty = scene(("circle", "red", *PLACE, 0.27, 0.0)), picture_of(scene())
    blob = (disc(0.52, 0.42, 0.18) + disc(0.66, 0.38, 0.19) + disc(0.6, 0.52, 0.16)).clamp(max=1)
    scribble = torch.where(blob > 0, torch.tensor(scenes.COLOURS["blue"])[:, None, None], empty)
    return {
        "circle": (picture_of(circle), None),
        "kept": (picture_of(circle), disc(*PLACE, 0.27)),
        "place": (empty, disc(*PLACE, 0.33)),
        "scribble": (scribble, disc(*PLACE, 0.35)),
        "stroke": (picture_of(scene(ground="black")), ring(0.5, 0.5, 0.22)),
        "first": (empty, disc(0.27, 0.27, 0.23)),
        "second": (empty, disc(0.74, 0.3, 0.23)),
        "third": (empty, disc(0.5, 0.74, 0.23)),
    }


def main() -> None:
    for name, (picture, mask) in samples().items():
        pixels = picture if mask is None else torch.cat([picture, 1 - mask[None]])
        file = PACK / "demo" / "samples" / f"{name}.png"
        Image.fromarray((pixels.movedim(0, -1) * 255).round().byte().numpy()).save(file, optimize=True)
        print(f"{file.name}: {file.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
