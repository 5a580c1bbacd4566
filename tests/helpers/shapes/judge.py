"""The judge of the shapes: identifies the shapes in a picture by pixel statistics and template
matching, without a network.

It uses only the colours, outlines and light of ``scenes.py`` and no model's output, so that a model
cannot learn to satisfy it. :func:`patches.fit_ground` finds the ground's colour and its light,
:func:`patches.split_objects` divides the rest into patches of one colour,
:func:`outlines.fit_shape` matches every outline to a patch, and :func:`recognise` combines the results.

:func:`caption_accepted` tests whether the picture shows the caption's objects, anywhere;
:func:`edit_accepted` whether it shows exactly a scene, each object in its place.
``tests/project/test_shapes_judge.py`` tests both on renders, degraded renders and failures.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .outlines import fit_shape
from .patches import fit_ground, split_objects
from .scenes import SIZE, Scene, Shape

REACH = 0.5  # largest distance of an object's centre from its place, in radii

GROWTH = 1.5  # largest ratio between an object's size and its true size, either way


@dataclass(frozen=True)
class Found:
    """One patch of one colour. ``shape`` or ``colour`` is None if none of the known ones fits.
    Lengths are shares of the picture's side.
    """

    shape: str | None
    colour: str | None
    x: float
    y: float
    radius: float
    turn: float
    overlap: float


@dataclass(frozen=True)
class Seen:
    """The judge's findings in a picture; ``ground`` is None if no known colour covers enough of it."""

    ground: str | None
    objects: tuple[Found, ...]


@dataclass(frozen=True)
class ObjectVerdict:
    """A wanted object, the patch assigned to it (None if there is none left), and which of its
    properties are right.
    """

    wanted: Shape
    found: Found | None
    colour: bool
    shape: bool
    place: bool


@dataclass(frozen=True)
class Verdict:
    """``extra`` counts patches that are assigned to no wanted object. ``accepted`` is true only if
    everything is right and nothing is extra.
    """

    ground: bool
    objects: tuple[ObjectVerdict, ...]
    extra: int
    accepted: bool


def recognise(picture: torch.Tensor) -> Seen:
    """The ground and the objects of a picture [3, S, S] in 0..1 (any square size; it is judged at
    128 x 128).
    """
    if picture.ndim != 3 or picture.shape[0] != 3 or picture.shape[1] != picture.shape[2]:
        raise ValueError(
            f"judge: got a picture of shape {tuple(picture.shape)}, "
            "expected [3, S, S] with values in 0..1; pass one square RGB picture"
        )
    picture = picture.detach().float().cpu().clamp(0, 1)
    if picture.shape[1] != SIZE:
        picture = torch.nn.functional.interpolate(picture[None], (SIZE, SIZE), mode="bilinear", antialias=True)[0]
    pixels = picture.permute(1, 2, 0).numpy()
    name, ground, light = fit_ground(pixels)
    result = []
    for mask, colour in split_objects(pixels, ground, light):
        shape, overlap, (x, y, radius, turn) = fit_shape(mask)
        result.append(Found(shape, colour, x / SIZE, y / SIZE, radius / SIZE, turn, overlap))
    return Seen(name, tuple(result))


def find_objects(picture: torch.Tensor) -> tuple[Found, ...]:
    """The objects of :func:`recognise`."""
    return recognise(picture).objects


def _match(wanted: Sequence[Shape], found: Sequence[Found], placed: bool) -> list[Found | None]:
    """Assign to each wanted object the best patch, each patch once: by shape and colour, then by
    place; if ``placed``, by place first.
    """

    def cost(item: Shape, patch: Found) -> float:
        kind = (item.colour != patch.colour) + (item.shape != patch.shape)
        away = math.hypot(item.x - patch.x, item.y - patch.y)
        return (10 * away + kind) if placed else (kind + 0.1 * away)

    taken: list[Found | None] = [None] * len(wanted)
    pairs = sorted((cost(item, patch), i, j) for i, item in enumerate(wanted) for j, patch in enumerate(found))
    used: set[int] = set()
    for _, i, j in pairs:
        if taken[i] is None and j not in used:
            taken[i] = found[j]
            used.add(j)
    return taken


def judge(picture: torch.Tensor, scene: Scene, placed: bool = True, seen: Seen | None = None) -> Verdict:
    """Compare a picture [3, S, S] in 0..1 with a scene, object by object. If ``placed``, each
    object must also have the scene's place and size.

    ``seen`` is the result of :func:`recognise`, if it is known.
    """
    seen = recognise(picture) if seen is None else seen
    verdicts = []
    for wanted, result in zip(scene.objects, _match(scene.objects, seen.objects, placed), strict=True):
        if result is None:
            verdicts.append(ObjectVerdict(wanted, None, False, False, False))
            continue
        near = math.hypot(wanted.x - result.x, wanted.y - result.y) <= REACH * wanted.radius
        alike = 1 / GROWTH <= result.radius / wanted.radius <= GROWTH
        verdicts.append(
            ObjectVerdict(wanted, result, result.colour == wanted.colour, result.shape == wanted.shape, near and alike)
        )
    ground, extra = seen.ground == scene.ground, max(0, len(seen.objects) - len(scene.objects))
    right = all(item.colour and item.shape and (item.place or not placed) for item in verdicts)
    return Verdict(ground, tuple(verdicts), extra, ground and extra == 0 and right)


def edit_accepted(picture: torch.Tensor, target: Scene) -> bool:
    """Whether a picture [3, S, S] in 0..1 shows the target scene: its ground, its objects and no
    others, each in its place.
    """
    return judge(picture, target).accepted


def caption_accepted(picture: torch.Tensor, scene: Scene) -> bool:
    """Whether a picture [3, S, S] in 0..1 shows the scene of ``scenes.caption(scene)``: the ground
    and exactly these coloured shapes, anywhere.
    """
    return shows_caption(recognise(picture), scene)


def shows_caption(seen: Seen, scene: Scene) -> bool:
    """:func:`caption_accepted` for the result of :func:`recognise`."""
    names, wanted = (
        Counter((item.colour, item.shape) for item in objects) for objects in (seen.objects, scene.objects)
    )
    return seen.ground == scene.ground and names == wanted
