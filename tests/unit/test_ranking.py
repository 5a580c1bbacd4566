"""CLIPRank's inputs for CLIP, and the order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def ranking(pack_module):
    return pack_module("core.pictures.ranking")


def pictures(count=1, height=40, width=56, seed=0):
    return torch.rand((count, height, width, 3), generator=torch.Generator().manual_seed(seed))


def box_mask(height, width, top, bottom, left, right):
    mask = torch.zeros(1, height, width)
    mask[:, top:bottom, left:right] = 1
    return mask


def test_masked_is_the_whole_frame_with_black_outside(ranking):
    image, mask = pictures(), box_mask(40, 56, 8, 24, 10, 30)
    shown = ranking.region_pictures(image, mask, "masked", 32)
    other = image.clone()
    other[:, :8] = 0.5  # outside: must have no effect
    assert torch.equal(shown, ranking.region_pictures(other, mask, "masked", 32))
    blackened = image.clone()
    blackened[mask == 0] = 0
    assert torch.equal(shown, ranking.region_pictures(blackened, None, "whole", 32))
    assert shown.shape == (1, 32, 32, 3)
    assert shown[:, :4].abs().max() < 0.05
    assert shown[:, 30:].abs().max() < 0.05


def test_crop_is_the_masks_square_with_margin_and_nothing_black(ranking):
    image, mask = pictures(), box_mask(40, 56, 8, 18, 10, 30)
    top, bottom, left, right = ranking.box_of(mask[0], 0.1)
    assert (bottom - top, right - left) == (24, 24)
    assert (left, right) == (8, 32)
    assert (top, bottom) == (1, 25)
    assert torch.equal(
        ranking.region_pictures(image, mask, "crop", 24, 0.1), ranking.resize_square(image[:, 1:25, 8:32], 24)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 39), st.integers(0, 55), st.integers(1, 40), st.integers(1, 56), st.floats(0, 2))
def test_the_crop_lies_in_the_picture_and_holds_the_mask(pack_module, top, left, tall, wide, margin):
    mask = box_mask(40, 56, top, min(40, top + tall), left, min(56, left + wide))[0]
    first, last, near, far = pack_module("core.pictures.ranking").box_of(mask, margin)
    assert 0 <= first < last <= 40
    assert 0 <= near < far <= 56
    outside = mask.clone()
    outside[first:last, near:far] = 0
    assert (
        outside.sum() == 0 or min(40, tall) > 40 or max(tall, wide) > min(40, 56)
    )  # only a mask that is longer than the picture's height may be cut
    assert last - first == far - near or last - first == 40 or far - near == 56


def test_every_picture_of_a_batch_has_its_own_mask(ranking):
    image = pictures(2)
    masks = torch.cat([box_mask(40, 56, 0, 10, 0, 10), box_mask(40, 56, 20, 40, 30, 56)])
    for region in ("masked", "crop"):
        both = ranking.region_pictures(image, masks, region, 16)
        for item in range(2):
            assert torch.equal(
                both[item : item + 1],
                ranking.region_pictures(image[item : item + 1], masks[item : item + 1], region, 16),
            )


def test_refusals_say_what_came(ranking):
    with pytest.raises(ValueError, match="got an empty mask"):
        ranking.region_pictures(pictures(), torch.zeros(1, 40, 56), "crop", 16)
    with pytest.raises(ValueError, match="no mask"):
        ranking.region_pictures(pictures(), None, "masked", 16)
    with pytest.raises(ValueError, match="'all'"):
        ranking.region_pictures(pictures(), None, "all", 16)


def test_resizing_is_comfyuis_own_preprocessing(ranking):
    clip_model = pytest.importorskip("comfy.clip_model")
    image = pictures(2)
    square = ranking.resize_square(image, 24)
    assert torch.allclose(
        (square.movedim(-1, 1) - 0.5) / 0.25,
        clip_model.clip_preprocess(image, 24, [0.5] * 3, [0.25] * 3, crop=False),
        atol=1e-6,
    )
    assert torch.equal(
        ranking.resize_square(square, 24), square
    )  # nothing is lost when the encoder preprocesses it again


def test_background_fidelity_counts_only_what_is_outside(ranking):
    source, mask = torch.full((3, 8, 8, 3), 0.5), box_mask(8, 8, 2, 6, 2, 6).expand(3, 8, 8)
    edited = source.clone()
    edited[0, 2:6, 2:6] = 1  # inside only
    edited[1, mask[1] == 0] = 0.7  # 0.2 away everywhere outside
    edited[2, 0, 0] = 1.0  # one of 48 pixels by 0.5
    expected = torch.tensor([1.0, 0.8, 1 - (0.25 / 48) ** 0.5])
    assert torch.allclose(ranking.background_fidelity(edited, source, mask), expected, atol=1e-6)
    assert ranking.background_fidelity(edited[:1], source[:1], torch.ones(1, 8, 8)).item() == 1.0


def test_order_within_each_source(ranking):
    scores = torch.tensor([0.1, 0.3, 0.2, 0.9, 0.9, 1.5])
    assert ranking.order_within_sources(scores, 3).tolist() == [[1, 2, 0], [5, 3, 4]]
    assert ranking.order_within_sources(scores, 0).tolist() == [[5, 3, 4, 1, 2, 0]]
    with pytest.raises(ValueError, match="6 predictions and 4 per source"):
        ranking.order_within_sources(scores, 4)
    with pytest.raises(ValueError, match="NaN"):
        ranking.order_within_sources(torch.tensor([0.0, torch.nan]), 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=12), st.randoms())
def test_the_order_sorts_and_does_not_depend_on_the_way_in(pack_module, values, rng):
    order_of = pack_module("core.pictures.ranking").order_within_sources
    scores = torch.tensor(values)
    order = order_of(scores, 0)[0]
    assert sorted(order.tolist()) == list(range(len(values)))
    assert (scores[order].diff() <= 0).all()
    shuffled = list(range(len(values)))
    rng.shuffle(shuffled)
    assert torch.equal(scores[shuffled][order_of(scores[shuffled], 0)[0]], scores[order])
