"""Private copies of VAEs: networks that can be trained while the given VAE does not change, and VAE
objects around them.

ComfyUI runs nodes in inference mode, so a VAE's weights are often inference tensors, and with
dynamic memory they are mapped from the file, with handles on their modules. Neither can be
deep-copied for training. The copy has the structure of the modules and separate float32 tensors.
"""

import copy
import types
from typing import Any

import comfy.model_management
import comfy.model_patcher
import torch

from ..core.errors import NodeError

Network = Any
"""A VAE's network: a torch.nn.Module with a method ``decode``, which torch's type does not have."""
DECODERS = ("taesd_decoder", "decoder", "post_quant_conv", "conv2")
"""Modules between a latent and pixels: TAESD; AutoencoderKL, SD3 and Flux, Wan; the layer before
AutoencoderKL's decoder; the one before Wan's.
"""
LOADING_STATE = (
    "model_loaded_weight_memory",
    "lowvram_patch_counter",
    "model_lowvram",
    "current_weight_patches_uuid",
    "model_offload_buffer_memory",
    "device",
    "dynamic_vbars",
    "dynamic_pins",
    "dynamic_patchers",
)
"""Attributes that patchers set on modules."""
RUN_STATE = ("_comfy_cross_step_state",)
"""Attributes in which newer releases keep buffers of a run on a module; they are recreated on
demand.
"""
HANDLES = (
    "_v",
    "_pin",
    "_pin_state",
    "_prefetch",
    "weight_function",
    "bias_function",
    "weight_lowvram_function",
    "bias_lowvram_function",
)
"""Attributes that patchers set on single layers."""


def require_trainable(vae) -> None:
    """Check that a VAE's decoder decodes a latent to images in one differentiable pass.

    Raises:
        NodeError: it does not; the message names its class and the supported ones.
    """
    network = getattr(vae, "first_stage_model", None)
    if network is None:
        raise NodeError(
            "the VAE contains no network; expected a complete VAE. If it comes from a checkpoint, load a VAE from its "
            "own file."
        )
    name, why = type(network).__name__, None
    if (
        vae.latent_dim not in (2, 3)
        or getattr(vae, "extra_1d_channel", None) is not None
        or vae.output_channels not in (3, 4)
    ):
        why = "does not decode to images"
    elif getattr(vae, "handles_tiling", False) or getattr(network, "comfy_has_chunked_io", False):
        why = "decodes in separate pieces, which cannot be trained"
    elif float(vae.process_input(torch.zeros(1))) != -1.0:
        why = "expects a range of values other than -1..1"
    elif not any(True for module in decoder_parts(network).values() for _ in module.parameters()):
        why = "has no decoder with weights"
    if why is not None:
        raise NodeError(
            f"got a VAE ({name}) that {why}; expected AutoencoderKL (SD1.5, SD2, SDXL, SD3, Flux), TAESD or Wan. Use "
            "BackgroundRestore with stitch or poisson."
        )


def decoder_parts(network: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The modules between a latent and pixels, by name."""
    modules = {name: getattr(network, name, None) for name in DECODERS}
    return {name: module for name, module in modules.items() if isinstance(module, torch.nn.Module)}


def private_network(vae, device: torch.device | str = "cpu") -> Network:
    """A copy of the VAE's network with float32 weights on ``device``, in evaluation mode, outside
    inference mode, with gradients disabled.
    """
    with torch.inference_mode(False):
        return _clone(vae.first_stage_model, torch.device(device), {}).eval()


def _clone(module: torch.nn.Module, device: torch.device, known: dict[int, Any]) -> torch.nn.Module:
    if id(module) in known:
        return known[id(module)]
    new = known[id(module)] = module.__class__.__new__(module.__class__)
    skipped = ("_parameters", "_buffers", "_modules", *LOADING_STATE, *RUN_STATE, *HANDLES)
    new.__dict__.update(
        {key: _plain(value, device, known) for key, value in module.__dict__.items() if key not in skipped}
    )
    for handle in ("weight_function", "bias_function"):
        if handle in module.__dict__:
            new.__dict__[handle] = []
    new.__dict__["_parameters"] = {
        name: None if value is None else _own(value, device, known, True) for name, value in module._parameters.items()
    }
    new.__dict__["_buffers"] = {
        name: None if value is None else _own(value, device, known, False) for name, value in module._buffers.items()
    }
    new.__dict__["_modules"] = {
        name: None if child is None else _clone(child, device, known) for name, child in module._modules.items()
    }
    return new


def _plain(value, device: torch.device, known: dict[int, Any]):
    """An attribute for the copy: tensors are copied, and modules are replaced by their copies, at
    any depth of containers and in methods bound to a module.

    Everything else (functions, numbers, settings) is shared.
    """
    if isinstance(value, torch.nn.Module):
        return _clone(value, device, known)
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, types.MethodType) and isinstance(value.__self__, torch.nn.Module):
        return types.MethodType(value.__func__, _clone(value.__self__, device, known))
    if isinstance(value, dict):
        copied = copy.copy(value)
        copied.update((key, _plain(part, device, known)) for key, part in value.items())
        return copied
    if type(value) in (list, tuple):
        return type(value)(_plain(part, device, known) for part in value)
    return copy.copy(value) if isinstance(value, (list, set)) else value


def _own(value: torch.Tensor, device: torch.device, known: dict, is_parameter: bool) -> torch.Tensor:
    if id(value) not in known:
        floating = value.is_floating_point()
        tensor = torch.empty(value.shape, dtype=torch.float32 if floating else value.dtype, device=device)
        tensor.copy_(value.detach())
        known[id(value)] = torch.nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
    return known[id(value)]


def view_with(
    module: torch.nn.Module, replacements: dict[int, torch.nn.Module], known: dict | None = None
) -> torch.nn.Module:
    """A view of a network with some modules (by id) replaced. It shares all weights with the given
    network, whose modules do not change.
    """
    known = {} if known is None else known
    if id(module) in replacements:
        return replacements[id(module)]
    if id(module) not in known:
        new = known[id(module)] = copy.copy(module)
        new.__dict__["_modules"] = {
            name: None if child is None else view_with(child, replacements, known)
            for name, child in module._modules.items()
        }
    return known[id(module)]


def tuned_vae(vae, network: torch.nn.Module):
    """A VAE that decodes with ``network`` and otherwise equals ``vae``. It stays float32, because
    the changes of tuning are smaller than the resolution of half precision.
    """
    network.requires_grad_(False)
    network.to(vae.patcher.offload_device)
    new = copy.copy(vae)
    new.first_stage_model, new.vae_dtype, new.size = network, torch.float32, None
    comfy.model_management.archive_model_dtypes(network)
    new.patcher = comfy.model_patcher.ModelPatcher(
        network, load_device=vae.patcher.load_device, offload_device=vae.patcher.offload_device
    )
    new.model_size()
    return new
