"""How well two sets of scores or risk categories agree.

Every statistic here is a function of sums over scans: `rating_sums`, `difference_sums` and `category_sums` make one row
of sums per scan, the ``*_of_sums`` functions turn their total into a number. Totals of many bootstrap samples stand in
one array, so a thousand samples cost one call. What a sample does not define (an intraclass correlation of identical
patients, say) is NaN, without a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.errors import ResultError

ICCForm = Literal["A,1", "C,1", "1,1"]
"""Two-way absolute agreement, two-way consistency, one-way; single measures, in McGraw and Wong's names."""

KappaWeights = Literal["none", "linear", "quadratic"]
"""How much a disagreement by several categories counts."""

LIMITS_SD = 1.96
"""Half width of the limits in standard deviations: 95% of a normal distribution (Bland and Altman 1986)."""

ROUNDING = 1e-12
"""A sum of squares below this share of the total is rounding, not variance (double precision keeps 1e-16)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bland and Altman's limits of agreement.

    Parameters
    ----------
    bias : float
        Mean of measured minus reference; for ratios, the geometric mean of measured over reference.
    lower, upper : float
        Where 95% of the differences (or ratios) are expected.
    """

    bias: float
    lower: float
    upper: float


def intraclass_correlation(ratings: ArrayLike, form: ICCForm = "A,1") -> float:
    """Measure how much of the variance lies between subjects rather than between raters.

    Parameters
    ----------
    ratings : (n, k) array-like
        One row per subject, one column per rater.
    form : {'A,1', 'C,1', '1,1'}
        Absolute agreement (a constant bias counts against), consistency (it does not), or one-way (the raters of one
        subject are not those of the next). Shrout and Fleiss call them ICC(2,1), ICC(3,1) and ICC(1,1).

    Returns
    -------
    float
        At most 1; NaN for fewer than two subjects or raters, or when no rater tells any subjects apart.

    References
    ----------
    McGraw and Wong, "Forming inferences about some intraclass correlation coefficients", Psychol Methods 1
    (1996) 30-46.

    >>> intraclass_correlation([[1, 2], [2, 3], [3, 4]], "C,1")
    1.0
    >>> round(intraclass_correlation([[1, 2], [2, 3], [3, 4]]), 3)
    0.667
    """
    table = np.asarray(ratings, dtype=float)
    if table.ndim != 2:
        raise ResultError(f"ratings must be a table of subjects by raters, got shape {table.shape}")
    return float(icc_of_sums(rating_sums(table).sum(axis=0), form))


def cohen_kappa(first: ArrayLike, second: ArrayLike, n_categories: int, weights: KappaWeights = "linear") -> float:
    """Measure agreement of categories beyond chance.

    Parameters
    ----------
    first, second : (n,) array-like of int
        Categories 0 to `n_categories` - 1, in order of severity.
    n_categories : int
        How many categories the scheme has, whether or not each occurs.
    weights : {'linear', 'none', 'quadratic'}
        Linear is what the published calcium systems report.

    Returns
    -------
    float
        1 for perfect, 0 for chance; NaN when both raters use one and the same category throughout.

    References
    ----------
    Cohen, "Weighted kappa", Psychol Bull 70 (1968) 213-220.

    >>> cohen_kappa([0, 1, 2, 2], [0, 1, 2, 1], 3)
    0.7142857142857143
    """
    return float(kappa_of_sums(category_sums(first, second, n_categories).sum(axis=0), weights))


def category_accuracy(first: ArrayLike, second: ArrayLike) -> float:
    """Return the share of equal entries; NaN for none at all.

    >>> category_accuracy([0, 1, 2, 2], [0, 1, 2, 1])
    0.75
    """
    same = np.asarray(first) == np.asarray(second)
    return float(same.mean()) if same.size else float("nan")


def bland_altman(reference: ArrayLike, measured: ArrayLike) -> Limits:
    """Return the bias of measured minus reference, and its 95% limits of agreement.

    Parameters
    ----------
    reference, measured : (n,) array-like
        Scores of the same scans.

    Returns
    -------
    Limits
        In the scores' unit; the limits are NaN for fewer than two scans.

    References
    ----------
    Bland and Altman, "Statistical methods for assessing agreement", Lancet 327 (1986) 307-310.

    >>> bland_altman([10, 20, 30], [12, 22, 32])
    Limits(bias=2.0, lower=2.0, upper=2.0)
    """
    return Limits(*limits_of_sums(difference_sums(reference, measured).sum(axis=0)).tolist())


def bland_altman_ratio(reference: ArrayLike, measured: ArrayLike) -> Limits:
    """Return Bland and Altman's limits for skewed scores, as ratios.

    Taken on ln(score + 1) and raised again, so a limit of 1.2 reads "up to 20% more"; the 1 keeps scans without
    calcium.

    Parameters
    ----------
    reference, measured : (n,) array-like
        Scores of the same scans, not negative.

    Returns
    -------
    Limits
        Ratios (measured + 1) / (reference + 1).

    >>> bland_altman_ratio([0, 99, 199], [0, 99, 199])
    Limits(bias=1.0, lower=1.0, upper=1.0)
    """
    sums = difference_sums(np.log1p(reference), np.log1p(measured))
    return Limits(*np.exp(limits_of_sums(sums.sum(axis=0))).tolist())


