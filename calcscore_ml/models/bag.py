"""Ensembles whose members each leave out a fold of the patients, which then calibrates them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.errors import ModelError
from calcscore_ml.models.calibration import SoftmaxCalibration, fit_calibration
from calcscore_ml.models.classifier import LesionClassifier
from calcscore_ml.models.folds import Codes, deal_folds, draw_evenly, group_codes, negative_code
from calcscore_ml.models.tables import labelled_table

CALIBRATION_NEGATIVES = 10_000
"""Negative rows judged by the members that never saw them, to fit the calibration."""

CALIBRATION_POSITIVES = 4_000
"""Positive rows likewise."""


class Bag(LesionClassifier):
    """Base of the ensembles on asymmetric samples; subclasses say what a member is.

    Patients (rows, if no patients are given) are dealt into folds. Member m leaves out fold m mod folds; of
    the rest it takes most positive rows and a small sample of the negative ones, its own. So every row is left
    out by the same number of members, and their mean score on it calibrates the ensemble at the true prevalence.

    Subclasses have the parameters `n_members`, `rows_per_member`, `negatives_per_positive`, `folds`,
    `negative_label` and `random_state`.
    """

    n_members: int
    rows_per_member: int
    negatives_per_positive: float
    folds: int
    negative_label: object | None
    random_state: int | np.random.Generator | None

    @abstractmethod
    def class_scores(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return each member's score of each class, (n_members, n, n_classes)."""

    @abstractmethod
    def _fit_members(self, table: NDArray[Any], codes: Codes, samples: list[Codes], rng: np.random.Generator) -> None:
        """Fit a member to each sample of rows; every sample holds every class."""

    def _prepare(
        self, table: NDArray[np.float64], codes: Codes, negative: int | None, rng: np.random.Generator
    ) -> NDArray[Any]:
        """Return the table that members learn from."""
        return table

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit the members and the calibration.

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
        Bag
            Itself.

        Raises
        ------
        ModelError
            When there is one class only, or an option is out of range.
        """
        table, self.classes_, codes = labelled_table(self, X, y)
        if not 2 <= self.folds <= self.n_members:
            raise ModelError(f"folds must lie in 2 .. n_members = {self.n_members}, got {self.folds}")
        rng = np.random.default_rng(self.random_state)
        negative = self._negative(codes)
        fold = deal_folds(codes, group_codes(groups, len(codes)), self.folds, rng)
        prepared = self._prepare(table, codes, negative, rng)
        samples = [self._draw(codes, negative, fold != m % self.folds, rng) for m in range(self.n_members)]
        self._fit_members(prepared, codes, samples, rng)
        self._calibrate(table, codes, negative, fold, rng)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Estimate the probability of each class from the members' mean score.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.

        Returns
        -------
        (n, n_classes) array of float
            Rows sum to 1.
        """
        scores = self.class_scores(X).mean(axis=0)
        return SoftmaxCalibration(self.slope_, self.offset_)(scores)

    def judge(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Estimate probabilities from the members' mean score, and from each member's own.

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
        scores = self.class_scores(X)
        calibration = SoftmaxCalibration(self.slope_, self.offset_)
        return calibration(scores.mean(axis=0)), calibration(scores)

    def _negative(self, codes: Codes) -> int | None:
        if self.negative_label is not None and self.negative_label not in self.classes_:
            return None  # a second stage whose first one removed every "other"
        return negative_code(self.classes_, codes, self.negative_label)

    def _draw(self, codes: Codes, negative: int | None, allowed: NDArray[np.bool_], rng: np.random.Generator) -> Codes:
        """Draw a member's rows; a class that the allowed rows lack is taken from all rows."""
        missing = np.setdiff1d(codes, codes[allowed])
        rows = np.flatnonzero(allowed | np.isin(codes, missing))
        positives = rows[codes[rows] != negative]
        drawn = positives[draw_evenly(codes[positives], max(self.rows_per_member // 2, len(self.classes_)), rng)]
        negatives = rows[codes[rows] == negative]
        wanted = min(round(self.negatives_per_positive * len(drawn)), self.rows_per_member - len(drawn))
        if len(negatives) > max(wanted, 1):
            negatives = rng.choice(negatives, max(wanted, 1), replace=False)
        return np.sort(np.concatenate([drawn, negatives]))

    def _calibrate(
        self,
        X: NDArray[np.float64],
        codes: Codes,
        negative: int | None,
        fold: Codes,
        rng: np.random.Generator,
    ) -> None:
        positives = np.flatnonzero(codes != negative)
        positives = positives[draw_evenly(codes[positives], CALIBRATION_POSITIVES, rng)]
        negatives = np.flatnonzero(codes == negative)
        if len(negatives) > CALIBRATION_NEGATIVES:
            negatives = rng.choice(negatives, CALIBRATION_NEGATIVES, replace=False)
        rows = np.sort(np.concatenate([positives, negatives]))
        left_out = np.arange(self.n_members)[:, None] % self.folds == fold[rows]
        scores = np.where(left_out[:, :, None], self.class_scores(X[rows]), 0).sum(axis=0)
        scores /= left_out.sum(axis=0)[:, None]
        stands_for = np.bincount(codes) / np.maximum(np.bincount(codes[rows], minlength=len(self.classes_)), 1)
        calibration = fit_calibration(scores, codes[rows], stands_for[codes[rows]])
        self.slope_, self.offset_ = calibration.slope, calibration.offset
