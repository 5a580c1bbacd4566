"""Weights and patchers of the tiny models."""

import comfy.cldm.cldm
import comfy.clip_vision
import comfy.controlnet
import comfy.model_base
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.taesd.taesd
import torch

CPU = torch.device("cpu")


def fill(module, seed: int = 0):
    """Initialise ComfyUI's layers, whose weights are uninitialised: weights scaled by fan-in, norms
    one, biases zero.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if not value.is_floating_point() or value.ndim == 0 or name.startswith("model_sampling."):
                continue
            if value.ndim == 1:
                value.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                value.copy_(torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5)
    return module


def damp(patcher, share: float = 0.1):
    """Scale down the last layer, so that the sampling ODE is smooth enough to invert."""
    with torch.no_grad():
        last_layer(patcher.model.diffusion_model).weight.mul_(share)
    return patcher


def last_layer(network):
    for path in ("out.2", "final_layer.linear", "head.head", "proj_out", "final_layer.linear_2"):
        try:
            return network.get_submodule(path)
        except AttributeError:
            pass
    raise TypeError(f"the last layer of {type(network).__name__} is not known")


def patcher(model, seed: int = 0):
    """The model with weights, in the form that loaders return."""
    fill(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)
