"""The functions of ComfyUI's memory management that the edits use."""

import comfy.model_management
import torch

OutOfMemory = comfy.model_management.OOM_EXCEPTION
"""The error of an allocation that did not fit."""
is_out_of_memory = comfy.model_management.is_oom
"""``is_out_of_memory(error)``: whether an exception is caused by an allocation that did not fit."""
give_back = comfy.model_management.soft_empty_cache
"""Return cached memory to the device."""
stop_if_interrupted = comfy.model_management.throw_exception_if_processing_interrupted
"""Raise ComfyUI's exception if the user has interrupted."""


def make_room_for_training(vae, shape: tuple[int, ...], device: torch.device) -> None:
    """Free device memory for a decoder's gradients at a latent of ``shape``: four times the memory
    of decoding in float32.
    """
    if not comfy.model_management.is_device_cpu(device):
        comfy.model_management.free_memory(4 * vae.memory_used_decode(shape, torch.float32), device)


def is_fast_at_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively."""
    if comfy.model_management.is_device_cpu(device):
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
    return device.type == "cuda" and comfy.model_management.should_use_bf16(device)
