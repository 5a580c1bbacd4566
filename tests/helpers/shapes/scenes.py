"""Coloured shapes on shaded grounds, with captions and exact masks: test data with exact geometry.

The shapes' checkpoint was trained on these scenes. A scene is a plain description (:class:`Scene`);
:func:`render` turns it into pixels and masks, :func:`caption` into words. All randomness comes from
the ``random.Random`` given.
"""

import math
import random
from dataclasses import dataclass, replace

import torch

SIZE = 128
COLOURS = {
    "red": (0.86, 0.14, 0.14),
    "green": (0.15, 0.62, 0.20),
    "blue": (0.14, 0.29, 0.86),
    "yellow": (0.96, 0.87, 0.14),
    "purple": (0.54, 0.20, 0.70),
    "orange": (0.97, 0.54, 0.10),
    "cyan": (0.20, 0.81, 0.86),
    "pink": (0.98, 0.62, 0.78),
    "white": (0.94, 0.94, 0.94),
    "black": (0.08, 0.08, 0.08),
}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLOUR_NAMES = tuple(COLOURS)
# Similar colours never meet, so that people and the judge can distinguish objects from their ground.
CLASHES = {
    frozenset(pair)
    for pair in (("red", "orange"), ("orange", "yellow"), ("pink", "white"), ("red", "pink"), ("blue", "purple"))
}


@dataclass(frozen=True)
class Shape:
    """One object. ``x``, ``y`` and ``radius`` are shares of the picture's side, ``turn`` is in
    radians.
    """

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    turn: float


@dataclass(frozen=True)
class Scene:
    """Objects from back to front on a ground lit from ``light`` (radians) by a gradient of
    ``shade`` from edge to edge.
    """

    objects: tuple[Shape, ...]
    ground: str
    light: float = 0.0
    shade: float = 0.0


def clash(a: str, b: str) -> bool:
    """Whether two colours are the same or too similar to be adjacent."""
    return a == b or frozenset((a, b)) in CLASHES


def held_out(shape: str, colour: str, ground: str) -> bool:
    """Whether a (shape, colour, ground) combination belongs to the tenth that training does not
    use.
    """
    return (7 * SHAPES.index(shape) + 3 * COLOUR_NAMES.index(colour) + COLOUR_NAMES.index(ground)) % 10 == 0


def signed_distance(shape: str, x: torch.Tensor, y: torch.Tensor, radius: float) -> torch.Tensor:
    """Distance in pixels to the outline of ``shape`` around the origin (y points down), negative
    inside; exact near every edge.
    """
    if shape == "circle":
        return torch.hypot(x, y) - radius
    if shape == "square":
        return torch.maximum(x.abs(), y.abs()) - 0.86 * radius
    if shape == "triangle":
        slope = math.sqrt(3) / 2
        return torch.maximum(y, slope * x.abs() - 0.5 * y) - 0.58 * radius
    if shape == "star":
        tip, notch = 1.12 * radius, 0.5 * radius
        sector = 2 * math.pi / 5
        angle = torch.atan2(x, -y)
        angle = (angle - sector * torch.round(angle / sector)).abs()
        reach = torch.hypot(x, y)
        edge_x, edge_y = notch * math.cos(sector / 2) - tip, notch * math.sin(sector / 2)
        length = math.hypot(edge_x, edge_y)
        return ((reach * torch.cos(angle) - tip) * edge_y - reach * torch.sin(angle) * edge_x) / length
    if shape == "ring":
        return (torch.hypot(x, y) - 0.72 * radius).abs() - 0.27 * radius
    if shape == "cross":
        upright = torch.maximum(x.abs() - 0.34 * radius, y.abs() - radius)
        across = torch.maximum(x.abs() - radius, y.abs() - 0.34 * radius)
        return torch.minimum(upright, across)
    raise ValueError(f"unknown shape {shape!r}; one of {', '.join(SHAPES)}")


