"""How a mask and a picture relate, in space and in time: the one answer for every node.

Space: ComfyUI's VAE Encode cuts a picture, about its centre, down to a multiple of the VAE's ratio.
    A mask may be of
the picture before or after that; where the sizes say so it is cut or padded likewise, and stretched
otherwise.
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
"""Pixels of a latent cell of the VAEs in use, for nodes that have no VAE to ask."""
TEMPORAL_RATIOS = (4, 6, 8)
"""Pictures of a latent frame but the first, likewise (Wan and Hunyuan, Mochi, LTX and Cosmos)."""


def encoding_crops(full: Size, part: Size, ratios: Iterable[int]) -> bool:
    """Whether encoding cuts a picture of ``full`` to ``part``: both sides down to a multiple of one
    of ``ratios``.
    """
    return full != part and any(
        all(whole // ratio * ratio == piece for whole, piece in zip(full, part, strict=True)) for ratio in ratios
    )


def centre(full: Size, part: Size) -> tuple[Any, ...]:
    """Index of the middle ``part`` of tensors [..., H, W] of size ``full``: what ComfyUI's crop
    leaves.
    """
    top, left = ((whole - piece) // 2 for whole, piece in zip(full, part, strict=True))
    return ..., slice(top, top + part[0]), slice(left, left + part[1])


def match_mask(mask: torch.Tensor, size: Size, ratios: Iterable[int], grid: Size | None = None) -> torch.Tensor:
    """A mask [N, H, W] on a picture of ``size`` pixels, or on the ``grid`` of cells that stand for
    it.

    A mask of the picture before encoding cropped it to ``size`` gives its middle; a mask of what
    encoding leaves of a picture of ``size`` is placed there, with 0 around. Any other is stretched.
    Every cell that it touches counts.
    """
    own, ratios = tuple(mask.shape[-2:]), tuple(ratios)
    if encoding_crops(own, size, ratios):
        mask = mask[centre(own, size)]
    elif encoding_crops(size, own, ratios):
        placed = mask.new_zeros(*mask.shape[:-2], *size)
        placed[centre(size, own)] = mask
        mask = placed
    return fit_mask(mask, *(grid or size))


@dataclass(frozen=True)
class Frames:
    """What the frames of a video's latent stand for: ``spans[k]`` are latent frame ``k``'s
    pictures, first and end.
    """

    spans: tuple[tuple[int, int], ...]
    pictures: int
    spare: int = 0
    """How many pictures more encode to as many latent frames, because those at the end fill none."""

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
        """The first latent frame is one picture, every further one ``ratio`` of them."""
        return cls.of(latent_frames, lambda count: max(0, (count - 1) * ratio + 1))

    @property
    def latent(self) -> int:
        """The number of latent frames."""
        return len(self.spans)

    def join(self, masks: torch.Tensor) -> torch.Tensor:
        """Masks [..., pictures, H, W] as [..., latent frames, H, W]: the maximum over what shares a
        latent frame.
        """
        return torch.stack([masks[..., first:end, :, :].amax(-3) for first, end in self.spans], -3)

    def spread(self, masks: torch.Tensor) -> torch.Tensor:
        """Masks [..., latent frames, H, W] as [..., pictures, H, W]: each latent frame's for all of
        its pictures.
        """
        given = masks.new_zeros(*masks.shape[:-3], self.pictures, *masks.shape[-2:])
        for k, (first, end) in enumerate(self.spans):
            part = given[..., first:end, :, :]
            part.copy_(torch.maximum(part, masks[..., k : k + 1, :, :]))
        return given


STILL = Frames(((0, 1),), 1)
"""A picture."""


def mask_counts(items: int, frames: Frames) -> list[int]:
    """How many masks ``items`` pictures or videos take: 1, one per frame or latent frame, these for
    each item, or one per item.
    """
    counts = {1, items}
    for each in (frames.latent, frames.pictures):
        counts |= {each, each * items}
    return sorted(counts)


def match_frames(masks: torch.Tensor, items: int, frames: Frames, in_pictures: bool) -> torch.Tensor | None:
    """Masks [N, H, W] as [items, pictures or latent frames, H, W]; None for a number that fits
    nothing.

    Where a number fits twice, frames go before items and latent frames before pictures.
    """
    count, change = masks.shape[0], (frames.spread if in_pictures else frames.join)
    length = frames.pictures if in_pictures else frames.latent
    if count == 1:
        return masks.expand(items, length, *masks.shape[1:])
    for videos in (1, items):
        for each, spare in ((frames.latent, 0), (frames.pictures, frames.spare if videos == 1 else 0)):
            if each > 1 and each * videos <= count <= each * videos + spare:
                own = masks[: each * videos].reshape(videos, each, *masks.shape[1:])
                return (own if each == length else change(own)).expand(items, length, *masks.shape[1:])
    return masks.unsqueeze(1).expand(items, length, *masks.shape[1:]) if count == items else None


def latent_frame_counts(pictures: int) -> dict[int, tuple[int, Frames]]:
    """For nodes without a VAE: which numbers of masks are one per latent frame of ``pictures``
    frames, by any of the ratios in use, each with the number of videos that this means, the
    smallest, and their frames.
    """
    counts: dict[int, tuple[int, Frames]] = {}
    for videos in range(1, pictures + 1):
        each, rest = divmod(pictures, videos)
        for ratio in TEMPORAL_RATIOS:
            latent, over = divmod(each - 1, ratio)
            if rest == over == 0 and latent > 0:
                counts.setdefault(videos * (latent + 1), (videos, Frames.causal(latent + 1, ratio)))
    return counts
