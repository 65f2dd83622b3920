"""Golden rows: feature rows and what a model said of them when it was made."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ModelError

GOLDEN_ROWS = 50
"""Rows whose probabilities are checked at every load."""

GOLDEN_DRAW = 2000
"""Training rows among whose means golden rows are chosen."""

GOLDEN_TOLERANCE = 1e-6
"""Largest change of a golden probability; sums in another order change the 12th digit, another algorithm the
2nd."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenRows:
    """Feature rows and what the model said of them when it was made.

    Parameters
    ----------
    features : (n, n_features) array of float
        NaN where a feature was not defined.
    probabilities : (n, 8) array of float
        Per `Label`.
    """

    features: NDArray[np.float64]
    probabilities: NDArray[np.float64]


def per_label(probabilities: NDArray[np.float64], classes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Put (..., n_classes) probabilities into a column for every label.

    >>> per_label(np.array([[0.25, 0.75]]), np.array([0, 3])).tolist()
    [[0.25, 0.0, 0.0, 0.75, 0.0, 0.0, 0.0, 0.0]]
    """
    full = np.zeros((*probabilities.shape[:-1], len(Label)))
    full[..., classes.astype(np.intp)] = probabilities
    return full


def choose_golden(estimator: Pipeline, table: NDArray[np.float64]) -> GoldenRows:
    """Make golden rows: half where the model is least sure, half from everywhere.

    A golden row is the mean of two training rows. So it is no patient's lesion, and not a row that nearest
    neighbours know by heart and would answer even if all else were broken.

    Parameters
    ----------
    estimator : sklearn.pipeline.Pipeline
        Fitted.
    table : (n, n_features) array of float
        The training table, n at least 2.

    Returns
    -------
    GoldenRows
        `GOLDEN_ROWS` rows, or n - 1 when those are fewer.
    """
    drawn = np.unique(np.linspace(0, len(table) - 1, GOLDEN_DRAW).astype(np.intp))
    means = (table[drawn[:-1]] + table[drawn[1:]]) / 2
    doubtful = np.argsort(estimator.predict_proba(means).max(axis=1), kind="stable")[: GOLDEN_ROWS // 2]
    rest = np.setdiff1d(np.arange(len(means)), doubtful)
    if len(rest):
        rest = rest[np.unique(np.linspace(0, len(rest) - 1, GOLDEN_ROWS - len(doubtful)).astype(np.intp))]
    rows = means[np.sort(np.concatenate([doubtful, rest]))]
    return GoldenRows(rows, per_label(estimator.predict_proba(rows), estimator.classes_))


def golden_bytes(golden: GoldenRows) -> bytes:
    """Write golden rows as an npz file."""
    target = BytesIO()
    np.savez(target, features=golden.features, probabilities=golden.probabilities)
    return target.getvalue()


def read_golden(content: bytes, where: str) -> GoldenRows:
    """Read golden rows; nothing in them is unpickled.

    Raises
    ------
    ModelError
        When the file is not two arrays of numbers.
    """
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return GoldenRows(arrays["features"], arrays["probabilities"])
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise ModelError(f"golden rows must be two arrays of numbers, got {error} in {where}") from error


def check_golden(estimator: object, golden: GoldenRows, remedy: str, where: str) -> None:
    """Ask a model its golden rows again.

    Parameters
    ----------
    estimator : object
        As loaded.
    golden : GoldenRows
        What it said when it was made.
    remedy : str
        What to do, said by errors.
    where : str
        Folder named in errors.

    Raises
    ------
    ModelError
        When it is no pipeline, cannot run, or a probability changed by more than `GOLDEN_TOLERANCE`.
    """
    if not isinstance(estimator, Pipeline):
        raise ModelError(f"a model must be a scikit-learn Pipeline, got {type(estimator).__name__} in {where}")
    try:
        now = per_label(estimator.predict_proba(golden.features), estimator.classes_)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise ModelError(
            f"a model must run with the installed packages, got {type(error).__name__}: {error} in {where}; {remedy}"
        ) from error
    drift = float(np.abs(now - golden.probabilities).max()) if now.shape == golden.probabilities.shape else np.inf
    if not drift <= GOLDEN_TOLERANCE:
        raise ModelError(
            f"a model must answer its golden rows as when it was made, to {GOLDEN_TOLERANCE:g}, "
            f"got a change of {drift:.3g} in {where}; {remedy}"
        )
