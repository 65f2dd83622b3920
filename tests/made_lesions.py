"""Tables of made-up lesions, and classifiers to learn from them."""

import numpy as np

from calcscore_ml.models import make_estimator

FEATURES = tuple(f"feature_{i}" for i in range(30))
"""Names of their columns."""

KNN = {"candidates": 20, "selection_rows": 400}
TREES = {"n_trees": 200}
GOOD = {
    "sequential_knn": KNN,
    "bagged_svm": {},
    "knn": KNN,
    "svm": {},
    "trees": TREES,
    "two_stage": {
        "first": {"estimator": "knn", "features": [f"feature_{i}" for i in range(12)], "n_members": 2} | KNN,
        "second": {"estimator": "svm"},
    },
    "merged": {
        "classifiers": {
            "neighbours": {"estimator": "knn"} | KNN,
            "machines": {"estimator": "svm"},
            "trees": {"estimator": "trees"} | TREES,
        }
    },
    "rules": {"limits": {"feature_5": {"at_least": -2.0}}, "arteries": {"LAD": "feature_6", "LCX": "feature_7"}},
}
"""Parameters that name most lesions rightly; rules do not learn."""

FAST_KNN = {"selection_rows": 200, "candidates": 10, "max_features": 6}
FAST_SVM = {"n_members": 2, "folds": 2}
FAST = {
    "sequential_knn": FAST_KNN,
    "bagged_svm": FAST_SVM,
    "knn": FAST_KNN,
    "svm": FAST_SVM,
    "trees": {"n_trees": 20, "n_members": 2, "folds": 2},
    "two_stage": {
        "first": {"estimator": "knn", "features": ["feature_1*"]} | FAST_KNN,
        "second": {"estimator": "svm"} | FAST_SVM,
        "folds": 2,
    },
    "merged": {
        "classifiers": {"near": {"estimator": "knn"} | FAST_KNN, "far": {"estimator": "trees", "n_trees": 10}},
    },
    "rules": GOOD["rules"],
}
"""Parameters for tests that ask nothing of accuracy."""


def made(name, parameters=GOOD, seed=0):
    """A pipeline, unfitted."""
    return make_estimator(name, parameters[name], seed, FEATURES)


def lesions(n, seed, rare=0.08):
    """A table as scans give it: mostly "other", most of it far away, features of heavy tails, NaN, alike in a patient.

    Returns features (n, 30), labels 0 to 3 and patients.
    """
    world, rng = np.random.default_rng(7), np.random.default_rng(seed)
    centre = np.zeros((8, 30))
    centre[:, :10] = world.normal(size=(8, 10)) * 1.6
    centre[4:7, :3] += 6
    y = rng.choice(4, n, p=[1 - rare, rare * 0.5, rare * 0.3, rare * 0.2])
    kind = np.where(y > 0, y - 1, rng.choice([3, 4, 5, 6, 7], n, p=[0.1, 0.3, 0.25, 0.25, 0.1]))
    patient = rng.integers(0, max(4, n // 60), n)
    X = centre[kind] + rng.normal(size=(n, 30)) + 0.3 * rng.normal(size=(patient.max() + 1, 30))[patient]
    X[:, 5:15] = np.sinh(2 * X[:, 5:15])
    X[rng.random((n, 30)) < 0.02] = np.nan
    return X, y, patient
