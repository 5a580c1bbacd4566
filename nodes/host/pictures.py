"""Source pictures, masks and decoded latents brought together: one size, one count, one layout, with answers in words where they do not fit.

An *item* is what a latent stands for: a picture, or for VAEs of videos all frames of one. Item tensors are what decoders give: [1, C, H, W] or
[1, C, T, H, W] in -1..1, and masks [1, 1, H, W] or [1, 1, T, H, W].
"""
from dataclasses import dataclass

import torch

from ..core.layout import spatial_to_mask
from ..core.masks import fit_mask
from .latents import require_finite, samples_of


@dataclass(frozen=True)
class Item:
    """One latent with the source and mask that belong to it."""
    latent: torch.Tensor
    source: torch.Tensor
    mask: torch.Tensor


def broadcast(node: str, what: str, tensor: torch.Tensor, count: int, of: str, also: str = "") -> torch.Tensor:
    """One serves all, as many as are needed serve one each.

    Raises:
        ValueError: any other number, with both in the message; ``also`` names a number that the caller would have taken.
    """
    if tensor.shape[0] == count:
        return tensor
    if tensor.shape[0] == 1:
        return tensor.expand(count, *tensor.shape[1:])
    raise ValueError(f"{node}: got {tensor.shape[0]} {what} for {count} {of}; give 1{also} or {count}.")


def read_pictures(node: str, name: str, image: torch.Tensor) -> torch.Tensor:
    """An IMAGE without its alpha, float32 on the CPU.

    Raises:
        ValueError: pictures of one channel.
    """
    if image.shape[-1] < 3:
        raise ValueError(f"{node}: got {name} of shape {tuple(image.shape)}; expected [batch, height, width, 3] with at least one picture.")
    return image[..., :3].float().cpu()


def read_masks(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A MASK of any size as [N, height, width] in 0..1, float32 on the CPU; a pixel that it touches counts."""
    return fit_mask(plain_masks(mask), height, width)


def plain_masks(mask: torch.Tensor) -> torch.Tensor:
    """A MASK as [N, H, W] in 0..1, float32 on the CPU."""
    return spatial_to_mask(mask.float().cpu().clamp(0, 1))


def centre(full: tuple[int, int], part: tuple[int, int]) -> tuple:
    """Index of the middle ``part`` (height, width) of tensors [..., H, W] of size ``full``: what ComfyUI's crop leaves when it encodes."""
    top, left = ((whole - piece) // 2 for whole, piece in zip(full, part, strict=True))
    return ..., slice(top, top + part[0]), slice(left, left + part[1])


def masks_of_centre(mask: torch.Tensor, full: tuple[int, int], part: tuple[int, int]) -> torch.Tensor:
    """Masks [N, H, W] for the middle ``part`` of ``full``: those of its very size are its own, any other are the whole picture's."""
    return mask if tuple(mask.shape[-2:]) == part else fit_mask(mask, *full)[centre(full, part)]


def read_samples(node: str, vae, latent: dict) -> torch.Tensor:
    """The samples of a LATENT with the VAE's dimensions and channels.

    Raises:
        ValueError: it is not one that this VAE decodes.
    """
    samples = samples_of(node, latent)
    if samples.ndim == 5 and vae.latent_dim == 2:
        samples = samples[:, :, 0]
    if samples.ndim == 4 and vae.latent_dim == 3:
        samples = samples.unsqueeze(2)
    if samples.ndim != vae.latent_dim + 2 or samples.shape[0] == 0:
        raise ValueError(f"{node}: got a latent of shape {tuple(samples.shape)}; expected {vae.latent_dim + 2} dimensions and at least one item for this VAE.")
    if samples.shape[1] != vae.latent_channels:
        raise ValueError(f"{node}: got a latent of {samples.shape[1]} channels for a VAE that works on {vae.latent_channels}; connect the VAE that the latent was encoded with.")
    return require_finite(node, samples)


def pixels_of(vae, samples: torch.Tensor) -> tuple[int, int, int]:
    """(frames, height, width) that one latent decodes to."""
    ratio = vae.spacial_compression_decode()
    frames = vae.upscale_ratio[0](samples.shape[2]) if samples.ndim == 5 else 1
    return frames, samples.shape[-2] * ratio, samples.shape[-1] * ratio


def read_items(node: str, vae, image: torch.Tensor, samples: torch.Tensor, mask: torch.Tensor) -> list[Item]:
    """Match sources and masks with latents: 1 to N or N to N. A video takes one source and mask for all frames, or one per frame.

    Raises:
        ValueError: sizes or counts that do not go together, with both.
    """
    original = tuple(image.shape[1:3])
    image = vae.vae_encode_crop_pixels(image)
    mask = masks_of_centre(plain_masks(mask), original, tuple(image.shape[1:3]))
    frames, height, width = pixels_of(vae, samples)
    if tuple(image.shape[1:3]) != (height, width):
        raise ValueError(f"{node}: the source image is {original[1]} x {original[0]} pixels and the latent stands for {width} x {height}; "
                         f"connect the very picture that was encoded, or scale it to {width} x {height} first.")
    count = samples.shape[0]
    image, mask = (_frames(node, name, tensor, count, frames) for name, tensor in (("source images", image), ("masks", mask)))
    items = []
    for k in range(count):
        source, own = vae.process_input(image[k].float().cpu()).movedim(-1, 0), mask[k].unsqueeze(0)
        if samples.ndim == 4:
            source, own = source[:, 0], own[:, 0]
        items.append(Item(samples[k:k + 1], source.unsqueeze(0), own.unsqueeze(0)))
    return items


def _frames(node: str, what: str, tensor: torch.Tensor, count: int, frames: int) -> torch.Tensor:
    """[N, ...] as [count, frames, ...]."""
    if frames > 1:
        if count == 1 and frames < tensor.shape[0] < frames + 4:
            tensor = tensor[:frames]  # encoding drops the frames that fill no latent
        if tensor.shape[0] == frames:
            return tensor.unsqueeze(0).expand(count, *tensor.shape)
        if tensor.shape[0] != 1 and tensor.shape[0] != count * frames:
            raise ValueError(f"{node}: got {tensor.shape[0]} {what} for {count} x {frames} frames; give 1, {frames} or {count * frames}.")
        return broadcast(node, what, tensor, count * frames, "frames").reshape(count, frames, *tensor.shape[1:])
    return broadcast(node, what, tensor, count, "latents").unsqueeze(1)


def to_image(decoded: torch.Tensor) -> torch.Tensor:
    """A decoded item as IMAGE [pictures or frames, H, W, C]."""
    picture = (decoded.detach().float().cpu() / 2 + 0.5).clamp(0, 1)
    return (picture.movedim(2, 1).flatten(0, 1) if picture.ndim == 5 else picture).movedim(1, -1)
