"""From bootstrap samples to confidence intervals, of one system or of two on the same patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from calcscore_ml.errors import ResultError

LEVEL = 0.95
"""Share of repetitions of the study whose interval holds the truth."""

MIN_DEFINED_SHARE = 0.9
"""An interval is given only where at least this share of the samples defines the statistic; our choice."""

Method = Literal["bca", "percentile"]
"""Bias-corrected and accelerated (Efron 1987), or the plain quantiles of the samples."""

Samples = tuple[float, NDArray[np.float64], NDArray[np.float64]]
"""A statistic of all patients, of each bootstrap sample (n,), and of all patients but one (n_patients,)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its confidence interval.

    Parameters
    ----------
    value : float
        Of the patients as they are.
    low, high : float
        Ends of the interval; NaN when there are fewer than two patients or too few samples define the statistic. Equal
        ends mean that no patient differed from the others, not that the value is certain.
    level : float
        Confidence, 0 to 1.
    """

    value: float
    low: float
    high: float
    level: float = LEVEL

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_plain(self) -> dict[str, float | None]:
        """Return value and ends to store as JSON; what is undefined is None."""
        return {name: or_none(value) for name, value in (("value", self.value), ("low", self.low), ("high", self.high))}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same patients.

    Parameters
    ----------
    first, second : Interval
        Each system's value.
    difference : Interval
        Second minus first, from samples that hold the same patients for both.
    p_value : float
        Two-sided: how often the difference changes sign under resampling; never below 2 / (samples + 1).
    """

    first: Interval
    second: Interval
    difference: Interval
    p_value: float


def interval(
    estimate: float,
    drawn: NDArray[np.float64],
    left_out: NDArray[np.float64],
    *,
    level: float = LEVEL,
    method: Method = "bca",
) -> Interval:
    """Turn a statistic's bootstrap samples into an interval.

    Parameters
    ----------
    estimate : float
        Of all patients.
    drawn : (n,) array
        Of each bootstrap sample; NaN where undefined.
    left_out : (n_patients,) array
        Of all patients but one; where one of them is NaN, no acceleration is applied.
    level, method
        As in `patient_bootstrap`.

    Returns
    -------
    Interval
        With NaN ends when it cannot be told.
    """
    if not 0 < level < 1:
        raise ResultError(f"a confidence level lies between 0 and 1, got {level}")
    if method not in ("bca", "percentile"):
        raise ResultError(f"a bootstrap method is 'bca' or 'percentile', got {method!r}")
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(estimate) or len(left_out) < 2 or len(defined) < MIN_DEFINED_SHARE * len(drawn):
        return Interval(estimate, float("nan"), float("nan"), level)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _bca_tails(tails, estimate, defined, left_out)
    low, high = np.quantile(defined, tails)
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), level)


def compare(
    first: Samples,
    second: Samples,
    *,
    level: float = LEVEL,
    method: Method = "bca",
) -> Comparison:
    """Compare two statistics of the same samples, each as `ResampledSums.apply` returns it."""
    difference = (second[0] - first[0], second[1] - first[1], second[2] - first[2])
    changes = difference[1][np.isfinite(difference[1])]
    tail = min(np.count_nonzero(changes <= 0), np.count_nonzero(changes >= 0))
    return Comparison(
        interval(*first, level=level, method=method),
        interval(*second, level=level, method=method),
        interval(*difference, level=level, method=method),
        min(1.0, 2 * (tail + 1) / (len(changes) + 1)) if len(changes) else float("nan"),
    )


def _bca_tails(
    tails: NDArray[np.float64], estimate: float, drawn: NDArray[np.float64], left_out: NDArray[np.float64]
) -> NDArray[np.float64]:
    # Ties count half, as counts of lesions tie often.
    below = (np.count_nonzero(drawn < estimate) + np.count_nonzero(drawn <= estimate)) / (2 * len(drawn))
    if not 0 < below < 1:
        return tails
    bias = ndtri(below)
    influence = left_out.mean() - left_out
    spread = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0  # NaN is not above 0 either
    shifted = bias + ndtri(tails)
    stretch = 1 - acceleration * shifted
    if stretch.min() <= 0:  # beyond the pole of Efron's formula, at an influence no study should rest on
        return tails
    return np.asarray(ndtr(bias + shifted / stretch))


def or_none(value: float) -> float | None:
    """Return a number as JSON may hold it: None for NaN and infinity.

    >>> or_none(0.5), or_none(float("nan"))
    (0.5, None)
    """
    return value if np.isfinite(value) else None
