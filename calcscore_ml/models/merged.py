"""Several classifiers merged into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from calcscore_ml.errors import ModelError
from calcscore_ml.models.classifier import LesionClassifier
from calcscore_ml.models.knn import PrevalenceKNN
from calcscore_ml.models.parts import unfitted
from calcscore_ml.models.tables import labelled_table, plain_table

RULES = ("mean", "product", "vote")
"""How probabilities may be merged."""

LEAST_PROBABILITY = 1e-9
"""A classifier's "impossible" is taken for this in a product, so that no classifier vetoes a label for good; our
choice."""


class MergedClassifier(LesionClassifier):
    """Classifiers of any kind, each fitted to the whole table, whose answers are merged.

    With R classifiers, P_i(c) the probability of class c by classifier i and p_c the share of c in the training table:
    ``mean`` gives the mean of P_i(c); ``product`` gives p_c^(1 - R) times the product of P_i(c), scaled to sum to 1,
    which is right when classifiers see independent features and too sure when they see the same; ``vote`` gives the
    share of classifiers whose most probable label is c.

    Parameters
    ----------
    classifiers : sequence of (str, classifier of this package) or None
        Named and unfitted; cloned before they are fitted, and given this one's seed and negative label. None: a
        `PrevalenceKNN` of every feature and one that selects.
    rule : {'mean', 'product', 'vote'}
        How probabilities are merged.
    negative_label : object or None
        The label that means "other"; None: the most frequent.
    random_state : int or None
        Seed.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Sorted labels.
    classifiers_ : list of classifiers
        Fitted.
    prevalence_ : (n_classes,) array of float
        Share of each class in the training table.
    n_features_in_ : int
        Number of features.

    References
    ----------
    J. Kittler, M. Hatef, R. P. W. Duin, J. Matas, "On combining classifiers", IEEE Trans. Pattern Anal. Mach. Intell.
    20:226-239, 1998.
    """

    def __init__(
        self,
        classifiers: Sequence[tuple[str, BaseEstimator]] | None = None,
        rule: Literal["mean", "product", "vote"] = "mean",
        negative_label: object | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.classifiers = classifiers
        self.rule = rule
        self.negative_label = negative_label
        self.random_state = random_state

    @property
    def n_members(self) -> int:
        """Members of `judge`: one per classifier."""
        return len(self.classifiers_)

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit every classifier.

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
        MergedClassifier
            Itself.

        Raises
        ------
        ModelError
            When there is one class only, the rule is unknown, or there is no classifier.
        """
        table, self.classes_, codes = labelled_table(self, X, y)
        if self.rule not in RULES:
            raise ModelError(f"rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        kinds = (
            [PrevalenceKNN(max_features=None), PrevalenceKNN()]
            if self.classifiers is None
            else [kind for _, kind in self.classifiers]
        )
        if not kinds:
            raise ModelError("classifiers must hold at least one classifier, got none")
        self.prevalence_ = np.bincount(codes) / len(codes)
        self.classifiers_ = [
            unfitted(kind, self.negative_label, self.random_state).fit(table, self.classes_[codes], groups=groups)
            for kind in kinds
        ]
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
        return self.judge(X)[0]

    def judge(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Merge the classifiers' probabilities, and return them too.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.

        Returns
        -------
        probabilities : (n, n_classes) array of float
            Merged; rows sum to 1.
        members : (n_classifiers, n, n_classes) array of float
            Of each classifier: they disagree where the systems do.
        """
        table = plain_table(self, X)
        members = np.stack([classifier.predict_proba(table) for classifier in self.classifiers_])
        return self._merge(members), members

    def _merge(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.rule == "mean":
            return np.asarray(members.mean(axis=0))
        if self.rule == "vote":
            chosen = members.argmax(axis=2)
            return np.asarray((chosen[:, :, None] == np.arange(len(self.classes_))).mean(axis=0))
        logs = np.log(np.maximum(members, LEAST_PROBABILITY)).sum(axis=0)
        product = logs + (1 - len(members)) * np.log(self.prevalence_)
        scaled = np.exp(product - product.max(axis=1, keepdims=True))
        return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))
