"""The number format that a benchmark's network computes in, and how sure a mean or a share is."""

import argparse
import importlib
import math
from collections.abc import Sequence

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


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of independent ``values``; NaN of fewer than two."""
    kept = [value for value in values if not math.isnan(value)]
    if len(kept) < 2:
        return math.nan
    middle = sum(kept) / len(kept)
    return math.sqrt(sum((value - middle) ** 2 for value in kept) / (len(kept) - 1) / len(kept))


def share_interval(share: float, count: int, deviations: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share of ``count`` independent trials; 95 % at 1.96 deviations."""
    if count < 1:
        return 0.0, 1.0
    square = deviations**2 / count
    centre = (share + square / 2) / (1 + square)
    half = deviations / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def share_text(share: float, count: int) -> str:
    """``"38 % (18 to 61)"``: a share with its 95 % interval."""
    low, high = share_interval(share, count)
    return f"{100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
