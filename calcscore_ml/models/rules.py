"""Rules instead of training: limits of features say what is coronary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ModelError
from calcscore_ml.models.classifier import LesionClassifier
from calcscore_ml.models.folds import negative_code
from calcscore_ml.models.names import check_names
from calcscore_ml.models.tables import labelled_table, plain_table

CERTAINTY = 0.98
"""Probability that a lesion is what the rules say; our choice. Rules are not measured against the training table, so
they refer nothing."""

BOUNDS = ("at_least", "at_most")
"""What a limit may say."""

Limits = Mapping[str, Mapping[str, float]]
"""Limits by the name of a feature: ``{"heart_depth_mm": {"at_least": 0.0}}``."""


class RuleClassifier(LesionClassifier):
    """A lesion is coronary when all limits hold, and lies in the artery whose own feature is largest.

    Only the list of classes and, for lesions whose artery no feature names, the arteries' shares come from the
    training table. Features are taken as they are: neither filled nor scaled. A limit of a feature that is NaN does
    not hold.

    Parameters
    ----------
    limits : mapping of str to mapping, or None
        For some features ``at_least``, ``at_most`` or both, the limits included. None or empty: every lesion is
        coronary.
    arteries : mapping of str to str, or None
        For each artery, by its name in `Label`, the feature that is largest where the artery is most probable:
        ``{"LAD": "lad_probability"}``. Arteries that no training lesion lies in are passed over.
    columns : sequence of str or None
        Names of the table's columns; None: ``x0``, ``x1`` and so on.
    certainty : float
        Probability of what the rules say, above 0.5 and below 1; the rest is left to the other side.
    negative_label : object or None
        The label that means "other"; None: the most frequent.
    random_state : int or None
        Unused: nothing is random.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Sorted labels.
    limited_ : (n_limits,) array of int
        Columns with limits.
    lower_, upper_ : (n_limits,) arrays of float
        The limits; infinite where there is none.
    asked_ : (n_arteries,) array of int
        Columns that name the artery.
    artery_codes_ : (n_arteries,) array of int
        Position of their arteries in `classes_`.
    negative_code_ : int
        Position of the negative label in `classes_`.
    positive_share_ : (n_classes,) array of float
        How a coronary lesion is shared when its artery is not known: as the arteries share the training rows.
    n_features_in_ : int
        Number of features.

    Examples
    --------
    >>> rules = RuleClassifier({"x0": {"at_most": 0.8}}, {"LAD": "x1", "RCA": "x2"})
    >>> table, labels = [[0.4, 0.1, 0.7], [0.9, 0.2, 0.0], [0.5, 0.3, 0.1]], [1, 0, 3]
    >>> rules.fit(table, labels).predict(table).tolist()
    [3, 0, 1]
    """

    n_members = 1

    def __init__(
        self,
        limits: Limits | None = None,
        arteries: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        certainty: float = CERTAINTY,
        negative_label: object | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.limits = limits
        self.arteries = arteries
        self.columns = columns
        self.certainty = certainty
        self.negative_label = negative_label
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn which classes there are.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table, unscaled; NaN where a feature is not defined.
        y : (n,) array-like
            Labels.
        groups : (n,) array-like or None
            Unused.

        Returns
        -------
        RuleClassifier
            Itself.

        Raises
        ------
        ModelError
            When there is one class only, or a rule names what does not exist.
        """
        table, self.classes_, codes = labelled_table(self, X, y, allow_nan=True)
        columns = [f"x{i}" for i in range(table.shape[1])] if self.columns is None else list(self.columns)
        if len(columns) != table.shape[1]:
            raise ModelError(f"columns must name all {table.shape[1]} features of the table, got {len(columns)} names")
        limits, arteries = self.limits or {}, self.arteries or {}
        check_rules(limits, arteries, columns)
        if not 0.5 < self.certainty < 1:
            raise ModelError(f"certainty must lie between 0.5 and 1, got {self.certainty}")
        self.negative_code_ = negative_code(self.classes_, codes, self.negative_label)
        self.limited_ = np.array([columns.index(name) for name in limits], dtype=np.intp)
        self.lower_ = np.array([limit.get("at_least", -np.inf) for limit in limits.values()])
        self.upper_ = np.array([limit.get("at_most", np.inf) for limit in limits.values()])
        known = {name: np.flatnonzero(self.classes_ == int(Label[name])) for name in arteries}
        seen = [name for name in arteries if len(known[name])]
        self.asked_ = np.array([columns.index(arteries[name]) for name in seen], dtype=np.intp)
        self.artery_codes_ = np.array([known[name][0] for name in seen], dtype=np.intp)
        counts = np.bincount(codes).astype(float)
        counts[self.negative_code_] = 0
        if len(seen):
            counts[np.setdiff1d(np.arange(len(counts)), self.artery_codes_)] = 0
        self.positive_share_ = counts / counts.sum()
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Apply the rules.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table, unscaled; NaN where a feature is not defined.

        Returns
        -------
        (n, n_classes) array of float
            Rows sum to 1.
        """
        table = plain_table(self, X, allow_nan=True)
        values = table[:, self.limited_]
        coronary = np.where(
            ((values >= self.lower_) & (values <= self.upper_)).all(axis=1), self.certainty, 1 - self.certainty
        )
        probabilities = coronary[:, None] * self._arteries(table)
        probabilities[:, self.negative_code_] = 1 - coronary
        return np.asarray(probabilities)

    def judge(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Apply the rules; they are their only member.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table, unscaled; NaN where a feature is not defined.

        Returns
        -------
        probabilities : (n, n_classes) array of float
            As `predict_proba`.
        members : (1, n, n_classes) array of float
            The same.
        """
        probabilities = self.predict_proba(X)
        return probabilities, probabilities[None]

    def _arteries(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """How each lesion, if coronary, is shared by the classes."""
        shares = np.tile(self.positive_share_, (len(table), 1))
        if len(self.asked_):
            values = np.nan_to_num(table[:, self.asked_], nan=-np.inf, neginf=-np.inf)
            known = values.max(axis=1) > -np.inf
            shares[known] = np.eye(len(self.classes_))[self.artery_codes_[values[known].argmax(axis=1)]]
        return shares

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.poor_score = True  # rules do not learn
        return tags


def check_rules(limits: Limits, arteries: Mapping[str, str], columns: Sequence[str]) -> None:
    """Check that rules name features and arteries that exist.

    Raises
    ------
    ModelError
        When they do not, or a limit can never hold.
    """
    if not isinstance(limits, Mapping) or not isinstance(arteries, Mapping):
        raise ModelError(f"limits and arteries must be tables by name, got {limits!r} and {arteries!r}")
    check_names(columns, [*limits, *arteries.values()])
    for name, limit in limits.items():
        said = isinstance(limit, Mapping) and limit and not set(limit) - set(BOUNDS)
        if not said or not all(isinstance(value, int | float) for value in limit.values()):
            raise ModelError(f"the limit of {name} must say {' or '.join(BOUNDS)} or both by a number, got {limit!r}")
        if not limit.get("at_least", -np.inf) <= limit.get("at_most", np.inf):
            raise ModelError(f"the limit of {name} must be at_least <= at_most, got {limit!r}")
    unknown = [name for name in arteries if name not in Label.__members__ or not Label[name].is_coronary]
    if unknown:
        raise ModelError(f"arteries must be some of LM, LAD, LCX, RCA, got {', '.join(unknown)}")