def coverage(item: Shape, size: int = SIZE) -> torch.Tensor:
    """The share of each pixel that ``item`` covers, [size, size] in 0..1."""
    axis = torch.arange(size) + 0.5
    y, x = torch.meshgrid(axis - item.y * size, axis - item.x * size, indexing="ij")
    cos, sin = math.cos(item.turn), math.sin(item.turn)
    return (0.5 - signed_distance(item.shape, cos * x + sin * y, cos * y - sin * x, item.radius * size)).clamp(0, 1)


def render(scene: Scene, size: int = SIZE) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Draw a scene: the picture [3, size, size] in 0..1, and each object's visible coverage [size,
    size].
    """
    axis = (torch.arange(size) + 0.5) / size - 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    light = (x * math.cos(scene.light) + y * math.sin(scene.light)) * scene.shade
    picture = (torch.tensor(COLOURS[scene.ground])[:, None, None] + light).clamp(0, 1)
    masks: list[torch.Tensor] = []
    for item in scene.objects:
        cover = coverage(item, size)
        paint = (torch.tensor(COLOURS[item.colour])[:, None, None] + 0.5 * light).clamp(0, 1)
        picture = picture * (1 - cover) + paint * cover
        masks = [mask * (1 - cover) for mask in masks] + [cover]
    return picture, masks


def random_scene(rng: random.Random, count: int | None = None, unseen: bool = False) -> Scene:
    """Draw one to three objects that do not touch. ``unseen`` draws only combinations that training
    holds out, otherwise only the others.
    """
    if count is None:
        count = rng.choices((1, 2, 3), (0.66, 0.24, 0.10))[0]
    low, high = {1: (0.20, 0.30), 2: (0.16, 0.22), 3: (0.13, 0.17)}[count]
    while True:
        ground = rng.choice(COLOUR_NAMES)
        objects: list[Shape] = []
        for _ in range(count):
            shape, colour, radius = rng.choice(SHAPES), rng.choice(COLOUR_NAMES), rng.uniform(low, high)
            x, y = rng.uniform(radius + 0.04, 0.96 - radius), rng.uniform(radius + 0.04, 0.96 - radius)
            if (
                clash(colour, ground)
                or any(clash(colour, other.colour) for other in objects)
                or held_out(shape, colour, ground) != unseen
                or any(math.hypot(x - other.x, y - other.y) < 1.08 * (radius + other.radius) for other in objects)
            ):
                break
            objects.append(Shape(shape, colour, x, y, radius, rng.uniform(-0.35, 0.35)))
        if len(objects) == count:
            return Scene(tuple(objects), ground, rng.uniform(0, 2 * math.pi), rng.uniform(0.05, 0.25))


def caption(scene: Scene, ground: bool = True) -> str:
    """ "a red circle and a blue star on a green background"."""
    words = " and ".join(f"a {item.colour} {item.shape}" for item in scene.objects)
    return f"{words} on a {scene.ground} background" if ground else words


def training_caption(scene: Scene, rng: random.Random) -> str:
    """A random caption for training: any order of the objects, sometimes without the ground,
    sometimes empty (for guidance).
    """
    roll = rng.random()
    if roll < 0.10:
        return ""
    order = list(scene.objects)
    rng.shuffle(order)
    return caption(replace(scene, objects=tuple(order)), ground=roll < 0.85)


def edit_of(scene: Scene, kind: str, rng: random.Random) -> Scene:
    """The same scene with its first object's ``colour`` or ``shape`` changed to one that is allowed
    there.
    """
    item, others = scene.objects[0], scene.objects[1:]
    if kind == "colour":
        taken = [item.colour, scene.ground, *(other.colour for other in others)]
        item = replace(
            item, colour=rng.choice([name for name in COLOUR_NAMES if not any(clash(name, other) for other in taken)])
        )
    elif kind == "shape":
        item = replace(item, shape=rng.choice([name for name in SHAPES if name != item.shape]))
    else:
        raise ValueError(f"unknown edit {kind!r}; colour or shape")
    return replace(scene, objects=(item, *others))
