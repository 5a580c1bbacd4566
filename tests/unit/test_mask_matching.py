"""Matching of masks to pictures: the crop by encoding, and the frames of videos."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

VAE_RATIOS = (8, 16, 32)


@pytest.fixture(scope="module")
def matching(pack_module):
    return pack_module("core.masks.matching")


@pytest.mark.parametrize(
    "height, width, ratio", [(519, 519, 8), (519, 519, 16), (451, 300, 8), (70, 66, 32), (64, 64, 8)]
)
def test_every_column_and_row_lands_in_its_own_cell(matching, height, width, ratio):
    """The part that encoding keeps begins at half the remainder; the cropped part belongs to no
    cell.
    """
    size = height // ratio * ratio, width // ratio * ratio
    grid = size[0] // ratio, size[1] // ratio
    columns = torch.eye(width).unsqueeze(1).expand(width, height, width)
    rows = torch.eye(height).unsqueeze(2).expand(height, height, width)
    for lines, whole, kept, cells in ((columns, width, size[1], grid[1]), (rows, height, size[0], grid[0])):
        result = torch.cat([matching.match_mask(part, size, (ratio,), grid) for part in lines.split(64)])
        first = (whole - kept) // 2
        wanted = torch.zeros(whole, cells)
        wanted[torch.arange(first, first + kept), torch.arange(kept) // ratio] = 1
        seen = result.amax(1) if lines is columns else result.amax(2)
        assert torch.equal(seen, wanted)


@given(height=st.integers(1, 70), width=st.integers(1, 70), ratio=st.sampled_from(VAE_RATIOS), seed=st.integers(0, 9))
def test_a_mask_is_cropped_as_the_picture_is(matching, height, width, ratio, seed):
    """By the rule of ComfyUI's VAE Encode."""
    mask = (torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed)) > 0.7).float()
    size = height // ratio * ratio, width // ratio * ratio
    if min(size) == 0:
        return
    top, left = height % ratio // 2, width % ratio // 2
    cropped = mask[:, top : top + size[0], left : left + size[1]]
    assert torch.equal(matching.match_mask(mask, size, (ratio,)), cropped)
    cells = matching.match_mask(mask, size, (ratio,), (size[0] // ratio, size[1] // ratio))
    assert torch.equal(cells, cropped.unfold(1, ratio, ratio).unfold(2, ratio, ratio).amax((3, 4)))


def test_a_mask_of_what_encoding_left_lies_in_the_middle(matching):
    mask = torch.ones(1, 40, 32)
    placed = matching.match_mask(mask, (45, 37), VAE_RATIOS)
    assert placed.sum() == 40 * 32
    assert placed[:, 2:42, 2:34].min() == 1


@pytest.mark.parametrize("own", [(8, 8), (64, 100), (520, 519), (37, 41)])
def test_other_sizes_are_stretched(matching, pack_module, own):
    mask = torch.rand(2, *own, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        matching.match_mask(mask, (512, 512), (8,), (64, 64)),
        pack_module("core.masks.operations").fit_mask(mask, 64, 64),
    )


@pytest.mark.parametrize("ratio", [4, 6, 8])
def test_frames_join_and_spread_as_latent_frames_hold_them(matching, ratio):
    frames = matching.Frames.causal(3, ratio)
    owner = torch.tensor([0] + [1] * ratio + [2] * ratio)
    pictures = torch.eye(len(owner)).reshape(len(owner), 1, -1)
    assert torch.equal(frames.join(pictures)[:, 0], torch.stack([(owner == k).float() for k in range(3)]))
    latent = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(2))
    assert torch.equal(frames.spread(latent), latent[owner])
    assert torch.equal(frames.join(frames.spread(latent)), latent)


def test_latent_frames_that_come_in_groups(matching):
    """MiniMax's: 5 k + 2 latent frames stand for 17 k + 5 pictures. Every picture has a latent
    frame and every latent frame a picture.
    """
    frames = matching.Frames.of(7, lambda count: max(1, (count - 2) // 5 * 17 + 5))
    assert frames.pictures == 22
    assert frames.latent == 7
    assert frames.spans[:2] == ((0, 1), (1, 5))
    covered = {picture for first, end in frames.spans for picture in range(first, end)}
    assert covered == set(range(22))
    assert all(first < end for first, end in frames.spans)


def test_numbers_of_masks_for_videos(matching):
    frames, masks = matching.Frames.causal(3, 4), lambda count: torch.rand(count, 2, 2)
    assert matching.mask_counts(1, frames) == [1, 3, 9]
    assert matching.mask_counts(2, frames) == [1, 2, 3, 6, 9, 18]
    for items in (1, 2):
        for count in range(1, 20):
            result = matching.match_frames(masks(count), items, frames, in_pictures=False)
            spare = frames.pictures < count <= frames.pictures + frames.spare
            assert (result is not None) == (count in matching.mask_counts(items, frames) or spare)
            assert result is None or result.shape == (items, 3, 2, 2)
    assert set(matching.latent_frame_counts(9)) == {2, 3}
    assert not matching.latent_frame_counts(4)
