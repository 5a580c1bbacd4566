"""Networks of published shape with random weights, inputs for them, and a clock, for benchmarks of speed.

The device is ComfyUI's own: a GPU in half precision if there is one, else the CPU in float32.
"""

import time
from typing import NamedTuple

import torch

from lab import common

SD15_SHAPE = dict(
    channel_mult=[1, 2, 4, 4],
    num_res_blocks=[2, 2, 2, 2],
    transformer_depth=[1, 1, 1, 1, 1, 1, 0, 0],
    transformer_depth_output=[1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    num_heads=8,
)
SDXL_DEPTHS = dict(
    transformer_depth=[0, 0, 2, 2, 10, 10],
    transformer_depth_middle=10,
    transformer_depth_output=[0, 0, 0, 2, 2, 2, 10, 10, 10],
)
TEXT_WIDTHS = {"sd15": 768, "sdxl": 2048}
FAMILIES = tuple(TEXT_WIDTHS)
PUBLISHED_WIDTH = 320
"""Channels of the first level, of both families."""
PIXELS, SCALE = 8, 0.18215
"""Along the side of a latent cell; the factor between LATENTs and the network's input (SD1.5)."""


def dtype() -> torch.dtype:
    return torch.float16 if torch.cuda.is_available() else torch.float32


def make_model(family: str, width: int = PUBLISHED_WIDTH):
    """A MODEL of one of ``FAMILIES`` with ``width`` channels in its first level;
    :func:`common.load_pack` goes first.
    """
    import comfy.model_base
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models
    import full_size
    import tiny_models
    import tiny_parts

    if family == "sdxl":
        shape = {**full_size.SDXL, **SDXL_DEPTHS, "model_channels": width, "dtype": dtype()}
        network = comfy.model_base.SDXL(comfy.supported_models.SDXL(shape), device=tiny_parts.CPU)
        made = tiny_parts.patcher(network)
    else:
        shape = {**SD15_SHAPE, "context_dim": TEXT_WIDTHS["sd15"], "model_channels": width, "dtype": dtype()}
        made = tiny_models.sd15(**shape)
    return comfy.model_patcher.ModelPatcher(
        tiny_parts.damp(made).model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=tiny_parts.CPU,
    )


def use_torchs_attention(model) -> None:
    """Give a MODEL the attention that ComfyUI uses on most GPUs; on a CPU its default is slower."""
    from comfy.ldm.modules.attention import attention_pytorch

    options = model.model_options["transformer_options"]
    options["optimized_attention_override"] = lambda theirs, *args, **more: attention_pytorch(*args, **more)


class Inputs(NamedTuple):
    """Inputs of the nodes besides the MODEL: CONDITIONINGs, a LATENT, and a MASK whose right half is white."""

    target: list
    source: list
    empty: list
    latent: dict
    mask: torch.Tensor


def make_inputs(family: str, side: int, batch: int = 1) -> Inputs:
    """Random texts and ``batch`` random latents of pictures of ``side`` pixels."""
    generator = torch.Generator().manual_seed(0)

    def text() -> list:
        values = torch.randn(1, 77, TEXT_WIDTHS[family], generator=generator)
        return [[values, {"pooled_output": torch.randn(1, 1280, generator=generator)}]]

    cells = side // PIXELS
    mask = torch.zeros(1, side, side)
    mask[..., side // 2 :] = 1
    texts = text(), text(), text()
    return Inputs(*texts, {"samples": torch.randn(batch, 4, cells, cells, generator=generator) / SCALE}, mask)


def clock() -> float:
    """Processor seconds of this process; with CUDA seconds, once the GPU has finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


class Timed(common.Evaluations):
    """Counts evaluations, and the seconds inside the network."""

    def __init__(self, model):
        super().__init__(model)
        self.seconds = 0.0

    def _counted(self, apply_model, given: dict):
        started = clock()
        found = super()._counted(apply_model, given)
        self.seconds += clock() - started
        return found


class Spent(NamedTuple):
    """Seconds, those of them inside the network, and evaluations of single latents."""

    seconds: float
    network: float
    evaluations: int


def spent(counter, work) -> Spent:
    """The cost of ``work()``; ``counter`` has the ``count`` and ``seconds`` of :class:`Timed`."""
    counter.count, counter.seconds = 0, 0.0
    started = clock()
    work()
    return Spent(clock() - started, counter.seconds, counter.count)