def rating_sums(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each subject adds to an intraclass correlation.

    Parameters
    ----------
    ratings : (n, k) array
        One row per subject. The median of all is taken off first, which changes no correlation and keeps digits.

    Returns
    -------
    (n, k + 3) array
        1, the k ratings, the square of their sum, the sum of their squares.
    """
    centred = ratings - (np.median(ratings) if ratings.size else 0.0)
    return np.column_stack(
        [np.ones(len(centred)), centred, centred.sum(axis=1) ** 2, (centred**2).sum(axis=1)],
    )


def icc_of_sums(sums: NDArray[np.float64], form: ICCForm = "A,1") -> NDArray[np.float64]:
    """Return intraclass correlations from totals of `rating_sums`.

    Parameters
    ----------
    sums : (..., k + 3) array
        One total per sample of subjects.
    form : {'A,1', 'C,1', '1,1'}
        See `intraclass_correlation`.

    Returns
    -------
    (...) array
    """
    k = sums.shape[-1] - 3
    n, raters, subject_squares, squares = sums[..., 0], sums[..., 1:-2], sums[..., -2], sums[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        correction = raters.sum(axis=-1) ** 2 / (n * k)
        between = _settle(subject_squares / k - correction, squares)
        columns = _settle((raters**2).sum(axis=-1) / n - correction, squares)
        residual = _settle(squares - correction - between - columns, squares)
        subject = between / (n - 1)
        error = residual / ((n - 1) * (k - 1))
        if form == "A,1":
            noise, extra = error, k / n * (columns / (k - 1) - error)
        elif form == "C,1":
            noise, extra = error, np.zeros_like(error)
        elif form == "1,1":
            noise = (columns + residual) / (n * (k - 1))
            extra = np.zeros_like(noise)
        else:
            raise ResultError(f"an intraclass correlation is one of 'A,1', 'C,1', '1,1', got {form!r}")
        value = (subject - noise) / (subject + (k - 1) * noise + extra)
    return np.where((n >= 2) & (between + residual > 0), value, np.nan)


def category_sums(first: ArrayLike, second: ArrayLike, n_categories: int) -> NDArray[np.float64]:
    """Return what each scan adds to the table of categories.

    Parameters
    ----------
    first, second : (n,) array-like of int
        Categories 0 to `n_categories` - 1.
    n_categories : int
        How many categories there are.

    Returns
    -------
    (n, n_categories**2) array
        A single 1 per row, at ``first * n_categories + second``.

    Raises
    ------
    ResultError
        When a category lies outside the scheme, or the two have different lengths.
    """
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    if a.shape != b.shape or a.ndim != 1:
        raise ResultError(f"categories must be two lists of one length, got shapes {a.shape} and {b.shape}")
    both = np.concatenate([a, b])
    if both.size and not 0 <= both.min() <= both.max() < n_categories:
        raise ResultError(f"categories must be 0 to {n_categories - 1}, got {both.min()} to {both.max()}")
    return np.asarray(np.eye(n_categories * n_categories)[a * n_categories + b])


def kappa_of_sums(sums: NDArray[np.float64], weights: KappaWeights = "linear") -> NDArray[np.float64]:
    """Return Cohen's kappas from totals of `category_sums`.

    Parameters
    ----------
    sums : (..., k * k) array
        Tables of counts, first rater along rows, flattened.
    weights : {'linear', 'none', 'quadratic'}
        See `cohen_kappa`.

    Returns
    -------
    (...) array
        NaN where undefined.
    """
    k = round(float(np.sqrt(sums.shape[-1])))
    table = sums.reshape(*sums.shape[:-1], k, k)
    apart = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(float)
    if weights == "none":
        penalty = (apart > 0).astype(float)
    elif weights == "linear":
        penalty = apart
    elif weights == "quadratic":
        penalty = apart**2
    else:
        raise ResultError(f"kappa's weights are 'none', 'linear' or 'quadratic', got {weights!r}")
    chance = table.sum(axis=-1)[..., :, None] * table.sum(axis=-2)[..., None, :]
    seen = (penalty * table).sum(axis=(-2, -1)) * table.sum(axis=(-2, -1))
    expected = (penalty * chance).sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1.0 - seen / expected)


def difference_sums(reference: ArrayLike, measured: ArrayLike) -> NDArray[np.float64]:
    """Return what each scan adds to a Bland-Altman analysis: (n, 3) array of 1, d and d squared."""
    d = np.asarray(measured, dtype=float) - np.asarray(reference, dtype=float)
    if d.ndim != 1:
        raise ResultError(f"scores must be two lists of one length, got differences of shape {d.shape}")
    return np.column_stack([np.ones(len(d)), d, d**2])


def limits_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., 3) biases, lower and upper limits from (..., 3) totals of `difference_sums`."""
    n, total, squares = sums[..., 0], sums[..., 1], sums[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = total / n
        variance = _settle(squares - total * bias, squares) / (n - 1)
        half = LIMITS_SD * np.sqrt(variance)
    return np.stack([bias, bias - half, bias + half], axis=-1)


def _settle(squares: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(squares > ROUNDING * total, squares, np.where(np.isnan(squares), np.nan, 0.0))
