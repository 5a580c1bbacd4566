"""The number format that a benchmark's network computes in."""

import argparse
import importlib

from . import common

DTYPES = ("default", "fp32", "fp16", "bf16")
"""What ModelComputeDtype, a node of ComfyUI's, offers."""


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """The option ``--dtype``."""
    parser.add_argument(
        "--dtype", default="default", choices=DTYPES, help="what the network computes in; bf16 saves time on some CPUs"
    )


def compute_in(model, dtype: str):
    """The MODEL with a network that computes in ``dtype``, one of ``DTYPES``."""
    if dtype == "default":
        return model
    advanced = importlib.import_module("comfy_extras.nodes_model_advanced")
    return common.call(advanced.ModelComputeDtype, model=model, dtype=dtype)[0]
