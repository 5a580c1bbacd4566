"""DiffEdit's mask (Couairon et al. 2022, section 3.2, step 1): the difference between a network's
noise predictions under two texts. For models that get the image as an input: the difference between
the prediction under one instruction and the noise that was added.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from .operations import close_field, gaussian_blur, grow_mask, guided_filter, otsu_threshold, principal_components

NORMALISATIONS = ("clamp", "min-max", "quantile", "adaptive")
BELOW_OTSU = 0.85
"""``adaptive`` maps this share of Otsu's threshold to 0.5: the edges of an object change less than
its middle (docs/evidence/instructions.md).
"""
SAME_PREDICTION = 1e-5
"""Contrast below which two predictions count as equal. Their standard deviation is about 1, and two
passes over the same input differ by rounding errors.
"""

GUIDE_CHANNELS = 4
"""Principal components of the image, and of the change, that guide :func:`follow_edges`: all of SD's latents."""
CHANGE_WEIGHT = 0.5
"""Standard deviation of the change in the guide of :func:`follow_edges`; that of the image is 1."""
FLAT = 0.5
"""``eps`` of the guided filter in :func:`follow_edges` (docs/evidence/masks.md)."""


class Contrast(NamedTuple):
    """The difference of two predictions over several noises.

    ``size`` [B, ...] is the mean of its absolute value over noises and channels. ``change`` [B, C, ...] is its mean
    with its sign, in which the part that depends on the noise cancels out.
    """

    size: torch.Tensor
    change: torch.Tensor


def noise_contrast(
    predict_both: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    add_noise: Callable[[torch.Tensor], torch.Tensor],
    noises: Iterable[torch.Tensor],
    chunk: int,
    callback: Callable[[int], None] | None = None,
) -> Contrast:
    """Mean over noises of ``eps_target - eps_source``, as size and with its sign.

    Guidance would cancel out, since both branches share the unconditional prediction; the
    conditional predictions alone give the same map at half the cost.

    Args:
        predict_both: noised latents [K*B, C, ...] to the two predictions, of the same shape; item b
            of noise k is at index ``k * B + b``.
        add_noise: noise [B, C, ...] to the noised latents of the B items.
        noises: N noises [B, C, ...], a different one for every map and item.
        chunk: number of noises to predict at once.

    Returns:
        The contrast, not normalised.
    """
    size, change, done, rest = torch.zeros(()), torch.zeros(()), 0, iter(noises)
    while group := [noise for _, noise in zip(range(chunk), rest)]:
        eps_source, eps_target = predict_both(torch.cat([add_noise(noise) for noise in group]))
        difference = eps_target - eps_source
        difference = difference.reshape(len(group), -1, *difference.shape[1:])
        size = size + difference.abs().mean(2).sum(0)
        change = change + difference.sum(0)
        done += len(group)
        if callback is not None:
            callback(done)
    return Contrast(size / done, change / done)


