"""Time and agreement of the bootstrap over patients, beside SciPy's bootstrap and scikit-learn's kappa.

Run: python benchmarks/evaluation.py
"""

import time
from collections.abc import Callable

import numpy as np
from scipy.stats import bootstrap
from sklearn.metrics import cohen_kappa_score

from calcscore_ml.evaluation.agreement import (
    category_sums,
    icc_of_sums,
    intraclass_correlation,
    kappa_of_sums,
    rating_sums,
)
from calcscore_ml.evaluation.bootstrap import resample_sums
from calcscore_ml.evaluation.intervals import Interval

PATIENTS, RESAMPLES = 500, 1000


def main() -> None:
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(PATIENTS) < 0.4, 0.0, rng.lognormal(4, 1.7, PATIENTS))
    measured = truth * rng.lognormal(0, 0.25, PATIENTS)
    first, second = (np.searchsorted((0, 10, 100, 400), scores) for scores in (truth, measured))

    def scipy_interval(a: np.ndarray, b: np.ndarray, statistic: Callable[..., float]) -> Interval:
        rng = np.random.default_rng(0)
        found = bootstrap((a, b), statistic, paired=True, vectorized=False, n_resamples=RESAMPLES, rng=rng)
        low, high = found.confidence_interval
        return Interval(float(statistic(a, b)), float(low), float(high))

    rows = (
        (
            "ICC(A,1)",
            lambda: resample_sums(rating_sums(np.column_stack([truth, measured])), n=RESAMPLES).interval(icc_of_sums),
            lambda: scipy_interval(truth, measured, lambda a, b: intraclass_correlation(np.column_stack([a, b]))),
        ),
        (
            "linear kappa",
            lambda: resample_sums(category_sums(first, second, 5), n=RESAMPLES).interval(kappa_of_sums),
            lambda: scipy_interval(first, second, lambda a, b: cohen_kappa_score(a, b, weights="linear")),
        ),
    )
    print(f"{PATIENTS} patients, {RESAMPLES} samples, BCa")
    for name, ours, theirs in rows:
        started = time.perf_counter()
        mine = ours()
        between = time.perf_counter()
        wanted = theirs()
        ended = time.perf_counter()
        print(f"{name:<14} here  {(between - started) * 1e3:8.1f} ms   {mine.low:.9f} to {mine.high:.9f}")
        print(f"{'':<14} SciPy {(ended - between) * 1e3:8.1f} ms   {wanted.low:.9f} to {wanted.high:.9f}")


if __name__ == "__main__":
    main()
