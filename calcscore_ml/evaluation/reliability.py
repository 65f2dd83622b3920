"""Whether probabilities mean what they say: about 70 of 100 lesions called coronary with 70% are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.bootstrap import RESAMPLES, SumsStatistic, resample_sums
from calcscore_ml.evaluation.froc import COLUMN
from calcscore_ml.evaluation.intervals import LEVEL, Interval, Method
from calcscore_ml.evaluation.lesions import checked_probabilities, label_numbers, need_columns, ratio
from calcscore_ml.evaluation.patients import find_patients

BINS = 10
"""Bins of equally many lesions; our choice, as the calibration error depends on their number."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Lesions of similar probability.

    Parameters
    ----------
    lesions : int
        How many.
    predicted : float
        Their mean probability.
    observed : Interval
        The share of them that is what the probability is of.
    """

    lesions: int
    predicted: float
    observed: Interval


@dataclass(frozen=True, slots=True)
class Reliability:
    """How good probabilities are.

    Parameters
    ----------
    bins : tuple of ReliabilityBin
        From the least probable up.
    calibration_error : Interval
        Expected calibration error: the mean distance of `predicted` from `observed`, each bin weighed by its lesions.
        Chance alone makes it larger than zero, and its interval is of these bins.
    brier : Interval
        Brier score: the mean squared distance of a probability from what came true, 0 or 1.
    """

    bins: tuple[ReliabilityBin, ...]
    calibration_error: Interval
    brier: Interval


def reliability(
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    probability: str = COLUMN,
    labels: Collection[Label] = ARTERIES,
    bins: int = BINS,
    n: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = "bca",
) -> Reliability:
    """Compare probabilities with how often they came true.

    Parameters
    ----------
    lesions : DataFrame
        One row per candidate: `scan_id`, `truth` (label number), and the probability. Leave clear cases out to look
        at the others: most candidates are bone, and fill most bins.
    patients : DataFrame
        One row per scan: `patient_id`, `scan_id`.
    probability : str
        The column with the probability.
    labels : collection of Label
        What it is the probability of: that the truth is one of these.
    bins : int
        Bins between quantiles of the probabilities; ties may leave fewer.
    n, seed, level, method
        Of the bootstrap over patients, see `calcscore_ml.evaluation.bootstrap.patient_bootstrap`.

    Returns
    -------
    Reliability
        Without bins, and NaN, when there is no lesion.

    Raises
    ------
    ResultError
        When a column is missing, a scan is unknown, a label is out of range, or a probability is not between 0 and 1.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", Mon Weather Rev 78 (1950) 1-3; Naeini et al.,
    "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015, 2901-2907.

    Examples
    --------
    >>> lesions = pd.DataFrame({"scan_id": "a", "truth": [0, 0, 3, 1], "coronary": [0.1, 0.1, 0.9, 0.9]})
    >>> found = reliability(lesions, pd.DataFrame({"patient_id": ["p"], "scan_id": ["a"]}), bins=2)
    >>> round(found.calibration_error.value, 3), round(found.brier.value, 3)
    (0.1, 0.01)
    """
    need_columns(lesions, ["scan_id", "truth", probability], "a lesion table")
    if bins < 1:
        raise ResultError(f"a reliability curve needs at least one bin, got {bins}")
    told = checked_probabilities(lesions, probability)
    who = find_patients(patients, lesions)
    came_true = np.isin(label_numbers(lesions["truth"], "reference"), list(labels)).astype(float)
    bin_of, bins_used = _equal_mass(told, bins)
    count, predicted, observed = (
        who.tally(bin_of, bins_used, weights) for weights in (np.ones(len(told)), told, came_true)
    )
    squares = who.tally(np.zeros_like(bin_of), 1, (told - came_true) ** 2)
    samples = resample_sums(np.hstack([squares, count, predicted, observed]), n=n, seed=seed)

    def brier(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return ratio(sums[..., 0], _parts(sums)[0].sum(axis=-1))

    def calibration_error(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        lesions_in, chance, true = _parts(sums)
        return ratio(np.abs(chance - true).sum(axis=-1), lesions_in.sum(axis=-1))

    lesions_in, chance, _ = _parts(samples.total)
    return Reliability(
        bins=tuple(
            ReliabilityBin(
                int(lesions_in[i]),
                float(chance[i] / lesions_in[i]),
                samples.interval(_observed(i), level=level, method=method),
            )
            for i in range(bins_used)
        ),
        calibration_error=samples.interval(calibration_error, level=level, method=method),
        brier=samples.interval(brier, level=level, method=method),
    )


def _equal_mass(values: NDArray[np.float64], bins: int) -> tuple[NDArray[np.intp], int]:
    """Number the bins between quantiles that hold a value, from 0, and count them."""
    if not len(values):
        return np.zeros(0, dtype=np.intp), 0
    edges = np.percentile(values, 100 * np.linspace(0, 1, bins + 1))[1:-1]
    used, bin_of = np.unique(np.searchsorted(edges, values), return_inverse=True)
    return bin_of.astype(np.intp), len(used)


def _parts(sums: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Lesions, their probabilities and what came true, each (..., bins)."""
    return np.split(sums[..., 1:], 3, axis=-1)


def _observed(i: int) -> SumsStatistic:
    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        count, _, came_true = _parts(sums)
        return ratio(came_true[..., i], count[..., i])

    return statistic
