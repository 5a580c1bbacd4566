"""The demo world: scenes, captions, edits, renders, and its judge."""

import random

import pytest
import torch

from demo.world import judge
from demo.world.edits import EDITS, random_edit
from demo.world.render import SIZE, SPRITES, looks, render, render_batch
from demo.world.scenes import (
    COLOUR_NAMES,
    GROUND_NAMES,
    SIZES,
    Scene,
    Thing,
    caption,
    caption_vocabulary,
    held_out,
    random_scene,
    training_caption,
    vocabulary,
)
from demo.world.things import CODE_POINTS, FAMILIES, KINDS, PAINTED, join, with_article


def scenes(number: int, **settings) -> list[Scene]:
    return [random_scene(random.Random(f"world {index}"), **settings) for index in range(number)]


def test_the_world_is_rich():
    assert len(KINDS) == len(set(KINDS)) >= 48
    assert len(GROUND_NAMES) >= 8
    assert len(PAINTED) >= 10
    assert all(len(kinds) >= 2 for kinds in FAMILIES.values())
    assert len(looks()) == len(KINDS) + len(PAINTED) * (len(COLOUR_NAMES) - 1)


def test_every_thing_has_its_sprite_and_no_sprite_is_left_over():
    assert {path.stem for path in SPRITES.iterdir()} == set(CODE_POINTS.values())
    assert set(CODE_POINTS) == set(KINDS)


def test_a_tenth_of_all_pairs_is_held_out_and_every_thing_and_ground_is_seen():
    pairs = {(kind, ground): held_out(kind, ground) for kind in KINDS for ground in GROUND_NAMES}
    assert 0.08 < sum(pairs.values()) / len(pairs) < 0.12
    assert all(any(not pairs[kind, ground] for ground in GROUND_NAMES) for kind in KINDS)
    assert all(any(not pairs[kind, ground] for kind in KINDS) for ground in GROUND_NAMES)


@pytest.mark.parametrize("unseen", [False, True])
def test_scenes_hold_only_pairs_of_their_side(unseen):
    for scene in scenes(60, unseen=unseen):
        assert all(held_out(thing.kind, scene.ground) == unseen for thing in scene.things if not thing.worn)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_things_are_as_large_as_promised_and_differ(count):
    for scene in scenes(40, count=count, worn=False):
        assert len({thing.kind for thing in scene.things}) == count
        low, high = SIZES[count]
        assert all(low <= thing.size <= high for thing in scene.things)


def test_captions_are_right_english():
    assert with_article("orange") == "an orange"
    assert with_article("dog") == "a dog"
    assert join(["a dog", "a cat", "a car"]) == "a dog, a cat and a car"
    dog = Thing("dog", None, 0.5, 0.5, 0.5)
    crown = Thing("crown", None, 0.5, 0.2, 0.2, worn=True)
    car = Thing("car", "red", 0.2, 0.8, 0.3)
    assert caption(Scene((dog, crown, car), "snow")) == "a dog wearing a crown and a red car on snow"
    assert caption(Scene((Thing("umbrella", "orange", 0.5, 0.5, 0.5),), "sky")) == "an orange umbrella in the sky"


def test_every_word_is_in_the_vocabulary():
    known = set(caption_vocabulary())
    for index, scene in enumerate(scenes(300)):
        text = training_caption(scene, random.Random(index))
        assert set(text.replace(",", " ,").split()) <= known
    words = set(vocabulary())
    for index in range(100):
        text = random_edit(random.Random(index), EDITS[index % len(EDITS)]).instruction
        assert set(text.split()) <= words


def test_a_scene_depends_on_its_seed_alone():
    assert scenes(5) == scenes(5)
    assert torch.equal(render(scenes(1)[0])[0], render(scenes(1)[0])[0])


def test_a_picture_does_not_depend_on_its_batch():
    three = scenes(3)
    together = render_batch(three).pictures
    assert all(torch.equal(render(scene)[0], picture) for scene, picture in zip(three, together))


def test_masks_are_where_the_picture_differs_from_the_bare_ground():
    scene = random_scene(random.Random(3), 1, worn=False)
    sky = Scene(scene.things, "sky", scene.patch, scene.light, scene.shade, scene.bright)
    bare = Scene((), "sky", scene.patch, scene.light, scene.shade, scene.bright)
    picture, [mask] = render(sky)
    difference = (picture - render(bare)[0]).abs().amax(0)
    assert picture.shape == (3, SIZE, SIZE)
    assert difference[mask == 0].max() == 0
    assert (difference[mask > 0.99] > 0.01).float().mean() > 0.95


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_changes_what_it_says_and_nothing_far_from_it(kind):
    for index in range(4):
        edit = random_edit(random.Random(f"{kind} {index}"), kind)
        (before, masks), (after, masks_after) = render(edit.before), render(edit.after)
        assert not torch.equal(before, after)
        if kind == "ground":
            assert edit.before.things == edit.after.things
            continue
        assert edit.before.ground == edit.after.ground
        touched = [masks[place] for place in edit.changed_before] + [masks_after[place] for place in edit.changed_after]
        cover = torch.stack(touched).amax(0)[None, None]
        near = torch.nn.functional.max_pool2d(cover, 61, 1, 30)[0, 0] > 0  # the reach of a shadow
        assert torch.equal(before[:, ~near], after[:, ~near])


@pytest.mark.parametrize("kind", EDITS)
def test_held_out_edits_end_in_pairs_that_training_never_saw(kind):
    for index in range(6):
        edit = random_edit(random.Random(f"{kind} {index}"), kind, unseen=True)
        assert all(held_out(thing.kind, edit.after.ground) or thing.worn for thing in edit.after.things)


def test_painting_changes_the_hue_and_keeps_the_shape():
    red, blue = (render(Scene((Thing("car", colour, 0.5, 0.5, 0.6),), "stone")) for colour in ("red", "blue"))
    assert torch.equal(red[1][0], blue[1][0])
    inside = red[1][0] > 0.9
    assert red[0][0][inside].mean() > red[0][2][inside].mean()
    assert blue[0][2][inside].mean() > blue[0][0][inside].mean()


def test_the_judge_accepts_renders_and_refuses_other_captions():
    chosen = [
        random_scene(random.Random(f"judged {index}"), 1 + index % 2, unseen=True, worn=False) for index in range(16)
    ]
    seen = judge.recognise(render_batch(chosen).pictures)
    assert sum(one.shows(scene) for one, scene in zip(seen, chosen)) >= 15
    assert not any(one.shows(scene) for one, scene in zip(seen, chosen[1:] + chosen[:1]))


def test_the_judge_refuses_half_things_and_empty_pictures():
    whole = Scene((Thing("cat", None, 0.5, 0.5, 0.6),), "grass")
    other = Scene((Thing("bus", None, 0.5, 0.5, 0.6),), "grass")
    halves = render(whole)[0]
    halves[:, :, SIZE // 2 :] = render(other)[0][:, :, SIZE // 2 :]
    bare = render(Scene((), "grass"))[0]
    assert not any(seen.shows(whole) for seen in judge.recognise(torch.stack([halves, bare])))
