"""Progressive mask shrinking (Avrahami et al. 2023, "Blended Latent Diffusion", section 4.3): a
thin mask is dilated at high noise and shrinks to itself as the noise falls.

At high noise a thin mask has too few cells for the model to form an object. With a dilated mask the
model forms the object at high noise, and the shrinking mask confines it to the given mask.
"""

import torch

from .operations import grow_mask

KERNELS = (7, 5, 3)


def dilate(mask: torch.Tensor, kernel: int) -> torch.Tensor:
    """Maximum over a square of ``kernel`` x ``kernel`` cells, for a mask [..., H, W]."""
    return grow_mask(mask.reshape(-1, *mask.shape[-2:]), kernel // 2).reshape(mask.shape)


def shrinking_masks(mask: torch.Tensor, kernels: tuple[int, ...] = KERNELS) -> list[torch.Tensor]:
    """The stages: ``mask`` [..., H, W] dilated by each kernel, then the mask itself."""
    return [dilate(mask, kernel) for kernel in kernels] + [mask]


def stage_at(step: int, steps: int, ends: tuple[float, ...]) -> int:
    """The stage of step ``step`` of ``steps``; ``ends`` are the shares of the steps at which each
    stage but the last ends.

    Equal shares give the paper's ``min(3, 4 i // N)``. A run with fewer steps than stages skips the
    first stages, so the last step always uses the mask itself.
    """
    stages = len(ends) + 1
    reached = sum(step >= end * steps - 1e-9 for end in ends)
    return max(reached, stages - steps + step)


def stage_at_place(place: float, ends: tuple[float, ...]) -> int:
    """The stage of a place in 0..1 between pure noise and the image, for runs that cover only
    part of the noise levels.
    """
    return sum(place >= end - 1e-4 for end in ends)


def equal_ends(stages: int) -> tuple[float, ...]:
    """Ends that give every stage the same share of the steps."""
    return tuple(index / stages for index in range(1, stages))


def step_of(sigma: float, sigmas: torch.Tensor) -> tuple[int, int]:
    """The step that evaluates the model at ``sigma``, and the number of steps, for descending
    ``sigmas``. A level between two belongs to the step that starts above it.
    """
    steps = max(1, len(sigmas) - 1)
    passed = int((sigmas >= sigma * (1 - 1e-5)).sum()) - 1
    return min(max(passed, 0), steps - 1), steps
