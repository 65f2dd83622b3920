"""Two stages: the first removes what is obviously "other", the second names the rest.

Both published families of systems work so: Isgum 2007, 2010 and 2012 with nearest neighbours, Kurkure 2010
with ensembles of support vector machines.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.errors import ModelError
from calcscore_ml.models.classifier import LesionClassifier
from calcscore_ml.models.folds import Codes, deal_folds, group_codes, negative_code
from calcscore_ml.models.parts import Classifier
from calcscore_ml.models.tables import labelled_table, plain_table

HIGHEST_THRESHOLD = 0.5
"""A row at least as likely positive as not is never removed, so that a removed row's most probable label is
"other"."""


class Cascade(LesionClassifier):
    """Base of the two-stage classifiers; subclasses say what the stages are.

    The first stage tells positive rows from negative ones. Its threshold is the highest at which it keeps the
    required share of the positive training rows, judged by stages that never saw the row's patient. The
    second stage learns from the rows that survive, at the survivors' prevalence.

    A removed row keeps the first stage's probability p: "other" has 1 - p, and p is shared by the other
    labels as they are in the training table.

    Subclasses have the parameters `stage_one_sensitivity` (None: no first stage), `folds`, `negative_label`
    and `random_state`.
    """

    stage_one_sensitivity: float | None
    folds: int
    negative_label: object | None
    random_state: int | None

    @abstractmethod
    def _stage_one(self) -> Classifier:
        """Return an unfitted first stage; its negative label is False."""

    @abstractmethod
    def _stage_two(self, negative_label: object) -> Classifier:
        """Return an unfitted second stage."""

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit both stages.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.
        y : (n,) array-like
            Labels.
        groups : (n,) array-like or None
            Patient of each row; a patient's rows are never judged by a stage that saw that patient.

        Returns
        -------
        Cascade
            Itself.

        Raises
        ------
        ModelError
            When there is one class only, the negative label does not occur, or the sensitivity is not in (0,
            1].
        """
        table, self.classes_, codes = labelled_table(self, X, y)
        patients = group_codes(groups, len(codes))
        self.negative_code_ = negative_code(self.classes_, codes, self.negative_label)
        positive = codes != self.negative_code_
        counts = np.bincount(codes) * (np.arange(len(self.classes_)) != self.negative_code_)
        self.positive_share_ = counts / counts.sum()
        self.first_: Classifier | None = None
        self.threshold_ = 0.0
        survivors = np.ones(len(codes), dtype=bool)
        if self.stage_one_sensitivity is not None:
            left_out = self._left_out_probability(table, positive, patients)
            self.first_ = self._stage_one().fit(table, positive, groups=patients)
            if left_out is not None:
                threshold = min(threshold_for(left_out[positive], self.stage_one_sensitivity), HIGHEST_THRESHOLD)
                if len(np.unique(codes[left_out >= threshold])) > 1:
                    self.threshold_, survivors = threshold, left_out >= threshold
        self.survival_rate_ = float(survivors.mean())
        self.second_ = self._stage_two(self.classes_[self.negative_code_]).fit(
            table[survivors],
            self.classes_[codes[survivors]],
            groups=None if patients is None else patients[survivors],
        )
        return self

    def stage_one_probability(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the first stage's probability of being positive, (n,); 1 where there is no first stage."""
        table = plain_table(self, X)
        if self.first_ is None:
            return np.ones(len(table))
        return self.first_.predict_proba(table)[:, 1]

    def survives(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Return whether each row reaches the second stage, (n,)."""
        return self.stage_one_probability(X) >= self.threshold_

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
        first = self.stage_one_probability(X)
        probabilities = self._removed(first)
        survivors = first >= self.threshold_
        if survivors.any():
            rows = plain_table(self, X)[survivors]
            probabilities[survivors] = self._spread(self.second_.predict_proba(rows))
        return probabilities

    def judge(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Estimate the probability of each class, and each member's.

        All members let the same rows survive; they differ in the probabilities within each stage. There are as many as
        the second stage has; the first stage's join them in turn.

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
        if self.first_ is None:
            whole, parts = self.second_.judge(table)
            return self._spread(whole), self._spread(parts)
        first, first_members = (p[..., 1] for p in self.first_.judge(table))
        turn = np.arange(self.second_.n_members) % len(first_members)
        probabilities, members = self._removed(first), self._removed(first_members[turn])
        survivors = first >= self.threshold_
        if survivors.any():
            whole, parts = self.second_.judge(table[survivors])
            probabilities[survivors], members[:, survivors] = self._spread(whole), self._spread(parts)
        return probabilities, members

    def member_probabilities(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return each member's probabilities, (n_members, n, n_classes); see `judge`."""
        return self.judge(X)[1]

    def _removed(self, positive: NDArray[np.float64]) -> NDArray[np.float64]:
        probabilities = positive[..., None] * self.positive_share_
        probabilities[..., self.negative_code_] = 1 - positive
        return np.asarray(probabilities)

    def _spread(self, second: NDArray[np.float64]) -> NDArray[np.float64]:
        """Put the second stage's columns in the place of all classes: one may have no survivor."""
        probabilities = np.zeros((*second.shape[:-1], len(self.classes_)))
        probabilities[..., np.searchsorted(self.classes_, self.second_.classes_)] = second
        return probabilities

    def _left_out_probability(
        self, X: NDArray[np.float64], positive: NDArray[np.bool_], patients: Codes | None
    ) -> NDArray[np.float64] | None:
        """Judge rows by stages that never saw their patient; None when some fold leaves one class only."""
        fold = deal_folds(positive.astype(np.intp), patients, self.folds, np.random.default_rng(self.random_state))
        probability = np.zeros(len(positive))
        for number in np.unique(fold):
            held = fold == number
            if len(np.unique(positive[~held])) < 2:
                return None
            groups = None if patients is None else patients[~held]
            stage = self._stage_one().fit(X[~held], positive[~held], groups=groups)
            probability[held] = stage.predict_proba(X[held])[:, 1]
        return probability


def threshold_for(probability: NDArray[np.float64], sensitivity: float) -> float:
    """Find the highest threshold that keeps a share of the positive rows.

    Parameters
    ----------
    probability : (n,) array of float
        Of the positive rows.
    sensitivity : float
        Share to keep, in (0, 1].

    Returns
    -------
    float
        A row is kept when its probability is at least this.

    Raises
    ------
    ModelError
        When the share is not in (0, 1].

    >>> threshold_for(np.array([0.9, 0.1, 0.5, 0.7]), 0.75)
    0.5
    """
    if not 0 < sensitivity <= 1:
        raise ModelError(f"a sensitivity must lie in (0, 1], got {sensitivity}")
    # The rounding error of 0.995 x 200 must not ask for a 200th row.
    wanted = int(np.ceil(sensitivity * len(probability) - 1e-9))
    return float(np.sort(probability)[::-1][max(wanted, 1) - 1])
