"""Sequential forward selection of features for nearest-neighbour classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from calcscore_ml.errors import ModelError
from calcscore_ml.models.folds import Codes, draw_evenly, group_codes

RELEVANCE_BINS = 10
"""Features are cut at their deciles to measure their mutual information with the label."""

SHORTLIST = 160
"""Rows nearest by the features chosen so far among which the next neighbours are sought first; speed only."""


class ForwardSelection(SelectorMixin, BaseEstimator):
    """Choose features one at a time, each the one that most improves leave-one-out nearest neighbours.

    Every candidate feature is added to the squared distances of the features already chosen, so one step
    costs one look at a distance matrix per candidate. Rows are a draw as even over the classes as can be;
    each row is judged by its nearest neighbours from other patients. A neighbour weighs inversely to the size
    of its class.

    Parameters
    ----------
    max_features : int
        Features to choose at most.
    candidates : int or None
        Features that enter the search: those with most mutual information with the label, cut at deciles.
        None: all.
    n_neighbors : int
        Neighbours that vote; rows that tie with the last one vote too.
    subsample : int
        Rows drawn for the search.
    scoring : {'log_loss', 'balanced_accuracy'}
        Mean over classes of the mean log probability of the true class, or of the share of rows classified
        rightly.
    tolerance : float
        Stop when the best candidate gains less.
    random_state : int, numpy.random.Generator or None
        Seed of the draw.

    Attributes
    ----------
    order_ : (n_selected,) array of int
        Chosen features, first choice first.
    scores_ : (n_selected,) array of float
        Score after each choice.
    candidates_ : (n_candidates,) array of int
        Features that entered the search, most informative first.
    support_ : (n_features,) array of bool
        Whether a feature was chosen.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    Features must be on one scale already (see `AsinhScaler`).

    References
    ----------
    A. W. Whitney, "A direct method of nonparametric measurement selection", IEEE Trans. Comput.
    C-20:1100-1103, 1971.
    """

    def __init__(
        self,
        max_features: int = 20,
        candidates: int | None = 60,
        n_neighbors: int = 9,
        subsample: int = 1000,
        scoring: Literal["log_loss", "balanced_accuracy"] = "log_loss",
        tolerance: float = 1e-3,
        random_state: int | np.random.Generator | None = 0,
    ) -> None:
        self.max_features = max_features
        self.candidates = candidates
        self.n_neighbors = n_neighbors
        self.subsample = subsample
        self.scoring = scoring
        self.tolerance = tolerance
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose features.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.
        y : (n,) array-like
            Labels.
        groups : (n,) array-like or None
            Patient of each row: rows of one patient are never each other's neighbours.

        Returns
        -------
        ForwardSelection
            Itself.

        Raises
        ------
        ModelError
            When an option is unknown, or `groups` names a single patient.
        """
        features, labels = validate_data(self, X, y, dtype=np.float64)
        if self.scoring not in ("log_loss", "balanced_accuracy"):
            raise ModelError(f"scoring must be 'log_loss' or 'balanced_accuracy', got {self.scoring!r}")
        if self.max_features < 1:
            raise ModelError(f"max_features must be at least 1, got {self.max_features}")
        codes = np.unique(labels, return_inverse=True)[1].astype(np.intp)
        patients = group_codes(groups, len(codes))
        rows = draw_evenly(codes, self.subsample, np.random.default_rng(self.random_state))
        table = np.ascontiguousarray(features[rows].T, dtype=np.float32)
        codes = np.unique(codes[rows], return_inverse=True)[1].astype(np.intp)
        relevance = np.array([_mutual_information(feature, codes) for feature in table])
        n_features = features.shape[1]
        n_candidates = n_features if self.candidates is None else min(self.candidates, n_features)
        self.candidates_ = np.argsort(-relevance, kind="stable")[:n_candidates]
        barred = np.eye(len(rows), dtype=bool)
        if patients is not None:
            barred |= patients[rows][:, None] == patients[rows]
            if barred.all():
                raise ModelError("leave-one-patient-out needs rows of at least two patients, got one; leave groups out")
        criterion = Criterion(table, codes, barred, min(self.n_neighbors, len(codes) - 1), self.scoring)
        order, scores = self._search(criterion, [int(f) for f in self.candidates_])
        self.order_, self.scores_ = np.array(order, dtype=np.intp), np.array(scores)
        self.support_ = np.isin(np.arange(n_features), self.order_)
        return self

    def _search(self, criterion: Criterion, candidates: list[int]) -> tuple[list[int], list[float]]:
        """Return the features in the order of choice, and the score of each number of them."""
        remaining = list(candidates)
        order: list[int] = []
        scores: list[float] = []
        distances = criterion.distances(order)
        while remaining and len(order) < self.max_features:
            trials = criterion.with_each(distances, remaining)
            best = int(np.argmax(trials))
            if order and trials[best] - scores[-1] < self.tolerance:
                break
            scores.append(trials[best])
            order.append(remaining.pop(best))
            distances += criterion.squared(order[-1])
        return order, scores

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.support_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


