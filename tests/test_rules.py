"""Laws of rules that say what is coronary."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ModelError
from calcscore_ml.models import RuleClassifier, fit_estimator, judge, make_estimator

COLUMNS = ("depth", "size", "lad", "rca")
LIMITS = {"depth": {"at_least": 0.0}, "size": {"at_least": 1.0, "at_most": 3.0}}
ARTERIES = {"LAD": "lad", "RCA": "rca"}
values = st.one_of(st.just(np.nan), st.sampled_from([0.0, 1.0, 3.0]), st.floats(-5, 5))
tables = arrays(float, (8, 4), elements=values)


def fitted(limits=LIMITS, arteries=ARTERIES, labels=(0, 0, 0, 1, 1, 1, 3, 5), **more):
    """Rules that have seen these labels."""
    return RuleClassifier(limits, arteries, COLUMNS, negative_label=0, **more).fit(np.zeros((len(labels), 4)), labels)


def decide_by_loops(row):
    """The rules in plain words; None where the artery is not known."""
    depth, size, lad, rca = row
    if not (depth >= 0 and 1 <= size <= 3):
        return Label.OTHER
    known = {label: value for label, value in ((Label.LAD, lad), (Label.RCA, rca)) if value == value}
    return max(known, key=known.get) if known else None


@given(tables, st.floats(0.6, 0.99))
@example(np.array([[1.0, 2.0, np.nan, np.nan]]), 0.9)  # coronary, artery unknown
def test_rules_decide_as_they_read(table, certainty):
    """A lesion is coronary exactly when all limits hold, in the artery of the largest feature, with the certainty."""
    model = fitted(certainty=certainty)
    probabilities = model.predict_proba(table)
    for row, found in zip(table, probabilities, strict=True):
        label = decide_by_loops(row)
        assert found.sum() == pytest.approx(1)
        assert 1 - found[0] == pytest.approx(1 - certainty if label == Label.OTHER else certainty)
        if label is None:
            assert found[1:] == pytest.approx(certainty * np.array([0.75, 0.25, 0]))  # three LAD, one RCA, no aorta
        else:
            assert found[model.classes_.tolist().index(label)] == pytest.approx(certainty)
    assert (model.judge(table)[1] == probabilities[None]).all()
    assert model.n_members == 1


@given(tables)
def test_a_limit_of_a_missing_feature_does_not_hold(table):
    """Whatever else holds, a lesion whose limited feature is NaN is not coronary."""
    table[:, 1] = np.nan
    assert (fitted().predict(table) == 0).all()


@given(tables, st.floats(0, 2))
def test_a_tighter_limit_never_adds_a_lesion(table, closer):
    """Rules are monotone."""
    wide, tight = (fitted({"size": {"at_least": -c, "at_most": c}}) for c in (2.0, 2.0 - closer))
    assert (wide.predict(table)[tight.predict(table) != 0] != 0).all()


def test_only_the_classes_are_learnt():
    """Two training tables with the same labels give the same answers, whatever the features."""
    rng = np.random.default_rng(0)
    new = rng.normal(size=(50, 4))
    labels = rng.integers(0, 3, 60)
    one, other = (RuleClassifier(LIMITS, {}, COLUMNS).fit(rng.normal(size=(60, 4)), labels) for _ in range(2))
    assert (one.predict_proba(new) == other.predict_proba(new)).all()


def test_an_artery_never_seen_is_passed_over():
    """A model cannot name a label that its training table lacks."""
    model = fitted(labels=(0, 0, 1, 1))
    assert model.predict(np.array([[1.0, 2.0, 0.1, 0.9]])).tolist() == [Label.LAD]


def test_features_reach_the_rules_as_they_are():
    """The pipeline neither fills nor scales: limits are in the features' own units."""
    rng = np.random.default_rng(1)
    X, y = rng.lognormal(5, 2, (200, 4)), rng.integers(0, 2, 200)
    X[::3, 0] = np.nan
    limits = {"size": {"at_least": 150.0}, "depth": {"at_most": 1e9}}
    pipeline = fit_estimator(make_estimator("rules", {"limits": limits}, 0, COLUMNS), X, y)
    expected = (X[:, 1] >= 150) & np.isfinite(X[:, 0])
    assert ((judge(pipeline, X)[0][:, 1] > 0.5) == expected).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limits": {"dept": {"at_least": 0}}}, "depth"),
        ({"limits": {"dep*": {"at_least": 0}}}, "depth"),
        ({"limits": {"depth": {"above": 0}}}, "at_least or at_most"),
        ({"limits": {"depth": {}}}, "at_least or at_most"),
        ({"limits": {"depth": {"at_least": "0"}}}, "by a number"),
        ({"limits": {"depth": 3}}, "at_least or at_most"),
        ({"limits": {"depth": {"at_least": 2, "at_most": 1}}}, "at_least <= at_most"),
        ({"arteries": {"LAD": "lda"}}, "lad"),
        ({"arteries": {"AORTA": "lad"}}, "LM, LAD, LCX, RCA"),
        ({"arteries": {"lad": "lad"}}, "LM, LAD, LCX, RCA"),
        ({"certainty": 0.5}, "certainty"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(change, said):
    """An unknown feature, artery or limit is an error that says what there is."""
    with pytest.raises(ModelError, match=said):
        fitted(**change)


def test_columns_name_the_whole_table():
    """Names for fewer columns than there are is an error."""
    with pytest.raises(ModelError, match="columns must name all 3"):
        RuleClassifier(LIMITS, columns=COLUMNS).fit(np.zeros((4, 3)), [0, 0, 1, 1])
