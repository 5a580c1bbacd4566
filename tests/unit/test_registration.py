"""Registration against known maps and casts: phase correlation, Gauss-Newton, colours, changed
regions, and pairs that do not match.
"""

import math

import pytest
import torch
import torch.nn.functional as F

FINE = 3


def texture(height, width, seed=0):
    """Smooth noise of several octaves [3, height, width], in colours, away from 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(3, height, width)
    for cells in (4, 8, 16, 32):
        noise = torch.randn((1, 3, cells, cells), generator=generator)
        total += F.interpolate(noise, (height, width), mode="bicubic", align_corners=False)[0] / cells**0.5
    return 0.5 + 0.2 * total / total.std()


def seen(picture, matrix, size):
    full = torch.eye(3, dtype=torch.float64)
    full[:2] = matrix
    grid = F.affine_grid(torch.linalg.inv(full)[None, :2], [1, 1, *size], align_corners=False)
    return F.grid_sample(picture[None].double(), grid, mode="bicubic", padding_mode="reflection", align_corners=False)[
        0
    ].float()


def motion(right=0.0, down=0.0, zoom=1.0, turn=0.0, size=(160, 208)):
    """A map from pixels of the source at its centre, a zoom, and degrees."""
    cos, sin = zoom * math.cos(math.radians(turn)), zoom * math.sin(math.radians(turn))
    height, width = size
    return torch.tensor(
        [[cos, -sin * height / width, 2 * right / width], [sin * width / height, cos, 2 * down / height]],
        dtype=torch.float64,
    )


def pair(matrix, size=(160, 208), to=None, seed=0):
    fine = texture(FINE * size[0], FINE * size[1], seed)
    return F.avg_pool2d(fine, FINE), seen(fine, matrix, to or size)


@pytest.fixture(scope="module")
def registration(pack_module):
    return pack_module("core.pictures.registration")


@pytest.mark.parametrize(
    ("right", "down", "zoom", "turn"), [(0, 0, 1, 0), (7.3, -4.6, 1, 0), (-2.2, 1.4, 1.06, 0), (5.0, 3.0, 0.95, 1.0)]
)
def test_shift_zoom_and_turn_are_recovered(registration, right, down, zoom, turn):
    source, edited = pair(motion(right, down, zoom, turn))
    result = registration.register(source, edited)
    assert result.offset((160, 208)) == pytest.approx((right, down), abs=0.05)
    assert result.scale == pytest.approx(zoom, abs=5e-4)
    assert result.fault((160, 208)) is None


def test_an_edited_patch_of_two_fifths_does_not_pull(registration):
    source, edited = pair(motion(3.3, -2.7, 1.03))
    edited[:, 30:130, 60:193] = texture(100, 133, seed=9)
    result = registration.register(source, edited)
    assert result.offset((160, 208)) == pytest.approx((3.3, -2.7), abs=0.1)
    assert result.scale == pytest.approx(1.03, abs=1e-3)


@pytest.mark.parametrize("to", [(240, 312), (96, 125), (160, 160)])
def test_other_sizes_and_crops_are_handled(registration, to):
    """The last one shows a crop of the middle, pixel for pixel."""
    matrix = motion(1.5, 2.5)
    if to == (160, 160):
        matrix[0] *= 208 / 160
    source, edited = pair(matrix, to=to)
    result = registration.register(source, edited)
    assert (result.matrix - matrix).abs().max() * 104 < 0.1


def test_a_cast_is_undone(registration, pack_module):
    colour = pack_module("core.pictures.colour")
    source, edited = pair(motion(2.0, 1.0))
    cast = torch.tensor([1.1, 0.9, 1.0])[:, None, None] * edited + torch.tensor([-0.04, 0.05, 0.02])[:, None, None]
    result = registration.register(source, cast)
    undone = result.colour.apply(cast)
    assert colour.delta_e(undone, edited).mean() < 0.3
    assert colour.delta_e(cast, edited).mean() > 4


def test_a_cast_that_differs_across_the_picture_needs_the_field(registration, pack_module):
    colour, alignment = pack_module("core.pictures.colour"), pack_module("core.pictures.alignment")
    source, edited = pair(motion(2.0, 1.0))
    cast = edited + 0.1 * torch.linspace(-1, 1, 208)
    left = {}
    for field in (False, True):
        result = registration.register(source, cast, field=field)
        aligned, reached = alignment.align(source, cast, result)
        left[field] = float(colour.delta_e(aligned, source)[reached].mean())
    assert left[True] < 2.0
    assert 3 * left[True] < left[False]


@pytest.mark.parametrize("kind", ["other", "mirrored", "turned", "flat"])
def test_what_does_not_match_is_said(registration, kind):
    source, edited = pair(motion(2.0, 1.0))
    other = {
        "other": texture(160, 208, seed=5),
        "mirrored": edited.flip(-1),
        "turned": edited.flip(-1, -2),
        "flat": torch.full_like(edited, 0.5),
    }[kind]
    assert registration.register(source, other).fault((160, 208)) == "other"


def test_lines_in_one_direction_hold_nothing_in_place(registration):
    lines = (0.5 + 0.3 * torch.sin(torch.arange(160) / 5.0))[None, :, None].expand(3, 160, 208).contiguous()
    assert registration.register(lines, lines.roll(1, 1)).fault((160, 208)) == "loose"


def tiles(size=26):
    """A chequered floor with three things on it."""
    rows, columns = torch.arange(160)[:, None] // size, torch.arange(208)[None] // size
    floor = (0.35 + 0.3 * ((rows + columns) % 2).float()).expand(3, 160, 208)[None]
    floor = F.avg_pool2d(F.pad(floor, (2, 2, 2, 2), mode="replicate"), 5, 1)[0].contiguous()
    for top, left, side in ((20, 30, 36), (90, 60, 40), (50, 150, 30)):
        floor[:, top : top + side, left : left + side] = texture(160, 208, 1)[:, top : top + side, left : left + side]
    return floor


def test_a_floor_that_repeats_does_not_pass_for_the_same_picture(registration):
    """The mirrored floor equals itself in three quarters of the picture; the things differ."""
    floor = tiles()
    result = registration.register(floor, floor.flip(-1))
    assert result.agreement > 0.6
    assert result.advantage < 0
    assert result.fault((160, 208)) == "repeats"
    assert registration.register(floor, floor).fault((160, 208)) is None


def test_a_symmetric_picture_is_accepted(registration):
    """Its mirror image matches too, which is no evidence against it."""
    half = texture(160, 208)
    symmetric = 0.5 + (half + half.flip(-1) - 1) / 2
    result = registration.register(symmetric, symmetric.roll(3, -1))
    assert result.fault((160, 208)) is None
    assert result.offset((160, 208))[0] == pytest.approx(3, abs=0.05)


def shaded(drift):
    """A smooth ground with one thing, moved, with noise and a cast that grows across the picture; and
    the true map.
    """
    generator = torch.Generator().manual_seed(3)
    ground = F.interpolate(torch.randn(1, 3, 3, 3, generator=generator), (480, 624), mode="bicubic")[0]
    fine, matrix = 0.5 + 0.05 * ground, motion(1.5, -0.8, 1.01)
    fine[:, 330:450, 390:560] = texture(480, 624, 1)[:, 330:450, 390:560]
    edited = seen(fine, matrix, (160, 208)) + drift * torch.cos(math.pi * torch.linspace(0, 1, 208))
    noise = 0.005 * torch.randn(edited.shape, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(fine, FINE), edited + noise, matrix


def test_a_smooth_change_of_colours_is_not_taken_for_a_motion(registration):
    """A cast of 1/100 on a smooth ground resembles a motion by pixels: the stated uncertainty
    covers the error.
    """
    source, edited, matrix = shaded(0.01)
    result = registration.register(source, edited)
    apart = (result.matrix - matrix) * torch.tensor([[104.0], [80.0]]).double()
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)]).double() @ apart.T
    assert float(corners.norm(dim=1).max()) < result.uncertainty


def test_colours_that_differ_from_place_to_place_are_uncertain(registration):
    source, edited, _ = shaded(0.03)
    assert registration.register(source, edited).has_uncertain_colours
    assert not registration.register(*pair(motion(2.0, 1.0))).has_uncertain_colours


GAIN, OFFSET = (torch.tensor(values)[:, None, None] for values in ([1.1, 0.9, 1.0], [-0.06, 0.05, 0.06]))


def colours_missed(pack_module, found, source):
    """Mean Delta E that the map leaves of GAIN and OFFSET, where neither picture is clipped."""
    colour = pack_module("core.pictures.colour")
    cast = GAIN * source + OFFSET
    usable = colour.unclipped(source) & colour.unclipped(cast)
    return float(colour.delta_e(found.colour.apply(cast), source)[usable].mean())


def test_clipped_places_do_not_bend_the_colours(registration, pack_module):
    """Four pixels of five are black or white in one of the pictures, and blur with their neighbours."""
    source, edited = ((3 * one - 1).clamp(0, 1) for one in pair(motion(2.0, 1.0)))
    found = registration.register(source, (GAIN * edited + OFFSET).clamp(0, 1))
    assert colours_missed(pack_module, found, source) < 0.2


def test_contrast_lost_by_sampling_is_not_taken_for_a_cast(registration, pack_module):
    """Detail of three pixels, of which sampling at another scale takes a part."""
    noise = torch.randn(1, 3, 64, 83, generator=torch.Generator().manual_seed(1))
    fine = 0.5 + 0.12 * F.interpolate(noise, (480, 624), mode="bicubic")[0]
    source, edited = F.avg_pool2d(fine, FINE), seen(fine, motion(2.5, 1.5, 1.05), (160, 208))
    found = registration.register(source, (GAIN * edited + OFFSET).clamp(0, 1))
    assert colours_missed(pack_module, found, source) < 0.3


def test_a_patch_does_not_give_its_colours_to_a_dark_picture(registration, pack_module):
    """Three quarters of what is not clipped are the patch: what changed is judged with the rest."""
    source, edited = (0.02 + (1.125 * one - 0.6625).clamp(min=0) for one in pair(motion(2.0, 1.0), seed=1))
    edited = GAIN * edited + OFFSET
    edited[:, 40:120, 60:160] = texture(160, 208, seed=9)[:, 40:120, 60:160]
    found = registration.register(source.clamp(0, 1), edited.clamp(0, 1))
    assert colours_missed(pack_module, found, source.clamp(0, 1)) < 0.3


def test_an_ignored_region_does_not_vote(registration):
    """More than half of the picture was replaced and moved together; the mask determines which half
    counts.
    """
    source, edited = pair(motion(4.0, 0.0))
    edited[:, :, 70:] = pair(motion(-4.0, 0.0))[1][:, :, 70:]
    ignored = torch.zeros(160, 208)
    ignored[:, 62:] = 1
    assert registration.register(source, edited, ignored).offset((160, 208))[0] == pytest.approx(4, abs=0.1)


def test_lab_is_the_standards(pack_module):
    """Values of CIE 15 for sRGB's primaries and white."""
    to_lab = pack_module("core.pictures.colour").to_lab
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]).T
    wanted = torch.tensor(
        [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86], [100, 0, 0], [0, 0, 0]]
    )
    assert to_lab(colours).T == pytest.approx(wanted, abs=0.05)


