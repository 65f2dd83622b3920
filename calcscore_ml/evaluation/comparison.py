"""Two systems on the same patients: which is better, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.bootstrap import RESAMPLES, resample_sums
from calcscore_ml.evaluation.intervals import LEVEL, Comparison, Method, compare
from calcscore_ml.evaluation.metrics import contributions
from calcscore_ml.scores.risk import SCHEMES, RiskScheme


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One metric of two systems: its name, unit, and both values with their difference."""

    name: str
    unit: str
    comparison: Comparison


def compare_systems(
    first: tuple[pd.DataFrame, pd.DataFrame],
    second: tuple[pd.DataFrame, pd.DataFrame],
    *,
    scheme: RiskScheme = SCHEMES[0],
    left_main_as_lad: bool = False,
    n: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = "bca",
) -> tuple[ComparedMetric, ...]:
    """Compare every metric of two systems, resampling the same patients for both.

    Parameters
    ----------
    first, second : (lesions, patients)
        Each system's tables, as `calcscore_ml.evaluation.summary.evaluate` takes them.
    scheme, left_main_as_lad, n, seed, level, method
        As there.

    Returns
    -------
    tuple of ComparedMetric
        The metrics both systems have. No correction is made for looking at many of them.

    Raises
    ------
    ResultError
        When the two did not read the same scans of the same patients.
    """
    read = [set(zip(table["patient_id"].astype(str), table["scan_id"], strict=True)) for _, table in (first, second)]
    if read[0] != read[1]:
        alone = len(read[0] ^ read[1])
        raise ResultError(f"a paired comparison needs the same scans in both systems, got {alone} in only one of them")
    one, two = (
        contributions(lesions, patients, scheme=scheme, left_main_as_lad=left_main_as_lad)
        for lesions, patients in (first, second)
    )
    # One draw for both: side by side, the two share every bootstrap sample.
    width = one.sums.shape[1]
    samples = resample_sums(np.hstack([one.sums, two.sums]), n=n, seed=seed)
    theirs = {metric.name: metric for metric in two.metrics}
    compared = []
    for metric in one.metrics:
        if metric.name in theirs:
            other = theirs[metric.name].statistic
            left = samples.apply(lambda sums, own=metric.statistic: own(sums[..., :width]))  # type: ignore[misc]
            right = samples.apply(lambda sums, own=other: own(sums[..., width:]))  # type: ignore[misc]
            compared.append(ComparedMetric(metric.name, metric.unit, compare(left, right, level=level, method=method)))
    return tuple(compared)
