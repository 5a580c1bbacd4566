"""Comparable values for everything on which a result depends: by content where it can be read, else
by object identity.

A MODEL is a patcher around a network. Its predictions depend on the network's weights, on the
patches that ComfyUI merges into them (LoRA), on its model sampling, and on functions: wrappers,
attention patches, hooks, object patches. All of these may be changed in place on an object that a
cache or an inversion has seen before. Therefore a model's identity consists of their current
contents.
"""

import functools
import hashlib
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.controlnet
import comfy.model_patcher
import torch

from .reports import Phrase, phrase

BLOCKS, BLOCK = 4, 16
"""Sampling of every weight: number of evenly spaced blocks, and values per block."""
SMALL = 2**20
"""Number of values in a module up to which all of them are read (a model sampling has a few
thousand).
"""
NOT_ABOUT_PREDICTIONS = frozenset(("denoise_mask_function",))
"""Entries of ``model_options`` that affect the sampler, not the network's predictions."""
BEHAVIOUR = (
    "object_patches",
    "wrappers",
    "callbacks",
    "injections",
    "hook_patches",
    "weight_wrapper_patches",
    "additional_models",
    "attachments",
)
"""Attributes of a ModelPatcher besides weights, their patches and options. They differ between
releases of ComfyUI.
"""
CONTROL = (
    "strength",
    "strength_type",
    "timestep_percent_range",
    "global_average_pooling",
    "cond_hint_original",
    "extra_conds",
    "extra_args",
    "extra_concat_orig",
    "previous_controlnet",
    "control_model_wrapped",
)
"""The settings of a ControlNet or T2I adapter; its other attributes change while it runs."""


class Identity:
    """Equal only to an identity of the same object, while it exists."""

    def __init__(self, value: Any):
        self.get: Callable[[], Any] = lambda: value
        try:
            self.get = weakref.ref(value)
        except TypeError:  # a kind of object without weak references
            pass

    def __eq__(self, other):
        return isinstance(other, Identity) and self.get() is not None and self.get() is other.get()

    __hash__ = None  # type: ignore[assignment]  # equal by content, so not hashable


def fingerprint(value):
    """A nested tuple that is equal for two values only if their contents are equal."""
    if isinstance(value, torch.Tensor):
        data = value.detach().contiguous().cpu()
        content = hashlib.sha256(data.flatten().view(torch.uint8).numpy().data).hexdigest()
        return "tensor", str(data.dtype), tuple(data.shape), content
    if isinstance(value, dict):
        return "dict", tuple((str(key), fingerprint(value[key])) for key in sorted(value, key=str))
    if isinstance(value, (list, tuple)):
        return "list", tuple(fingerprint(item) for item in value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return type(value).__name__, value
    return _of_object(value)


def _of_object(value):
    if isinstance(value, comfy.model_patcher.ModelPatcher):
        return "model", ModelIdentity.of(value)
    if isinstance(getattr(value, "patcher", None), comfy.model_patcher.ModelPatcher):  # CLIP, CLIP_VISION, VAE
        return "patched", type(value).__qualname__, fingerprint(_settings(value)), ModelIdentity.of(value.patcher)
    if isinstance(value, comfy.controlnet.ControlBase):
        return "control", Identity(value), fingerprint({name: getattr(value, name, None) for name in CONTROL})
    if isinstance(value, torch.nn.Module):
        return _of_module(value)
    if isinstance(value, types.MethodType):  # a new object at every access
        return "method", Identity(value.__self__), Identity(value.__func__)
    if isinstance(value, functools.partial):
        return "partial", fingerprint([value.func, list(value.args), value.keywords])
    return Identity(value)


def _settings(value) -> dict:
    return {key: entry for key, entry in vars(value).items() if isinstance(entry, (bool, int, float, str, type(None)))}


def _of_module(module: torch.nn.Module):
    """A small module (a model sampling) by its class, numbers and tensors; a large one by object
    identity and its weights.
    """
    kind = [f"{base.__module__}.{base.__qualname__}" for base in type(module).__mro__]
    if sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers())) > SMALL:
        return "module", kind, Identity(module), weights_digest(module)
    return "module", kind, fingerprint(_settings(module)), fingerprint(dict(module.state_dict()))


