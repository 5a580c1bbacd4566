"""The judge of the shapes accepts correct pictures, including blurred and noisy ones, and refuses
all others.
"""

import io
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from shapes import judge
from shapes.scenes import (
    COLOUR_NAMES,
    COLOURS,
    SHAPES,
    SIZE,
    Scene,
    Shape,
    clash,
    edit_of,
    random_scene,
    render,
    signed_distance,
)

COUNT = 100


def degrade(picture: torch.Tensor, seed: int) -> torch.Tensor:
    """A picture with a blur of 1.5 pixels, noise of 0.03, and JPEG of quality 60."""
    pixels = ndimage.gaussian_filter(picture.numpy(), (0, 1.5, 1.5)) + np.random.default_rng(seed).normal(
        0, 0.03, picture.shape
    )
    file = io.BytesIO()
    Image.fromarray((pixels.clip(0, 1).transpose(1, 2, 0) * 255).round().astype(np.uint8)).save(
        file, "JPEG", quality=60
    )
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255


@pytest.fixture(scope="module")
def held_out_scenes() -> list[Scene]:
    return [random_scene(random.Random(f"judge {index}"), unseen=True) for index in range(COUNT)]


@pytest.fixture(scope="module")
def seen(held_out_scenes) -> list[judge.Seen]:
    """The judge's findings in each scene's degraded render."""
    return [judge.recognise(degrade(render(scene)[0], index)) for index, scene in enumerate(held_out_scenes)]


def test_clean_renders_are_right(held_out_scenes):
    pictures = [render(scene)[0] for scene in held_out_scenes]
    closed = [judge.edit_accepted(picture, scene) for picture, scene in zip(pictures, held_out_scenes, strict=True)]
    assert sum(closed) / COUNT >= 0.98
    assert all(
        judge.caption_accepted(picture, scene)
        for picture, scene, right in zip(pictures, held_out_scenes, closed, strict=True)
        if right
    )


def test_degraded_renders_are_right(held_out_scenes, seen):
    assert (
        sum(judge.judge(None, scene, seen=view).accepted for scene, view in zip(held_out_scenes, seen, strict=True))
        / COUNT
        >= 0.95
    )


def test_other_edits_are_refused(held_out_scenes, seen):
    """The same pictures compared with a scene in which one colour or shape is changed, with one
    object more or fewer, or with another ground.
    """
    accepted = 0
    for index, (scene, view) in enumerate(zip(held_out_scenes, seen, strict=True)):
        rng = random.Random(index)
        ground, twin = (
            rng.choice([name for name in COLOUR_NAMES if name != scene.ground]),
            replace(scene.objects[0], x=0.9, y=0.9),
        )
        wrong = [edit_of(scene, "colour", rng), edit_of(scene, "shape", rng), replace(scene, ground=ground)]
        wrong += [replace(scene, objects=scene.objects[1:]), replace(scene, objects=(*scene.objects, twin))]
        accepted += sum(
            judge.judge(None, other, placed=placed, seen=view).accepted for other in wrong for placed in (True, False)
        )
    assert accepted / (10 * COUNT) < 0.01


@pytest.mark.parametrize("degraded", [False, True])
def test_confusion_of_shapes(degraded):
    """Rows are drawn shapes, columns found ones: only the diagonal is not empty."""
    table = np.zeros((6, 7))
    for row, shape in enumerate(SHAPES):
        for turn in (-0.3, 0.0, 0.15, 0.33):
            for radius in (0.14, 0.22, 0.29):
                picture = render(Scene((Shape(shape, "yellow", 0.5, 0.45, radius, turn),), "blue", turn, 0.2))[0]
                objects = judge.find_objects(degrade(picture, row) if degraded else picture)
                assert len(objects) == 1
                table[row, SHAPES.index(objects[0].shape) if objects[0].shape else 6] += 1 / 12
    assert np.diag(table).min() >= 0.9
    assert np.diag(table).mean() >= 0.98
    assert (table[:, :6] - np.diag(np.diag(table))).max() == 0


def test_confusion_of_colours():
    """Every allowed colour on every ground, degraded: the right name, and no wrong one."""
    right = total = 0
    for colour in COLOUR_NAMES:
        for ground in COLOUR_NAMES:
            if clash(colour, ground):
                continue
            picture = degrade(render(Scene((Shape("circle", colour, 0.4, 0.55, 0.2, 0.0),), ground, 1.0, 0.25))[0], 0)
            objects = judge.find_objects(picture)
            assert {item.colour for item in objects} <= {colour, None}
            right, total = (
                right
                + (len(objects) == 1 and objects[0].colour == colour and judge.recognise(picture).ground == ground),
                total + 1,
            )
    assert right / total >= 0.98


@pytest.mark.parametrize("mix", [(0.5, 0.5, 0.5), (0.55, 0.35, 0.2), (0.5, 0.75, 0.55)])
def test_colours_between_colours_are_refused(mix):
    """Grey, brown and pale green are not colours of the shapes."""
    picture, (mask,) = render(Scene((Shape("square", "red", 0.5, 0.5, 0.25, 0.1),), "blue", 0.0, 0.1))
    picture = picture * (1 - mask) + torch.tensor(mix)[:, None, None] * mask
    assert [item.colour for item in judge.find_objects(picture)] == [None]


