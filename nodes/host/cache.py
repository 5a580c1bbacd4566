"""Remembers the last few expensive results, so that turning a cheap knob does not call the model again.

ComfyUI caches whole nodes: one changed widget runs all of ``execute``. A key here is made of what the expensive part depends on: tensors by content,
plain values by value, everything else (models, ControlNets) by identity through weak references, so that nothing large is kept alive.
"""
import hashlib
import weakref
from collections import OrderedDict

import torch


class Identity:
    """Equal only to itself: the very same living object."""

    def __init__(self, value):
        try:
            self.get = weakref.ref(value)
        except TypeError:
            self.get = lambda: value

    def __eq__(self, other):
        return isinstance(other, Identity) and self.get() is not None and self.get() is other.get()

    __hash__ = None


def fingerprint(value):
    """A nested tuple that equals another only for equal content."""
    if isinstance(value, torch.Tensor):
        data = value.detach().contiguous().cpu()
        return "tensor", str(data.dtype), tuple(data.shape), hashlib.sha256(data.flatten().view(torch.uint8).numpy().data).hexdigest()
    if isinstance(value, dict):
        return "dict", tuple((key, fingerprint(value[key])) for key in sorted(value, key=str))
    if isinstance(value, (list, tuple)):
        return "list", tuple(fingerprint(item) for item in value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return type(value).__name__, value
    return Identity(value)


class Recent:
    """The last ``size`` results by fingerprint."""

    def __init__(self, size: int = 4):
        self.size, self.entries = size, OrderedDict()

    def get(self, key, make):
        """The result remembered for ``key``, else what ``make()`` returns."""
        for number, (known, result) in self.entries.items():
            if known == key:
                self.entries.move_to_end(number)
                return result
        result = make()
        self.entries[object()] = (key, result)
        while len(self.entries) > self.size:
            self.entries.popitem(last=False)
        return result

    def clear(self) -> None:
        self.entries.clear()
