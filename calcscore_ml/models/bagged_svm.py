"""Two ensembles of support vector machines in a hierarchy."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.models.cascade import Cascade
from calcscore_ml.models.svm_bag import SVMBag


class BaggedSVM(Cascade):
    """Hierarchical ensembles of cost-sensitive support vector machines on asymmetric samples.

    The paper gives neither kernel, number of members, costs nor thresholds; all defaults are ours.

    Parameters
    ----------
    n_members : int
        Machines in each stage.
    kernel : {'rbf', 'linear'}
        Kernel.
    C : float
        Cost of an error.
    gamma : float or None
        Width of the rbf kernel; None: 1 / (n_features x variance of the scaled table).
    relevance : float
        A feature's spread is its importance to this power, in each stage; 0: all alike.
    rows_per_member, stage_one_rows : int
        Rows of one member's sample at most, in the second and in the first stage.
    negatives_per_positive : float
        Negative rows drawn per positive row of a sample.
    stage_one_sensitivity : float or None
        Share of the positive training rows that must survive the first stage; None: no first stage.
    folds : int
        Folds that members leave out, and in which the first stage's threshold is chosen.
    negative_label : object or None
        The label that means "other"; None: the most frequent.
    random_state : int or None
        Seed.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Sorted labels.
    first_, second_ : SVMBag
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
        stage_one_rows: int = 1000,
        negatives_per_positive: float = 3.0,
        stage_one_sensitivity: float | None = 0.995,
        folds: int = 5,
        negative_label: object | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.n_members = n_members
        self.kernel = kernel
        self.C = C
        self.gamma = gamma
        self.relevance = relevance
        self.rows_per_member = rows_per_member
        self.stage_one_rows = stage_one_rows
        self.negatives_per_positive = negatives_per_positive
        self.stage_one_sensitivity = stage_one_sensitivity
        self.folds = folds
        self.negative_label = negative_label
        self.random_state = random_state

    def vote(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the share of members whose most probable label is each class.

        Parameters
        ----------
        X : (n, n_features) array-like
            Feature table without NaN, scaled.

        Returns
        -------
        (n, n_classes) array of float
            Rows sum to 1.
        """
        chosen = self.member_probabilities(X).argmax(axis=2)
        return np.asarray((chosen[:, :, None] == np.arange(len(self.classes_))).mean(axis=0))

    def _bag(self, rows_per_member: int, negative_label: Any) -> SVMBag:  # noqa: ANN401 (labels are of any type)
        return SVMBag(
            n_members=self.n_members,
            kernel=self.kernel,
            C=self.C,
            gamma=self.gamma,
            relevance=self.relevance,
            rows_per_member=rows_per_member,
            negatives_per_positive=self.negatives_per_positive,
            folds=self.folds,
            negative_label=negative_label,
            random_state=self.random_state,
        )

    def _stage_one(self) -> SVMBag:
        return self._bag(self.stage_one_rows, False)

    def _stage_two(self, negative_label: object) -> SVMBag:
        return self._bag(self.rows_per_member, negative_label)