def picture_as_source(
    predict: Callable[[torch.Tensor], torch.Tensor], x0: torch.Tensor, sigma: float
) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """The ``predict_both`` of :func:`noise_contrast` with the image in place of the source text.

    A network that changed nothing would predict ``(x_t - x0) / sigma``: the added noise for eps-
    and v-models (``x_t = x0 + sigma n``), ``n - x0`` for flow models (``x_t = (1 - sigma) x0 +
    sigma n``). The contrast is then ``|x0 - D| / sigma`` for the predicted clean latent ``D``, at
    one evaluation per noise.

    Args:
        predict: noised latents [K*B, C, ...] to the prediction under the instruction.
        x0: the clean latents [B, C, ...].
        sigma: the noise level of the noised latents.
    """

    def predict_both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        clean = x0.repeat(x.shape[0] // x0.shape[0], *[1] * (x0.ndim - 1))
        return (x - clean) / sigma, predict(x)

    return predict_both


def follow_edges(contrast: Contrast, x0: torch.Tensor, radius: int) -> torch.Tensor:
    """The size of a contrast, aligned with edges of the image and of the change, [B, ..., h, w].

    A guided filter of its square root, so that a few large values do not decide, with the principal components of both
    as its guide. Holes inside an object are filled, and borders move to where the image or the prediction changes. An
    object that the image does not have yet is only an edge of the change.

    Args:
        x0: the clean latents [B, C, ..., h, w].
        radius: of the filter's windows, in latent cells; 0 returns the size as it is.
    """
    if radius == 0:
        return contrast.size
    height, width = contrast.size.shape[-2:]
    root = contrast.size.reshape(-1, height, width).float().sqrt()

    def guide(latents: torch.Tensor) -> torch.Tensor:
        frames = latents.movedim(1, -3).reshape(-1, latents.shape[1], height, width)
        return principal_components(frames.to(root), GUIDE_CHANNELS)

    both = torch.cat([guide(x0), CHANGE_WEIGHT * guide(contrast.change)], 1)
    return guided_filter(root, both, radius, FLAT).clamp_min(0).square().view_as(contrast.size)


def normalise(contrast: torch.Tensor, method: str) -> torch.Tensor:
    """Scale a contrast [B, ...] to 0..1, each item by its own statistics.

    ``clamp``
        Cut at three times the mean, as the published code does. Threshold 0.5 then selects what is
        above 1.5 times the mean, so at most two thirds of the map.
    ``min-max``
        Stretch from the 1st to the 99th percentile, as the paper says; for changes that fill most
        of the image.
    ``quantile``
        Rank: threshold 0.9 selects the strongest tenth, whatever the values are.
    ``adaptive``
        0.5 is at ``BELOW_OTSU`` of Otsu's threshold (1979) on the square root of the contrast,
        after dark gaps of one cell are filled. For changes of any size.

    An item without contrast (both texts give the same prediction) becomes all zeros.
    """
    flat = contrast.flatten(1).float()
    if method == "clamp":
        heat = flat / (3 * flat.mean(1, keepdim=True)).clamp_min(1e-12)
    elif method == "min-max":
        low, high = (torch.quantile(flat, share, dim=1, keepdim=True) for share in (0.01, 0.99))
        heat = (flat - low) / (high - low).clamp_min(1e-12)
    elif method == "quantile":
        heat = flat.argsort(1).argsort(1) / max(1, flat.shape[1] - 1)
    elif method == "adaptive":
        planes = contrast.reshape(-1, *contrast.shape[-2:]).float()
        heat = close_field(planes, 1).reshape(flat.shape).sqrt()
        heat = 0.5 * heat / (BELOW_OTSU * otsu_threshold(heat)).clamp_min(1e-12)
    else:
        raise ValueError(f"unknown normalisation {method!r}; one of {', '.join(NORMALISATIONS)}")
    empty = flat.amax(1, keepdim=True) < SAME_PREDICTION
    return torch.where(empty, torch.zeros_like(heat), heat.clamp(0, 1)).view_as(contrast)


def mask_from_contrast(
    contrast: torch.Tensor, threshold: float = 0.5, method: str = "clamp", smoothing: float = 0.0, grow: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The binary mask and the heat map, both shaped like ``contrast`` [B, ..., h, w].

    Args:
        threshold: in 0..1; cells of the heat map above it are set.
        method: as in :func:`normalise`.
        smoothing: sigma of a Gaussian, in latent cells.
        grow: cells to dilate by; a negative number erodes.
    """
    frames = contrast.shape[:-2]
    smooth = gaussian_blur(contrast.reshape(-1, *contrast.shape[-2:]).float(), smoothing).view_as(contrast)
    heat = normalise(smooth, method)
    mask = grow_mask((heat > threshold).float().reshape(-1, *heat.shape[-2:]), grow)
    return mask.reshape(*frames, *mask.shape[-2:]), heat