def mixed_outline(first: str, second: str, share: float, radius: float = 30.0) -> np.ndarray:
    """The outline between two shapes: the zero line of the mean of their distances, [SIZE, SIZE]
    binary.
    """
    axis = torch.arange(SIZE) + 0.5 - 64
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return (
        (1 - share) * signed_distance(first, x, y, radius) + share * signed_distance(second, x, y, radius) < 0
    ).numpy()


@pytest.mark.parametrize(
    "pair", ["circle star", "circle triangle", "square star", "triangle star", "cross star", "circle square"]
)
def test_shapes_between_shapes_are_refused(pair):
    first, second = pair.split()
    assert judge.fit_shape(mixed_outline(first, second, 0.5))[0] is None


def polygon_star(notch: float, radius: float = 28.0) -> np.ndarray:
    """A five-pointed star whose notches are at ``notch`` radii (0.5 in scenes.py, 0.906 for its
    convex hull), [SIZE, SIZE] binary.
    """
    turns = 0.1 + np.arange(10) * math.pi / 5
    reach = np.where(np.arange(10) % 2 == 0, 1.12, notch) * radius
    image = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(image).polygon(
        list(zip(64 + reach * np.sin(turns), 64 - reach * np.cos(turns), strict=True)), fill=255
    )
    return np.array(image) > 0


def test_a_hull_is_no_star():
    assert judge.fit_shape(polygon_star(0.5))[0] == "star"
    assert [judge.fit_shape(polygon_star(notch))[0] for notch in (0.35, 0.7, 0.75, 0.8, 0.906)] == [None] * 5


def test_random_blobs_have_no_shape():
    rng, named = np.random.default_rng(0), 0
    y, x = np.mgrid[:SIZE, :SIZE] - 64
    for _ in range(60):
        field = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 8)
        labels, count = ndimage.label(field / field.std() > (x**2 + y**2) / 900 - 1)
        named += judge.fit_shape(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))[0] is not None
    assert named <= 2


def test_place_and_size_count_in_the_closed_form_only():
    item = Shape("triangle", "cyan", 0.4, 0.4, 0.2, 0.1)
    picture = render(Scene((item,), "purple"))[0]
    for change in (dict(x=0.55), dict(y=0.25), dict(radius=0.11)):
        other = Scene((replace(item, **change),), "purple")
        assert not judge.edit_accepted(picture, other)
        assert judge.caption_accepted(picture, other)
    verdict = judge.judge(picture, Scene((replace(item, x=0.55),), "purple"))
    assert [(one.colour, one.shape, one.place) for one in verdict.objects] == [(True, True, False)]
    assert verdict.ground


def test_touching_objects_are_told_apart():
    scene = Scene(
        (Shape("square", "red", 0.32, 0.5, 0.18, 0.0), Shape("square", "cyan", 0.32 + 2 * 0.86 * 0.18, 0.5, 0.18, 0.0)),
        "black",
    )
    assert judge.edit_accepted(render(scene)[0], scene)
    assert judge.edit_accepted(degrade(render(scene)[0], 0), scene)


def test_two_toned_objects_are_refused():
    """A half repainted star has neither the old nor the new colour."""
    scene = Scene((Shape("star", "red", 0.5, 0.5, 0.28, 0.0),), "white")
    other = replace(scene, objects=(replace(scene.objects[0], colour="green"),))
    picture = render(scene)[0]
    picture[:, :, 64:] = render(other)[0][:, :, 64:]
    assert not judge.edit_accepted(picture, scene)
    assert not judge.edit_accepted(picture, other)


def test_nothing_to_see():
    flat, noise = (
        torch.full((3, SIZE, SIZE), 0.5),
        torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)),
    )
    scene = random_scene(random.Random(0))
    assert judge.recognise(flat).ground is None
    assert judge.recognise(noise).ground is None
    for picture in (flat, noise, torch.zeros(3, SIZE, SIZE)):
        assert not judge.edit_accepted(picture, scene)
        assert not judge.caption_accepted(picture, scene)
    black = judge.recognise(torch.tensor(COLOURS["black"])[:, None, None].expand(3, SIZE, SIZE))
    assert black.ground == "black"
    assert black.objects == ()


def test_other_sizes_are_judged_too():
    scene = random_scene(random.Random("size"), count=1)
    for size in (96, 256):
        picture = render(scene, size)[0]
        assert judge.edit_accepted(picture, scene)


def test_verdict_of_objects_measures_what_was_drawn():
    scene = random_scene(random.Random("measure"), count=2)
    verdict = judge.judge(render(scene)[0], scene)
    for one in verdict.objects:
        assert math.hypot(one.found.x - one.wanted.x, one.found.y - one.wanted.y) < 0.01
        assert abs(one.found.radius / one.wanted.radius - 1) < 0.05
        assert one.found.overlap > 0.95
    assert verdict.extra == 0
    assert verdict.accepted


@pytest.mark.parametrize("shape", [(1, 3, 128, 128), (4, 128, 128), (3, 128, 96), (128, 128, 3)])
def test_wrong_pictures_are_answered(shape):
    with pytest.raises(ValueError, match="expected \\[3, S, S\\]"):
        judge.recognise(torch.zeros(shape))
