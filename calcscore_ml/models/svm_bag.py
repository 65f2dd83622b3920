"""An ensemble of support vector machines on asymmetric bags, kept as one kernel expansion."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC

from calcscore_ml.errors import ModelError
from calcscore_ml.models.calibration import SoftmaxCalibration, fit_calibration
from calcscore_ml.models.folds import Codes, deal_folds, draw_evenly, group_codes, negative_code
from calcscore_ml.models.libsvm import class_expansion
from calcscore_ml.models.relevance import relevance_scale
from calcscore_ml.models.tables import labelled_table, plain_table
from calcscore_ml.models.threads import one_thread

KERNEL_CELLS = 2_000_000
"""Entries of the kernel matrix held at once: 16 MB."""

CALIBRATION_NEGATIVES = 10_000
"""Negative rows judged by the members that never saw them, to fit the calibration."""

CALIBRATION_POSITIVES = 4_000
"""Positive rows likewise."""


class SVMBag(ClassifierMixin, BaseEstimator):
    """Cost-sensitive support vector machines, each trained on its own asymmetric sample.

    Patients (rows, if no patients are given) are dealt into folds. Member m leaves out fold m mod folds; of
    the rest it takes most positive rows and a small sample of the negative ones, its own, and weighs classes
    inversely to their size. So every row is left out by the same number of members, and their mean score on
    it calibrates the ensemble at the true prevalence.

    Before, features are brought to the spread they have in a sample like a member's and weighed by their
    relevance, see `calcscore_ml.models.relevance`. One scale serves all members, so it is learnt from all patients.

    A class's score is the mean of its signed one-against-one decisions. It is linear in the kernel, as is the
    mean over members; the whole ensemble is therefore stored and applied as one kernel expansion over the
    distinct support vectors.

    Parameters
    ----------
    n_members : int
        Machines.
    kernel : {'rbf', 'linear'}
        Kernel.
    C : float
        Cost of an error.
    gamma : float or None
        Width of the rbf kernel; None: 1 / (n_features x variance of the scaled table).
    relevance : float
        A feature's spread is its importance to this power; 0: all alike.
    rows_per_member : int
        Rows of one member's sample at most; positives take at most half, rare classes are kept whole.
    negatives_per_positive : float
        Negative rows drawn per positive row of a sample.
    folds : int
        Folds that members leave out; at most `n_members`.
    negative_label : object or None
        The label that means "other"; None: the most frequent.
    random_state : int, numpy.random.Generator or None
        Seed.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Sorted labels.
    support_vectors_ : (n_support, n_features) array of float32
        Distinct support vectors of all members.
    dual_coef_ : (n_support, n_members x n_classes) array of float32
        Weight of each support vector in each member's score of each class, members outermost.
    intercept_ : (n_members, n_classes) array
        Constants of the scores.
    gamma_ : float
        Width used.
    scale_ : (n_features,) array
        Factor of each feature; support vectors are scaled.
    slope_, offset_ : float, (n_classes,) array
        The `SoftmaxCalibration`.
    n_features_in_ : int
        Number of features.

    References
    ----------
    U. Kurkure, D. R. Chittajallu, G. Brunner, Y. H. Le, I. A. Kakadiaris, "A supervised classification-based
    method for coronary calcium detection in non-contrast CT", Int. J. Cardiovasc. Imaging 26:817-828, 2010.
    """

    def __init__(
        self,
        n_members: int = 15,
        kernel: Literal["rbf", "linear"] = "rbf",
        C: float = 1.0,
        gamma: float | None = None,
        relevance: float = 0.5,
        rows_per_member: int = 2000,
        negatives_per_positive: float = 3.0,
        folds: int = 5,
        negative_label: object | None = None,
        random_state: int | np.random.Generator | None = 0,
    ) -> None:
        self.n_members = n_members
        self.kernel = kernel
        self.C = C
        self.gamma = gamma
        self.relevance = relevance
        self.rows_per_member = rows_per_member
        self.negatives_per_positive = negatives_per_positive
        self.folds = folds
        self.negative_label = negative_label
        self.random_state = random_state

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
        SVMBag
            Itself.

        Raises
        ------
        ModelError
            When there is one class only, or an option is out of range.
        """
        table, self.classes_, codes = labelled_table(self, X, y)
        if self.kernel not in ("rbf", "linear"):
            raise ModelError(f"kernel must be 'rbf' or 'linear', got {self.kernel!r}")
        if not 2 <= self.folds <= self.n_members:
            raise ModelError(f"folds must lie in 2 .. n_members = {self.n_members}, got {self.folds}")
        rng = np.random.default_rng(self.random_state)
        negative = self._negative(codes)
        fold = deal_folds(codes, group_codes(groups, len(codes)), self.folds, rng)
        rows = self._draw(codes, negative, fold >= 0, rng)
        self.scale_ = relevance_scale(table[rows], codes[rows], self.relevance, int(rng.integers(2**31)))
        rounded = (table * self.scale_).astype(np.float32)  # what is stored is what was trained on
        variance = float(rounded.var(dtype=np.float64))
        self.gamma_ = self.gamma if self.gamma is not None else 1 / (table.shape[1] * variance) if variance > 0 else 1.0
        samples = [self._draw(codes, negative, fold != m % self.folds, rng) for m in range(self.n_members)]
        machines = [self._machine().fit(rounded[rows].astype(np.float64), codes[rows]) for rows in samples]
        self._merge(machines, samples, rounded)
        self._calibrate(table, codes, negative, fold, rng)
        return self

    def class_scores(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return each member's score of each class.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.

        Returns
        -------
        (n_members, n, n_classes) array of float
            Means of signed one-against-one decisions; they sum to 0 over classes.
        """
        table = plain_table(self, X) * self.scale_
        vectors = self.support_vectors_.astype(np.float64)
        weights = self.dual_coef_.astype(np.float64)
        step = max(1, KERNEL_CELLS // len(vectors))
        scores = np.empty((len(table), weights.shape[1]))
        with one_thread():
            for start in range(0, len(table), step):
                scores[start : start + step] = self._kernel(table[start : start + step], vectors) @ weights
        return scores.reshape(len(table), *self.intercept_.shape).transpose(1, 0, 2) + self.intercept_[:, None]

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

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each row, (n,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

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

    def _machine(self) -> SVC:
        return SVC(C=self.C, kernel=self.kernel, gamma=self.gamma_, class_weight="balanced")

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

    def _merge(self, machines: list[SVC], samples: list[Codes], table: NDArray[np.float32]) -> None:
        """Write all members over the distinct support vectors of all."""
        support = [rows[machine.support_] for machine, rows in zip(machines, samples, strict=True)]
        distinct = np.unique(np.concatenate(support))
        weights = np.zeros((len(distinct), len(machines), len(self.classes_)), dtype=np.float32)
        self.intercept_ = np.zeros((len(machines), len(self.classes_)))
        for number, (machine, rows) in enumerate(zip(machines, support, strict=True)):
            weights[np.searchsorted(distinct, rows), number], self.intercept_[number] = class_expansion(machine)
        self.support_vectors_ = table[distinct]
        self.dual_coef_ = weights.reshape(len(distinct), -1)

    def _kernel(self, rows: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        product = rows @ vectors.T
        if self.kernel == "linear":
            return np.asarray(product)
        product *= 2 * self.gamma_
        product -= self.gamma_ * np.square(rows).sum(axis=1)[:, None]
        product -= self.gamma_ * np.square(vectors).sum(axis=1)
        return np.asarray(np.exp(product, out=product))

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
