"""Classifiers inside classifiers: what each must do, and how one is made ready to learn."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone

from calcscore_ml.models.knn import PrevalenceKNN


class Classifier(Protocol):
    """What every classifier of the package does."""

    classes_: NDArray[Any]

    @property
    def n_members(self) -> int:
        """Members that `judge` returns."""

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from rows, labels and patients."""

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return (n, n_classes) probabilities."""

    def judge(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (n, n_classes) probabilities and the (n_members, n, n_classes) of the members."""


def unfitted(kind: BaseEstimator | None, negative_label: object | None, random_state: int | None) -> Classifier:
    """Return an unfitted copy of a classifier, with the negative label and seed of what it is part of.

    Parameters
    ----------
    kind : classifier of this package or None
        What to copy; None: a `PrevalenceKNN`.
    negative_label : object or None
        The label that means "other".
    random_state : int or None
        Seed.

    >>> unfitted(None, False, 3)
    PrevalenceKNN(negative_label=False, random_state=3)
    """
    copy = clone(PrevalenceKNN() if kind is None else kind)
    made: Classifier = copy.set_params(negative_label=negative_label, random_state=random_state)
    return made
