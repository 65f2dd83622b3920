"""How long a unit of each feature is to a kernel: a feature that tells classes apart counts for more.

A kernel on all features alike sees little of the few that say where a lesion lies: eleven of 154 say it, and more
than a hundred describe size, brightness and texture. A large plaque then looks like a large bone, whatever its place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from calcscore_ml.models.folds import Codes

TREES = 100
"""Trees whose splits are counted."""

FEATURES_PER_SPLIT = 0.3
"""Share of the features tried at each split."""

LEAF_ROWS = 3
"""Rows of a leaf at least: what tells single rows apart is no relevance."""


def relevance_scale(X: NDArray[np.float64], codes: Codes, power: float, seed: int) -> NDArray[np.float64]:
    """Find the factor that gives each feature the spread it deserves.

    Parameters
    ----------
    X : (n, n_features) array of float
        Rows without NaN.
    codes : (n,) array of int
        Class number of each.
    power : float
        A feature's spread becomes its importance to this power: 0 makes all alike.
    seed : int
        Of the trees.

    Returns
    -------
    (n_features,) array of float
        Multiplied by it, a feature of mean importance has standard deviation 1. 0 for a feature no tree uses, unless
        `power` is 0; a constant keeps its unit.

    Notes
    -----
    Importance is the decrease of Gini impurity in extremely randomised trees (P. Geurts, D. Ernst, L. Wehenkel,
    Mach. Learn. 63:3-42, 2006) with classes weighed inversely to their size, over its mean.
    """
    deviation = X.std(axis=0)
    scale = 1 / np.where(deviation > 1e-12, deviation, 1.0)
    if power == 0:
        return np.asarray(scale)
    trees = ExtraTreesClassifier(
        TREES,
        max_features=FEATURES_PER_SPLIT,
        min_samples_leaf=LEAF_ROWS,
        class_weight="balanced",
        random_state=seed,
    )
    # Rounding can leave a useless feature a little below 0.
    importance = np.maximum(trees.fit(X, codes).feature_importances_, 0.0)
    if not importance.any():
        return np.asarray(scale)
    return np.asarray(scale * (importance / importance.mean()) ** power)
