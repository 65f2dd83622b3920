"""An ensemble of support vector machines on asymmetric bags, kept as one kernel expansion."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.svm import SVC

from calcscore_ml.errors import ModelError
from calcscore_ml.models.bag import Bag
from calcscore_ml.models.folds import Codes
from calcscore_ml.models.libsvm import class_expansion
from calcscore_ml.models.relevance import relevance_scale
from calcscore_ml.models.tables import plain_table
from calcscore_ml.models.threads import one_thread

KERNEL_CELLS = 2_000_000
"""Entries of the kernel matrix held at once: 16 MB."""


class SVMBag(Bag):
    """Cost-sensitive support vector machines, each trained on its own asymmetric sample.

    Samples and calibration are those of `Bag`; a machine weighs classes inversely to their size. Before, features
    are brought to the spread they have in a sample like a member's and weighed by their relevance, see
    `calcscore_ml.models.relevance`. One scale serves all members, so it is learnt from all patients.

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

    def _prepare(
        self, table: NDArray[np.float64], codes: Codes, negative: int | None, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Scale the table, and round it: what is stored is what was trained on."""
        if self.kernel not in ("rbf", "linear"):
            raise ModelError(f"kernel must be 'rbf' or 'linear', got {self.kernel!r}")
        rows = self._draw(codes, negative, np.ones(len(codes), dtype=bool), rng)
        self.scale_ = relevance_scale(table[rows], codes[rows], self.relevance, int(rng.integers(2**31)))
        rounded = (table * self.scale_).astype(np.float32)
        variance = float(rounded.var(dtype=np.float64))
        self.gamma_ = self.gamma if self.gamma is not None else 1 / (table.shape[1] * variance) if variance > 0 else 1.0
        return rounded

    def _fit_members(
        self, table: NDArray[np.float32], codes: Codes, samples: list[Codes], rng: np.random.Generator
    ) -> None:
        machines = [self._machine().fit(table[rows].astype(np.float64), codes[rows]) for rows in samples]
        self._merge(machines, samples, table)

    def _machine(self) -> SVC:
        return SVC(C=self.C, kernel=self.kernel, gamma=self.gamma_, class_weight="balanced")

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
