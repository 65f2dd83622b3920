"""Ensembles of decision trees, kept as flat arrays."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from calcscore_ml.errors import ModelError
from calcscore_ml.models.bag import Bag
from calcscore_ml.models.folds import Codes
from calcscore_ml.models.tables import plain_table

KINDS: dict[str, type] = {"extra_trees": ExtraTreesClassifier, "random_forest": RandomForestClassifier}
"""scikit-learn's forests, by the name a recipe gives."""

LEAVES_AT_ONCE = 200_000
"""Leaves looked up at once, rows times trees: about 13 MB for eight classes."""


class TreeEnsemble(Bag):
    """Extremely randomised trees or a random forest, in groups that each leave out a fold of the patients.

    Samples and calibration are those of `Bag`; a member is a forest that weighs classes inversely to their size, and
    its score of a class is the logarithm of the class's mean share in the leaves that its trees lead to, one more
    vote spread over all classes.

    scikit-learn grows the trees. They are kept as flat arrays, because scikit-learn's own trees are memory of C that a
    forged file could lead astray and that another version cannot read.

    Parameters
    ----------
    kind : {'extra_trees', 'random_forest'}
        How trees are grown.
    n_trees : int
        Trees in all, shared by the members as equally as can be. A row is left out by one fold's members, and its
        calibration is theirs: with few trees each they waver, and new rows' probabilities come out too modest.
    max_features : float, int, 'sqrt' or None
        Features tried at each split, as in scikit-learn: a share, a number, the square root of all, or all.
    min_samples_leaf : int
        Rows of a leaf at least.
    n_members : int
        Groups of trees.
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
    roots_ : (n_trees,) array of int
        Where each tree begins, member after member: a number of a split, or -1 - the number of a leaf.
    first_tree_ : (n_members,) array of int
        First tree of each member.
    feature_, threshold_ : (n_splits,) arrays
        A row whose feature, in single precision, is at most the threshold goes left.
    children_ : (n_splits, 2) array of int
        Left and right, numbered as `roots_`.
    shares_ : (n_leaves, n_classes) array of float32
        Weighed shares of the classes in each leaf.
    slope_, offset_ : float, (n_classes,) array
        The `SoftmaxCalibration`.
    n_features_in_ : int
        Number of features.

    References
    ----------
    P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees", Mach. Learn. 63:3-42, 2006; L. Breiman, "Random
    forests", Mach. Learn. 45:5-32, 2001.
    """

    def __init__(
        self,
        kind: Literal["extra_trees", "random_forest"] = "extra_trees",
        n_trees: int = 200,
        max_features: float | int | Literal["sqrt"] | None = 0.3,
        min_samples_leaf: int = 3,
        n_members: int = 5,
        rows_per_member: int = 10_000,
        negatives_per_positive: float = 20.0,
        folds: int = 5,
        negative_label: object | None = None,
        random_state: int | np.random.Generator | None = 0,
    ) -> None:
        self.kind = kind
        self.n_trees = n_trees
        self.max_features = max_features
        self.min_samples_leaf = min_samples_leaf
        self.n_members = n_members
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
            Logarithms of shares.
        """
        votes = self._votes(plain_table(self, X)) + 1 / len(self.classes_)
        return np.asarray(np.log(votes / votes.sum(axis=2, keepdims=True)))

    def _fit_members(
        self, table: NDArray[np.float64], codes: Codes, samples: list[Codes], rng: np.random.Generator
    ) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.n_trees < self.n_members:
            raise ModelError(f"n_trees must be at least n_members = {self.n_members}, got {self.n_trees}")
        forests = []
        for number, rows in enumerate(samples):
            forest = KINDS[self.kind](
                len(range(number, self.n_trees, self.n_members)),
                max_features=self.max_features,
                min_samples_leaf=self.min_samples_leaf,
                class_weight="balanced",
                random_state=int(rng.integers(2**31)),
            )
            forests.append(forest.fit(table[rows], codes[rows]))
        self._merge(forests)

    def _merge(self, forests: list[ExtraTreesClassifier | RandomForestClassifier]) -> None:
        """Write all trees into flat arrays."""
        sizes = [len(forest.estimators_) for forest in forests]
        self.first_tree_ = np.cumsum([0, *sizes[:-1]])
        roots, features, thresholds, children, shares = [], [], [], [], []
        splits = leaves = 0
        for tree in (tree.tree_ for forest in forests for tree in forest.estimators_):
            inside = tree.children_left >= 0
            name = np.where(inside, splits - 1 + inside.cumsum(), -leaves - (~inside).cumsum())
            roots.append(name[0])
            features.append(tree.feature[inside])
            thresholds.append(tree.threshold[inside])
            children.append(name[np.column_stack([tree.children_left, tree.children_right])[inside]])
            shares.append(tree.value[~inside, 0] / tree.value[~inside, 0].sum(axis=1, keepdims=True))
            splits, leaves = splits + int(inside.sum()), leaves + int((~inside).sum())
        self.roots_ = np.array(roots, dtype=np.int32)
        self.feature_ = np.concatenate(features).astype(np.int32)
        self.threshold_ = np.concatenate(thresholds)
        self.children_ = np.concatenate(children).astype(np.int32)
        self.shares_ = np.concatenate(shares).astype(np.float32)

    def _votes(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of the shares in the leaves of each member's trees, (n_members, n, n_classes)."""
        single = table.astype(np.float32)  # as scikit-learn does, so that a row at a threshold goes the same way
        votes = np.empty((len(self.first_tree_), len(table), len(self.classes_)))
        step = max(1, LEAVES_AT_ONCE // len(self.roots_))
        for start in range(0, len(table), step):
            shares = self.shares_[self._leaves(single[start : start + step])].astype(np.float64)
            votes[:, start : start + step] = np.add.reduceat(shares, self.first_tree_, axis=1).transpose(1, 0, 2)
        return votes

    def _leaves(self, table: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the leaf that each tree leads each row to, (n, n_trees)."""
        at = np.tile(self.roots_, (len(table), 1))
        row, tree = np.nonzero(at >= 0)
        while len(row):
            split = at[row, tree]
            right = table[row, self.feature_[split]] > self.threshold_[split]
            at[row, tree] = self.children_[split, right.astype(np.intp)]
            going = at[row, tree] >= 0
            row, tree = row[going], tree[going]
        return -1 - at.astype(np.intp)
