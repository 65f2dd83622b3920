"""Classifiers of candidate lesions: scikit-learn estimators, and how a recipe makes one.

All learn from a feature table (one row per candidate lesion, NaN where a feature is not defined), a label per
row and, where known, the patient of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ModelError
from calcscore_ml.models.bagged_svm import BaggedSVM
from calcscore_ml.models.floating import FloatingSelection
from calcscore_ml.models.knn import PrevalenceKNN
from calcscore_ml.models.preprocess import AsinhScaler
from calcscore_ml.models.selection import ForwardSelection
from calcscore_ml.models.sequential_knn import SequentialKNN
from calcscore_ml.models.svm_bag import SVMBag

ESTIMATORS: tuple[type, ...] = (
    AsinhScaler,
    ForwardSelection,
    FloatingSelection,
    PrevalenceKNN,
    SequentialKNN,
    SVMBag,
    BaggedSVM,
)
"""Every estimator of the package; each passes scikit-learn's estimator checks."""

CLASSIFIERS: tuple[tuple[str, type], ...] = (("sequential_knn", SequentialKNN), ("bagged_svm", BaggedSVM))
"""What a recipe may name as its classifier."""

__all__ = [
    "CLASSIFIERS",
    "ESTIMATORS",
    "AsinhScaler",
    "BaggedSVM",
    "FloatingSelection",
    "ForwardSelection",
    "PrevalenceKNN",
    "SVMBag",
    "SequentialKNN",
    "fit_estimator",
    "judge",
    "make_estimator",
]


def make_estimator(
    name: Literal["sequential_knn", "bagged_svm"], parameters: Mapping[str, Any], random_state: int = 0
) -> Pipeline:
    """Make an unfitted pipeline: fill missing features, scale, classify.

    A feature that is NaN, because a lesion is too small to define it, gets the training table's median; a
    feature that is NaN in the whole table becomes 0.

    Parameters
    ----------
    name : {'sequential_knn', 'bagged_svm'}
        Classifier.
    parameters : mapping
        Its parameters; `negative_label` is 0, "other", unless given.
    random_state : int
        Seed.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps "imputer", "scaler" and "classifier".

    Raises
    ------
    ModelError
        When the classifier or a parameter is unknown.

    >>> list(make_estimator("bagged_svm", {"C": 2.0}).named_steps)
    ['imputer', 'scaler', 'classifier']
    """
    known = dict(CLASSIFIERS)
    if name not in known:
        raise ModelError(f"a classifier must be one of {', '.join(known)}, got {name!r}")
    allowed = known[name]().get_params()
    unknown = sorted(set(parameters) - set(allowed))
    if unknown:
        raise ModelError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(allowed))}")
    chosen = {"negative_label": int(Label.OTHER), "random_state": random_state, **parameters}
    classifier = known[name](**chosen)
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("imputer", imputer), ("scaler", AsinhScaler()), ("classifier", classifier)])


def fit_estimator(pipeline: Pipeline, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Pipeline:
    """Fit a pipeline of `make_estimator`, keeping each patient's rows together.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted in place.
    X : (n, n_features) array-like
        Feature table; NaN where a feature is not defined. Column names are dropped: the bundle's card keeps
        them.
    y : (n,) array-like
        Labels.
    groups : (n,) array-like or None
        Patient of each row.

    Returns
    -------
    sklearn.pipeline.Pipeline
        The same.
    """
    table = np.asarray(X, dtype=np.float64)
    pipeline.fit(table, np.asarray(y), classifier__groups=None if groups is None else np.asarray(groups))
    return pipeline


def judge(pipeline: Pipeline, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ask a fitted pipeline, and each member of its ensemble.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Of `make_estimator`, fitted.
    X : (n, n_features) array-like
        Feature table; NaN where a feature is not defined.

    Returns
    -------
    probabilities : (n, n_classes) array of float
        As ``pipeline.predict_proba``.
    members : (n_members, n, n_classes) array of float
        Of each member; their spread is their disagreement. All rows sum to 1.
    """
    scaled = pipeline[:-1].transform(np.asarray(X, dtype=np.float64))
    probabilities, members = pipeline[-1].judge(scaled)
    return probabilities, members
