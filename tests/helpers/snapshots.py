"""Snapshots of the inputs of a node, to detect changes."""

import torch


def snapshot(value, seen=None):
    """All content that a caller could notice to change: tensors by their values, containers by
    their elements, dataclasses and patchers by their fields.
    """
    if isinstance(value, torch.Tensor):
        return (
            "tensor",
            value.dtype,
            tuple(value.shape),
            value.data_ptr(),
            hash(value.detach().double().numpy().tobytes()),
        )
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [snapshot(item) for item in value]
    if hasattr(value, "model_options") and hasattr(value, "get_model_object"):
        weights = [snapshot(weight) for weight in value.model.state_dict().values()]
        return (
            weights,
            snapshot(value.model_options),
            sorted(value.patches),
            sorted(value.object_patches),
            value.patches_uuid,
            value.hook_mode,
            sorted(value.hook_patches),
        )
    if hasattr(value, "__dataclass_fields__"):
        return {key: snapshot(item) for key, item in vars(value).items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)
