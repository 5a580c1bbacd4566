"""Checks of a node's inputs against its schema before it runs: type, range, options, and that they
are not empty.

ComfyUI checks the widgets of a graph, but not the values of links, nor those that an embedding
program or another node passes.
"""

import functools
import math
import numbers
from collections.abc import Callable

import torch
from comfy_api.latest import io

from .core.errors import NodeError


def checked(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node, with an ``execute`` that first checks its inputs, prefixes its errors with the
    node's name, and converts the face's ``Outcome`` for ComfyUI.

    Raises (when executed):
        ValueError: with the node's name, what was given, what was expected, and what to do.
    """
    execute = node.execute.__func__
    if hasattr(execute, "__wrapped__"):
        return node

    schema = functools.cache(node.define_schema)

    @functools.wraps(execute)
    def checked_execute(cls, *args, **inputs):
        try:
            check_inputs(schema(), inputs)
            return execute(cls, *args, **inputs).tell(cls)
        except NodeError as error:
            raise ValueError(f"{schema().node_id}: {error}") from error

    node.execute = classmethod(checked_execute)
    return node


def check_inputs(schema: io.Schema, inputs: dict) -> None:
    """Check every input against its entry in the schema, and the widths of texts against the model.

    Raises:
        NodeError: an input is missing or invalid; the message describes the first one.
    """
    for item in schema.inputs:
        if item.id not in inputs or (inputs[item.id] is None and item.optional):
            if not item.optional and getattr(item, "default", None) is None:
                raise NodeError(f"{item.id} is missing; connect {_article(item.io_type)} to it.")
            continue
        check = KINDS.get(item.io_type)
        if (schema.node_id, item.id) in ANSWERED_BY_THE_NODE:
            check = _text
        if check is not None:
            check(item, inputs[item.id])
    model = inputs.get("model")
    for item in schema.inputs:
        if item.io_type == "CONDITIONING" and model is not None and inputs.get(item.id):
            _fits_model(item.id, inputs[item.id], model)


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIO' else 'a'} {kind}"


def describe_input(value) -> str:
    """The shape of a tensor, the value of a scalar, else the type's name."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}{', which is empty' if value.numel() == 0 else ''}"
    if isinstance(value, (str, int, float, bool)) or value is None:
        return repr(value)[:60]
    return type(value).__name__


def _integer(item, value) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise NodeError(f"got {item.id} {describe_input(value)}; expected a whole number{_range(item)}; give one.")
    _within(item, value)


def _number(item, value) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise NodeError(f"got {item.id} {describe_input(value)}; expected a number{_range(item)}; give one.")
    if not math.isfinite(value):
        raise NodeError(
            f"got {item.id} {value}; expected a finite number{_range(item)}; check the node that produced it."
        )
    _within(item, value)


def _within(item, value) -> None:
    if item.min is not None and value < item.min:
        raise NodeError(
            f"got {item.id} {value}; expected at least "
            f"{item.min}{f' and at most {item.max}' if item.max is not None else ''}; raise it."
        )
    if item.max is not None and value > item.max:
        raise NodeError(
            f"got {item.id} {value}; expected at most "
            f"{item.max}{f' and at least {item.min}' if item.min is not None else ''}; lower it."
        )


def _range(item) -> str:
    return "" if item.min is None or item.max is None else f" from {item.min} to {item.max}"


def _boolean(item, value) -> None:
    if not isinstance(value, bool):
        raise NodeError(f"got {item.id} {describe_input(value)}; expected True or False; give one of them.")


def _text(item, value) -> None:
    if not isinstance(value, str):
        raise NodeError(f"got {item.id} {describe_input(value)}; expected a text; connect a STRING or type one.")


def _option(item, value) -> None:
    options = item.options if item.options is not None else []
    if options and value not in options:
        raise NodeError(
            f"got {item.id} {describe_input(value)}; expected one of {', '.join(map(str, options))}; choose one."
        )


def _picture(item, value) -> None:
    expected = "expected [batch, height, width, 3] with at least one image"
    if not isinstance(value, torch.Tensor) or value.ndim != 4 or value.numel() == 0:
        raise NodeError(f"got {describe_input(value)} as {item.id}; {expected}; connect an IMAGE.")
    if value.shape[-1] not in (1, 3, 4):
        raise NodeError(
            f"got {describe_input(value)} as {item.id}; {expected}, or 4 channels with alpha; move the channels to the "
            "last dimension."
        )
    _finite(f"the {item.id}", value)


def _mask(item, value) -> None:
    if not isinstance(value, torch.Tensor) or not 2 <= value.ndim <= 5 or value.numel() == 0:
        raise NodeError(
            f"got {describe_input(value)} as {item.id}; expected a MASK, [masks, height, width] with at least one "
            "mask; connect one."
        )
    _finite(f"the {item.id}", value)


def _latent(item, value) -> None:
    samples = value.get("samples") if isinstance(value, dict) else None
    if not isinstance(samples, torch.Tensor) and not getattr(samples, "is_nested", False):
        received = (
            f"a dict with {sorted(map(str, value))[:4] or 'no entries'} and samples {describe_input(samples)}"
            if isinstance(value, dict)
            else describe_input(value)
        )
        raise NodeError(
            f"got {received} as {item.id}; expected a LATENT, a dict with a tensor named samples; connect the output "
            "of VAE Encode, for example."
        )
    if isinstance(samples, torch.Tensor) and (not samples.is_floating_point() or 0 in samples.shape[1:]):
        raise NodeError(
            f"got a latent of shape {tuple(samples.shape)} in {samples.dtype} as {item.id}; expected floating-point "
            "numbers and no empty dimension; encode the image again."
        )
    mask = value.get("noise_mask")
    if mask is not None:
        if not isinstance(mask, torch.Tensor) or not 2 <= mask.ndim <= 5 or mask.numel() == 0:
            raise NodeError(
                f"got {describe_input(mask)} as the noise mask of {item.id}; expected a tensor "
                "[masks, 1, height, width]; set it with Set Latent Noise Mask."
            )
        _finite(f"the noise mask of {item.id}", mask)


def _conditioning(item, value) -> None:
    whole = isinstance(value, (list, tuple)) and all(
        isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[1], dict) for entry in value
    )
    if not whole:
        raise NodeError(
            f"got {describe_input(value)} as {item.id}; expected a CONDITIONING; connect the output of "
            "CLIP Text Encode, for example."
        )
    for text, _ in value:
        if text is None:
            continue
        if not isinstance(text, torch.Tensor) or text.ndim < 2 or text.numel() == 0:
            raise NodeError(
                f"got {describe_input(text)} in {item.id}; expected an encoded text [texts, tokens, width]; connect "
                "the output of CLIP Text Encode, for example."
            )
        _finite(f"the {item.id}", text)


