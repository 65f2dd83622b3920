"""Laws of classifiers made of classifiers: two stages, merged ones, and those that see some features only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_lesions import FAST, FEATURES, lesions
from sklearn.base import clone

from calcscore_ml.errors import ModelError
from calcscore_ml.models import (
    FeatureSubset,
    MergedClassifier,
    PrevalenceKNN,
    SequentialKNN,
    SVMBag,
    TreeEnsemble,
    TwoStage,
    choose_names,
    make_estimator,
)

NEAR = PrevalenceKNN(max_features=6, candidates=10, selection_rows=200, n_members=3)
FAR = SVMBag(n_members=4, folds=2)
WOOD = TreeEnsemble(n_trees=10, n_members=2, folds=2)


def table(n=600, seed=0):
    """Lesions without NaN, and their labels and patients."""
    X, y, patient = lesions(n, seed, rare=0.2)
    return np.nan_to_num(X), y, patient


# Two stages


def test_two_stages_of_neighbours_are_the_sequential_ones():
    """With the same two stages, the general cascade answers as `SequentialKNN` does, in every digit."""
    X, y, patient = table()
    shared = {"candidates": 10, "selection_rows": 200}
    own = SequentialKNN(n_neighbors=9, stage_one_neighbors=15, max_features=6, stage_one_features=3, **shared)
    first = PrevalenceKNN(15, max_features=3, **shared)
    general = TwoStage(first, PrevalenceKNN(9, max_features=6, **shared))
    answers = [m.fit(X, y, patient).judge(table(seed=1)[0]) for m in (own, general)]
    for one, other in zip(*answers, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize(("first", "second"), [(NEAR, FAR), (FAR, NEAR), (WOOD, FAR), (NEAR, WOOD)])
def test_any_classifiers_make_a_cascade(first, second):
    """Survivors are judged by the second stage, members and all; the removed by the first."""
    X, y, patient = table()
    model = TwoStage(first, second, negative_label=0).fit(X, y, patient)
    new = table(seed=1)[0]
    survives = model.survives(new)
    assert 0 < survives.sum() < len(new)
    probabilities, members = model.judge(new)
    whole, parts = model.second_.judge(new[survives])
    assert probabilities[survives] == pytest.approx(model._spread(whole), abs=1e-12)
    assert members[:, survives] == pytest.approx(model._spread(parts), abs=1e-12)
    assert len(members) == model.n_members == second.n_members
    removed = model.first_.judge(new)[1][:, ~survives, 1]
    for number, member in enumerate(members[:, ~survives]):
        assert 1 - member[:, 0] == pytest.approx(removed[number % first.n_members], abs=1e-9)


def test_cascades_may_be_nested():
    """A stage may itself be a cascade or a merger."""
    X, y, patient = table()
    merged = MergedClassifier([("near", NEAR), ("wood", WOOD)])
    model = TwoStage(TwoStage(NEAR, FAR), merged).fit(X, y, patient)
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(1)
    assert model.judge(X)[1].shape == (2, len(X), 4)


# Merging


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_merging_follows_its_formulas(seed, count):
    """Mean, product and vote are what a loop over rows and classes makes of them; one classifier keeps its answers."""
    rng = np.random.default_rng(seed)
    members = rng.dirichlet(np.ones(3), (count, 5))
    model = MergedClassifier()
    model.classes_, model.prevalence_ = np.arange(3), np.array([0.7, 0.2, 0.1])
    expected = {"mean": np.zeros((5, 3)), "product": np.ones((5, 3)), "vote": np.zeros((5, 3))}
    for row in range(5):
        for c in range(3):
            for member in members:
                expected["mean"][row, c] += member[row, c] / count
                expected["product"][row, c] *= member[row, c] / model.prevalence_[c]
                expected["vote"][row, c] += float(max(range(3), key=lambda k, m=member: m[row, k]) == c) / count
            expected["product"][row, c] *= model.prevalence_[c]
        expected["product"][row] /= expected["product"][row].sum()
    for rule, by_loops in expected.items():
        model.rule = rule
        assert model._merge(members) == pytest.approx(by_loops)
    if count == 1:
        assert expected["product"] == pytest.approx(members[0])


def test_one_impossible_is_no_veto():
    """A label that one classifier holds impossible and another sure is still possible in the product."""
    model = MergedClassifier(rule="product")
    model.classes_, model.prevalence_ = np.arange(2), np.array([0.5, 0.5])
    merged = model._merge(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]))
    assert merged == pytest.approx(np.array([[0.5, 0.5]]))


@pytest.mark.parametrize("rule", ["mean", "product", "vote"])
def test_merged_classifiers_are_their_members(rule):
    """Members are what each classifier, fitted on its own to the same rows, says; their order does not matter."""
    X, y, patient = table()
    new = table(seed=1)[0]
    parts = [("near", NEAR), ("far", FAR), ("wood", WOOD)]
    model, turned = (MergedClassifier(p, rule, negative_label=0).fit(X, y, patient) for p in (parts, parts[::-1]))
    probabilities, members = model.judge(new)
    assert model.n_members == 3
    for (_, part), member in zip(parts, members, strict=True):
        alone = clone(part).set_params(negative_label=0).fit(X, y, patient)
        assert (alone.predict_proba(new) == member).all()
    assert turned.predict_proba(new) == pytest.approx(probabilities, abs=1e-12)
    assert probabilities.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("change", [{"rule": "median"}, {"classifiers": []}])
def test_mergers_out_of_range_are_refused(change):
    """An unknown rule or nothing to merge is an error when fitting."""
    with pytest.raises(ModelError, match=next(iter(change))):
        MergedClassifier(**change).fit(*table(100))


# Some features only


@settings(max_examples=8)
@given(st.permutations(range(30)), st.integers(1, 10))
def test_a_subset_sees_its_columns_only(order, count):
    """It answers as the classifier does on these columns, whatever the others hold."""
    X, y, patient = table(300)
    columns = order[:count]
    model = FeatureSubset(PrevalenceKNN(max_features=None), columns).fit(X, y, patient)
    alone = PrevalenceKNN(max_features=None).fit(X[:, columns], y, patient)
    other = np.where(np.isin(np.arange(30), columns), X, np.random.default_rng(0).normal(size=X.shape))
    for one, plain in zip(model.judge(other), alone.judge(X[:, columns]), strict=True):
        assert (one == plain).all()
    assert model.n_members == alone.n_members


@pytest.mark.parametrize("columns", [[30], [-1], []])
def test_columns_must_exist(columns):
    """A column beyond the table, or none at all, is an error when fitting."""
    with pytest.raises(ModelError, match="columns"):
        FeatureSubset(columns=columns).fit(*table(100))


# From a recipe's words


def test_a_recipe_names_the_parts():
    """Nested tables become the classifiers they name, with their parameters, seeds, labels and features."""
    words = {
        "rule": "vote",
        "classifiers": {
            "direct": {"estimator": "knn", "n_neighbors": 7},
            "staged": {
                "estimator": "two_stage",
                "features": ["feature_1*"],
                "first": {"estimator": "knn", "features": ["feature_12", "feature_1"]},
                "second": {"estimator": "svm", "C": 3.0},
            },
        },
    }
    made = make_estimator("merged", words, 5, FEATURES)[-1]
    assert (made.rule, made.negative_label, made.random_state) == ("vote", 0, 5)
    (one, direct), (two, staged) = made.classifiers
    assert (one, two) == ("direct", "staged")
    assert direct.n_neighbors == 7
    assert [FEATURES[i] for i in staged.columns] == [f for f in FEATURES if f.startswith("feature_1")]
    assert staged.classifier.second.C == 3.0
    inner = [FEATURES[staged.columns[i]] for i in staged.classifier.first.columns]
    assert inner == ["feature_1", "feature_12"]
    X, y, patient = table(200)
    fitted = made.fit(X, y, patient).classifiers_
    assert fitted[0].random_state == fitted[1].classifier_.second_.random_state == 5
    assert fitted[0].negative_label == fitted[1].classifier_.second_.negative_label == 0


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("two_stage", {"first": "knn"}, "first must be a table with an estimator"),
        ("two_stage", {"first": {"n_neighbors": 3}}, "first must be a table with an estimator"),
        ("two_stage", {"second": {"estimator": "svn"}}, "'svn'"),
        ("two_stage", {"second": {"estimator": "svm", "depth": 3}}, "svm has no parameter depth"),
        ("two_stage", {"second": {"estimator": "svm", "random_state": 3}}, "whole classifier"),
        ("two_stage", {"second": {"estimator": "svm", "features": ["featur_7"]}}, "feature_7"),
        ("two_stage", {"second": {"estimator": "svm", "features": "feature_7"}}, "list of names"),
        ("two_stage", {"second": {"estimator": "svm", "features": []}}, "list of names"),
        ("two_stage", {"first": {"estimator": "rules"}}, "cannot be a part"),
        ("merged", {}, "merged needs classifiers"),
        ("merged", {"classifiers": {"a": FAST["knn"]}}, "classifiers.a must be a table"),
        ("knn", {"columns": [1]}, "no parameter columns"),
        ("rules", {}, "rules need limits"),
        ("rules", {"limits": ["feature_9"]}, "tables by name"),
        ("rules", {"limits": {"feature_99": {"at_least": 1}}}, "feature_9"),
    ],
)
def test_words_that_name_nothing_are_refused(name, words, said):
    """What is wrong in a nested table is an error that says where, before anything is fitted."""
    with pytest.raises(ModelError, match=said):
        make_estimator(name, words, 0, FEATURES)


@given(st.lists(st.sampled_from(FEATURES), min_size=1, max_size=5), st.randoms())
def test_names_are_chosen_in_the_tables_order(wanted, shuffle):
    """Names given twice, or in another order, choose the same features."""
    chosen = choose_names(FEATURES, wanted)
    assert chosen == tuple(f for f in FEATURES if f in wanted)
    again = [*wanted, *wanted]
    shuffle.shuffle(again)
    assert choose_names(FEATURES, again) == chosen