def test_pixels_that_lie_still_are_kept_bit_for_bit(registration, pack_module):
    alignment = pack_module("core.pictures.alignment")
    source, edited = pair(motion())
    edited[:, 40:80, 50:90] = 0.9
    result = registration.register(source, edited).without_colour()
    aligned, reached = alignment.align(source, edited, result)
    assert torch.equal(aligned, edited.clamp(0, 1))
    assert reached.all()


def test_bands_do_not_show(registration, pack_module, monkeypatch):
    alignment = pack_module("core.pictures.alignment")
    source, edited = pair(motion(3.0, 2.0, 1.02))
    result = registration.register(source, edited, field=True)
    whole = alignment.align(source, edited, result)[0]
    monkeypatch.setattr(alignment, "BAND", 13)
    assert alignment.align(source, edited, result)[0] == pytest.approx(whole, abs=1e-6)


def test_the_mask_is_what_changed(registration, pack_module):
    alignment = pack_module("core.pictures.alignment")
    source, edited = pair(motion(3.3, -2.7, 1.03))
    noise = 0.01 * torch.randn(edited.shape, generator=torch.Generator().manual_seed(0))
    patch = torch.zeros(3, 160, 208)
    patch[:, 40:100, 60:120] = 1
    moved = seen(F.interpolate(patch[None], scale_factor=FINE)[0], motion(3.3, -2.7, 1.03), (160, 208)).clamp(0, 1)
    edited = edited + noise + moved * (texture(160, 208, seed=9) - edited)
    result = registration.register(source, edited)
    aligned, reached = alignment.align(source, edited, result)
    changed = alignment.changed_region(source, aligned, reached, 3.0, 0)
    overlap = (changed * patch[0]).sum() / torch.maximum(changed, patch[0]).sum()
    assert overlap > 0.8
    assert alignment.changed_region(source, aligned, reached, 3.0, 5).sum() > changed.sum()