@dataclass(frozen=True, slots=True, eq=False)
class Criterion:
    """How well sets of features find neighbours of their own class: what a selection makes large.

    Parameters
    ----------
    table : (n_features, n) array of float32
        A row per feature.
    codes : (n,) array of int
        Class number of each lesion, none left out.
    barred : (n, n) array of bool
        Lesions that are never each other's neighbours.
    neighbours : int
        Neighbours that vote.
    scoring : {'log_loss', 'balanced_accuracy'}
        As in `ForwardSelection`.
    """

    table: NDArray[np.float32]
    codes: Codes
    barred: NDArray[np.bool_]
    neighbours: int
    scoring: str

    def squared(self, feature: int) -> NDArray[np.float32]:
        """Return what one feature adds to the squared distances, (n, n)."""
        values = self.table[feature]
        return np.asarray(np.square(values[:, None] - values))

    def distances(self, features: Sequence[int]) -> NDArray[np.float32]:
        """Return the squared distances by some features, added in their order, (n, n); infinite where barred."""
        distances = np.where(self.barred, np.inf, 0).astype(np.float32)
        for feature in features:
            distances += self.squared(feature)
        return distances

    def with_each(self, distances: NDArray[np.float32], features: Sequence[int]) -> list[float]:
        """Return the score when each of the features joins the squared distances on its own."""
        votes = _Votes(distances, self.codes, self.neighbours)
        return [_score(votes.with_feature(self.table[f]), self.codes, self.scoring) for f in features]


class _Votes:
    """Votes of the nearest neighbours when one feature joins a distance matrix.

    Adding a feature never shortens a distance. So if the k-th distance within a shortlist is below every
    distance outside it, the k nearest of all rows are in the shortlist; other rows are searched in full.
    """

    def __init__(self, distances: NDArray[np.float32], codes: Codes, neighbours: int) -> None:
        self.distances, self.codes, self.neighbours = distances, codes, neighbours
        self.n_classes = int(codes.max()) + 1
        counts = np.bincount(codes)
        self.weight = len(codes) / (self.n_classes * counts[codes])
        self.near: NDArray[np.intp] | None = None
        if len(codes) > 2 * SHORTLIST and distances[np.isfinite(distances)].any():
            ranked = np.argpartition(distances, SHORTLIST, axis=1)
            self.near = np.ascontiguousarray(ranked[:, :SHORTLIST])
            self.near_distances = np.take_along_axis(distances, self.near, axis=1)
            self.bound = np.take_along_axis(distances, ranked[:, SHORTLIST : SHORTLIST + 1], axis=1)[:, 0]

    def with_feature(self, feature: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the (n_rows, n_classes) weighted votes with this feature added."""
        votes = np.zeros((len(self.codes), self.n_classes))
        rows = np.arange(len(self.codes))
        if self.near is not None:
            distances = self.near_distances + np.square(feature[self.near] - feature[:, None])
            sure = self._kth(distances) < self.bound
            votes[sure] = self._count(distances[sure], self.near[sure])
            rows = rows[~sure]
        if len(rows):
            distances = self.distances[rows] + np.square(feature[rows, None] - feature)
            votes[rows] = self._count(distances, None)
        return votes

    def _kth(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.partition(distances, self.neighbours - 1, axis=1)[:, self.neighbours - 1]

    def _count(self, distances: NDArray[np.float32], columns: NDArray[np.intp] | None) -> NDArray[np.float64]:
        limit = np.minimum(self._kth(distances), np.finfo(np.float32).max)  # barred rows lie at infinity
        row, column = np.nonzero(distances <= limit[:, None])
        voter = column if columns is None else columns[row, column]
        cell = row * self.n_classes + self.codes[voter]
        size = len(distances) * self.n_classes
        votes = np.bincount(cell, self.weight[voter], minlength=size).astype(np.float64)
        return votes.reshape(len(distances), self.n_classes)


def _score(votes: NDArray[np.float64], codes: Codes, scoring: str) -> float:
    """Average over classes, each class alike; one vote spread over all classes keeps logarithms finite."""
    n_classes = votes.shape[1]
    probability = (votes + 1 / n_classes) / (votes.sum(axis=1, keepdims=True) + 1)
    truth = probability[np.arange(len(codes)), codes]
    # A tie for the largest share counts as wrong unless the true class alone holds it.
    per_row = np.log(truth) if scoring == "log_loss" else (_runner_up(probability, codes) < truth).astype(float)
    return float(np.mean(np.bincount(codes, per_row) / np.bincount(codes)))


def _runner_up(probability: NDArray[np.float64], codes: Codes) -> NDArray[np.float64]:
    others = probability.copy()
    others[np.arange(len(codes)), codes] = -np.inf
    return np.asarray(others.max(axis=1))


def _mutual_information(feature: NDArray[np.float32], codes: Codes) -> float:
    """Return the mutual information [nat] of the label and a feature cut at its deciles."""
    edges = np.quantile(feature, np.linspace(0, 1, RELEVANCE_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, feature, side="left")
    joint = np.zeros((RELEVANCE_BINS, int(codes.max()) + 1))
    np.add.at(joint, (bins, codes), 1 / len(codes))
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    cells = joint > 0
    return float((joint[cells] * np.log(joint[cells] / expected[cells])).sum())
