"""Looks at a picture and says which shapes of the demo world it shows: pixel statistics and
template matching, no network.

The judge knows the world only through ``scenes.py`` (its colours, its outlines, its light) and has
never seen the demo model, so a model cannot learn
to please it. It works in four steps, each a function: :func:`fit_ground` finds the ground's colour
    and its light, :func:`split_objects` cuts what
differs from the ground into patches of one colour, :func:`fit_shape` lays every outline over a
patch, and :func:`look` puts the answers together.

:func:`caption_accepted` is the open question (does the picture show what the caption says,
wherever?), :func:`edit_accepted` the closed one (does it show exactly this scene, each object in
its place?). ``tests/project/test_demo_judge.py`` holds both to renders, degraded renders and
failures.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from .scenes import COLOUR_NAMES, COLOURS, SHAPES, SIZE, Scene, Shape, coverage, signed_distance

GROUND_TOLERANCE = 0.15  # RGB distance up to which a pixel counts as ground while the light is fitted
GROUND_SHARE = (
    0.55  # a ground covers at least this share of the picture (objects cover at most 0.28, their soft edges some more)
)
FOREGROUND = 0.20  # RGB distance from the ground from which a pixel belongs to an object
COLOUR_TOLERANCE = (
    0.16  # a patch's mean RGB may be this far from its colour; the two nearest colours of the world are 0.34 apart
)
PURITY = 0.85  # share of a patch's inner pixels that must be nearest to the patch's colour
SMALLEST = 80  # pixels of a 128 x 128 picture: a smaller patch is a speck; the smallest object of the world has 450
# Intersection over union with an outline from which a patch has that shape: between what outlines
# half way to another shape reach (0.86, round ones 0.89) and what the worst of 600 blurred and
# noisy objects keep (sigma 1.5 px, 0.03: 0.98, 0.95, 0.93, 0.89, 0.95 and 0.92 in the order below).
OVERLAP = {"circle": 0.91, "square": 0.89, "triangle": 0.87, "star": 0.87, "ring": 0.89, "cross": 0.87}
MARGIN = 0.03  # by how much the best outline's intersection over union must beat the second best's
REACH = 0.5  # in radii: how far an object's centre may lie from where it should
GROWTH = 1.5  # how many times larger or smaller than it should an object may be

_PALETTE = np.array([COLOURS[name] for name in COLOUR_NAMES], dtype=np.float32)
_CELLS, _SPAN = 32, 1.4  # templates are _CELLS wide and reach _SPAN radii from the centre
_TURNS = np.linspace(-0.45, 0.45, 13)
_SCALES = (0.93, 1.0, 1.07)


@dataclass(frozen=True)
class Found:
    """One patch of one colour. ``shape`` or ``colour`` is None where nothing of the world fits.
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
    """All that the judge found in a picture; ``ground`` is None where no colour of the world covers
    enough of it.
    """

    ground: str | None
    objects: tuple[Found, ...]


@dataclass(frozen=True)
class ObjectVerdict:
    """One wanted object, the patch taken for it (None: there is none left), and what is right about
    that patch.
    """

    wanted: Shape
    found: Found | None
    colour: bool
    shape: bool
    place: bool


@dataclass(frozen=True)
class Verdict:
    """``extra`` counts patches that no wanted object accounts for. ``accepted`` is true only if
    everything is right and nothing is extra.
    """

    ground: bool
    objects: tuple[ObjectVerdict, ...]
    extra: int
    accepted: bool


def fit_ground(pixels: np.ndarray) -> tuple[str | None, np.ndarray, np.ndarray]:
    """Fit each colour of the world, lit by a linear grey gradient, to the majority of the pixels
    [S, S, 3].

    Returns the name of the best (None if it covers less than GROUND_SHARE), the ground without
    objects [S, S, 3], and its light [S, S].
    """
    size = pixels.shape[0]
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    basis = np.stack([*np.meshgrid(axis, axis), np.ones((size, size), np.float32)], -1)  # x, y, 1
    coarse, sample = basis[::4, ::4].reshape(-1, 3), pixels[::4, ::4].reshape(-1, 3)
    usable = (sample > 0.02) & (sample < 0.98)  # a clipped channel says nothing about the light
    weight = usable.sum(1)
    best = (-1.0, None, np.zeros(3, np.float32))
    for name, colour in zip(COLOUR_NAMES, _PALETTE, strict=True):
        offset = ((sample - colour) * usable).sum(1) / np.maximum(weight, 1)
        inside = (np.abs(offset) < 0.3) & (
            np.linalg.norm(sample - np.clip(colour + offset[:, None], 0, 1), axis=1) < GROUND_TOLERANCE
        )
        if inside.mean() < 0.4:
            continue
        light = np.zeros(3, np.float32)
        for _ in range(5):
            rows = coarse * (inside * weight)[:, None]
            light = np.linalg.solve(coarse.T @ rows + 0.5 * np.eye(3, dtype=np.float32), rows.T @ offset)
            light = np.clip(light, (-0.4, -0.4, -0.12), (0.4, 0.4, 0.12))
            distance = np.linalg.norm(sample - np.clip(colour + (coarse @ light)[:, None], 0, 1), axis=1)
            inside = distance < GROUND_TOLERANCE
        score = (1 - (distance[inside] / GROUND_TOLERANCE) ** 2).sum() / len(sample)
        if score > best[0] and inside.mean() >= GROUND_SHARE:
            best = (score, name, light)
    _, name, light = best
    if name is None:
        return (
            None,
            np.broadcast_to(np.median(pixels.reshape(-1, 3), axis=0), pixels.shape),
            np.zeros((size, size), np.float32),
        )
    shade = basis @ light
    return name, np.clip(_PALETTE[COLOUR_NAMES.index(name)] + shade[..., None], 0, 1), shade


