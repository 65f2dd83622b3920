"""A cascade whose stages are any two classifiers."""

from __future__ import annotations

from sklearn.base import BaseEstimator

from calcscore_ml.models.cascade import Cascade
from calcscore_ml.models.parts import Classifier, unfitted


class TwoStage(Cascade):
    """Two classifiers of any kind in sequence: the first removes the obvious "other", the second names the rest.

    Isgum 2012 puts a support vector machine behind nearest neighbours so.

    Parameters
    ----------
    first, second : classifier of this package or None
        The stages, unfitted; cloned before they are fitted, and given this classifier's seed and negative label. None:
        a `PrevalenceKNN`.
    stage_one_sensitivity : float or None
        Share of the positive training rows that must survive the first stage; None: no first stage.
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
    first_, second_ : classifiers
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
    I. Isgum, M. Prokop, M. Niemeijer, M. A. Viergever, B. van Ginneken, "Automatic coronary calcium scoring in
    low-dose chest computed tomography", IEEE Trans. Med. Imaging 31:2322-2334, 2012.
    """

    def __init__(
        self,
        first: BaseEstimator | None = None,
        second: BaseEstimator | None = None,
        stage_one_sensitivity: float | None = 0.995,
        folds: int = 5,
        negative_label: object | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.first = first
        self.second = second
        self.stage_one_sensitivity = stage_one_sensitivity
        self.folds = folds
        self.negative_label = negative_label
        self.random_state = random_state

    @property
    def n_members(self) -> int:
        """Members of `judge`: those of the second stage, whose turn with the first stage's comes round."""
        return self.second_.n_members

    def _stage_one(self) -> Classifier:
        return unfitted(self.first, False, self.random_state)

    def _stage_two(self, negative_label: object) -> Classifier:
        return unfitted(self.second, negative_label, self.random_state)
