"""Colour casts between two images of the same scene: gain and offset per channel, a smooth field,
and the distance in CIE L*a*b*.

Images are [3, H, W] of sRGB values in 0..1, weights [H, W].
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

FIELD_TERMS = 4
"""Cosines per axis of a smooth field."""
GAIN_PRIOR, FIELD_PRIOR = 1e-4, 1e-3
"""Ridge weights (per pixel) that pull the gain to 1 and the field to 0 where the data do not
determine them.
"""
WHITE = (0.95047, 1.0, 1.08883)
"""Tristimulus values of D65."""
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))


@dataclass(frozen=True)
class ColourMap:
    """``gain * picture + offset + field`` per channel.

    Attributes:
        gain, offset: [3].
        field: coefficients [3, FIELD_TERMS, FIELD_TERMS] of cosines over the image; None without
            one.
    """

    gain: torch.Tensor
    offset: torch.Tensor
    field: torch.Tensor | None = None

    @classmethod
    def identity(cls) -> "ColourMap":
        return cls(torch.ones(3), torch.zeros(3))

    def apply(self, picture: torch.Tensor, rows: slice | None = None, height: int | None = None) -> torch.Tensor:
        """The mapped image, not clamped. ``rows`` of an image of ``height``, for processing in
        bands.
        """
        mapped = self.gain.to(picture)[:, None, None] * picture + self.offset.to(picture)[:, None, None]
        if self.field is None:
            return mapped
        full = picture.shape[-2] if height is None else height
        down, along = cosines(full)[:, rows or slice(None)], cosines(picture.shape[-1])
        return mapped + torch.einsum("cij,ih,jw->chw", self.field, down, along).to(picture)


def cosines(length: int) -> torch.Tensor:
    """The first cosines [FIELD_TERMS, length] of a DCT over ``length`` pixels."""
    place = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    return torch.cos(torch.pi * torch.arange(FIELD_TERMS, dtype=torch.float64)[:, None] * place).float()


def fit_gain_offset(
    edited: torch.Tensor, source: torch.Tensor, weight: torch.Tensor, prior: float = GAIN_PRIOR
) -> ColourMap:
    """Weighted least squares fit of ``source = gain * edited + offset`` per channel, with a ridge
    of ``prior`` per pixel that draws the gain towards 1.
    """
    total = weight.sum().clamp(min=1e-6)
    mean_edited, mean_source = ((weight * image).sum((-2, -1)) / total for image in (edited, source))
    apart = edited - mean_edited[:, None, None]
    spread = (weight * apart.square()).sum((-2, -1)) / total
    shared = (weight * apart * (source - mean_source[:, None, None])).sum((-2, -1)) / total
    gain = (shared + prior) / (spread + prior)
    return ColourMap(gain, mean_source - gain * mean_edited)


def fit_field(edited: torch.Tensor, source: torch.Tensor, weight: torch.Tensor, known: ColourMap) -> ColourMap:
    """``known`` with the smooth field that best explains its residual, over the weighted pixels."""
    height, width = weight.shape
    terms = torch.einsum("ih,jw->ijhw", cosines(height), cosines(width)).reshape(FIELD_TERMS**2, -1).double()
    residual = (source - replace(known, field=None).apply(edited)).reshape(3, -1).double()
    heavy = weight.reshape(-1).double()
    normal = (terms * heavy) @ terms.T + FIELD_PRIOR * heavy.sum() * torch.eye(len(terms), dtype=torch.float64)
    normal[0, 0] -= FIELD_PRIOR * heavy.sum() * (1 - 1e-6)  # no ridge on the constant term
    field = torch.linalg.solve(normal, (terms * heavy) @ residual.T).T
    return replace(known, field=field.reshape(3, FIELD_TERMS, FIELD_TERMS).float())


def unclipped(picture: torch.Tensor, margin: float = 1 / 255) -> torch.Tensor:
    """Pixels [H, W] whose channels are all more than ``margin`` inside their range, because clipped
    values carry no information on the colour map.
    """
    clear = torch.ones(picture.shape[-2:], dtype=torch.bool)
    for channel in picture:
        clear &= (channel > margin) & (channel < 1 - margin)
    return clear


def to_lab(picture: torch.Tensor) -> torch.Tensor:
    """CIE 1976 L*a*b* (D65) of sRGB values [3, ...], IEC 61966-2-1."""
    values = picture.clamp(0, 1)
    linear = torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,j...->i...", torch.tensor(TO_XYZ), linear)
    ratio = xyz / torch.tensor(WHITE).view(3, *[1] * (xyz.ndim - 1))
    root = torch.where(ratio > (6 / 29) ** 3, ratio.clamp(min=1e-9) ** (1 / 3), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return torch.stack([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def delta_e(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """CIE 1976 colour difference [...] of sRGB values [3, ...]."""
    return (to_lab(first) - to_lab(second)).square().sum(0).sqrt()


def colour_error(first: torch.Tensor, second: torch.Tensor, weight: torch.Tensor, cell: int = 8) -> float | None:
    """Median colour difference between the means of cells of ``cell`` x ``cell`` pixels that are
    fully weighted; means reduce the effect of noise and lost detail. None without such a cell.
    """
    whole = F.avg_pool2d(weight[None, None], cell)[0, 0] > 0.99
    if not whole.any():
        return None
    difference = delta_e(*(F.avg_pool2d(image[None], cell)[0] for image in (first, second)))
    return float(difference[whole].median())
