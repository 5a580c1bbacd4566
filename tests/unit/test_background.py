"""The loss, its measures and loop, feathering, and the Poisson blend against a direct solve."""

import math

import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch


@pytest.fixture
def background(pack_module):
    return pack_module("core.pictures.background")


@pytest.fixture
def descent(pack_module):
    return pack_module("core.pictures.descent")


@pytest.fixture
def blend(pack_module):
    return pack_module("core.pictures.poisson").poisson_blend


def pictures(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def direct_solution(edited, source, inside):
    """The solution of the gradient-domain system, assembled pixel by pixel."""
    height, width = inside.shape
    number = -torch.ones(height, width, dtype=torch.long)
    number[inside] = torch.arange(int(inside.sum()))
    rows, right = (
        scipy.sparse.lil_matrix((int(inside.sum()),) * 2),
        torch.zeros(int(inside.sum()), edited.shape[0], dtype=torch.float64),
    )
    for y, x in inside.nonzero().tolist():
        row = int(number[y, x])
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width:
                rows[row, row] += 1
                right[row] += (edited[:, y, x] - edited[:, v, u]).double()
                if inside[v, u]:
                    rows[row, int(number[v, u])] -= 1
                else:
                    right[row] += source[:, v, u].double()
    solved, result = scipy.sparse.linalg.spsolve(rows.tocsr(), right.numpy()), source.double().clone()
    result[:, inside] = torch.as_tensor(solved).reshape(len(right), -1).T
    return result


def test_the_loss_is_the_papers(background):
    decoded, source, edited = (pictures(2, 3, 6, 5, seed=seed) * 2 - 1 for seed in range(3))
    mask = (pictures(2, 1, 6, 5, seed=4) > 0.5).float()
    result = background.reconstruction_loss(decoded, background.Goal(source, edited, mask, 7.0))
    wanted = torch.nn.functional.mse_loss(mask * edited, mask * decoded) + 7 * torch.nn.functional.mse_loss(
        (1 - mask) * source, (1 - mask) * decoded
    )
    assert torch.allclose(result, wanted)


def test_psnr_by_hand_and_of_nothing(background):
    wanted, other = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.2)
    left = torch.zeros(1, 1, 4, 4)
    left[..., :2] = 1
    other[..., 2:] = 0.9
    assert background.masked_psnr(other, wanted, left) == pytest.approx(20.0, abs=1e-4)
    assert background.masked_psnr(other, wanted, 0 * left) is None
    assert background.masked_psnr(wanted, wanted, left) == 100.0
    assert (
        background.masked_psnr(torch.full((1, 3, 4, 4), 5.0), torch.ones(1, 3, 4, 4), left) == 100.0
    )  # of clamped pixels


def test_a_plateau_ends_the_loop_and_nan_is_answered(background, descent):
    goal = background.Goal(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    weight = torch.nn.Parameter(torch.ones(1, 1, 2, 2))

    def lower(value):
        weight.grad = torch.zeros_like(weight)
        return torch.full((1, 1, 2, 2), value), value

    curve = descent.descend(lambda: lower(0.5), descent.Adam([weight], 0.1), goal, 50, patience=3)
    assert curve.stopped_early
    assert len(curve.values) == 4
    assert len(descent.descend(lambda: lower(0.5), descent.Adam([weight], 0.1), goal, 9).values) == 9
    with pytest.raises(ValueError, match="after 0 steps.*learning rate"):
        descent.descend(lambda: lower(math.nan), descent.Adam([weight], 0.1), goal, 5)


@pytest.mark.parametrize("pixels", [1, 3, 8])
def test_feathering_stays_inside(background, pixels):
    mask = torch.zeros(1, 70, 70)
    mask[:, 8:, 6:60] = 1
    soft = background.feather_inwards(mask, pixels)
    assert (soft[mask == 0] == 0).all()
    assert soft[0, 8 + 2 * pixels :, 6 + 2 * pixels : 60 - 2 * pixels].min() > 0.999
    assert 0 < soft[0, 40, 6] < 0.6
    assert soft[0, -1, 33] > 0.999
    assert torch.equal(background.feather_inwards(mask, 0), mask)


@pytest.mark.parametrize("shape", ["hole and border", "two parts", "whole side", "one pixel", "corner"])
def test_poisson_is_the_direct_solution(blend, shape):
    edited, source, inside = pictures(3, 29, 22), pictures(3, 29, 22, seed=1), torch.zeros(29, 22, dtype=torch.bool)
    if shape == "hole and border":
        inside[0:20, 3:22], inside[5:9, 8:11] = True, False
    elif shape == "two parts":
        inside[2:9, 2:9], inside[15:28, 4:20] = True, True
    elif shape == "whole side":
        inside[:, :10] = True
    elif shape == "corner":
        inside[20:, 15:] = True
    else:
        inside[7, 7] = True
    result = blend(edited[None], source[None], inside[None])[0]
    assert torch.equal(result[:, ~inside], source[:, ~inside])
    assert (result.double() - direct_solution(edited, source, inside)).abs().max() < 2e-3


def test_poisson_leaves_no_seam_on_a_shaded_ground(blend):
    """The edit is the source, darker and tinted, with an object in the middle; the result is the
    source with that object.
    """
    ramp = torch.linspace(0.1, 0.9, 96).expand(3, 80, 96)
    thing = torch.zeros(3, 80, 96)
    thing[0, 30:50, 40:60] = 0.3
    edited = ramp + thing + torch.tensor([-0.2, 0.05, 0.1]).reshape(3, 1, 1)
    inside = torch.zeros(80, 96, dtype=torch.bool)
    inside[10:70, 20:96] = True  # up to the picture's border
    assert (blend(edited[None], ramp[None], inside[None])[0] - (ramp + thing)).abs().max() < 1e-3


def test_poisson_does_not_wrap_round(blend):
    """Changes at the opposite border of the source, which the mask does not touch, have no effect."""
    edited, source, inside = (
        pictures(1, 3, 32, 32),
        pictures(1, 3, 32, 32, seed=1),
        torch.zeros(1, 32, 32, dtype=torch.bool),
    )
    inside[:, :, :12] = True
    other = source.clone()
    other[..., -4:] = 7.0
    assert torch.equal(blend(edited, other, inside)[..., :12], blend(edited, source, inside)[..., :12])


def test_poisson_of_full_and_empty_masks(blend):
    edited, source = pictures(2, 3, 9, 9), pictures(2, 3, 9, 9, seed=1)
    inside = torch.stack([torch.ones(9, 9), torch.zeros(9, 9)]).bool()
    result = blend(edited, source, inside)
    assert torch.equal(result[0], edited[0])
    assert torch.equal(result[1], source[1])
