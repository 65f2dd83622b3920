"""Classifiers of candidate lesions: scikit-learn estimators, how a recipe makes one, how it learns and is asked.

All learn from a feature table (one row per candidate lesion, NaN where a feature is not defined), a label per
row and, where known, the patient of each row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from calcscore_ml.models.bagged_svm import BaggedSVM
from calcscore_ml.models.floating import FloatingSelection
from calcscore_ml.models.knn import PrevalenceKNN
from calcscore_ml.models.making import CLASSIFIERS, ClassifierName, make_estimator
from calcscore_ml.models.merged import MergedClassifier
from calcscore_ml.models.names import choose_names
from calcscore_ml.models.preprocess import AsinhScaler
from calcscore_ml.models.rules import RuleClassifier
from calcscore_ml.models.selection import ForwardSelection
from calcscore_ml.models.sequential_knn import SequentialKNN
from calcscore_ml.models.subset import FeatureSubset
from calcscore_ml.models.svm_bag import SVMBag
from calcscore_ml.models.trees import TreeEnsemble
from calcscore_ml.models.two_stage import TwoStage

ESTIMATORS: tuple[type, ...] = (
    AsinhScaler,
    ForwardSelection,
    FloatingSelection,
    PrevalenceKNN,
    SequentialKNN,
    SVMBag,
    BaggedSVM,
    TreeEnsemble,
    TwoStage,
    FeatureSubset,
    MergedClassifier,
    RuleClassifier,
)
"""Every estimator of the package; each passes scikit-learn's estimator checks."""

__all__ = [
    "CLASSIFIERS",
    "ESTIMATORS",
    "AsinhScaler",
    "BaggedSVM",
    "ClassifierName",
    "FeatureSubset",
    "FloatingSelection",
    "ForwardSelection",
    "MergedClassifier",
    "PrevalenceKNN",
    "RuleClassifier",
    "SVMBag",
    "SequentialKNN",
    "TreeEnsemble",
    "TwoStage",
    "choose_names",
    "fit_estimator",
    "judge",
    "make_estimator",
]


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
    table = np.asarray(X, dtype=np.float64)
    for _, step in pipeline.steps[:-1]:
        table = step.transform(table)
    probabilities, members = pipeline[-1].judge(table)
    return probabilities, members
