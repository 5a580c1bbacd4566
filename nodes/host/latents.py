"""LATENT dicts: checks, conversions between spaces, and results as LATENTs.

A LATENT contains ``samples`` in the VAE's space. Samplers work in the model's space
(``process_in``) and, for flow models, on a state that is scaled by ``1 - sigma``.
``inverse_noise_scaling`` inverts this scaling; stock samplers apply it to their results and expect
it for their input.
"""

import comfy.model_management
import torch

from ..core.errors import NodeError
from ..core.masks.matching import STILL, Frames
from . import versions

SEEDS = 2**64
"""The number of seeds, from 0."""
DOWNSCALE_KEYS = ("downscale_ratio_spacial", "downscale_ratio_temporal")


def samples_of(latent: dict) -> torch.Tensor:
    """The samples of a LATENT with one part.

    Raises:
        NodeError: it has several.
    """
    if getattr(latent["samples"], "is_nested", False):
        raise NodeError(
            "got a latent of several parts (for example audio with video); expected one image or video latent. Split "
            "it first."
        )
    return latent["samples"]


def require_finite_latent(samples: torch.Tensor) -> torch.Tensor:
    """Return the samples after checking that all values are finite.

    Raises:
        NodeError: NaN or infinite values.
    """
    if not torch.isfinite(samples).all():
        raise NodeError(
            "the latent contains NaN or infinite values; expected finite values; check the node that produced it (for "
            "example a VAE in half precision)."
        )
    return samples


def read_latent(latent: dict, model) -> torch.Tensor:
    """The samples of a LATENT [B, C, ...], shaped for the model and checked.

    Raises:
        NodeError: nested latents, an empty batch, the wrong number of channels, or values that are
            not finite.
    """
    samples = samples_of(latent)
    if samples.ndim not in (4, 5):
        raise NodeError(
            f"got a latent of shape {tuple(samples.shape)}; expected [batch, channels, height, width], or [batch, "
            "channels, frames, height, width] of a video; connect the output of VAE Encode, for example."
        )
    if samples.shape[0] == 0:
        raise NodeError("got a latent without items; expected at least one; connect a latent of an image.")
    samples = versions.fix_empty_latent_channels(model, samples, *(latent.get(key) for key in DOWNSCALE_KEYS))
    latent_format = model.get_model_object("latent_format")
    channels, sides = latent_format.latent_channels, getattr(latent_format, "latent_dimensions", 2)
    if samples.ndim != sides + 2:
        expected = "[batch, channels, frames, height, width]" if sides == 3 else "[batch, channels, height, width]"
        raise NodeError(
            f"got a latent of shape {tuple(samples.shape)}; expected {expected} for this model; encode the image with "
            "the VAE of this model."
        )
    if samples.shape[1] != channels:
        raise NodeError(
            f"got a latent of {samples.shape[1]} channels for a model with {channels}; encode the image with the VAE "
            "of this model."
        )
    return require_finite_latent(samples)


def write_latent(latent: dict, samples: torch.Tensor, **changes) -> dict:
    """A copy of the LATENT dict with a copy of ``samples`` and with ``changes``; None removes a
    key.
    """
    result = {
        key: value for key, value in {**latent, **changes}.items() if value is not None and key not in DOWNSCALE_KEYS
    }
    result["samples"] = samples.to(comfy.model_management.intermediate_device(), copy=True)
    if isinstance(result.get("noise_mask"), torch.Tensor):
        result["noise_mask"] = result["noise_mask"].clone()
    return result


def write_inverted(latent: dict, samples: torch.Tensor) -> dict:
    """The LATENT of an inverted image, with only those of its entries that are also valid for
    noise.

    With a noise mask, samplers would preserve the noise outside the mask, and entries of other
    packs describe the image.
    """
    return write_latent({"batch_index": latent.get("batch_index")}, samples)


def write_predictions(latent: dict, samples: torch.Tensor, each: int, noise_mask: torch.Tensor | None) -> dict:
    """The LATENT of ``each`` predictions per image, without batch indices. Other entries of the
    LATENT are preserved only for a single prediction per image.
    """
    kept = latent if each == 1 else {"samples": latent["samples"]}
    return write_latent(kept, samples, batch_index=None, noise_mask=noise_mask)


def copy_latent(latent: dict) -> dict:
    """A LATENT dict with copies of its tensors, for objects that are used after the run."""
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in latent.items()}


def item_indices(latent: dict, count: int) -> list[int]:
    """Each item's index in its original batch, so that an item taken out of a batch gets the same
    noise as within it.
    """
    indices = latent.get("batch_index")
    return list(indices) if indices is not None and len(indices) == count else list(range(count))


def item_seeds(latent: dict, count: int, seed: int) -> list[int]:
    """The seed of each item: ``seed`` plus its index, modulo ``SEEDS``."""
    return [(seed + index) % SEEDS for index in item_indices(latent, count)]


def seeded_noise(shape, seeds: list[int]) -> torch.Tensor:
    """Standard normal noise [len(seeds), *shape], with a CPU generator for each item: a seed gives
    an item the same noise in any batch.
    """
    return torch.stack(
        [
            torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
            for seed in seeds
        ]
    )


def cell_size(model) -> int:
    """Side of a latent cell in pixels."""
    return getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", 8)


def pixel_size(model, samples: torch.Tensor) -> tuple[int, int]:
    """Height and width in pixels of a decoded latent."""
    ratio = cell_size(model)
    return samples.shape[-2] * ratio, samples.shape[-1] * ratio


def latent_frames(model, samples: torch.Tensor) -> Frames:
    """The images of each latent frame of a latent of this model."""
    if samples.ndim != 5:
        return STILL
    return Frames.causal(samples.shape[2], versions.temporal_ratio(model.get_model_object("latent_format")))


def has_input_scale(model_sampling) -> bool:
    """Whether the network's input is ``x`` scaled by the noise level (eps-, v- and EDM-models) or
    ``x`` itself (flow models, CogVideoX).
    """
    ones = torch.ones(1, 1, 1, 1)
    return float(model_sampling.calculate_input(torch.ones(1), ones)) != 1.0


def is_flow(model_sampling) -> bool:
    """Whether a noised state is ``(1 - sigma) x0 + sigma noise``. All other kinds of models do not
    scale the image: ``x0 + sigma noise``.
    """
    half, ones = torch.full((1,), 0.5), torch.ones(1, 1, 1, 1)
    return float(model_sampling.noise_scaling(half, torch.zeros_like(ones), ones)) == 0.5


def input_rescale(model_sampling):
    """``rescale(low, high)``: the factor that gives the network at ``high`` the input scale of
    ``low``. None for flow models.
    """
    if not has_input_scale(model_sampling):
        return None
    ones = torch.ones(1, 1, 1, 1, dtype=torch.float64)

    def scale(sigma) -> float:
        return float(model_sampling.calculate_input(torch.tensor([float(sigma)], dtype=torch.float64), ones))

    return lambda low, high: scale(low) / scale(high)
