"""EditCrop and EditStitch: windows around masks, and full pictures that equal the source outside
the masks.
"""

import pytest
import torch

from lab import common


def picture(height=300, width=420, count=1, channels=3):
    return torch.rand((count, height, width, channels), generator=torch.Generator().manual_seed(0))


def masked(*boxes, height=300, width=420):
    made = torch.zeros(1, height, width)
    for top, left, bottom, right in boxes:
        made[0, top:bottom, left:right] = 1
    return made


def crop(run, image, mask, **widgets):
    return run("EditCrop", image=image, mask=mask, **({"size": 128, "multiple": 8} | widgets)).args


def test_the_crop_is_the_masks_surroundings_at_the_models_size(run):
    image, mask = picture(), masked((100, 200, 140, 260))
    crops, masks, cropping = crop(run, image, mask, size=256, context=2.0)
    [place] = cropping.places
    assert place.window.height >= 80
    assert place.window.width >= 120
    assert place.window.top <= 100 < 140 <= place.window.top + place.window.height
    assert crops.shape[1:3] == masks.shape[1:] == cropping.size
    assert all(side % 8 == 0 for side in cropping.size)
    assert cropping.size[0] * cropping.size[1] == pytest.approx(256**2, rel=0.1)
    assert cropping.size[1] / cropping.size[0] == pytest.approx(place.window.width / place.window.height, rel=0.02)
    assert masks.max() == 1


def test_own_pixels_are_kept_where_no_size_is_asked_for(run):
    image = picture()
    crops, _, cropping = crop(run, image, masked((100, 200, 140, 260)), size=0, multiple=16)
    assert torch.equal(crops, image[(0, *cropping.places[0].window.index)][None])
    assert all(side % 16 == 0 for side in crops.shape[1:3])
    back = run("EditStitch", crop=cropping, edited=crops).args[0]
    assert torch.equal(back, image)


@pytest.mark.parametrize("box", [(0, 0, 20, 30), (280, 380, 300, 420), (0, 0, 300, 420), (150, 5, 151, 415)])
@pytest.mark.parametrize("size", [0, 128])
def test_windows_stay_inside_the_picture(run, box, size):
    _, _, cropping = crop(run, picture(), masked(box), size=size, context=3.0)
    window = cropping.places[0].window
    assert 0 <= window.top <= box[0] < box[2] <= window.top + window.height <= 300
    assert 0 <= window.left <= box[1] < box[3] <= window.left + window.width <= 420


@pytest.mark.parametrize("feather", [0, 9])
def test_outside_the_mask_every_bit_is_the_sources(run, feather):
    image, mask = picture(), masked((100, 200, 140, 260))
    crops, _, cropping = crop(run, image, mask)
    stitched = run("EditStitch", crop=cropping, edited=1 - crops, feather=feather).args[0]
    outside = mask[0] == 0
    assert torch.equal(stitched[0][outside], image[0][outside])
    middle = stitched[0, 115:125, 220:240]
    assert (middle - image[0, 115:125, 220:240]).abs().max() > 0.1
    assert torch.equal(cropping.source, picture())


def test_a_soft_edge_lies_inside_and_does_not_swallow_a_thin_mask(run):
    image, mask = torch.zeros(1, 300, 420, 3), masked((100, 200, 160, 260), (250, 10, 254, 400))
    _, masks, cropping = crop(run, image, mask, regions="a crop for each region")
    edited = torch.ones(len(masks), *cropping.size, 3)
    stitched = run("EditStitch", crop=cropping, edited=edited, feather=16).args[0][0, ..., 0]
    assert stitched[130, 230] == 1
    assert 0 < stitched[101, 230] < 0.5
    assert stitched[252, 200] > 0.5


