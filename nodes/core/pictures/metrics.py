"""Metrics of an edit against its source, inside and outside a mask.

Images are [N, H, W, 3] in 0..1, regions [N, H, W] of 0 and 1; every metric is per image, [N],
NaN where the region is empty.

Two conventions, which differ when a region does not fill the frame:

- ``region``: over the region's own pixels only, so that the mask's size does not matter;
- ``PIE-Bench`` (Ju et al. 2024): both images are multiplied by the region, then the plain metric
  is taken over the full frame. Black agrees with black, so a small region scores better. The mask's
  outermost rows and columns are set first, as their loader does.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from .layout import bhwc_to_bchw

CONVENTIONS = ("region", "PIE-Bench")
CEILING = 100.0  # dB; equal images would have infinitely many
WINDOW, SIGMA = 11, 1.5
FLOOR_MEAN, FLOOR_SPREAD = 0.01**2, 0.03**2


def regions_of(mask: torch.Tensor, convention: str) -> dict[str, torch.Tensor]:
    """The ``inside`` and ``outside`` regions of masks [N, H, W] under a convention; inside is above
    0.5.

    Raises:
        ValueError: an unknown convention.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"got convention {convention!r}; expected one of {', '.join(CONVENTIONS)}")
    inside = (mask > 0.5).float()
    if convention == "PIE-Bench":
        inside[:, [0, -1], :] = 1
        inside[:, :, [0, -1]] = 1
    return {"inside": inside, "outside": 1 - inside}


def masked(pictures: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Images with everything outside a region black."""
    return pictures * region.unsqueeze(-1)


def mse(a: torch.Tensor, b: torch.Tensor, region: torch.Tensor, convention: str = "region") -> torch.Tensor:
    """Mean squared difference; PIE-Bench's tables print it times 10 000."""
    squares = (a - b).double().square().mean(-1) * region
    pixels = region.flatten(1).sum(1)
    total = pixels if convention == "region" else torch.full_like(pixels, squares[0].numel())
    return torch.where(pixels > 0, squares.flatten(1).sum(1) / total, torch.nan).float()


def psnr(a: torch.Tensor, b: torch.Tensor, region: torch.Tensor, convention: str = "region") -> torch.Tensor:
    """Peak signal-to-noise ratio in dB for a peak of 1, at most ``CEILING``."""
    return (-10 * mse(a, b, region, convention).log10()).clamp(max=CEILING)


def _window() -> torch.Tensor:
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    return weights / weights.sum()


def _blur(field: torch.Tensor, padding: str) -> torch.Tensor:
    """Gaussian-weighted sums of fields [N, C, H, W] over a window around every pixel; outside the
    border zero, or the mirrored image (``reflect``).
    """
    reach, sums = WINDOW // 2, field.flatten(0, 1).unsqueeze(1)
    sums = F.pad(sums, (reach,) * 4, mode=padding)
    for axis in (-2, -1):
        sums = _weighted(sums, axis, field.shape[axis])
    return sums.view(field.shape)


def _weighted(field: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """Weighted sums along an axis, ``size`` of them. In float64 on the CPU this takes a quarter of
    the time of conv2d and gives the same bits.
    """
    weights: list[float] = _window().tolist()
    first, *others = weights
    sums = field.narrow(axis, 0, size) * first
    for offset, weight in enumerate(others, 1):
        sums.add_(field.narrow(axis, offset, size), alpha=weight)
    return sums


def _similarity(means: torch.Tensor, squares: torch.Tensor, product: torch.Tensor) -> torch.Tensor:
    """SSIM of two signals from the local means [2, ...] of both, of their squares, and of their
    product.
    """
    spread, shared = (squares - means.square()).clamp(min=0), product - means[0] * means[1]
    light = (2 * means[0] * means[1] + FLOOR_MEAN) / (means.square().sum(0) + FLOOR_MEAN)
    return light * (2 * shared + FLOOR_SPREAD) / (spread.sum(0) + FLOOR_SPREAD)


def ssim(a: torch.Tensor, b: torch.Tensor, region: torch.Tensor, convention: str = "region") -> torch.Tensor:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 pixels and sigma 1.5, K1 =
    0.01, K2 = 0.03, plain (biased) variances, peak 1.

    ``PIE-Bench``: of the masked images, mirrored at the border, mean over the full frame.
    ``region``: every window is weighted by the region and renormalised, so pixels outside it have
    no effect; mean over the region's pixels. NaN for images of fewer than 6 pixels a side.
    """
    if min(region.shape[-2:]) <= WINDOW // 2:
        return torch.full((len(a),), torch.nan)
    first, second = (bhwc_to_bchw(masked(picture, region)).double() for picture in (a, b))
    padding = "constant" if convention == "region" else "reflect"
    means, squares, product = (
        _blur(field, padding)
        for field in (torch.cat([first, second]), torch.cat([first, second]).square(), first * second)
    )
    if convention == "region":
        share = _blur(region.double().unsqueeze(1), padding).clamp(min=1e-12)
        means, squares, product = means / share.repeat(2, 1, 1, 1), squares / share.repeat(2, 1, 1, 1), product / share
    similarity = _similarity(torch.stack(means.chunk(2)), torch.stack(squares.chunk(2)), product).mean(1)
    pixels = region.flatten(1).sum(1)
    counted, total = (similarity * region, pixels) if convention == "region" else (similarity, similarity[0].numel())
    return torch.where(pixels > 0, counted.flatten(1).sum(1) / total, torch.nan).float()


def distances(
    source: torch.Tensor, edited: torch.Tensor, mask: torch.Tensor, convention: str = "region"
) -> dict[str, torch.Tensor]:
    """``psnr``, ``ssim`` and ``mse``, each ``_outside`` and ``_inside`` the masks, under one
    convention.
    """
    values = {}
    regions = regions_of(mask, convention)
    for side in ("outside", "inside"):
        for name, measure in (("psnr", psnr), ("ssim", ssim), ("mse", mse)):
            values[f"{name}_{side}"] = measure(source, edited, regions[side], convention)
    return values


def mask_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of masks [N, H, W], cut at 0.5; 1 if both are empty."""
    a, b = ((mask > 0.5).flatten(1) for mask in (a, b))
    union = (a | b).sum(1)
    return torch.where(union > 0, (a & b).sum(1) / union.clamp(min=1), 1.0)


def clip_score(pictures: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """CLIPScore (Hessel et al. 2021, w = 100) of embeddings of length 1, [N, D] each: 100
    max(cosine, 0).
    """
    return 100 * (pictures * texts).sum(-1).clamp(min=0)


def among_best(logits: torch.Tensor, wanted: torch.Tensor, best: int = 5) -> torch.Tensor:
    """Whether the wanted class [N] is among the ``best`` highest of a classifier's logits [N,
    classes] (Blended Latent Diffusion, appendix C.1), [N] bool.

    The mean of it is a batch's precision.
    """
    return (logits.topk(min(best, logits.shape[1]), dim=1).indices == wanted.unsqueeze(1)).any(1)


def diversity(pictures: torch.Tensor, distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor | float]) -> float:
    """Mean of ``distance(a, b)`` over all pairs of images [N, ...], a and b of shape [pairs,
    ...]; NaN for fewer than two.

    With LPIPS on the correct, masked predictions of one batch this is the diversity of Blended
    Latent Diffusion, appendix C.1.
    """
    if len(pictures) < 2:
        return float("nan")
    left, right = torch.triu_indices(len(pictures), len(pictures), 1)
    return float(torch.as_tensor(distance(pictures[left], pictures[right])).float().mean())
