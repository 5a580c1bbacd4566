"""The number format in which a benchmark's network computes."""

import argparse
import importlib

from . import common

DTYPES = ("default", "fp32", "fp16", "bf16")
"""Options of ModelComputeDtype, a node of ComfyUI."""


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """The option ``--dtype``."""
    parser.add_argument(
        "--dtype",
        default="default",
        choices=DTYPES,
        help="number format of the network's computation; bf16 saves time on some CPUs",
    )


def compute_in(model, dtype: str):
    """A clone of the MODEL whose network computes in ``dtype``, one of ``DTYPES``."""
    if dtype == "default":
        return model
    advanced = importlib.import_module("comfy_extras.nodes_model_advanced")
    return common.call(advanced.ModelComputeDtype, model=model, dtype=dtype)[0]
