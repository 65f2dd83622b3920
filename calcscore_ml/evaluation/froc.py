"""Free-response operating characteristic: coronary lesions found against false positives per scan.

As the threshold on the coronary probability falls, more lesions are found and more is wrongly called coronary. Only a
threshold that finds one more lesion improves on the others, so the curve has a point at each probability that a
coronary lesion has, and is level between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.evaluation.bootstrap import RESAMPLES, SumsStatistic, resample_sums
from calcscore_ml.evaluation.intervals import LEVEL, Interval, Method
from calcscore_ml.evaluation.lesions import checked_probabilities, label_numbers, ratio, with_missed
from calcscore_ml.evaluation.patients import find_patients

COLUMN = "coronary"
"""The column of the lesion table with the probability of lying in a coronary artery."""

RATES = (0.125, 0.25, 0.5, 1.0, 2.0)
"""False positives per scan at which the sensitivity is told; our choice."""

MAX_POINTS = 1000
"""Of more points an even choice is kept, so that a cohort of thousands fits the memory: steps of 0.1%; our choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Froc:
    """A curve of k operating points.

    Parameters
    ----------
    thresholds : (k,) array
        Falling. What is at least as probably coronary is called so; the first, infinity, calls nothing.
    false_positives_per_scan : (k,) array
        Rising.
    sensitivities : (k,) array
        Rising: share of the coronary lesions found, those that no candidate covers counted as not. NaN without any.
    at : tuple of (float, Interval)
        False positives per scan that are allowed, and the best sensitivity of a threshold with at most as many.
    """

    thresholds: NDArray[np.float64]
    false_positives_per_scan: NDArray[np.float64]
    sensitivities: NDArray[np.float64]
    at: tuple[tuple[float, Interval], ...]

    def __post_init__(self) -> None:
        for values in (self.thresholds, self.false_positives_per_scan, self.sensitivities):
            values.flags.writeable = False


def froc(
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    missed: pd.DataFrame | None = None,
    rates: Sequence[float] = RATES,
    n: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = "bca",
) -> Froc:
    """Trace the sensitivity for coronary lesions as the threshold on their probability falls.

    Parameters
    ----------
    lesions : DataFrame
        One row per candidate: `scan_id`, `truth` (label number), `volume_mm3`, `coronary` (probability).
    patients : DataFrame
        One row per scan, those without a candidate too: `patient_id`, `scan_id`.
    missed : DataFrame or None
        Reference lesions that no candidate covers: `scan_id`, `truth`, `volume_mm3`. No threshold finds them.
    rates : sequence of float
        False positives per scan to give the sensitivity at.
    n, seed, level, method
        Of the bootstrap over patients, see `calcscore_ml.evaluation.bootstrap.patient_bootstrap`.

    Returns
    -------
    Froc
        Lesions of one probability are called together, so ties share one point.

    Raises
    ------
    ResultError
        When a column is missing, a scan is unknown, a label is out of range, or a probability is not between 0 and 1.

    References
    ----------
    Bunch et al., "A free-response approach to the measurement and characterization of radiographic-observer
    performance", J Appl Photogr Eng 4 (1978) 166-171. That the curve is level between its points is our choice.

    Examples
    --------
    >>> lesions = pd.DataFrame({"scan_id": "a", "truth": [1, 0, 3], "coronary": [0.9, 0.6, 0.4], "volume_mm3": 5.0})
    >>> curve = froc(lesions, pd.DataFrame({"patient_id": ["p"], "scan_id": ["a"]}))
    >>> curve.false_positives_per_scan.tolist(), curve.sensitivities.tolist()
    ([0.0, 0.0, 1.0], [0.0, 0.5, 1.0])
    """
    found = with_missed(lesions, missed, predicted=COLUMN, unseen=-np.inf)
    checked_probabilities(lesions, COLUMN)
    who = find_patients(patients, found)
    probability = found[COLUMN].to_numpy(dtype=float)
    coronary = np.isin(label_numbers(found["truth"], "reference"), ARTERIES)
    thresholds = _thresholds(probability, coronary)
    points = len(thresholds)
    # The point from which on a lesion is called; one past the last for those that no candidate covers.
    first = points - np.searchsorted(thresholds[::-1], probability, side="right")
    true, false = (
        np.cumsum(who.tally(first, points + 1, kind.astype(float)), axis=1)[:, :points]
        for kind in (coronary, ~coronary)
    )
    lesions_there = who.tally(np.zeros_like(first), 1, coronary.astype(float))
    samples = resample_sums(np.column_stack([who.scans, lesions_there, true, false]), n=n, seed=seed)
    return Froc(
        thresholds=thresholds,
        false_positives_per_scan=samples.total[2 + points :] / samples.total[0],
        sensitivities=ratio(samples.total[2 : 2 + points], samples.total[1]),
        at=tuple((rate, samples.interval(_sensitivity_at(rate), level=level, method=method)) for rate in rates),
    )


def _thresholds(probability: NDArray[np.float64], coronary: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Infinity, the probabilities of coronary lesions, and the lowest of all, where everything is called; falling."""
    offered = np.isfinite(probability)
    lowest = probability == probability[offered].min(initial=np.inf)
    useful = np.unique(probability[offered & (coronary | lowest)])
    kept = np.linspace(0, len(useful) - 1, min(len(useful), MAX_POINTS)).round().astype(np.intp)
    return np.append(useful[kept], np.inf)[::-1]


def _sensitivity_at(rate: float) -> SumsStatistic:
    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        true, false = np.split(sums[..., 2:], 2, axis=-1)
        allowed = ratio(false, sums[..., :1]) <= rate
        return ratio(np.where(allowed, true, 0.0).max(axis=-1), sums[..., 1])

    return statistic
