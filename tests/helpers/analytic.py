"""A denoiser with an analytic solution in place of a tiny model's network, set by ComfyUI's own
hook, so that everything around it is ComfyUI's.

Data are Gaussian: mean ``text_mean`` inside ``region`` (the part that depends on the text), 0
outside, with one standard deviation everywhere. A text is a conditioning whose first number is its
mean.
"""

import tiny_models
import torch

SPREAD = 0.5


def text(mean: float):
    return [[torch.full((1, 77, 64), float(mean)), {"pooled_output": torch.zeros(1, 64)}]]


def denoiser(region: torch.Tensor | None = None):
    """A model [4 channels] with exact predictions, and the list of batch sizes of its calls."""
    model, calls = tiny_models.sd15().clone(), []

    def wrapper(apply_model, arguments):
        x, sigma = arguments["input"], arguments["timestep"].view(-1, 1, 1, 1)
        calls.append(x.shape[0])
        mean = arguments["c"]["c_crossattn"][:, 0, 0].view(-1, 1, 1, 1) * (1.0 if region is None else region)
        return mean + (x - mean) * SPREAD**2 / (SPREAD**2 + sigma**2)

    model.set_model_unet_function_wrapper(wrapper)
    return model, calls


def solution(x: torch.Tensor, mean: float, sigma_from: float, sigma_to: float) -> torch.Tensor:
    """The probability-flow ODE's solution from ``x`` at one noise level to another (model space)."""
    return mean + (x - mean) * ((SPREAD**2 + sigma_to**2) / (SPREAD**2 + sigma_from**2)) ** 0.5


def latent(model_space: torch.Tensor) -> dict:
    """A LATENT whose values in SD1.5's model space are ``model_space``."""
    return {"samples": model_space / 0.18215}


def model_space(latent: dict) -> torch.Tensor:
    return latent["samples"] * 0.18215
