"""Mask arithmetic: thin strokes survive, blends are exact, batches match; stated as properties over
many inputs.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some


@pytest.fixture(scope="module")
def masks(pack_module):
    return pack_module("core.masks.operations")


def stroke(size, width, offset, kind):
    mask = torch.zeros(1, size, size)
    if kind == "horizontal":
        mask[:, offset : offset + width] = 1
    elif kind == "vertical":
        mask[..., offset : offset + width] = 1
    else:
        rows = torch.arange(size)
        for shift in range(width):
            inside = rows + offset + shift < size
            mask[0, rows[inside], (rows + offset + shift)[inside]] = 1
    return mask


@pytest.mark.parametrize("kind", ["horizontal", "vertical", "diagonal"])
@pytest.mark.parametrize("size", [512, 1024])
def test_a_thin_stroke_survives_at_every_offset(masks, size, kind):
    for width in range(1, 7):
        for offset in range(8):
            mask = stroke(size, width, offset, kind)
            cells = masks.fit_mask(mask, size // 8, size // 8)
            touched = mask.view(size // 8, 8, size // 8, 8).amax((1, 3))
            assert torch.equal(cells[0], touched)
            assert cells.sum() >= size // 8 - 1


@settings(max_examples=150, deadline=None)
@given(some.integers(1, 70), some.integers(1, 70), some.integers(1, 20), some.integers(1, 20), some.integers(0, 10**6))
def test_fitting_loses_nothing_and_invents_nothing(pack_module, rows, columns, height, width, seed):
    masks = pack_module("core.masks.operations")
    mask = torch.zeros(1, rows, columns)
    generator = torch.Generator().manual_seed(seed)
    row, column = (int(torch.randint(0, limit, (1,), generator=generator)) for limit in (rows, columns))
    mask[0, row, column] = 1
    fitted = masks.fit_mask(mask, height, width)
    assert fitted.shape == (1, height, width)
    assert set(fitted.unique().tolist()) <= {0.0, 1.0}
    assert fitted.sum() >= 1
    top, left = (int(axis[0]) for axis in torch.nonzero(fitted[0], as_tuple=True))
    assert abs((top + 0.5) / height - (row + 0.5) / rows) <= 1 / height + 1 / rows
    assert abs((left + 0.5) / width - (column + 0.5) / columns) <= 1 / width + 1 / columns


def test_a_mask_made_from_cells_comes_back_as_those_cells(masks):
    cells = (torch.rand(3, 13, 9, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    assert torch.equal(masks.fit_mask(masks.fit_mask(cells, 13 * 8, 9 * 8), 13, 9), cells)


@settings(max_examples=60, deadline=None)
@given(some.integers(0, 10**6), some.integers(1, 4))
def test_growing_and_shrinking_are_each_others_mirror(pack_module, seed, cells):
    masks = pack_module("core.masks.operations")
    mask = (torch.rand(2, 12, 15, generator=torch.Generator().manual_seed(seed)) > 0.7).float()
    grown = masks.grow_mask(mask, cells)
    assert torch.equal(1 - masks.grow_mask(1 - mask, -cells), grown)
    assert (grown >= mask).all()
    assert torch.equal(masks.grow_mask(masks.grow_mask(mask, 1), cells), masks.grow_mask(mask, cells + 1))
    assert masks.grow_mask(mask, 0) is mask


@settings(max_examples=100, deadline=None)
@given(some.integers(0, 10**6))
def test_blend_is_exact_at_both_ends(pack_module, seed):
    blend = pack_module("core.masks.operations").blend
    generator = torch.Generator().manual_seed(seed)
    inside, outside = (
        torch.randn(2, 4, 6, 6, generator=generator) * 1e4,
        torch.randn(2, 4, 6, 6, generator=generator) * 1e-4,
    )
    mask = torch.randint(0, 3, (2, 1, 6, 6), generator=generator) / 2
    result = blend(inside, outside, mask)
    for value, side in ((0, outside), (1, inside)):
        chosen = (mask == value).expand_as(result)
        assert torch.equal(result[chosen], side[chosen])
    half = (mask == 0.5).expand_as(result)
    assert torch.allclose(result[half], ((inside + outside) / 2)[half])


def test_blur_keeps_a_constant_and_spreads_a_point(masks):
    assert torch.allclose(masks.gaussian_blur(torch.full((1, 7, 9), 0.3), 2.0), torch.full((1, 7, 9), 0.3))
    point = torch.zeros(1, 21, 21)
    point[0, 10, 10] = 1
    spread = masks.gaussian_blur(point, 1.5)
    axis = torch.arange(21.0) - 10
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    assert float((spread[0].sum(0) * axis**2).sum()) == pytest.approx(1.5**2, rel=0.05)
    assert masks.gaussian_blur(point, 0) is point


def test_closing_fills_gaps_within_and_leaves_edges_and_peaks(masks):
    field = torch.zeros(1, 9, 9)
    field[:, 2:7, 1:8] = 3.0
    field[:, 4, 4] = 1.0
    field[:, 8, 8] = 2.0
    closed = masks.close_field(field, 1)
    wanted = field.clone()
    wanted[:, 4, 4] = 3.0
    assert torch.equal(closed, wanted)


def test_otsu_is_the_threshold_that_a_search_finds(masks):
    values = torch.rand(6, 50, generator=torch.Generator().manual_seed(4)) ** torch.arange(1, 7).view(6, 1)
    result = masks.otsu_threshold(values)
    for row, threshold in zip(values, result):
        spread = {}
        for limit in row:
            low, high = row[row <= limit], row[row > limit]
            if len(high):
                spread[float(limit)] = len(low) * len(high) * float(high.double().mean() - low.double().mean()) ** 2
        best = max(spread, key=spread.get)
        assert torch.equal(row > threshold, row > best)


def test_otsu_of_one_value_selects_everything_above_zero(masks):
    assert torch.equal(masks.otsu_threshold(torch.full((2, 5), 0.3)), torch.zeros(2, 1))
    assert torch.equal(masks.otsu_threshold(torch.ones(3, 1)), torch.zeros(3, 1))


def test_combinations_of_masks(masks):
    one, other = torch.tensor([0.0, 0.3, 1.0]), torch.tensor([1.0, 0.5, 0.2])
    assert torch.equal(masks.combine(one, other, "intersection"), torch.tensor([0.0, 0.3, 0.2]))
    assert torch.equal(masks.combine(one, other, "union"), torch.tensor([1.0, 0.5, 1.0]))
    assert torch.equal(masks.combine(one, other, "only"), other)
    with pytest.raises(ValueError, match="unknown combination 'both'"):
        masks.combine(one, other, "both")