def test_separate_regions_are_a_batch_of_one_size(run):
    image = picture()
    mask = masked((20, 20, 60, 60), (200, 300, 260, 330), (150, 30, 152, 32))
    crops, masks, cropping = crop(run, image, mask, regions="a crop for each region")
    assert len(crops) == len(masks) == 3
    assert len({place.window.size for place in cropping.places}) == 1
    whole = torch.zeros(300, 420)
    for place in cropping.places:
        whole[place.window.index] += place.mask
    assert torch.equal(whole, mask[0]), "each region belongs to one crop"
    stitched = run("EditStitch", crop=cropping, edited=1 - crops, feather=0).args[0]
    assert torch.equal(stitched[0][mask[0] == 0], image[0][mask[0] == 0])
    for box in ((30, 40), (230, 315), (151, 31)):
        assert not torch.equal(stitched[0][box], image[0][box])


def test_several_edits_of_each_crop_give_several_pictures(run):
    image = picture(count=2)
    mask = torch.cat([masked((20, 20, 60, 60)), masked((200, 300, 260, 330))])
    crops, _, cropping = crop(run, image, mask)
    levels = torch.tensor([0.0, 0.25, 0.5, 1.0])[:, None, None, None]
    stitched = run("EditStitch", crop=cropping, edited=levels.expand(4, *crops.shape[1:]), feather=0).args[0]
    assert stitched.shape == (4, 300, 420, 3)
    assert stitched[:2, 40, 40, 0].tolist() == [0.0, 0.25]
    assert stitched[2:, 230, 315, 0].tolist() == [0.5, 1.0]
    assert torch.equal(stitched[1, 230, 315], image[0, 230, 315])


def test_transparency_is_kept(run):
    image = picture(channels=4)
    crops, _, cropping = crop(run, image, masked((100, 200, 140, 260)))
    assert crops.shape[-1] == 3
    stitched = run("EditStitch", crop=cropping, edited=1 - crops).args[0]
    assert torch.equal(stitched[..., 3], image[..., 3])


def test_an_edit_of_another_size_is_brought_back(run):
    image, mask = picture(), masked((100, 200, 140, 260))
    crops, _, cropping = crop(run, image, mask)
    doubled = torch.zeros(1, 2 * crops.shape[1], 2 * crops.shape[2], 3)
    stitched = run("EditStitch", crop=cropping, edited=doubled, feather=0).args[0]
    assert stitched[0, 120, 230].max() == 0


def test_a_mask_of_the_crops_takes_the_place_of_the_own_one(run):
    image = picture()
    crops, masks, cropping = crop(run, image, masked((100, 200, 140, 260)), size=0)
    result = torch.zeros_like(masks)
    result[:, 20:30, 20:30] = 1
    stitched = run("EditStitch", crop=cropping, edited=1 - crops, feather=0, mask=result).args[0]
    window = cropping.places[0].window
    wanted = torch.zeros(300, 420, dtype=torch.bool)
    wanted[window.top + 20 : window.top + 30, window.left + 20 : window.left + 30] = True
    assert torch.equal((stitched != image).any(-1)[0], wanted)


@pytest.mark.parametrize(
    ("words", "edited"),
    [
        ("got 3 edited images for 2 crops", lambda crops: crops.repeat(2, 1, 1, 1)[:3]),
        ("expected the same aspect ratio", lambda crops: crops[:, :, :64]),
    ],
)
def test_edits_that_do_not_belong_to_the_crops_are_answered(run, words, edited):
    mask = masked((20, 20, 60, 60), (200, 300, 260, 330))
    crops, _, cropping = crop(run, picture(), mask, regions="a crop for each region")
    with pytest.raises(ValueError, match=f"EditStitch: .*{words}"):
        run("EditStitch", crop=cropping, edited=edited(crops))


def test_an_empty_mask_and_a_thousand_specks_are_answered(run):
    with pytest.raises(ValueError, match="EditCrop: the mask is empty"):
        crop(run, picture(), torch.zeros(1, 300, 420))
    specks = torch.zeros(1, 300, 420)
    specks[:, ::20, ::20] = 1
    with pytest.raises(ValueError, match="EditCrop: the mask has 3\\d\\d separate regions; expected at most 32"):
        crop(run, picture(), specks, regions="a crop for each region")


def test_something_else_as_crop_is_answered(run):
    with pytest.raises(ValueError, match="EditStitch: got str as crop; expected an EDIT_CROP"):
        common.execute(common.pack_nodes()["EditStitch"], crop="text", edited=picture())