def split_objects(pixels: np.ndarray, ground: np.ndarray, light: np.ndarray) -> list[tuple[np.ndarray, str | None]]:
    """Cut what differs from the ground into patches of one colour each; patches of different
    colours may touch.

    Returns each patch's mask [S, S] with the name of its colour, None where it is none of the
    world's.
    """
    foreground = np.linalg.norm(pixels - ground, axis=2) > FOREGROUND
    labels, count = ndimage.label(foreground)
    patches: list[tuple[np.ndarray, str | None]] = []
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        box = tuple(slice(max(0, side.start - 2), side.stop + 2) for side in box)
        member = labels[box] == label
        if member.sum() < SMALLEST:
            continue
        local = pixels[box]
        palette = np.clip(_PALETTE + 0.5 * light[box][..., None, None], 0, 1)  # objects catch half of the light
        distance = np.linalg.norm(local[..., None, :] - palette, axis=3)
        nearest = distance.argmin(2)
        sure = member & (distance.min(2) < 1.5 * COLOUR_TOLERANCE)
        # Soft edges between two colours pass through a third one; only a third colour with a core
        # of its own is an object.
        cores = {
            index: ndimage.binary_erosion(sure & (nearest == index), iterations=2) for index in np.unique(nearest[sure])
        }
        cores = {index: core for index, core in cores.items() if core.sum() >= 25}
        if not cores:
            patches.append((_whole(member, box, labels.shape), None))
            continue
        anchors = np.stack(
            [ground[box], *(np.broadcast_to(local[core].mean(0), local.shape) for core in cores.values())]
        )
        owner = np.linalg.norm(local - anchors, axis=3).argmin(0)
        for position, (index, core) in enumerate(cores.items(), 1):
            mean_off = np.linalg.norm((local - palette[:, :, index])[core].mean(0))
            parts, number = ndimage.label(ndimage.binary_dilation(member) & (owner == position))
            for part in range(1, number + 1):
                mask = parts == part
                inner = ndimage.binary_erosion(mask, iterations=2)
                if mask.sum() < SMALLEST:
                    continue
                pure = (
                    inner.any()
                    and ((nearest == index) & (distance[..., index] < 2 * COLOUR_TOLERANCE))[inner].mean() >= PURITY
                )
                patches.append(
                    (
                        _whole(mask, box, labels.shape),
                        COLOUR_NAMES[index] if pure and mean_off < COLOUR_TOLERANCE else None,
                    )
                )
    return patches


def _whole(mask: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, bool)
    whole[box] = mask
    return whole


def _make_templates() -> dict[str, tuple[np.ndarray, float]]:
    """Per shape: binary templates [turn * scale, cell * cell] as float32, and the area of the shape
    of radius 1.
    """
    bank = {}
    for shape in SHAPES:
        rows = [
            coverage(Shape(shape, "red", 0.5, 0.5, 0.5 / _SPAN * scale, turn), _CELLS).numpy() > 0.5
            for turn in _TURNS
            for scale in _SCALES
        ]
        area = coverage(Shape(shape, "red", 0.5, 0.5, 0.25, 0.0), 512).sum().item() / (0.25 * 512) ** 2
        bank[shape] = (np.stack(rows).reshape(len(rows), -1).astype(np.float32), area)
    return bank


_TEMPLATES = _make_templates()


def _refine(
    shape: str, mask: torch.Tensor, start: tuple[float, float, float, float]
) -> tuple[float, tuple[float, float, float, float]]:
    """Climb the intersection over union of ``shape`` with a mask [H, W] from (x, y, radius, turn),
    in pixels and radians; returns the top.
    """
    rows, columns = torch.meshgrid(torch.arange(mask.shape[0]) + 0.5, torch.arange(mask.shape[1]) + 0.5, indexing="ij")
    here, best, step = torch.tensor(start), -1.0, 0.06
    while step > 0.01:
        moves = (
            torch.cat([torch.zeros(1, 4), torch.eye(4), -torch.eye(4)])
            * step
            * torch.tensor([here[2], here[2], here[2], 1.5])
        )
        tries = here + moves
        tries[:, 3].clamp_(-0.5, 0.5)
        x, y, radius, turn = (tries[:, index, None, None] for index in range(4))
        right, down = (columns - x) / radius, (rows - y) / radius
        inside = (
            signed_distance(shape, turn.cos() * right + turn.sin() * down, turn.cos() * down - turn.sin() * right, 1.0)
            < 0
        )
        overlap = (inside & mask).sum((1, 2)) / (inside | mask).sum((1, 2))
        top = int(overlap.argmax())
        if overlap[top] <= best + 1e-4:
            step /= 2
        else:
            best, here = overlap[top].item(), tries[top]
    return best, tuple(here.tolist())


