"""Mask arithmetic: resizing that keeps thin strokes, growing, smoothing, and a blend that is exact
where the mask is 0 or 1.
"""

import torch
import torch.nn.functional as F


def fit_mask(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize a mask [N, H, W] to [N, height, width] so that any touched cell counts.

    Shrinking takes the maximum over every pixel that overlaps a cell, so a stroke one pixel wide
    survives on every grid; enlarging repeats the nearest value. An axis that already fits is left
    alone.
    """
    rows, columns = mask.shape[-2:]
    small = (min(rows, height), min(columns, width))
    if small != (rows, columns):
        mask = F.adaptive_max_pool2d(mask.unsqueeze(1), small).squeeze(1)
    if small != (height, width):
        mask = F.interpolate(mask.unsqueeze(1), (height, width), mode="nearest-exact").squeeze(1)
    return mask


def enlarge_smoothly(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bilinear resize of a soft mask [N, H, W], for display."""
    return F.interpolate(mask.unsqueeze(1), (height, width), mode="bilinear", align_corners=False).squeeze(1)


def grow_mask(mask: torch.Tensor, cells: int) -> torch.Tensor:
    """Dilate a mask [N, H, W] by ``cells`` in all eight directions; a negative number erodes. The
    area outside the image is ignored, not counted as empty.
    """
    if cells == 0:
        return mask
    size = 2 * abs(cells) + 1
    sign = 1 if cells > 0 else -1
    return sign * F.max_pool2d(sign * mask.unsqueeze(1), size, stride=1, padding=abs(cells)).squeeze(1)


def close_field(field: torch.Tensor, cells: int) -> torch.Tensor:
    """Morphological closing of a field [N, H, W]: dark gaps up to ``2 * cells`` wide are filled to
    the level around them, except at the image's border; peaks keep their shape.
    """
    margin = 2 * cells
    padded = F.pad(field.unsqueeze(1), (margin, margin, margin, margin), mode="replicate").squeeze(1)
    closed = grow_mask(grow_mask(padded, cells), -cells)
    return closed[..., margin : margin + field.shape[-2], margin : margin + field.shape[-1]]


def otsu_threshold(values: torch.Tensor) -> torch.Tensor:
    """Otsu's threshold (1979) of each row of ``values`` [B, N], as [B, 1]: it maximises the
    variance between the two classes. It is the middle between the two values that it separates.

    Rows with one distinct value, and rows of fewer than two values, get 0.
    """
    ordered = values.sort(1).values
    count = ordered.shape[1]
    if count < 2:
        return torch.zeros(values.shape[0], 1, dtype=values.dtype, device=values.device)
    below = torch.arange(1, count, dtype=torch.float64, device=values.device)
    sums = ordered.double().cumsum(1)
    low = sums[:, :-1] / below
    high = (sums[:, -1:] - sums[:, :-1]) / (count - below)
    between = below * (count - below) * (high - low).square()
    place = between.argmax(1, keepdim=True)
    middle = (ordered.gather(1, place) + ordered.gather(1, place + 1)) / 2
    return torch.where(ordered[:, :1] == ordered[:, -1:], torch.zeros_like(middle), middle)


def gaussian_blur(field: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur a field [N, H, W] by a normalised Gaussian of ``sigma`` cells, edges repeated. Returned
    as it is for a ``sigma`` below 0.001.
    """
    if sigma < 1e-3:
        return field
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=field.dtype, device=field.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(field.unsqueeze(1), (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1)).squeeze(1)


def guided_filter(field: torch.Tensor, guide: torch.Tensor, radius: int, eps: float) -> torch.Tensor:
    """Smooth a field [N, H, W] along the edges of a guide [N, C, H, W]: the guided filter for a guide of several
    channels (He, Sun and Tang 2013, equations 19 to 21). In every window the field is fitted by a linear function of
    the guide (ridge regression), and a cell is the mean of the fits of all windows that contain it.

    Args:
        radius: windows have ``2 * radius + 1`` cells a side; at the border, the cells inside the image.
        eps: the penalty on the slopes, in units of the guide's variance. Where the guide varies less than this inside
            a window, the field is averaged; where it varies more, its edges stay.
    """
    rows, channels = guide.shape[:2]

    def mean(planes: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(planes, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)

    plane = field.unsqueeze(1)
    guide_mean, field_mean = mean(guide), mean(plane)
    products = (guide.unsqueeze(2) * guide.unsqueeze(1)).flatten(1, 2)
    covariance = mean(products).view(rows, channels, channels, *guide.shape[2:])
    covariance = covariance - guide_mean.unsqueeze(2) * guide_mean.unsqueeze(1)
    ridge = eps * torch.eye(channels, dtype=guide.dtype, device=guide.device)
    matrices, sides = covariance.permute(0, 3, 4, 1, 2) + ridge, mean(guide * plane) - guide_mean * field_mean
    slopes = torch.linalg.solve(matrices, sides.permute(0, 2, 3, 1).unsqueeze(-1)).squeeze(-1).permute(0, 3, 1, 2)
    offset = field_mean - (slopes * guide_mean).sum(1, keepdim=True)
    return ((mean(slopes) * guide).sum(1, keepdim=True) + mean(offset)).squeeze(1)


def principal_components(field: torch.Tensor, count: int) -> torch.Tensor:
    """The first ``count`` principal components of the channels of a field [N, C, H, W], or all of them if there are
    fewer, each item by its own, with mean 0. Together they have a mean variance of 1; a field of one value gives
    zeros.
    """
    centred = field - field.mean((2, 3), keepdim=True)
    flat = centred.flatten(2)
    directions: torch.Tensor = torch.linalg.eigh(flat @ flat.mT).eigenvectors[..., -count:]
    parts = (directions.mT @ flat).view(len(field), -1, *field.shape[2:])
    return parts / parts.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)


def blend(inside: torch.Tensor, outside: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """``mask * inside + (1 - mask) * outside``, equal bit for bit to either side where the mask is
    exactly 1 or 0.
    """
    mixed = outside + mask * (inside - outside)
    return torch.where(mask == 0, outside, torch.where(mask == 1, inside, mixed))


COMBINATIONS = ("intersection", "union", "only")


def combine(mask: torch.Tensor, other: torch.Tensor, how: str) -> torch.Tensor:
    """Combine ``mask`` with ``other`` of the same shape, both in 0..1: the intersection (minimum),
    the union (maximum), or ``other`` alone.
    """
    if how == "intersection":
        return torch.minimum(mask, other)
    if how == "union":
        return torch.maximum(mask, other)
    if how == "only":
        return other
    raise ValueError(f"unknown combination {how!r}; one of {', '.join(COMBINATIONS)}")


def coverage(mask: torch.Tensor) -> torch.Tensor:
    """Share of each mask [N, ...] that is set: [N] in 0..1."""
    return mask.flatten(1).mean(1)
