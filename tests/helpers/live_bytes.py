"""Peak bytes of live tensors, counted at creation and deletion: equal in every run and independent
of the allocator.
"""

import gc
import weakref
from collections.abc import Callable

import comfy.model_management
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are created inside it and not yet freed; those of the meta
    device as if they were real.
    """

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage(), 0)  # existed before
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage(), tensor.untyped_storage().nbytes())
        return result

    def _see(self, storage, size: int) -> None:
        key = storage._cdata
        if key in self.known:
            return

        def forget(_):
            if self.known.pop(key, None) is not None:
                self.live -= size

        self.known[key] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)


def on_cuda() -> bool:
    """Whether ComfyUI runs its models on CUDA."""
    return comfy.model_management.get_torch_device().type == "cuda"


def peak_of(work: Callable[[], object]) -> tuple[int, object]:
    """The peak of bytes during ``work()`` minus those before, and its result; on CUDA the device's
    own count.
    """
    gc.collect()
    if on_cuda():
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = work()
        return torch.cuda.max_memory_allocated() - before, result
    with LiveBytes() as counter:
        result = work()
    return counter.peak, result


def trajectory_bytes(outputs: tuple) -> int:
    """Bytes of the outputs other than latents: an inversion's states and corrections."""
    tensors = [getattr(output, name, None) for output in outputs for name in ("states", "corrections")]
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))