def _fits_model(name: str, conditioning, model) -> None:
    """Check a text's width against the model; UNets and Flux have a fixed one."""
    config = getattr(getattr(model.model, "model_config", None), "unet_config", {})
    width = config.get("context_dim", config.get("context_in_dim"))
    for text, _ in conditioning:
        if isinstance(width, int) and text is not None and text.ndim == 3 and text.shape[-1] != width:
            raise NodeError(
                f"got an encoded text of width {text.shape[-1]} as {name} for a model that expects width {width}; "
                "encode the text with the CLIP of this model."
            )


def _finite(what: str, tensor: torch.Tensor) -> None:
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise NodeError(
            f"{what} contains NaN or infinite values; expected finite values; check the node that produced it."
        )


def _object(item, value) -> None:
    if isinstance(value, (str, numbers.Number, dict, list, tuple, torch.Tensor)):
        raise NodeError(
            f"got {describe_input(value)} as {item.id}; expected {_article(item.io_type)}; connect an output of "
            "this type."
        )


def _has(*names: str, advice: str) -> Callable:
    def check(item, value) -> None:
        if isinstance(value, type) or not all(hasattr(value, name) for name in names):
            raise NodeError(f"got {describe_input(value)} as {item.id}; expected {_article(item.io_type)}; {advice}.")

    return check


ANSWERED_BY_THE_NODE = {("CLIPRankModelLoader", "folder")}
"""Inputs whose options change while ComfyUI runs; the node checks their values itself."""
KINDS: dict[str, Callable] = {
    "INT": _integer,
    "FLOAT": _number,
    "BOOLEAN": _boolean,
    "STRING": _text,
    "COMBO": _option,
    "IMAGE": _picture,
    "MASK": _mask,
    "LATENT": _latent,
    "CONDITIONING": _conditioning,
    "MODEL": _has("get_model_object", "model_options", "model", advice="connect the MODEL of a checkpoint loader"),
    "VAE": _has("decode", "first_stage_model", advice="connect the VAE of a checkpoint loader or VAE loader"),
    "CLIP": _has("tokenize", "cond_stage_model", advice="connect the CLIP of a loader"),
    "CLIP_VISION": _has("encode_image", advice="connect the output of a CLIP Vision loader"),
    "CLIP_RANK_MODEL": _object,
}
