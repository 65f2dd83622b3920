"""The contract of scikit-learn, kept by every estimator of the package."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from calcscore_ml.models import ESTIMATORS

QUICK = {
    "BaggedSVM": {"n_members": 2, "folds": 2},
    "SVMBag": {"n_members": 2, "folds": 2},
    "SequentialKNN": {"folds": 2},
    "TreeEnsemble": {"n_trees": 20, "n_members": 2, "folds": 2},
    "TwoStage": {"folds": 2},
}
"""Fewer members for scikit-learn's checks: they ask for the interface, not for accuracy."""


@parametrize_with_checks([kind(**QUICK.get(kind.__name__, {})) for kind in ESTIMATORS])
def test_estimators_pass_scikit_learns_checks(estimator, check):
    """Every estimator of the package keeps scikit-learn's contract."""
    check(estimator)
