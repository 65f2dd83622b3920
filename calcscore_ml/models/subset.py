"""A classifier that sees some of the features only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from calcscore_ml.errors import ModelError
from calcscore_ml.models.classifier import LesionClassifier
from calcscore_ml.models.parts import unfitted
from calcscore_ml.models.tables import labelled_table, plain_table


class FeatureSubset(LesionClassifier):
    """Any classifier on some columns of the table: a stage or a member with features of its own.

    Parameters
    ----------
    classifier : classifier of this package or None
        Unfitted; cloned before it is fitted, and given this one's seed and negative label. None: a `PrevalenceKNN`.
    columns : sequence of int or None
        Columns it sees, in this order; None: all.
    negative_label : object or None
        The label that means "other"; None: the most frequent.
    random_state : int or None
        Seed.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Sorted labels.
    columns_ : (n_seen,) array of int
        Columns seen.
    classifier_ : classifier
        Fitted to these columns.
    n_features_in_ : int
        Number of features of the whole table.
    """

    def __init__(
        self,
        classifier: BaseEstimator | None = None,
        columns: Sequence[int] | None = None,
        negative_label: object | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.classifier = classifier
        self.columns = columns
        self.negative_label = negative_label
        self.random_state = random_state

    @property
    def n_members(self) -> int:
        """Members of `judge`: the classifier's."""
        return self.classifier_.n_members

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit the classifier to its columns.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.
        y : (n,) array-like
            Labels.
        groups : (n,) array-like or None
            Patient of each row.

        Returns
        -------
        FeatureSubset
            Itself.

        Raises
        ------
        ModelError
            When there is one class only, or a column does not exist.
        """
        table, self.classes_, codes = labelled_table(self, X, y)
        n_features = table.shape[1]
        self.columns_ = np.arange(n_features) if self.columns is None else np.asarray(self.columns, dtype=np.intp)
        if not len(self.columns_) or self.columns_.min() < 0 or self.columns_.max() >= n_features:
            raise ModelError(f"columns must be some of 0 .. {n_features - 1}, got {self.columns_.tolist()}")
        classifier = unfitted(self.classifier, self.negative_label, self.random_state)
        self.classifier_ = classifier.fit(table[:, self.columns_], self.classes_[codes], groups=groups)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Estimate the probability of each class.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.

        Returns
        -------
        (n, n_classes) array of float
            Rows sum to 1.
        """
        table = plain_table(self, X)
        return self.classifier_.predict_proba(table[:, self.columns_])

    def judge(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ask the classifier and its members.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.

        Returns
        -------
        probabilities : (n, n_classes) array of float
            As `predict_proba`.
        members : (n_members, n, n_classes) array of float
            Of each member; rows sum to 1.
        """
        table = plain_table(self, X)
        return self.classifier_.judge(table[:, self.columns_])
