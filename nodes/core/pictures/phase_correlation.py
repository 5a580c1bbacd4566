"""Initial guesses for a registration: translations by phase correlation over a grid of scales.

Kuglin and Hines 1975, on complex gradients (Argyriou and Vlachos 2006), which are invariant to
colour casts. Maps are matrices [2, 3] from the source's coordinates to the edited image's, both in
-1..1 over the image, pixel edges at -1 and 1 (``affine_grid`` without aligned corners).
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F

SIDE = 128
"""Longest side of the source for the guesses, in pixels."""
NEAR = tuple(1.03**step for step in range(-3, 4))
WIDE = tuple(1.04**step for step in range(-14, 15))
"""Zooms that are tried around each of :func:`base_scales`."""
PEAKS = 2
"""Number of peaks of each correlation that are used."""


def base_scales(source: tuple[int, int], edited: tuple[int, int]) -> list[tuple[float, float]]:
    """Edited pixels per source pixel (down, along) of the usual ways to convert an image of one
    size (height, width) to the other: stretching, cropping, padding, and an unscaled crop.
    """
    down, along = edited[0] / source[0], edited[1] / source[1]
    ways = [(down, along), (max(down, along),) * 2, (min(down, along),) * 2, (1.0, 1.0)]
    kept: list[tuple[float, float]] = []
    for way in ways:
        if all(max(abs(math.log(a / b)) for a, b in zip(way, other, strict=True)) > 0.004 for other in kept):
            kept.append(way)
    return kept


def guesses(source: torch.Tensor, edited: torch.Tensor, zooms: Iterable[float], most: int) -> list[torch.Tensor]:
    """The ``most`` likeliest maps at ``zooms`` around :func:`base_scales`, the likeliest first.

    Args:
        source, edited: luminance [H, W], of any two sizes.
    """
    bases = base_scales(_size(source), _size(edited))
    return guesses_at(source, edited, [(down * zoom, along * zoom) for down, along in bases for zoom in zooms], most)


def guesses_at(
    source: torch.Tensor, edited: torch.Tensor, scales: Iterable[tuple[float, float]], most: int
) -> list[torch.Tensor]:
    """The ``most`` likeliest maps among translations at ``scales`` (edited pixels per source pixel,
    down and along), the likeliest first.
    """
    shrink = min(1.0, SIDE / max(source.shape))
    small = resized(source, max(16, round(source.shape[0] * shrink)), max(16, round(source.shape[1] * shrink)))
    length = 2 ** math.ceil(math.log2(2 * max(small.shape)))
    first = torch.fft.fft2(on_canvas(gradient(small), length)[0])
    ratio = small.shape[0] / source.shape[0], small.shape[1] / source.shape[1]
    scored: list[tuple[float, torch.Tensor]] = []
    for down, along in scales:
        shape = (round(edited.shape[0] / down * ratio[0]), round(edited.shape[1] / along * ratio[1]))
        if min(shape) >= 16:
            scored += _peaks(first, small, resized(edited, *shape), length)
    scored.sort(key=lambda entry: -entry[0])
    return [matrix for _, matrix in scored[:most]]


def _size(picture: torch.Tensor) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]


def _peaks(
    first: torch.Tensor, source: torch.Tensor, edited: torch.Tensor, length: int
) -> list[tuple[float, torch.Tensor]]:
    """(height over the standard deviation, map) of the highest peaks of one correlation."""
    canvas, place = on_canvas(gradient(edited), length)
    product = torch.fft.fft2(canvas) * first.conj()
    surface = torch.fft.ifft2(product / (product.abs() + 1e-12).sqrt()).real
    spread = float(surface.std()) + 1e-12
    peaks = []
    for _ in range(PEAKS):
        highest = int(surface.argmax())
        row, column = divmod(highest, length)
        peaks.append((float(surface[row, column]) / spread, _map(source, edited, place, row, column, length)))
        rows, columns = ((torch.arange(centre - 2, centre + 3) % length) for centre in (row, column))
        surface[rows[:, None], columns] = 0
    return peaks


def _map(
    source: torch.Tensor, edited: torch.Tensor, place: tuple[int, int], row: int, column: int, length: int
) -> torch.Tensor:
    """The map of a peak: edited canvas pixel = source canvas pixel + peak."""
    lines = []
    for axis, peak in ((1, column), (0, row)):
        shift = peak if peak < length // 2 else peak - length
        margin = (length - source.shape[axis]) // 2
        size, other = source.shape[axis], edited.shape[axis]
        lines.append((size / other, (size + 2 * (margin + shift - place[axis])) / other - 1))
    (across, left), (down, top) = lines
    return torch.tensor([[across, 0.0, left], [0.0, down, top]], dtype=torch.float64)


def gradient(picture: torch.Tensor) -> torch.Tensor:
    """Complex gradient [H, W] of an image [H, W] by central differences, with the square root of
    its magnitude; zero at the border.
    """
    field = torch.zeros(picture.shape, dtype=torch.complex64)
    inner = picture.float()
    field.real[2:-2, 2:-2] = inner[2:-2, 3:-1] - inner[2:-2, 1:-3]
    field.imag[2:-2, 2:-2] = inner[3:-1, 2:-2] - inner[1:-3, 2:-2]
    return field / (field.abs() + 1e-3).sqrt()


def on_canvas(field: torch.Tensor, length: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """Place a field in the middle of a square of zeros, cropped if it is larger. Returns the square
    and the position of the field's first row and column in it (negative if cropped).
    """
    canvas = torch.zeros(length, length, dtype=field.dtype)
    place = ((length - field.shape[0]) // 2, (length - field.shape[1]) // 2)
    cut = field[max(0, -place[0]) :, max(0, -place[1]) :][:length, :length]
    canvas[max(0, place[0]) :, max(0, place[1]) :][: cut.shape[0], : cut.shape[1]] = cut
    return canvas, place


def resized(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """An image [..., H, W] at another size, without aliasing."""
    if (height, width) == tuple(picture.shape[-2:]):
        return picture
    flat = picture.reshape(1, -1, *picture.shape[-2:])
    small = F.interpolate(flat, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return small.reshape(*picture.shape[:-2], height, width)
