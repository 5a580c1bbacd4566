"""Step caches: wrappers on a MODEL that reuse the network's output of an earlier step (EasyCache,
TeaCache and others).

With them a sampler generates a similar image in less time. An inversion, its replay, FlowEdit and
DiffEditMask compare predictions with each other and need outputs that depend only on the input. For
them ComfyUI's step caches are removed from a clone of the model. Those of other packs are functions
that cannot be removed separately from their other effects, so a model with one of them is rejected;
they are recognised by name.
"""

import inspect
import logging
import re

import comfy.patcher_extension

from ..core.errors import NodeError
from .reports import Phrase, phrase

OURS_TO_TAKE_OFF = {"easycache": "EasyCache", "lazycache": "LazyCache"}
"""Keys of the wrappers that ComfyUI's nodes EasyCache and LazyCache add, and the nodes' names."""
KNOWN = re.compile(
    r"tea_?cache|mag_?cache|fb_?cache|first_?block_?cache|block_?cache|easy_?cache|lazy_?cache|taylor_?seer|cache_?dit|"
    r"hi_?cache|delta_?cache|step_?cache|db_?cache|lemica|spectrum_unet|toca_flux|wave_?speed|rel_l1_thresh|forecaster",
    re.IGNORECASE,
)
"""Parts of the names of other packs' step caches: of modules, functions, variables and options."""


def without_step_caches(model):
    """``model`` itself, or a clone without ComfyUI's step caches.

    Raises:
        NodeError: the model has a step cache of another pack.
    """
    on = ours(model)
    if on:
        logging.warning(
            "Semantic Edit: %s was removed for this node, because it reuses predictions of earlier steps, and this "
            "node needs a new prediction at every step.",
            " and ".join(on.values()),
        )
        model = model.clone()
        for kind in _kinds():
            for key in on:
                model.remove_wrappers_with_key(kind, key)
        model.model_options["transformer_options"].pop("easycache", None)
    foreign = name_of_foreign(model)
    if foreign is not None:
        raise NodeError(
            f"got a model with a step cache ({foreign}), which reuses predictions of earlier steps; expected a model "
            "that computes every prediction anew, because an inversion or a comparison of predictions is wrong "
            "otherwise. Connect the model from before the node that adds the cache."
        )
    return model


def remark(model) -> Phrase | None:
    """A phrase for the report if :func:`without_step_caches` removed a cache."""
    on = ours(model)
    return phrase("without_step_cache", " and ".join(on.values())) if on else None


def ours(model) -> dict[str, str]:
    """Keys and names of ComfyUI's step caches on a model."""
    wrappers = getattr(model, "wrappers", {})
    return {key: name for key, name in OURS_TO_TAKE_OFF.items() if any(kinds.get(key) for kinds in wrappers.values())}


def name_of_foreign(model) -> str | None:
    """The name by which a step cache of another pack was recognised on a model; None if there is
    none.
    """
    options = model.model_options
    functions = [value for key, value in options.items() if callable(value)]
    transformer_options = options.get("transformer_options", {})
    for wrappers in (getattr(model, "wrappers", {}), transformer_options.get("wrappers", {})):
        for kinds in wrappers.values():
            for key, listed in kinds.items():
                functions += [_Named(str(key)), *listed]
    functions += [_Named(str(key)) for key in transformer_options]
    functions += list(getattr(model, "object_patches", {}).values())
    for function in functions:
        for name in _names(function):
            if KNOWN.search(name):
                return name
    return None


class _Named(str):
    """A name that is compared directly."""


def _names(value, depth: int = 0) -> list[str]:
    """The names that identify a function, a method or an object: those of its class and module, and
    those that its code uses.
    """
    if isinstance(value, _Named):
        return [value]
    function = inspect.unwrap(getattr(value, "__func__", value)) if callable(value) else value
    kind = function if inspect.isfunction(function) else type(function)
    names = [f"{kind.__qualname__} of {kind.__module__.rpartition('/')[2]}"]
    code = getattr(function, "__code__", None)
    if code is not None:
        names += [
            *code.co_names,
            *code.co_freevars,
            *(text for text in code.co_consts if isinstance(text, str) and text.isidentifier()),
        ]
    if depth < 1:
        for cell in getattr(function, "__closure__", None) or ():
            try:
                inner = cell.cell_contents
            except ValueError:
                continue
            if inspect.isfunction(inner) or inspect.ismethod(inner):
                names += _names(inner, depth + 1)
        if inspect.ismethod(value):
            names += _names(value.__self__, depth + 1)
    return names


def _kinds() -> list[str]:
    wrappers = comfy.patcher_extension.WrappersMP
    return [value for key, value in vars(wrappers).items() if key.isupper() and isinstance(value, str)]
