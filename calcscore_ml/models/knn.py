"""Nearest neighbours for very rare classes, with probabilities at the true prevalence."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

from calcscore_ml.errors import ModelError
from calcscore_ml.models.calibration import SoftmaxCalibration, fit_calibration
from calcscore_ml.models.classifier import LesionClassifier
from calcscore_ml.models.floating import FloatingSelection
from calcscore_ml.models.folds import Codes, draw_evenly, group_codes, negative_code
from calcscore_ml.models.selection import ForwardSelection
from calcscore_ml.models.tables import labelled_table, plain_table
from calcscore_ml.models.threads import one_thread

CALIBRATION_ROWS = 4000
"""Kept rows judged without their own patient to fit the calibration; 9 numbers are fitted, more rows change
little."""

SELECTIONS: dict[str, type[ForwardSelection]] = {"forward": ForwardSelection, "floating": FloatingSelection}
"""How features may be chosen."""


class PrevalenceKNN(LesionClassifier):
    """k nearest neighbours among all positive rows and a sample of the negative ones.

    A negative row that stands for r rows of the table votes r times, so probabilities refer to the true
    prevalence, not to the sample's. With w_i the weight of neighbour i by distance (scaled to sum to k), r_c
    the sampling correction of class c and p_c its prevalence, P(c) is proportional to r_c sum_{i in c} w_i +
    smoothing p_c. In many dimensions neighbourhoods are wide and this is biased; `calibrate` corrects it by a
    softmax fitted to training rows judged without their patient.

    Parameters
    ----------
    n_neighbors : int
        Neighbours that vote, k.
    weights : {'distance', 'uniform'}
        Whether a neighbour weighs by the inverse of its distance.
    max_features : int or None
        Features chosen by `selection`; None uses all.
    candidates : int or None
        Features that enter the selection.
    selection_rows : int
        Rows drawn for the selection.
    selection : {'forward', 'floating'}
        `ForwardSelection` or `FloatingSelection`, which may drop what it chose before.
    negatives_per_positive : float or None
        Negative rows kept per positive row; None keeps all.
    smoothing : float
        Votes given to the prevalence, above 0: what a row is held to be before its neighbours are asked.
    calibrate : bool
        Whether to fit a `SoftmaxCalibration` to the logarithms of the probabilities.
    n_members : int
        Half-samples for `judge`.
    negative_label : object or None
        The label that means "other"; None: the most frequent.
    random_state : int, numpy.random.Generator or None
        Seed.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Sorted labels.
    selected_ : (n_selected,) array of int
        Features that enter the distance.
    prevalence_, correction_ : (n_classes,) arrays
        Share of each class in the training table; rows that each kept row stands for.
    index_ : sklearn.neighbors.NearestNeighbors
        The kept rows, single precision, searched by brute force: exact, and above 15 features faster than any
        tree.
    codes_ : (n_kept,) array of int
        Class number of each kept row.
    slope_ : float
        Slope of the calibration; 1 without one.
    offset_ : (n_classes,) array of float
        Offsets of the calibration; 0 without one.
    halves_ : (n_members, n_kept) array of bool
        The half of the patients that each member knows.
    n_features_in_ : int
        Number of features.
    """

    def __init__(
        self,
        n_neighbors: int = 15,
        weights: Literal["distance", "uniform"] = "distance",
        max_features: int | None = 20,
        candidates: int | None = 60,
        selection_rows: int = 1000,
        selection: Literal["forward", "floating"] = "forward",
        negatives_per_positive: float | None = 5.0,
        smoothing: float = 1.0,
        calibrate: bool = True,
        n_members: int = 8,
        negative_label: object | None = None,
        random_state: int | np.random.Generator | None = 0,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.max_features = max_features
        self.candidates = candidates
        self.selection_rows = selection_rows
        self.selection = selection
        self.negatives_per_positive = negatives_per_positive
        self.smoothing = smoothing
        self.calibrate = calibrate
        self.n_members = n_members
        self.negative_label = negative_label
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose features and keep the rows that vote.

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
        PrevalenceKNN
            Itself.

        Raises
        ------
        ModelError
            When there is one class only, or an option is out of range.
        """
        table, self.classes_, codes = labelled_table(self, X, y)
        if self.weights not in ("distance", "uniform"):
            raise ModelError(f"weights must be 'distance' or 'uniform', got {self.weights!r}")
        if self.selection not in SELECTIONS:
            raise ModelError(f"selection must be one of {', '.join(SELECTIONS)}, got {self.selection!r}")
        if self.smoothing <= 0:
            raise ModelError(f"smoothing must be above 0, got {self.smoothing}")
        patients = group_codes(groups, len(codes))
        rng = np.random.default_rng(self.random_state)
        kept, self.correction_ = self._keep(codes, rng)
        self.prevalence_ = np.bincount(codes) / len(codes)
        self.codes_: Codes = codes[kept]
        self.halves_ = _halves(kept if patients is None else patients[kept], self.n_members, rng)
        self.selected_ = np.arange(table.shape[1])
        if self.max_features is not None and self.max_features < table.shape[1]:
            several = patients is not None and len(np.unique(patients)) > 1
            selection = SELECTIONS[self.selection](
                self.max_features, self.candidates, subsample=self.selection_rows, random_state=rng
            ).fit(table, codes, groups=patients if several else None)
            self.selected_ = selection.order_
        self.index_ = NearestNeighbors(algorithm="brute", n_jobs=1)
        votes = np.ascontiguousarray(table[np.ix_(kept, self.selected_)], dtype=np.float32)
        self.index_.fit(votes)
        self.slope_, self.offset_ = 1.0, np.zeros(len(self.classes_))
        if self.calibrate:
            calibration = self._calibrate(votes, kept if patients is None else patients[kept], rng)
            self.slope_, self.offset_ = calibration.slope, calibration.offset
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
        return self._all_vote(*self._search(X))

    def judge(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Estimate probabilities from all training patients, and from halves of them.

        Each member knows a random half of the patients (of the rows, if no patients were given) and asks k/2
        neighbours, so its neighbourhood is as wide as the whole model's. The variance over halves drawn
        without replacement estimates the variance of the full model over training samples. Neighbours are
        sought among the 2k nearest rows of all.

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

        References
        ----------
        P. J. McCarthy, "Pseudo-replication: half samples", Rev. Int. Stat. Inst. 37:239-264, 1969.
        """
        distances, neighbours = self._search(X)
        wanted = (self.n_neighbors + 1) // 2
        known = self.halves_[:, neighbours]
        asked = known & (known.cumsum(axis=2) <= wanted)
        members = [self._probabilities(distances, neighbours, member) for member in asked]
        return self._all_vote(distances, neighbours), np.stack(members)

    def _keep(self, codes: Codes, rng: np.random.Generator) -> tuple[Codes, NDArray[np.float64]]:
        correction = np.ones(len(self.classes_))
        rows = np.arange(len(codes))
        if self.negatives_per_positive is None or (
            self.negative_label is not None and self.negative_label not in self.classes_
        ):
            return rows, correction
        other = negative_code(self.classes_, codes, self.negative_label)
        negative = np.flatnonzero(codes == other)
        wanted = max(1, round(self.negatives_per_positive * (len(codes) - len(negative))))
        if wanted >= len(negative):
            return rows, correction
        correction[other] = len(negative) / wanted
        drawn = rng.choice(negative, wanted, replace=False)
        return np.sort(np.concatenate([np.flatnonzero(codes != other), drawn])), correction

    def _calibrate(self, table: NDArray[np.float32], units: Codes, rng: np.random.Generator) -> SoftmaxCalibration:
        """Judge kept rows by neighbours of other patients (other rows, if no patients were given)."""
        rows = draw_evenly(self.codes_, CALIBRATION_ROWS, rng)
        wanted = min(3 * self.n_neighbors, len(self.codes_))
        with one_thread():
            distances, neighbours = self.index_.kneighbors(table[rows], n_neighbors=wanted)
        strangers = units[neighbours] != units[rows, None]
        strangers &= strangers.cumsum(axis=1) <= self.n_neighbors
        probabilities = self._probabilities(distances.astype(np.float64), neighbours, strangers)
        drawn = np.bincount(self.codes_[rows], minlength=len(self.classes_))
        stands_for = self.correction_ * np.bincount(self.codes_) / drawn
        return fit_calibration(np.log(probabilities), self.codes_[rows], stands_for[self.codes_[rows]])

    def _search(self, X: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Find the 2k nearest rows, nearest first."""
        table = np.ascontiguousarray(plain_table(self, X)[:, self.selected_], dtype=np.float32)
        wanted = min(2 * self.n_neighbors, len(self.codes_))
        with one_thread():
            distances, neighbours = self.index_.kneighbors(table, n_neighbors=wanted)
        return distances.astype(np.float64), neighbours

    def _all_vote(self, distances: NDArray[np.float64], neighbours: NDArray[np.intp]) -> NDArray[np.float64]:
        """Let the k nearest rows vote."""
        nearest = neighbours[:, : self.n_neighbors]
        return self._probabilities(distances[:, : self.n_neighbors], nearest, np.ones(nearest.shape, dtype=bool))

    def _probabilities(
        self, distances: NDArray[np.float64], neighbours: NDArray[np.intp], voting: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        weights = voting.astype(float)
        if self.weights == "distance":
            weights /= np.maximum(distances, 1e-6)
        total = weights.sum(axis=1, keepdims=True)
        weights *= np.divide(self.n_neighbors, total, out=np.zeros_like(total), where=total > 0)
        labels = self.codes_[neighbours]
        votes = np.stack([(weights * (labels == code)).sum(axis=1) for code in range(len(self.classes_))], axis=1)
        votes = votes * self.correction_ + self.smoothing * self.prevalence_
        probabilities = votes / votes.sum(axis=1, keepdims=True)
        return SoftmaxCalibration(self.slope_, self.offset_)(np.log(probabilities))


def _halves(units: Codes, n_members: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Mark, for each member, the rows of a random half of the units (patients or rows)."""
    names, unit = np.unique(units, return_inverse=True)
    order = np.argsort(rng.random((n_members, len(names))), axis=1)
    chosen = np.zeros((n_members, len(names)), dtype=bool)
    np.put_along_axis(chosen, order[:, : (len(names) + 1) // 2], True, axis=1)
    return chosen[:, unit]
