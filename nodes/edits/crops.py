"""EditCrop and EditStitch: crop the surroundings of a mask to the working size of the model, and
insert the edited crops into the full image.
"""

import math
from dataclasses import dataclass

import torch

from ..core.errors import NodeError
from ..core.masks.operations import blend, fit_mask, grow_mask
from ..core.pictures.background import feather_inwards
from ..core.pictures.phase_correlation import resized
from ..core.pictures.regions import bounding_box, regions
from ..core.pictures.windows import Window, plan
from ..host import progress
from ..host.reports import make_report, phrase
from .pictures import as_colour, masks_of_pictures

WAYS = ("one crop", "a crop for each region")
MOST = 32
"""Maximum number of crops of one image."""
LEFT = 0.4
"""Minimum fraction of a mask's area that remains after eroding it by the width of the soft edge."""
SAME_SHAPE = 0.02
"""Maximum relative difference between the aspect ratios of an edit and its crop."""


@dataclass(frozen=True)
class Place:
    """The position of a crop: the image's index, the window, and the mask in it [height, width]."""

    picture: int
    window: Window
    mask: torch.Tensor


@dataclass(frozen=True)
class Cropping:
    """The input of EditStitch: the full images (IMAGE, unchanged) and the positions of the crops,
    ordered by image. ``size`` is the crops' (height, width).
    """

    source: torch.Tensor
    places: list[Place]
    size: tuple[int, int]


def crop(image, mask, size: int, context: float, multiple: int, way: str, vae=None):
    """Crops (IMAGE) of one size, their masks (MASK), the Cropping, and the report.

    Raises:
        NodeError: an empty mask, or too many regions.
    """
    height, width = image.shape[1:3]
    masks = masks_of_pictures(mask, (height, width), len(image))
    boxes = [(k, box) for k in range(len(image)) for box in _regions(masks[k], way, k, len(image))]
    grid = multiple if vae is None else math.lcm(multiple, int(vae.spacial_compression_encode()))
    windows, working = plan([box for _, (box, _) in boxes], (height, width), context, size, grid)
    places, pictures, small = [], [], []
    for (number, (box, part)), window in zip(boxes, windows, strict=True):
        crop_mask = torch.zeros(window.size)
        inner = Window(box.top - window.top, box.left - window.left, *box.size)
        crop_mask[inner.index] = masks[number][box.index] * part
        places.append(Place(number, window, crop_mask))
        pictures.append(_to_size(as_colour(image[number][window.index][None])[..., :3].float().cpu(), working))
        small.append(_mask_to_size(crop_mask[None], working))
    scale = working[0] / windows[0].height
    says = [
        phrase("crops", len(places), f"{windows[0].width} x {windows[0].height}", f"{width} x {height}"),
        phrase("crop_scaled", f"{working[1]} x {working[0]}", f"{scale:.2f}"),
    ]
    report = make_report(says, crops=[vars(place.window) | {"picture": place.picture} for place in places])
    return torch.cat(pictures), torch.cat(small), Cropping(image, places, working), report


def _regions(mask: torch.Tensor, way: str, number: int, count: int) -> list[tuple[Window, torch.Tensor]]:
    """The regions of a mask [H, W]: the window of each, and its cells in the window, bool.

    Raises:
        NodeError: an empty mask, or too many regions.
    """
    marked = mask > 0
    box = bounding_box(marked)
    which = f" of image {number + 1}" if count > 1 else ""
    if box is None:
        raise NodeError(f"the mask{which} is empty; expected white in the region to change; paint this region.")
    if way == WAYS[0]:
        return [(box, marked[box.index])]
    parts = regions(marked)
    if len(parts) > MOST:
        raise NodeError(
            f"the mask{which} has {len(parts)} separate regions; expected at most {MOST}; grow the mask so that "
            f"regions merge, or choose {WAYS[0]}."
        )
    return parts


def _to_size(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize an IMAGE: antialiased bilinear reduction, bicubic enlargement."""
    if tuple(image.shape[1:3]) == size:
        return image
    channels = image.movedim(-1, 1)
    if size[0] <= image.shape[1]:
        made = resized(channels, *size)
    else:
        made = torch.nn.functional.interpolate(channels, size, mode="bicubic", align_corners=False)
    return made.movedim(1, -1).clamp(0, 1)


def _mask_to_size(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a mask [1, H, W]: reduction sets every touched pixel, enlargement is bilinear."""
    return fit_mask(mask, *size) if size[0] <= mask.shape[1] else resized(mask, *size)


def stitch(cropping: Cropping, edited, feather: int, mask=None):
    """The full images (IMAGE) with the edits of their crops, and the report. Outside the masks they
    equal the source bit for bit.

    Raises:
        NodeError: the number or aspect ratio of the edits does not match the crops.
    """
    if not isinstance(cropping, Cropping):
        raise NodeError(
            f"got {type(cropping).__name__} as crop; expected an EDIT_CROP; connect the output crop of Edit Crop."
        )
    places, edited = cropping.places, as_colour(edited)[..., :3].float().cpu()
    each = _results(edited, cropping)
    given = None if mask is None else masks_of_pictures(mask, cropping.size, len(places), "crops", False)
    source = as_colour(cropping.source)
    result = source.repeat_interleave(each, 0) if each > 1 else source.clone()
    bar = progress.Progress(len(places) * each)
    changed = 0.0
    for number, place in enumerate(places):
        crop_mask = place.mask if given is None else resized(given[number], *place.window.size)
        soft = feather_inwards(crop_mask[None], _feather(crop_mask, feather))[0][..., None]
        changed += float((crop_mask > 0).sum()) / source[0, ..., 0].numel() / len(source)
        for k in range(each):
            target = result[(place.picture * each + k, *place.window.index)][..., :3]
            inside = _to_size(edited[number * each + k][None], place.window.size)[0]
            target.copy_(blend(inside, target.float().cpu(), soft))
            bar.advance()
    return result, make_report([phrase("stitched", len(places), f"{changed:.1%}")])


def _feather(mask: torch.Tensor, wanted: int) -> int:
    """The width of the soft edge in pixels: ``wanted``, halved until enough of the mask [H, W]
    remains (``LEFT``).
    """
    while wanted > 0 and float(grow_mask(mask[None], -wanted).sum()) < LEFT * float(mask.sum()):
        wanted //= 2
    return wanted


def _results(edited: torch.Tensor, cropping: Cropping) -> int:
    """The number of edits per crop.

    Raises:
        NodeError: the number or aspect ratio of the edits does not match the crops.
    """
    count, (height, width) = len(cropping.places), cropping.size
    each, over = divmod(len(edited), count)
    if over or each == 0:
        raise NodeError(
            f"got {len(edited)} edited images for {count} crops; expected {count}, or a multiple of it with the same "
            "number for each crop; connect the edits of all crops of Edit Crop."
        )
    ratio = edited.shape[2] / edited.shape[1] / (width / height)
    if abs(ratio - 1) > SAME_SHAPE:
        raise NodeError(
            f"got edited images of {edited.shape[2]} x {edited.shape[1]} pixels for crops of {width} x {height}; "
            "expected the same aspect ratio, at any size; edit the image of Edit Crop without cropping it again."
        )
    return each
