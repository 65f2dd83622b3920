"""Laws of the ensembles of trees."""

import numpy as np
import pytest
from made_lesions import lesions
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from calcscore_ml.errors import ModelError
from calcscore_ml.models import TreeEnsemble
from calcscore_ml.models.trees import LEAVES_AT_ONCE

KINDS = pytest.mark.parametrize("kind", ["extra_trees", "random_forest"])


def table(n=900, seed=0):
    """Lesions without NaN, and their labels and patients."""
    X, y, patient = lesions(n, seed, rare=0.3)
    return np.nan_to_num(X), y, patient


@pytest.mark.parametrize("grown", [ExtraTreesClassifier, RandomForestClassifier])
@pytest.mark.parametrize("depth", [None, 3, 1])
def test_flat_trees_answer_as_scikit_learns(grown, depth):
    """Each member's shares are those of scikit-learn's forest, rows on a threshold and stumps included."""
    X, y, _ = table()
    X = np.round(X, 1).astype(np.float32)  # so that rows of the second table lie where the first was cut
    forests = [grown(n, max_depth=depth, random_state=n).fit(X, y) for n in (3, 5, 1)]
    model = TreeEnsemble()
    model.classes_, model.n_features_in_ = np.arange(4), 30
    model._merge(forests)
    edges = np.concatenate([t.tree_.threshold[t.tree_.feature == 0] for f in forests for t in f.estimators_])
    new = np.vstack([np.nan_to_num(table(seed=1)[0]), X])
    new[: len(edges), 0] = edges[: len(new)]
    votes = model._votes(new)
    for forest, found in zip(forests, votes / votes.sum(axis=2, keepdims=True), strict=True):
        assert found == pytest.approx(forest.predict_proba(new), abs=1e-6)


def test_a_tree_without_a_split_is_a_leaf():
    """Where no split helps, the tree gives every row the same shares."""
    y = np.arange(40) % 2
    model = TreeEnsemble(n_members=2, folds=2, n_trees=4).fit(np.zeros((40, 2)), y)
    assert (model.roots_ < 0).all()
    assert model.predict_proba(np.ones((3, 2))) == pytest.approx(np.full((3, 2), 0.5), abs=0.02)


def test_many_rows_are_asked_in_parts():
    """More rows than are asked at once get the answers they get one part at a time."""
    model = TreeEnsemble(n_trees=50).fit(*table())
    new = np.resize(table(seed=2)[0], (LEAVES_AT_ONCE // 50 + 300, 30))
    parts = np.vstack([model.predict_proba(new[:500]), model.predict_proba(new[500:])])
    assert (model.predict_proba(new) == parts).all()


@KINDS
def test_trees_forget_units(kind):
    """Features in other units, octaves apart, give the same probabilities in every digit."""
    X, y, patient = table()
    new, units = table(seed=3)[0], 2.0 ** np.random.default_rng(0).integers(-9, 9, 30)
    own, other = (
        TreeEnsemble(kind, 20, n_members=2, folds=2).fit(X * unit, y, patient).predict_proba(new * unit)
        for unit in (1.0, units)
    )
    assert (own == other).all()


@KINDS
@pytest.mark.parametrize(("n_trees", "n_members"), [(23, 5), (5, 5), (12, 4)])
def test_members_share_the_trees(kind, n_trees, n_members):
    """All trees are used, each by one member, and no member has two more than another."""
    X, y, patient = table(300)
    model = TreeEnsemble(kind, n_trees, n_members=n_members, folds=2).fit(X, y, patient)
    assert len(model.roots_) == n_trees
    sizes = np.diff([*model.first_tree_, n_trees])
    assert len(sizes) == n_members
    assert sizes.max() - sizes.min() <= 1
    assert model.judge(X)[1].shape == (n_members, 300, 4)


@KINDS
def test_trees_are_calibrated_on_rows_they_never_saw(kind):
    """Where features say nothing, trees that learn their rows by heart stay at the prevalence for new rows."""
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(1200, 5)), (rng.random(1200) < 0.1).astype(int)
    model = TreeEnsemble(kind, min_samples_leaf=1, negatives_per_positive=1, negative_label=0).fit(X, y)
    positive = model.predict_proba(rng.normal(size=(300, 5)))[:, 1]
    assert positive.mean() == pytest.approx(0.1, abs=0.04)
    assert positive.std() < 0.05


def test_a_patient_is_left_out_whole():
    """Where every patient's lesions are twins, probabilities stay modest: twins are not evidence."""
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(100), 8)
    y = rng.integers(0, 2, 100)[patient]
    X, new = rng.normal(size=(100, 5))[patient] + 1e-3 * rng.normal(size=(800, 5)), rng.normal(size=(200, 5))
    fooled, honest = (
        TreeEnsemble().fit(X, y, groups).predict_proba(new).max(axis=1).mean() for groups in (None, patient)
    )
    assert fooled > honest + 0.1
    assert honest < 0.65


@pytest.mark.parametrize("change", [{"kind": "boosted"}, {"n_trees": 4}, {"folds": 9}, {"folds": 1}])
def test_options_out_of_range_are_refused(change):
    """An impossible option is an error when fitting."""
    with pytest.raises(ModelError, match=next(iter(change))):
        TreeEnsemble(**change).fit(*table(100))
