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
    """Bilinear resize of a soft mask [N, H, W], for looking at."""
    return F.interpolate(mask.unsqueeze(1), (height, width), mode="bilinear", align_corners=False).squeeze(1)


def grow_mask(mask: torch.Tensor, cells: int) -> torch.Tensor:
    """Dilate a mask [N, H, W] by ``cells`` in all eight directions; a negative number erodes.
    Outside the picture counts as unknown, not as empty.
    """
    if cells == 0:
        return mask
    size = 2 * abs(cells) + 1
    sign = 1 if cells > 0 else -1
    return sign * F.max_pool2d(sign * mask.unsqueeze(1), size, stride=1, padding=abs(cells)).squeeze(1)


def gaussian_blur(field: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur a field [N, H, W] by a normalised Gaussian of ``sigma`` cells, edges repeated. Below a
    thousandth of a cell nothing is blurred.
    """
    if sigma < 1e-3:
        return field
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=field.dtype, device=field.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(field.unsqueeze(1), (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1)).squeeze(1)


def blend(inside: torch.Tensor, outside: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """``mask * inside + (1 - mask) * outside``, equal bit for bit to either side where the mask is
    exactly 1 or 0.
    """
    mixed = outside + mask * (inside - outside)
    return torch.where(mask == 0, outside, torch.where(mask == 1, inside, mixed))


def coverage(mask: torch.Tensor) -> torch.Tensor:
    """Share of each mask [N, ...] that is set, [N] in 0..1."""
    return mask.flatten(1).mean(1)
