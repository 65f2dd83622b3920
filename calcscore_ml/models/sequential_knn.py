"""Two nearest-neighbour classifiers in sequence, each with its own features."""

from __future__ import annotations

from typing import Literal

from calcscore_ml.models.cascade import Cascade
from calcscore_ml.models.knn import PrevalenceKNN


class SequentialKNN(Cascade):
    """Two-stage nearest neighbours with sequential selection of features in each stage.

    The first stage uses few features and removes the obvious "other"; the second, fitted on what survives,
    names the lesion. Each stage chooses its own features.

    The papers give neither k nor the number of selected features nor the first stage's sensitivity; all
    defaults are ours.

    Parameters
    ----------
    n_neighbors, stage_one_neighbors : int
        Neighbours that vote in the second and in the first stage.
    weights : {'distance', 'uniform'}
        Whether a neighbour weighs by the inverse of its distance.
    max_features, stage_one_features : int or None
        Features selected for the second and for the first stage; None uses all.
    candidates : int or None
        Features that enter each selection, those with most mutual information with the label.
    selection_rows : int
        Rows drawn for each selection.
    selection : {'forward', 'floating'}
        `ForwardSelection` or `FloatingSelection`, which may drop what it chose before.
    stage_one_sensitivity : float or None
        Share of the positive training rows that must survive the first stage; None: no first stage.
    negatives_per_positive, stage_one_negatives : float or None
        Negative rows kept per positive row; probabilities are corrected for it.
    smoothing : float
        Votes given to the prevalence.
    n_members : int
        Half-samples for `member_probabilities`.
    folds : int
        Folds in which the first stage's threshold is chosen.
    negative_label : object or None
        The label that means "other"; None: the most frequent.
    random_state : int or None
        Seed.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Sorted labels.
    first_, second_ : PrevalenceKNN
        The stages; `first_` is None without a first stage.
    threshold_ : float
        Probability at which a row survives the first stage.
    survival_rate_ : float
        Share of the training rows that survived.
    negative_code_ : int
        Position of the negative label in `classes_`.
    positive_share_ : (n_classes,) array of float
        How the classes share the positive rows.
    n_features_in_ : int
        Number of features.

    References
    ----------
    I. Isgum et al., "Detection of coronary calcifications from computed tomography scans for automated risk
    assessment of coronary artery disease", Med. Phys. 34:1450-1461, 2007; Med. Phys. 37:714-723, 2010; IEEE
    Trans. Med. Imaging 31:2322-2334, 2012.
    """

    def __init__(
        self,
        n_neighbors: int = 21,
        stage_one_neighbors: int = 41,
        weights: Literal["distance", "uniform"] = "distance",
        max_features: int | None = 25,
        stage_one_features: int | None = 8,
        candidates: int | None = 60,
        selection_rows: int = 1000,
        selection: Literal["forward", "floating"] = "forward",
        stage_one_sensitivity: float | None = 0.995,
        negatives_per_positive: float | None = 5.0,
        stage_one_negatives: float | None = 5.0,
        smoothing: float = 1.0,
        n_members: int = 8,
        folds: int = 5,
        negative_label: object | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.stage_one_neighbors = stage_one_neighbors
        self.weights = weights
        self.max_features = max_features
        self.stage_one_features = stage_one_features
        self.candidates = candidates
        self.selection_rows = selection_rows
        self.selection = selection
        self.stage_one_sensitivity = stage_one_sensitivity
        self.negatives_per_positive = negatives_per_positive
        self.stage_one_negatives = stage_one_negatives
        self.smoothing = smoothing
        self.n_members = n_members
        self.folds = folds
        self.negative_label = negative_label
        self.random_state = random_state

    def _stage_one(self) -> PrevalenceKNN:
        return PrevalenceKNN(
            n_neighbors=self.stage_one_neighbors,
            weights=self.weights,
            max_features=self.stage_one_features,
            candidates=self.candidates,
            selection_rows=self.selection_rows,
            selection=self.selection,
            negatives_per_positive=self.stage_one_negatives,
            smoothing=self.smoothing,
            n_members=self.n_members,
            negative_label=False,
            random_state=self.random_state,
        )

    def _stage_two(self, negative_label: object) -> PrevalenceKNN:
        return PrevalenceKNN(
            n_neighbors=self.n_neighbors,
            weights=self.weights,
            max_features=self.max_features,
            candidates=self.candidates,
            selection_rows=self.selection_rows,
            selection=self.selection,
            negatives_per_positive=self.negatives_per_positive,
            smoothing=self.smoothing,
            n_members=self.n_members,
            negative_label=negative_label,
            random_state=self.random_state,
        )
