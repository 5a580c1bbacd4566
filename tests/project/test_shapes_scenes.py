"""The scenes of shapes: exact masks, captions, held-out combinations, and edits that change one
thing.
"""

import random
from dataclasses import replace

import pytest
import torch
from shapes import scenes
from shapes.scenes import COLOUR_NAMES, COLOURS, SHAPES, SIZE, Scene, Shape

SEEDS = range(60)


def draw(seed: int, **options) -> Scene:
    return scenes.random_scene(random.Random(f"scenes {seed}"), **options)


def test_render_is_made_of_ground_and_objects():
    """Where a mask is 1 the picture is the object's lit colour; where all are 0 it is the lit
    ground's.
    """
    for seed in SEEDS:
        scene = draw(seed)
        picture, masks = scenes.render(scene)
        assert picture.shape == (3, SIZE, SIZE)
        assert picture.min() >= 0
        assert picture.max() <= 1
        for item, mask in zip(scene.objects, masks, strict=True):
            wanted = torch.tensor(COLOURS[item.colour])[:, None]
            assert ((picture[:, mask == 1] - wanted).abs() <= 0.5 * scene.shade * 0.71 + 1e-6).all()
        empty = torch.stack(masks).sum(0) == 0
        ground, _ = scenes.render(replace(scene, objects=()))
        assert torch.equal(picture[:, empty], ground[:, empty])


def test_masks_are_disjoint_and_in_range():
    for seed in SEEDS:
        masks = torch.stack(scenes.render(draw(seed))[1])
        assert masks.min() >= 0
        assert masks.sum(0).max() <= 1 + 1e-6
        assert (masks.sum((1, 2)) > 400).all(), "every object shows at least 400 pixels"


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_are_exact(shape):
    """A mask's area equals that of the same outline on a grid eight times finer, and its cells are
    the finer grid's means.
    """
    item = Shape(shape, "red", 0.52, 0.47, 0.22, 0.3)
    coarse, fine = scenes.coverage(item, SIZE), scenes.coverage(item, 8 * SIZE)
    means = torch.nn.functional.avg_pool2d(fine[None, None], 8)[0, 0]
    assert abs(coarse.sum() - means.sum()) / means.sum() < 0.01
    assert (coarse - means).abs().max() < 0.35
    assert (coarse - means).abs().mean() < 0.003


def test_objects_that_overlap_hide_what_is_behind():
    back, front = Shape("square", "red", 0.45, 0.5, 0.2, 0.0), Shape("circle", "blue", 0.55, 0.5, 0.2, 0.0)
    _, (behind, before) = scenes.render(Scene((back, front), "white"))
    assert torch.equal(before, scenes.coverage(front))
    torch.testing.assert_close(behind, scenes.coverage(back) * (1 - scenes.coverage(front)))


def test_held_out_combinations_are_a_tenth():
    every = [(shape, colour, ground) for shape in SHAPES for colour in COLOUR_NAMES for ground in COLOUR_NAMES]
    kept = [combination for combination in every if scenes.held_out(*combination)]
    assert len(kept) == len(every) // 10
    assert {shape for shape, *_ in kept} == set(SHAPES)
    assert {colour for _, colour, _ in kept} == set(COLOUR_NAMES)


def test_training_never_draws_a_held_out_combination():
    for seed in range(600):
        scene = draw(seed)
        assert not any(scenes.held_out(item.shape, item.colour, scene.ground) for item in scene.objects)


def test_unseen_scenes_hold_out_every_object():
    for seed in range(100):
        scene = draw(seed, unseen=True)
        assert all(scenes.held_out(item.shape, item.colour, scene.ground) for item in scene.objects)


def test_scenes_are_clear_to_see():
    """No colour is on itself or on a similar one; objects are inside the picture and apart."""
    for seed in range(200):
        scene = draw(seed)
        for index, item in enumerate(scene.objects):
            assert not scenes.clash(item.colour, scene.ground)
            assert item.radius <= min(item.x, item.y, 1 - item.x, 1 - item.y)
            for other in scene.objects[:index]:
                assert not scenes.clash(item.colour, other.colour)
                assert (item.x - other.x) ** 2 + (item.y - other.y) ** 2 >= (item.radius + other.radius) ** 2


def test_same_seed_same_scene_and_pixels():
    state = random.getstate()
    first, second = draw(7), draw(7)
    assert first == second
    assert first != draw(8)
    assert torch.equal(scenes.render(first)[0], scenes.render(second)[0])
    assert random.getstate() == state, "the global generator is unchanged"


def test_count_is_obeyed():
    for count in (1, 2, 3):
        assert len(draw(count, count=count).objects) == count


def test_caption():
    scene = Scene((Shape("circle", "red", 0.3, 0.3, 0.1, 0.0), Shape("star", "blue", 0.7, 0.7, 0.1, 0.0)), "green")
    assert scenes.caption(scene) == "a red circle and a blue star on a green background"
    assert scenes.caption(scene, ground=False) == "a red circle and a blue star"


def test_training_captions_say_only_what_is_there():
    rng, scene = random.Random(0), draw(3, count=3)
    texts = [scenes.training_caption(scene, rng) for _ in range(400)]
    assert 0.05 < texts.count("") / 400 < 0.15
    assert len(set(texts)) == 13, "six orders with and without the ground, and nothing"
    for text in set(texts) - {""}:
        assert all(f"a {item.colour} {item.shape}" in text for item in scene.objects)
        assert ("background" in text) == (f"on a {scene.ground} background" in text)


@pytest.mark.parametrize("kind", ["colour", "shape"])
def test_edit_changes_one_thing(kind):
    for seed in SEEDS:
        scene = draw(seed)
        edited = scenes.edit_of(scene, kind, random.Random(seed))
        old, new = scene.objects[0], edited.objects[0]
        assert getattr(old, kind) != getattr(new, kind)
        assert replace(new, **{kind: getattr(old, kind)}) == old
        assert replace(edited, objects=scene.objects) == scene
        assert not scenes.clash(new.colour, edited.ground)


def test_colour_edit_leaves_every_pixel_outside_the_object():
    scene = draw(11)
    edited = scenes.edit_of(scene, "colour", random.Random(0))
    (before, masks), (after, _) = scenes.render(scene), scenes.render(edited)
    assert torch.equal(before[:, masks[0] == 0], after[:, masks[0] == 0])


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown shape 'blob'"):
        scenes.coverage(Shape("blob", "red", 0.5, 0.5, 0.2, 0.0))
    with pytest.raises(ValueError, match="unknown edit 'size'"):
        scenes.edit_of(draw(0), "size", random.Random(0))