def fit_shape(mask: np.ndarray) -> tuple[str | None, float, tuple[float, float, float, float]]:
    """Lay every shape over a patch [S, S]: templates at the size and place that the patch's area
    and centroid ask for, then the two best refined.

    Returns the shape (None if no outline overlaps enough, or two do), its intersection over union,
    and (x, y, radius, turn) in pixels and radians.
    """
    rows, columns = np.nonzero(mask)
    area, x, y = len(rows), columns.mean() + 0.5, rows.mean() + 0.5
    ticks = (np.arange(_CELLS) + 0.5) / _CELLS * 2 - 1
    guesses = []
    for shape, (templates, unit) in _TEMPLATES.items():
        radius = math.sqrt(area / unit)
        down, right = (np.floor(centre + ticks * _SPAN * radius).astype(int) for centre in (y, x))
        window = mask[np.ix_(down.clip(0, mask.shape[0] - 1), right.clip(0, mask.shape[1] - 1))].copy()
        window[(down < 0) | (down >= mask.shape[0])] = False
        window[:, (right < 0) | (right >= mask.shape[1])] = False
        window = window.reshape(-1).astype(np.float32)
        common = templates @ window
        overlap = common / (templates.sum(1) + window.sum() - common)
        top = int(overlap.argmax())
        turn, scale = _TURNS[top // len(_SCALES)], _SCALES[top % len(_SCALES)]
        guesses.append((overlap[top], shape, (float(x), float(y), radius * scale, float(turn))))
    guesses.sort(reverse=True)
    left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    pad = int(0.25 * max(right - left, bottom - top)) + 2
    left, top = max(0, left - pad), max(0, top - pad)
    crop = torch.from_numpy(mask[top : bottom + pad, left : right + pad].copy())
    fits = []
    for _, shape, (x, y, radius, turn) in guesses[:2]:
        overlap, (x, y, radius, turn) = _refine(shape, crop, (x - left, y - top, radius, turn))
        fits.append((overlap, shape, (x + left, y + top, radius, turn)))
    fits.sort(reverse=True)
    (overlap, shape, where), (second, *_) = fits
    return shape if overlap >= OVERLAP[shape] and overlap - second >= MARGIN else None, overlap, where


def look(picture: torch.Tensor) -> Seen:
    """Everything in a picture [3, S, S] in 0..1 (any square size; it is judged at 128 x 128)."""
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
    found = []
    for mask, colour in split_objects(pixels, ground, light):
        shape, overlap, (x, y, radius, turn) = fit_shape(mask)
        found.append(Found(shape, colour, x / SIZE, y / SIZE, radius / SIZE, turn, overlap))
    return Seen(name, tuple(found))


def find_objects(picture: torch.Tensor) -> tuple[Found, ...]:
    """The objects alone of :func:`look`."""
    return look(picture).objects


def _match(wanted: Sequence[Shape], found: Sequence[Found], placed: bool) -> list[Found | None]:
    """Give each wanted object the patch that fits it best, each patch once: by what it is, then
    (``placed``: first of all) by where it lies.
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
    """Hold a picture [3, S, S] in 0..1 against a scene, object by object. With ``placed`` each must
    also lie where the scene has it, at its size.

    ``seen`` is what :func:`look` said of the picture, if it was asked already.
    """
    seen = look(picture) if seen is None else seen
    verdicts = []
    for wanted, found in zip(scene.objects, _match(scene.objects, seen.objects, placed), strict=True):
        if found is None:
            verdicts.append(ObjectVerdict(wanted, None, False, False, False))
            continue
        near = math.hypot(wanted.x - found.x, wanted.y - found.y) <= REACH * wanted.radius
        alike = 1 / GROWTH <= found.radius / wanted.radius <= GROWTH
        verdicts.append(
            ObjectVerdict(wanted, found, found.colour == wanted.colour, found.shape == wanted.shape, near and alike)
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
    """Whether a picture [3, S, S] in 0..1 shows what ``scenes.caption(scene)`` says: the ground and
    exactly these coloured shapes, anywhere.
    """
    return shows_caption(look(picture), scene)


def shows_caption(seen: Seen, scene: Scene) -> bool:
    """:func:`caption_accepted` for a picture that was looked at already."""
    there, wanted = (
        Counter((item.colour, item.shape) for item in objects) for objects in (seen.objects, scene.objects)
    )
    return seen.ground == scene.ground and there == wanted