def weights_digest(network: torch.nn.Module, originals: dict[str, torch.Tensor] | None = None) -> str:
    """SHA-256 of some values of every weight; weights in ``originals`` replace those of the
    network.

    A change of whole weights (merging, training, loading others) is always detected; a change of
    single values may be missed. Reading all values of a large model would take seconds in every
    run.
    """
    digest = hashlib.sha256()
    parts: dict[str, list[torch.Tensor]] = {}
    for name, parameter in network.named_parameters():
        original: torch.Tensor = (originals or {}).get(name, parameter)
        weight: torch.Tensor = getattr(original, "_qdata", original)  # ComfyUI's quantised weights
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        part = _some_values(weight)
        if part is not None:
            parts.setdefault(f"{part.dtype} {part.device.type}", []).append(part)
    for key in sorted(parts):
        digest.update(torch.cat(parts[key]).cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _some_values(weight: torch.Tensor) -> torch.Tensor | None:
    """Up to BLOCKS * BLOCK values of a weight, [n]; None if they cannot be read."""
    if weight.numel() == 0 or weight.device.type == "meta":
        return None
    try:
        weight = weight.detach()
        if weight.dtype.itemsize == 1:
            weight = weight.view(torch.uint8)  # 8-bit floats cannot be joined
        if weight.numel() <= BLOCKS * BLOCK:
            return weight.reshape(-1)
        if weight.is_contiguous() or weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last):
            apart = (weight.numel() - BLOCK) // (BLOCKS - 1)
            return weight.as_strided((BLOCKS, BLOCK), (apart, 1), weight.storage_offset()).reshape(-1)
        places = torch.linspace(0, weight.numel() - 1, BLOCKS * BLOCK, dtype=torch.float64).long()
        return weight[torch.unravel_index(places, weight.shape)].reshape(-1)
    except (RuntimeError, NotImplementedError, TypeError):  # a tensor subclass of another pack
        return None


def _originals(patcher) -> dict[str, torch.Tensor]:
    """The weights without patches; ComfyUI merges patches into the weights while a model is
    loaded.
    """
    entries = {**(getattr(patcher, "hook_backup", None) or {}), **(getattr(patcher, "backup", None) or {})}
    return {key: entry.weight if hasattr(entry, "weight") else entry[0] for key, entry in entries.items()}


def _behaviour(patcher):
    """Everything besides weights on which a patcher's predictions depend."""
    options = {key: value for key, value in patcher.model_options.items() if key not in NOT_ABOUT_PREDICTIONS}
    parts = {name: getattr(patcher, name, None) for name in BEHAVIOUR}
    if hasattr(patcher.model, "model_sampling"):
        parts["model_sampling"] = patcher.get_model_object("model_sampling")
    return fingerprint([options, parts])


@dataclass(frozen=True)
class ModelIdentity:
    """Everything on which the predictions of a model depend, at the time of :meth:`of`. It keeps no
    weights in memory.

    Two identities are equal if all four attributes are.

    Attributes:
        network: the object identity of the network.
        patches: ComfyUI's id of the patches merged into its weights; None without any.
        weights: digest of the weights.
        behaviour: fingerprint of everything else.
    """

    network: Identity
    patches: object
    weights: str
    behaviour: tuple

    @classmethod
    def of(cls, patcher) -> "ModelIdentity":
        """The current identity of a MODEL, or of the patcher of a CLIP or CLIP_VISION."""
        patches = patcher.patches_uuid if patcher.patches else None
        return cls(
            Identity(patcher.model), patches, weights_digest(patcher.model, _originals(patcher)), _behaviour(patcher)
        )

    def remark(self, patcher) -> Phrase | None:
        """A warning if ``patcher`` has changed since the inversion."""
        now = ModelIdentity.of(patcher)
        if (self.weights, self.patches) != (now.weights, now.patches):
            return phrase("other_weights")
        return None if self.behaviour == now.behaviour else phrase("other_wrappers")
