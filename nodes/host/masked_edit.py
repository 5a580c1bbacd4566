"""What every exact editor does before and after: the mask that counts, and the result in the VAE's space with the source wherever the mask is 0."""
import torch

from ..core.masks import coverage
from .blend_sampling import keep_source, latent_mask


def mask_that_counts(node: str, mask: torch.Tensor | None, latent: dict, samples: torch.Tensor) -> torch.Tensor | None:
    """The connected MASK, else the LATENT's own noise mask, as [B, 1, ...] on the latent's grid; None if there is neither."""
    mask = latent.get("noise_mask") if mask is None else mask
    return None if mask is None else latent_mask(node, mask, samples)


def edited_samples(node: str, model, result: torch.Tensor, samples: torch.Tensor, cells: torch.Tensor | None) -> torch.Tensor:
    """A result in model space as LATENT samples; where ``cells`` is 0 they are the source's ``samples`` bit for bit."""
    edited = model.get_model_object("process_latent_out")(result.float().cpu())
    return edited if cells is None else keep_source(node, edited, samples, cells)


def describe_mask(cells: torch.Tensor | None) -> str:
    """How much of the latent a mask left free, as the end of a sentence; nothing without a mask."""
    if cells is None:
        return ""
    return f", changed {', '.join(f'{100 * share:.1f} %' for share in coverage(cells).tolist()[:8])} of the latent, kept the rest exactly"
