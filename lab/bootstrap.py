"""Confidence intervals of differences measured on the same cases: the paired bootstrap (Efron 1979)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        return Interval(*(factor * value for value in self))

    def words(self, form: str) -> str:
        """``form`` is a format specification, such as "+.1f"."""
        return f"{self.mean:{form}} ({self.low:{form}} to {self.high:{form}})"


def interval(values, seed: int = 0) -> Interval:
    """The mean of ``values`` with the 2.5th and 97.5th percentile of the means of their resamples; NaN of
    nothing.
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
