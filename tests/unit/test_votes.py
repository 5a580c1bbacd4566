"""Votes of cells on a motion: exact for exact residuals, independent of colour offsets that are
constant in a cell, and less certain if blocks of cells disagree.
"""

import pytest
import torch

HEIGHT, WIDTH = 160, 208
MOTION = torch.tensor([[0.3, -0.2, 1.0], [0.1, 0.4, -0.6]], dtype=torch.float64)
"""Motion in pixels as a linear function of (x, y, 1), x and y in -1..1 of the longer side."""


def slopes_and_residual(pack_module, motion):
    """Slopes of a texture, and the residual of a motion that is constant in every cell."""
    size = pack_module("core.pictures.votes").CELL
    generator = torch.Generator().manual_seed(0)
    along, down = torch.randn((2, 3, HEIGHT, WIDTH), generator=generator) / 20
    half = max(HEIGHT, WIDTH) / 2
    x = (size * (torch.arange(WIDTH) // size + 0.5) - WIDTH / 2) / half
    y = (size * (torch.arange(HEIGHT) // size + 0.5) - HEIGHT / 2) / half
    right, lower = (line[0] * x + line[1] * y[:, None] + line[2] for line in motion.float())
    return along, down, along * right + down * lower


def solved(pack_module, along, down, left, similar=False):
    weight = torch.ones(HEIGHT, WIDTH)
    return pack_module("core.pictures.votes").gather(along, down, left, weight, 0.01).solve((0.0, 0.0), similar)


def test_an_exact_residual_gives_the_motion(pack_module):
    moved, uncertainty = solved(pack_module, *slopes_and_residual(pack_module, MOTION))
    assert moved == pytest.approx(MOTION, abs=0.01)
    assert uncertainty < 0.2


def test_only_shift_zoom_and_turn_if_asked_for(pack_module):
    moved, _ = solved(pack_module, *slopes_and_residual(pack_module, MOTION), similar=True)
    assert float(moved[0, 0]) == pytest.approx(float(moved[1, 1]))
    assert float(moved[0, 1]) == pytest.approx(-float(moved[1, 0]))
    assert moved[:, 2] == pytest.approx(MOTION[:, 2], abs=0.05)


def test_colours_that_are_constant_in_a_cell_do_not_vote(pack_module):
    """With slopes mostly of one sign, as on a shaded ground, an offset would be mistaken for a
    motion.
    """
    along, down, left = slopes_and_residual(pack_module, MOTION)
    cells = pack_module("core.pictures.votes").CELL
    offset = 0.05 * torch.randn(3, -(-HEIGHT // cells), -(-WIDTH // cells), generator=torch.Generator().manual_seed(1))
    local = offset.repeat_interleave(cells, 1).repeat_interleave(cells, 2)[:, :HEIGHT, :WIDTH]
    plain = solved(pack_module, along + 0.02, down, left)[0]
    assert solved(pack_module, along + 0.02, down, left + local)[0] == pytest.approx(plain, abs=1e-5)


def test_blocks_that_disagree_make_it_uncertain(pack_module):
    """The residual of one corner has two more pixels of motion, without pixel noise."""
    along, down, left = slopes_and_residual(pack_module, MOTION)
    agreed = solved(pack_module, along, down, left, similar=True)[1]
    left[:, :64, :64] += 2.0 * along[:, :64, :64]
    assert solved(pack_module, along, down, left, similar=True)[1] > 3 * agreed


def test_a_stretch_beyond_the_expected_is_drawn_back(pack_module):
    """Without any texture, only the prior remains."""
    none = torch.zeros(3, HEIGHT, WIDTH)
    votes = pack_module("core.pictures.votes").gather(none, none, none, torch.ones(HEIGHT, WIDTH), 0.01)
    moved, uncertainty = votes.solve((0.02, 0.0), False)
    half = max(HEIGHT, WIDTH) / 2
    assert float(moved[0, 0] - moved[1, 1]) / 2 == pytest.approx(-0.02 * half, rel=1e-3)
    assert uncertainty > 100
