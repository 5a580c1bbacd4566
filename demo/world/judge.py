"""The judge: a small segmentation network that identifies the content of a picture of the demo
world.

It was trained on renders alone, not on pictures of the models that it judges. At each of 32 x 32
cells it classifies the thing (or none, or something spoiled), and the colour of things that have
one; for the whole picture it classifies the ground. ``demo/measure.py`` calibrates it on clean,
degraded and wrong renders.
"""

import functools
import pathlib
from dataclasses import dataclass

import torch
from torch import nn

from .scenes import COLOUR_NAMES, GROUND_NAMES, Scene
from .things import KINDS, PAINTED

WEIGHTS = pathlib.Path(__file__).resolve().parents[2] / "models" / "judge.safetensors"
SPOILED, NOTHING = len(KINDS), len(KINDS) + 1
LEAST_CELLS = 6
"""A thing with fewer cells is not counted; the smallest in a render covers twice as many."""
LEAST_SPOILED = 8
"""A picture with so many spoiled cells is rejected. With this number the judge rejects about as many
good renders as it accepts spoiled ones (``demo/measure.py`` prints both).
"""


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x):
        return torch.relu(x + self.layers(x))


def down(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True), Residual(out)
    )


class JudgeNet(nn.Module):
    """Pictures [N, 3, 256, 256] in 0..1 -> logits of things [N, kinds + 2, 32, 32], colours [N,
    painted, colours, 32, 32], grounds [N, grounds].
    """

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(down(3, 24), down(24, 48), down(48, 96))
        self.middle, self.coarse = down(96, 128), down(128, 160)
        self.up_coarse = nn.Sequential(
            nn.Conv2d(160 + 128, 128, 3, 1, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(inplace=True)
        )
        self.up_middle = nn.Sequential(
            nn.Conv2d(128 + 96, 128, 3, 1, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(inplace=True)
        )
        self.things = nn.Conv2d(128, len(KINDS) + 2, 1)
        self.colours = nn.Conv2d(128, len(PAINTED) * len(COLOUR_NAMES), 1)
        self.grounds = nn.Linear(160 + 96, len(GROUND_NAMES))

    def forward(self, pictures):
        fine = self.fine(pictures * 2 - 1)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        x = self.up_coarse(torch.cat([nn.functional.interpolate(coarse, scale_factor=2.0), middle], 1))
        x = self.up_middle(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), fine], 1))
        colours = self.colours(x).unflatten(1, (len(PAINTED), len(COLOUR_NAMES)))
        return self.things(x), colours, self.grounds(torch.cat([coarse.mean((2, 3)), fine.mean((2, 3))], 1))


@dataclass(frozen=True)
class Seen:
    """The judge's result: the ground, each thing's name with its colour, and the masks [32, 32] of
    the cells that show it.
    """

    ground: str
    things: dict[str, str | None]
    cells: dict[str, torch.Tensor]
    spoiled: int

    def shows(self, scene: Scene) -> bool:
        """Whether ground, things and colours are exactly those of ``scene``."""
        return self.ground == scene.ground and self.shows_things(scene)

    def shows_things(self, scene: Scene) -> bool:
        """Whether things and colours are exactly those of ``scene``, with none missing, spoiled or
        added.
        """
        return self.spoiled < LEAST_SPOILED and self.things == {thing.kind: thing.colour for thing in scene.things}


@functools.cache
def load(path: pathlib.Path = WEIGHTS) -> JudgeNet:
    """The trained judge, in evaluation mode."""
    import safetensors.torch

    net = JudgeNet()
    net.load_state_dict(
        {name: value.float() for name, value in safetensors.torch.load_file(path).items()}, strict=False
    )
    return net.eval().requires_grad_(False)


@torch.inference_mode()
def recognise(pictures: torch.Tensor, net: JudgeNet | None = None) -> list[Seen]:
    """The judge's result for each of ``pictures`` [N, 3, 256, 256] in 0..1."""
    things, colours, grounds = (net or load())(pictures)
    names = things.argmax(1)
    out = []
    for row in range(len(pictures)):
        counts = torch.bincount(names[row].flatten(), minlength=NOTHING + 1)
        kinds = [kind for kind in range(len(KINDS)) if counts[kind] >= LEAST_CELLS]
        cells = {KINDS[kind]: names[row] == kind for kind in kinds}
        named_colours = {name: name_colour(name, colours[row], where) for name, where in cells.items()}
        out.append(Seen(GROUND_NAMES[int(grounds[row].argmax())], named_colours, cells, int(counts[SPOILED])))
    return out


def name_colour(kind: str, colours: torch.Tensor, where: torch.Tensor) -> str | None:
    """The colour of a thing by the mean of its cells' logits; None for things without a named
    colour.
    """
    if kind not in PAINTED:
        return None
    return COLOUR_NAMES[int(colours[PAINTED.index(kind)][:, where].mean(1).argmax())]
