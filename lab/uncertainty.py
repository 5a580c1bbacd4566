"""Confidence intervals and standard errors of means, shares, and paired differences; the latter by
the bootstrap (Efron 1979).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        """The interval of the values multiplied by ``factor``."""
        return Interval(*(factor * value for value in self))

    def words(self, form: str) -> str:
        """``"1.0 (0.5 to 1.5)"``; ``form`` is a format specification, such as "+.1f"."""
        return f"{self.mean:{form}} ({self.low:{form}} to {self.high:{form}})"


def interval(values, seed: int = 0) -> Interval:
    """The mean of ``values`` with the 2.5th and 97.5th percentiles of the bootstrap means; NaN
    without values.
    """
    values = np.asarray(list(values), dtype=float)
    if not len(values):
        return Interval(*[float("nan")] * 3)
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(1), (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))


def paired_difference(ones: Mapping, others: Mapping, seed: int = 0) -> Interval:
    """The mean of ``ones - others`` over the keys that both have."""
    return interval([ones[key] - others[key] for key in ones if key in others], seed)


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean of independent ``values``, without NaNs; NaN for fewer than two."""
    numbers = [value for value in values if not math.isnan(value)]
    if len(numbers) < 2:
        return math.nan
    middle = sum(numbers) / len(numbers)
    return math.sqrt(sum((value - middle) ** 2 for value in numbers) / (len(numbers) - 1) / len(numbers))


def share_interval(share: float, count: int, deviations: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share of ``count`` independent trials; 95 % for 1.96 ``deviations``."""
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
