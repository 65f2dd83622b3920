"""Feature tables as the classifiers take them: checked, in double precision, with labels as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from calcscore_ml.errors import ModelError
from calcscore_ml.models.folds import Codes


def labelled_table(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, *, allow_nan: bool = False
) -> tuple[NDArray[np.float64], NDArray[Any], Codes]:
    """Check what an estimator is fitted to.

    Parameters
    ----------
    estimator : BaseEstimator
        Learns `n_features_in_`.
    X : (n, n_features) array-like
        Feature table.
    y : (n,) array-like
        Labels.
    allow_nan : bool
        Whether features may be NaN.

    Returns
    -------
    table : (n, n_features) array of float
        The features.
    classes : (n_classes,) array
        Sorted labels.
    codes : (n,) array of int
        Class number of each row.

    Raises
    ------
    ModelError
        When there is one class only.
    """
    finite = "allow-nan" if allow_nan else True
    table, labels = validate_data(estimator, X, y, dtype=np.float64, ensure_all_finite=finite)
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ModelError(f"a classifier needs at least two classes, got one class {classes.tolist()}")
    return table, classes, codes.astype(np.intp)


def plain_table(estimator: BaseEstimator, X: ArrayLike, *, allow_nan: bool = False) -> NDArray[np.float64]:
    """Check what a fitted estimator is asked about, (n, n_features)."""
    check_is_fitted(estimator)
    finite = "allow-nan" if allow_nan else True
    return np.asarray(validate_data(estimator, X, dtype=np.float64, reset=False, ensure_all_finite=finite))
