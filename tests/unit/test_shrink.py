"""Mask shrinking against the paper's figures: four equal quarters, the mask itself at the end for
every number of steps.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some


@pytest.fixture(scope="module")
def shrink(pack_module):
    return pack_module("core.masks.shrink")


def box():
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 5:11, 4:12] = 1
    return mask


def test_areas_are_those_of_binary_dilation(shrink):
    """A box of 6 x 8 cells grows by half a kernel to each side."""
    assert [int(mask.sum()) for mask in shrink.shrinking_masks(box())] == [12 * 14, 10 * 12, 8 * 10, 6 * 8]


def test_dilation_stops_at_the_picture_and_keeps_soft_values(shrink):
    mask = torch.zeros(1, 8, 8)
    mask[0, 0, 0] = 0.25
    wide = shrink.dilate(mask, 7)
    assert wide.shape == mask.shape
    assert torch.equal(wide[0, :4, :4], torch.full((4, 4), 0.25))
    assert float(wide.sum()) == 16 * 0.25


@pytest.mark.parametrize(
    "steps, counts",
    [
        (50, [13, 12, 13, 12]),
        (40, [10, 10, 10, 10]),
        (12, [3, 3, 3, 3]),
        (9, [3, 2, 2, 2]),
        (4, [1, 1, 1, 1]),
        (3, [0, 1, 1, 1]),
        (2, [0, 0, 1, 1]),
        (1, [0, 0, 0, 1]),
    ],
)
def test_equal_shares(shrink, steps, counts):
    result = [shrink.stage_at(step, steps, shrink.equal_ends(4)) for step in range(steps)]
    assert [result.count(stage) for stage in range(4)] == counts
    if steps >= 4:
        assert result == [min(3, 4 * step // steps) for step in range(steps)]


@given(
    steps=some.integers(1, 200),
    ends=some.lists(some.floats(0.01, 0.99), min_size=1, max_size=6, unique=True).map(sorted).map(tuple),
)
def test_stages_never_go_back_and_end_in_the_mask_for_equal_ends(shrink, steps, ends):
    result = [shrink.stage_at(step, steps, ends) for step in range(steps)]
    assert result == sorted(result)
    assert all(0 <= stage <= len(ends) for stage in result)
    equal = [shrink.stage_at(step, steps, shrink.equal_ends(len(ends) + 1)) for step in range(steps)]
    assert equal == sorted(equal)
    assert equal[-1] == len(ends)


def test_the_last_step_has_the_mask_itself_whatever_the_ends(shrink):
    for steps in range(1, 60):
        assert shrink.stage_at(steps - 1, steps, (0.3, 0.6, 0.99)) == 3


def test_levels_belong_to_the_step_that_starts_at_or_above_them(shrink):
    sigmas = torch.tensor([10.0, 5.0, 2.0, 0.0])
    assert [shrink.step_of(sigma, sigmas)[0] for sigma in (11.0, 10.0, 9.9999, 7.0, 5.0, 2.0, 0.5, 0.0)] == [
        0,
        0,
        0,
        0,
        1,
        2,
        2,
        2,
    ]
    assert shrink.step_of(1.0, torch.tensor([1.0, 0.0])) == (0, 1)


def test_levels_need_no_double_precision(shrink, monkeypatch):
    """Sampling passes levels on its device, and Apple's devices have no float64."""

    def fail(tensor):
        raise TypeError("no float64 here")

    monkeypatch.setattr(torch.Tensor, "double", fail)
    assert shrink.step_of(5.0, torch.tensor([10.0, 5.0, 0.0])) == (1, 2)
