"""What an uncertainty is worth: the error left as the most uncertain lesions are given to an expert who is right.

Beside it stand the two orders that need no uncertainty: a random one, whose expected error falls on a straight line,
and the oracle's, which refers what is wrong, and the largest of it, first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label, merge_left_main
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.bootstrap import RESAMPLES, patient_bootstrap
from calcscore_ml.evaluation.intervals import LEVEL, Interval, Method
from calcscore_ml.evaluation.lesions import checked_volumes, label_numbers, need_columns
from calcscore_ml.evaluation.patients import find_patients

Measure = Literal["lesions", "volume_mm3"]
"""Whether a wrong lesion counts as one or by its volume [mm3]."""


@dataclass(frozen=True, slots=True, eq=False)
class ReferralCurve:
    """Error left against lesions referred, both per scan; straight between its points.

    Parameters
    ----------
    measure : {'lesions', 'volume_mm3'}
        Unit of the error.
    referred, left : (k,) arrays
        From no lesion referred and the whole error to every lesion referred and none.
    oracle_referred, oracle_left : (j,) arrays
        The same when wrong lesions go first, the largest of them before the others.
    gain : Interval
        Area between the curve and the random order's line, as a share of the area between the oracle and that line: 1
        for the oracle, 0 for an order no better than random, negative for a worse one. NaN when no order differs. Of
        counted lesions it is twice the area under the ROC curve of wrong by uncertainty, less one.
    """

    measure: Measure
    referred: NDArray[np.float64]
    left: NDArray[np.float64]
    oracle_referred: NDArray[np.float64]
    oracle_left: NDArray[np.float64]
    gain: Interval

    def __post_init__(self) -> None:
        for values in (self.referred, self.left, self.oracle_referred, self.oracle_left):
            values.flags.writeable = False

    def at(self, referred: float) -> float:
        """Return the error left per scan after so many lesions per scan were referred."""
        return float(np.interp(referred, self.referred, self.left))

    def random_at(self, referred: float) -> float:
        """Return the expected error left per scan after so many in random order: the straight line."""
        return float(np.interp(referred, self.referred[[0, -1]], self.left[[0, -1]]))

    def oracle_at(self, referred: float) -> float:
        """Return the error left per scan after so many in the oracle's order."""
        return float(np.interp(referred, self.oracle_referred, self.oracle_left))


def referral_curve(
    lesions: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    uncertainty: str,
    measure: Measure = "lesions",
    left_main_as_lad: bool = False,
    n: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = "bca",
) -> ReferralCurve:
    """Trace the error left as lesions are referred in the order of an uncertainty, over all scans at once.

    A lesion is wrong when its artery is: when it is coronary on one side only, or another artery on the other. Which
    site outside the coronaries it is given to makes no difference; what no candidate covers cannot be referred.

    Parameters
    ----------
    lesions : DataFrame
        One row per candidate: `scan_id`, `truth` and `predicted` (label numbers), `volume_mm3`, and the uncertainty.
    patients : DataFrame
        One row per scan, those without a candidate too: `patient_id`, `scan_id`.
    uncertainty : str
        The column to refer by, the highest first; of the margin, take ``1 - margin``. Lesions of one value are referred
        in random order, and the curve shows what is expected of it.
    measure : {'lesions', 'volume_mm3'}
        Count wrong lesions, or add up their volume [mm3].
    left_main_as_lad : bool
        Count the left main as LAD on both sides.
    n, seed, level, method
        Of the bootstrap over patients, see `calcscore_ml.evaluation.bootstrap.patient_bootstrap`.

    Raises
    ------
    ResultError
        When a column is missing, a scan is unknown, a label is out of range, or an uncertainty is not finite.

    Examples
    --------
    >>> lesions = pd.DataFrame({"truth": [1, 0, 3, 0], "predicted": [1, 2, 0, 0], "doubt": [0.1, 0.9, 0.2, 0.3]})
    >>> lesions = lesions.assign(scan_id="a", volume_mm3=5.0)
    >>> scans = pd.DataFrame({"patient_id": ["p"], "scan_id": ["a"]})
    >>> curve = referral_curve(lesions, scans, uncertainty="doubt")
    >>> curve.left.tolist(), curve.oracle_left.tolist(), curve.random_at(2), curve.gain.value
    ([2.0, 1.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0], 1.0, 0.5)
    """
    need_columns(lesions, ["scan_id", "truth", "predicted", "volume_mm3", uncertainty], "a lesion table")
    doubt = lesions[uncertainty].to_numpy(dtype=float)
    if not np.isfinite(doubt).all():
        raise ResultError(f"an uncertainty must be finite, got {np.count_nonzero(~np.isfinite(doubt))} others")
    if measure not in ("lesions", "volume_mm3"):
        raise ResultError(f"an error is measured in 'lesions' or 'volume_mm3', got {measure!r}")
    who = find_patients(patients, lesions)
    truth, predicted = (
        _artery(label_numbers(lesions[column], whose), left_main_as_lad)
        for column, whose in (("truth", "reference"), ("predicted", "predicted"))
    )
    size = checked_volumes(lesions["volume_mm3"]) if measure == "volume_mm3" else np.ones(len(lesions))
    table = np.column_stack([doubt, np.where(truth != predicted, size, 0.0)])
    by_patient = {name: table[who.of_lesion == i] for i, name in enumerate(who.ids)}
    gain = patient_bootstrap(
        lambda drawn: _gain(np.concatenate(drawn)), by_patient, n=n, seed=seed, level=level, method=method
    )
    (referred, left), (best_referred, best_left) = _curve(*table.T), _curve(table[:, 1], table[:, 1])
    scans = len(patients)
    return ReferralCurve(measure, referred / scans, left / scans, best_referred / scans, best_left / scans, gain)


def _artery(labels: NDArray[np.int64], left_main_as_lad: bool) -> NDArray[np.integer]:
    merged = merge_left_main(labels) if left_main_as_lad else labels
    return np.where(np.isin(merged, ARTERIES), merged, int(Label.OTHER))


def _curve(order: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lesions referred and error left, at the start and after the last lesion of each value of `order`."""
    first = np.argsort(-order, kind="stable")
    ends = np.flatnonzero(np.diff(order[first], append=np.inf))
    # Added up from the end, so that what is left in the end is exactly nothing.
    left = np.append(np.cumsum(error[first][::-1])[::-1], 0.0)
    referred = np.concatenate([[0], ends + 1])
    return referred.astype(float), left[referred]


def _gain(table: NDArray[np.float64]) -> float:
    """Area between line and curve, as a share of that between line and oracle; the rows are (order, error)."""
    order, error = table.T
    if not len(error) or np.ptp(error) == 0:
        return float("nan")
    line = error.sum() * len(error) / 2
    ours, best = (
        line - np.trapezoid(left, referred) for referred, left in (_curve(order, error), _curve(error, error))
    )
    return float(ours / best)
