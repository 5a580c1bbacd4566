"""The guided filter, and DiffEdit's contrast along edges of the image and of the change."""

import pytest
import torch


@pytest.fixture(scope="module")
def operations(pack_module):
    return pack_module("core.masks.operations")


@pytest.fixture(scope="module")
def diffedit(pack_module):
    return pack_module("core.masks.diffedit")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filtered_by_hand(field, guide, radius, eps):
    """He, Sun and Tang 2013, equations 19 to 21, one window and one cell at a time, in float64."""
    height, width = field.shape
    field, guide = field.double(), guide.double()
    fits = {}
    for row in range(height):
        for column in range(width):
            rows = slice(max(0, row - radius), row + radius + 1)
            columns = slice(max(0, column - radius), column + radius + 1)
            inputs, values = guide[:, rows, columns].flatten(1), field[rows, columns].flatten()
            centred = inputs - inputs.mean(1, keepdim=True)
            count = len(values)
            slopes = torch.linalg.solve(
                centred @ centred.T / count + eps * torch.eye(len(guide), dtype=torch.float64),
                centred @ (values - values.mean()) / count,
            )
            fits[row, column] = slopes, values.mean() - slopes @ inputs.mean(1)
    result = torch.zeros(height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            near = [fits[place] for place in fits if abs(place[0] - row) <= radius and abs(place[1] - column) <= radius]
            result[row, column] = sum(slopes @ guide[:, row, column] + offset for slopes, offset in near) / len(near)
    return result


@pytest.mark.parametrize("radius, eps", [(1, 0.01), (2, 0.5)])
def test_the_guided_filter_equals_the_papers_equations(operations, radius, eps):
    field, guide = random(2, 7, 9).abs(), random(2, 3, 7, 9, seed=1)
    result = operations.guided_filter(field, guide, radius, eps)
    for item in range(2):
        by_hand = filtered_by_hand(field[item], guide[item], radius, eps)
        assert torch.allclose(result[item].double(), by_hand, atol=1e-5)


def test_a_window_larger_than_the_field(operations):
    field, guide = random(1, 4, 5), random(1, 2, 4, 5, seed=1)
    result = operations.guided_filter(field, guide, 32, 0.5)
    assert torch.isfinite(result).all()
    flat = operations.guided_filter(field, torch.zeros(1, 2, 4, 5), 32, 0.5)
    assert torch.allclose(flat, field.mean().expand(1, 4, 5), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 4, 16])
def test_principal_components(operations, channels):
    """The first ones, uncorrelated, of mean 0 and mean variance 1; of few channels nothing is lost."""
    field = torch.einsum("dc,nchw->ndhw", random(channels, channels), random(2, channels, 8, 8, seed=1)) + 3
    parts = operations.principal_components(field, 4)
    count = min(4, channels)
    assert parts.shape == (2, count, 8, 8)
    flat = parts.flatten(2)
    covariance = flat @ flat.mT / 64
    assert torch.allclose(flat.mean(2), torch.zeros(2, count), atol=1e-4)
    assert torch.allclose(covariance.diagonal(dim1=1, dim2=2).mean(1), torch.ones(2), atol=1e-4)
    assert torch.allclose(covariance, torch.diag_embed(covariance.diagonal(dim1=1, dim2=2)), atol=1e-3)
    centred = (field - field.mean((2, 3), keepdim=True)).flatten(2)
    kept = torch.linalg.svdvals(centred)[:, :count]
    assert torch.allclose(
        flat.norm(dim=2).sort(descending=True).values, kept * (8 * count**0.5) / kept.norm(dim=1)[:, None], rtol=1e-3
    )


def test_a_field_of_one_value_has_no_components(operations):
    assert torch.equal(operations.principal_components(torch.full((1, 4, 5, 5), 7.0), 4), torch.zeros(1, 4, 5, 5))


def an_object(size=24):
    """An image of two flat halves of different latents, its object, and a contrast with holes inside it and specks
    outside.
    """
    wanted = torch.zeros(1, size, size)
    wanted[:, 6:16, 5:18] = 1
    colours = random(2, 4, seed=2)
    x0 = torch.where(wanted.bool().unsqueeze(1), colours[0].view(1, 4, 1, 1), colours[1].view(1, 4, 1, 1))
    x0 = x0 + 0.05 * random(1, 4, size, size, seed=3)
    contrast = 0.2 + 0.8 * wanted
    contrast[:, 9:11, 8:10] = 0.2
    contrast[:, 13, 14:16] = 0.2
    contrast[:, 2, 2] = contrast[:, 20, 10] = 1.0
    return x0, wanted, contrast


def test_holes_are_filled_and_specks_removed_along_the_image(diffedit):
    x0, wanted, size = an_object()
    contrast = diffedit.Contrast(size, torch.zeros_like(x0))
    plain, _ = diffedit.mask_from_contrast(diffedit.follow_edges(contrast, x0, 0))
    assert (plain != wanted).sum() == 8
    along, _ = diffedit.mask_from_contrast(diffedit.follow_edges(contrast, x0, 4))
    assert torch.equal(along, wanted)


def test_an_object_that_the_image_does_not_have_is_an_edge_of_the_change(diffedit):
    change, wanted, size = an_object()
    empty = torch.zeros_like(change)
    found, _ = diffedit.mask_from_contrast(diffedit.follow_edges(diffedit.Contrast(size, change), empty, 4))
    blurred, _ = diffedit.mask_from_contrast(diffedit.follow_edges(diffedit.Contrast(size, empty), empty, 4))
    assert torch.equal(found, wanted)
    assert (blurred != wanted).sum() > 20


def test_radius_0_changes_nothing(diffedit):
    size = random(2, 6, 6).abs()
    assert diffedit.follow_edges(diffedit.Contrast(size, random(2, 4, 6, 6)), random(2, 4, 6, 6), 0) is size


def test_no_contrast_stays_no_contrast(diffedit):
    x0 = random(2, 4, 8, 8)
    contrast = diffedit.Contrast(torch.zeros(2, 8, 8), torch.zeros_like(x0))
    assert diffedit.follow_edges(contrast, x0, 4).abs().max() < diffedit.SAME_PREDICTION


def test_items_frames_and_scales_are_independent(diffedit):
    """A video equals its frames, a batch its items, and twice the contrast gives twice the result."""
    x0, change, size = random(2, 4, 3, 8, 8), random(2, 4, 3, 8, 8, seed=1), random(2, 3, 8, 8, seed=2).abs()
    whole = diffedit.follow_edges(diffedit.Contrast(size, change), x0, 2)
    assert whole.shape == size.shape
    for item in range(2):
        for frame in range(3):
            alone = diffedit.Contrast(size[item : item + 1, frame], change[item : item + 1, :, frame])
            assert torch.allclose(
                diffedit.follow_edges(alone, x0[item : item + 1, :, frame], 2)[0], whole[item, frame], atol=1e-5
            )
    assert torch.allclose(diffedit.follow_edges(diffedit.Contrast(2 * size, change), x0, 2), 2 * whole, atol=1e-5)


@pytest.mark.parametrize("channels", [16, 128])
def test_latents_of_many_channels(diffedit, channels):
    """Latents of Flux and FLUX.2: the guide has few channels, so that time and memory do not grow with them."""
    x0, wanted, size = an_object()
    wide = torch.einsum("dc,nchw->ndhw", random(channels, 4), x0) + 0.05 * random(1, channels, 24, 24)
    contrast = diffedit.Contrast(size, torch.zeros_like(wide))
    assert torch.equal(diffedit.mask_from_contrast(diffedit.follow_edges(contrast, wide, 4))[0], wanted)
