"""Windows around the regions of a large image, and the size at which a model edits them.

Sizes are (height, width) in whole pixels.
"""

import math
from dataclasses import dataclass

LEAST_MARGIN = 16
"""Minimum margin around a region in pixels, as far as the image allows it."""
MOST_ELONGATED = 2.0
"""Maximum ratio of a window's longer to its shorter side, as far as the image allows it."""


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def index(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def plan(
    regions: list[Window], picture: tuple[int, int], context: float, side: int, multiple: int
) -> tuple[list[Window], tuple[int, int]]:
    """A window around each region, all of one size, and the size at which they are edited.

    Args:
        regions: bounding boxes.
        picture: the image's size.
        context: the side of a window relative to that of its region.
        side: the side of a square that has the area of the working size; 0: no scaling.
        multiple: both sides of the working size are multiples of it.
    """
    window = _window_size(regions, picture, context)
    if side:
        working = working_size(window, side, multiple)
        window = _same_shape(window, working, picture)
    else:
        window, working = _rounded_up(window, picture, multiple)
    return [_place(region, window, picture) for region in regions], working


def working_size(window: tuple[int, int], side: int, multiple: int) -> tuple[int, int]:
    """The size with the aspect ratio of ``window`` and the area of a square of ``side``, both sides
    rounded to multiples.
    """
    factor = side / math.sqrt(window[0] * window[1])
    rounded = [max(multiple, round(length * factor / multiple) * multiple) for length in window]
    return rounded[0], rounded[1]


def _rounded_up(
    window: tuple[int, int], picture: tuple[int, int], multiple: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The window enlarged to multiples, and its working size, which equals it. A side for which the
    image is too small keeps its length, and its working size is the next smaller multiple.
    """
    larger = [math.ceil(length / multiple) * multiple for length in window]
    fits = [enlarged <= whole for enlarged, whole in zip(larger, picture, strict=True)]
    sides = [more if fit else length for fit, length, more in zip(fits, window, larger, strict=True)]
    working = [
        enlarged if fit else max(multiple, enlarged - multiple) for fit, enlarged in zip(fits, larger, strict=True)
    ]
    return (sides[0], sides[1]), (working[0], working[1])


def _window_size(regions: list[Window], picture: tuple[int, int], context: float) -> tuple[int, int]:
    sides = []
    for axis in (0, 1):
        longest = max(region.size[axis] for region in regions)
        sides.append(max(math.ceil(longest * context), longest + 2 * LEAST_MARGIN))
    least = math.ceil(max(sides) / MOST_ELONGATED)
    height, width = (min(max(length, least), whole) for length, whole in zip(sides, picture, strict=True))
    return height, width


def _same_shape(window: tuple[int, int], working: tuple[int, int], picture: tuple[int, int]) -> tuple[int, int]:
    """The window, one side enlarged to the aspect ratio of the working size, as far as the image
    allows it.
    """
    ratio = working[1] / working[0]
    height, width = window
    if width / height < ratio:
        return height, min(picture[1], round(height * ratio))
    return min(picture[0], round(width / ratio)), width


def _place(region: Window, size: tuple[int, int], picture: tuple[int, int]) -> Window:
    """The window around the region's centre, moved into the image."""
    starts = []
    for first, extent, length, whole in zip((region.top, region.left), region.size, size, picture, strict=True):
        starts.append(min(max(0, first + (extent - length) // 2), whole - length))
    return Window(starts[0], starts[1], *size)
