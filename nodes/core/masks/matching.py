"""How a mask and a picture correspond, in space and in time. All nodes use these functions.

Space: ComfyUI's VAE Encode crops a picture about its centre to a multiple of the VAE's ratio. A
mask may belong to the picture before or after the crop; if the sizes show which, it is cropped or
padded likewise, and stretched otherwise.

Time: a latent frame of a video stands for several pictures. A mask may be given for either.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from .operations import fit_mask

Size = tuple[int, ...]
"""Height and width."""
SPATIAL_RATIOS = (8, 16, 32)
"""Pixels per latent cell of the VAEs in use, for nodes without a VAE."""
TEMPORAL_RATIOS = (4, 6, 8)
"""Pictures per latent frame after the first (Wan and Hunyuan, Mochi, LTX and Cosmos), for nodes
without a VAE.
"""


def encoding_crops(full: Size, part: Size, ratios: Iterable[int]) -> bool:
    """Whether encoding crops a picture of size ``full`` to ``part``: both sides rounded down to a
    multiple of one of ``ratios``.
    """
    return full != part and any(
        all(whole // ratio * ratio == piece for whole, piece in zip(full, part, strict=True)) for ratio in ratios
    )


def centre(full: Size, part: Size) -> tuple[Any, ...]:
    """Index of the middle ``part`` of tensors [..., H, W] of size ``full``, as ComfyUI's crop takes
    it.
    """
    top, left = ((whole - piece) // 2 for whole, piece in zip(full, part, strict=True))
    return ..., slice(top, top + part[0]), slice(left, left + part[1])


def match_mask(mask: torch.Tensor, size: Size, ratios: Iterable[int], grid: Size | None = None) -> torch.Tensor:
    """Resize a mask [N, H, W] to a picture of ``size`` pixels, or to the ``grid`` of cells that
    stands for the picture.

    A mask of the picture before encoding cropped it to ``size`` is cropped to its middle; a mask of
    what encoding leaves of a picture of ``size`` is placed in the middle, with 0 around. Any other
    mask is stretched. Every touched cell is set.
    """
    mask_size, ratios = tuple(mask.shape[-2:]), tuple(ratios)
    if encoding_crops(mask_size, size, ratios):
        mask = mask[centre(mask_size, size)]
    elif encoding_crops(size, mask_size, ratios):
        placed = mask.new_zeros(*mask.shape[:-2], *size)
        placed[centre(size, mask_size)] = mask
        mask = placed
    return fit_mask(mask, *(grid or size))


@dataclass(frozen=True)
class Frames:
    """The pictures of each latent frame of a video: ``spans[k]`` is the first picture of latent
    frame ``k`` and the one after its last.
    """

    spans: tuple[tuple[int, int], ...]
    pictures: int
    spare: int = 0
    """Number of further pictures that encode to the same number of latent frames, because the ones
    at the end do not fill another frame.
    """

    @classmethod
    def of(cls, latent_frames: int, pictures_of: Callable[[int], int]) -> "Frames":
        """From a VAE's ``pictures_of(latent frames)``. Latent frames that add pictures only
        together share them.
        """
        spans, seen, waiting = [], 0, 0
        for count in range(1, latent_frames + 1):
            waiting, gained = waiting + 1, pictures_of(count) - seen
            if gained > 0:
                spans += [(seen + k * gained // waiting, seen - (-(k + 1) * gained // waiting)) for k in range(waiting)]
                seen, waiting = seen + gained, 0
        spans += [(max(0, seen - 1), seen)] * waiting
        return cls(tuple(spans), seen, max(0, pictures_of(latent_frames + 1) - seen - 1) if seen > 1 else 0)

    @classmethod
    def causal(cls, latent_frames: int, ratio: int) -> "Frames":
        """The first latent frame is one picture, every further one ``ratio`` pictures."""
        return cls.of(latent_frames, lambda count: max(0, (count - 1) * ratio + 1))

    @property
    def latent(self) -> int:
        """The number of latent frames."""
        return len(self.spans)

    def join(self, masks: torch.Tensor) -> torch.Tensor:
        """Masks [..., pictures, H, W] as [..., latent frames, H, W]: the maximum over the pictures
        of each latent frame.
        """
        return torch.stack([masks[..., first:end, :, :].amax(-3) for first, end in self.spans], -3)

    def spread(self, masks: torch.Tensor) -> torch.Tensor:
        """Masks [..., latent frames, H, W] as [..., pictures, H, W]: each latent frame's mask for
        all of its pictures.
        """
        given = masks.new_zeros(*masks.shape[:-3], self.pictures, *masks.shape[-2:])
        for k, (first, end) in enumerate(self.spans):
            part = given[..., first:end, :, :]
            part.copy_(torch.maximum(part, masks[..., k : k + 1, :, :]))
        return given


STILL = Frames(((0, 1),), 1)
"""A single picture."""


def mask_counts(items: int, frames: Frames) -> list[int]:
    """The numbers of masks that ``items`` pictures or videos accept: 1; one per frame or latent
    frame; these for each item; one per item.
    """
    counts = {1, items}
    for each in (frames.latent, frames.pictures):
        counts |= {each, each * items}
    return sorted(counts)


def match_frames(masks: torch.Tensor, items: int, frames: Frames, in_pictures: bool) -> torch.Tensor | None:
    """Masks [N, H, W] as [items, pictures or latent frames, H, W]; None if N is not accepted.

    Where N fits in two ways, frames take precedence over items and latent frames over pictures.
    """
    count, change = masks.shape[0], (frames.spread if in_pictures else frames.join)
    length = frames.pictures if in_pictures else frames.latent
    if count == 1:
        return masks.expand(items, length, *masks.shape[1:])
    for videos in (1, items):
        for each, spare in ((frames.latent, 0), (frames.pictures, frames.spare if videos == 1 else 0)):
            if each > 1 and each * videos <= count <= each * videos + spare:
                grouped = masks[: each * videos].reshape(videos, each, *masks.shape[1:])
                return (grouped if each == length else change(grouped)).expand(items, length, *masks.shape[1:])
    return masks.unsqueeze(1).expand(items, length, *masks.shape[1:]) if count == items else None


def latent_frame_counts(pictures: int) -> dict[int, tuple[int, Frames]]:
    """The numbers of masks that are one per latent frame of ``pictures`` frames, for nodes without
    a VAE.

    Returns:
        By number of masks, the number of videos that it means (the smallest that fits) and their
        frames.
    """
    counts: dict[int, tuple[int, Frames]] = {}
    for videos in range(1, pictures + 1):
        each, rest = divmod(pictures, videos)
        for ratio in TEMPORAL_RATIOS:
            latent, over = divmod(each - 1, ratio)
            if rest == over == 0 and latent > 0:
                counts.setdefault(videos * (latent + 1), (videos, Frames.causal(latent + 1, ratio)))
    return counts
