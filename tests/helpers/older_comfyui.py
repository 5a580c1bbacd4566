"""What the oldest supported ComfyUI lacks, as marks for the tests that need it."""

import importlib

import pytest

needs_cfg_override = pytest.mark.skipif(
    not hasattr(importlib.import_module("comfy_extras.nodes_custom_sampler"), "CFGOverride"),
    reason="this ComfyUI has no CFG Override",
)
GUIDED_BRIEFLY = ("edict_edit", "fast_edit")
"""The templates that use CFG Override."""


def runnable(names) -> list:
    """Names of templates as parameters of a test; those that this ComfyUI cannot run are skipped."""
    return [pytest.param(name, marks=needs_cfg_override) if name in GUIDED_BRIEFLY else name for name in names]
