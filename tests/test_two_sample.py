"""The two-sample test: chance where there is nothing to tell, and the right name where there is."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation import two_sample
from calcscore_ml.evaluation.two_sample import (
    Rows,
    balanced_weights,
    pair_auc,
    thin,
    two_sample_test,
    univariate,
    within_sets,
)

PER_PATIENT = 60


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """Fewer trees are enough for laws."""
    monkeypatch.setattr(two_sample, "TREES", 40)


def make(seed=0, *, shift=0.0, personal=0.0, sets=3, digital=3, features=5):
    """Candidates of `sets` sets; real ones shifted in f1, every patient by a shift of their own in f2."""
    rng = np.random.default_rng(seed)
    tables, real, patient, matched = [], [], [], []
    for s in range(sets):
        for k in range(digital + 1):
            table = rng.standard_normal((PER_PATIENT, features))
            table[:, 1] += shift * (k == 0)
            table[:, 2] += personal * rng.standard_normal()
            tables.append(table)
            real += [k == 0] * PER_PATIENT
            patient += [f"{s}-{k}"] * PER_PATIENT
            matched += [str(s)] * PER_PATIENT
    frame = pd.DataFrame(np.vstack(tables), columns=[f"f{i}" for i in range(features)])
    height = rng.uniform(size=len(frame))
    return Rows(frame, np.array(real), np.array(patient), np.array(matched), height)


def test_equal_distributions_are_not_told_apart():
    """Where real and digital come from one distribution, the AUC is about a half."""
    found = [two_sample_test(make(seed), importance=False).auc.value for seed in range(4)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_a_shifted_feature_is_found_and_named():
    """A feature that differs raises the AUC, falls most when shuffled, and heads the univariate table."""
    rows = make(shift=2.0)
    groups = {f"f{i}": "odd" if i % 2 else "even" for i in range(5)}
    found = two_sample_test(rows, groups=groups)
    assert found.auc.value > 0.85
    assert found.auc.low <= found.auc.value <= found.auc.high
    assert next(iter(found.importance)) == "f1"
    assert found.importance["f1"] > 0.25
    assert max(abs(v) for name, v in found.importance.items() if name != "f1") < 0.05
    assert next(iter(found.group_importance)) == "odd"
    table = univariate(rows)
    assert table.index[0] == "f1"
    assert table["auc"].iloc[0] > 0.85
    assert table["real_median"].iloc[0] - table["digital_median"].iloc[0] == pytest.approx(2.0, abs=0.3)


def test_univariate_auc_has_the_sign_of_the_difference():
    """Values that are lower in real candidates give an AUC below a half."""
    assert univariate(make(shift=-2.0)).loc["f1", "auc"] < 0.15


def test_what_is_peculiar_to_a_patient_does_not_leak():
    """Shifts of single patients, which no other patient shares, cannot help with patients held out."""
    found = [two_sample_test(make(seed, personal=6.0, sets=4), importance=False).auc.value for seed in range(6)]
    assert np.mean(found) < 0.65


def test_within_a_set_patients_differ_by_who_they_are():
    """Peculiar patients are told apart slab by slab, and digital ones from each other just as well as the real one."""
    for real, digital in within_sets(make(personal=20.0, digital=4)).values():
        assert real > 0.75
        assert digital > 0.75
    values = np.array(list(within_sets(make(digital=4)).values()))
    assert np.abs(values.mean(axis=0) - 0.5).max() < 0.08


def test_within_sets_tells_the_real_one_when_only_it_differs():
    """A difference of the real patient shows in the first number and not in the second."""
    for real, digital in within_sets(make(shift=3.0, digital=4)).values():
        assert real > 0.9
        assert digital < 0.65


def test_many_candidates_do_not_outweigh_few():
    """The AUC is a mean over pairs of patients, whatever the number of their candidates."""
    score = np.array([1.0, 0.0] + [2.0] * 50)
    patient = np.array(["r", "a"] + ["b"] * 50)
    real = patient == "r"
    assert pair_auc(score, real, patient).mean() == pytest.approx(0.5)


def test_both_kinds_weigh_the_same_and_so_do_the_patients_of_a_kind():
    """Sums of weights are equal over kinds, and over the patients of a kind, whatever their numbers of rows."""
    patient = np.repeat(np.array(["r", "s", "a", "b", "c"]), [5, 50, 1, 20, 300])
    real = np.isin(patient, ["r", "s"])
    weight = pd.Series(balanced_weights(real, patient)).groupby(patient).sum()
    assert weight["r"] == pytest.approx(weight["s"])
    assert weight["a"] == pytest.approx(weight["b"]) == pytest.approx(weight["c"])
    assert weight["r"] + weight["s"] == pytest.approx(weight["a"] + weight["b"] + weight["c"])


def test_the_interval_is_that_of_patients():
    """Patients that do not differ have an interval without width; patients that differ one between their extremes."""
    same = two_sample._bootstrap([np.full((1, 4), 0.7)] * 3, 0)
    assert same.low == pytest.approx(0.7)
    assert same.high == pytest.approx(0.7)
    apart = two_sample._bootstrap([np.array([[0.5, 0.9]]), np.array([[0.6, 0.8]])], 0)
    assert 0.5 <= apart.low < 0.7 < apart.high <= 0.9


def test_the_cap_holds_for_every_patient():
    """No patient keeps more than the cap, and one patient's draw does not depend on the others."""
    rows = make()
    few = thin(rows, 10, 0)
    assert set(pd.Series(few.patient).value_counts()) == {10}
    alone = thin(rows.take(rows.patient == "1-2"), 10, 0)
    np.testing.assert_array_equal(few.features[few.patient == "1-2"].to_numpy(), alone.features.to_numpy())


def test_rounding_of_a_grid_does_not_tell_scans_apart():
    """Values that differ in the fifth digit are the same value to the test; NaN stays NaN."""
    table = two_sample._numbers(pd.DataFrame({"a": [3.54491, 3.54512, 0.0, np.nan, -1234.4]}))
    np.testing.assert_array_equal(table[:, 0], [3.545, 3.545, 0.0, np.nan, -1234.0])


def test_missing_values_are_allowed():
    """Features that have no value for some candidates take part."""
    rows = make(shift=2.0)
    rows.features.iloc[::3, 3] = np.nan
    assert two_sample_test(rows, importance=False).auc.value > 0.85


def test_same_seed_same_result():
    """A test repeated gives the same numbers."""
    one, two = (two_sample_test(make(shift=0.5)) for _ in range(2))
    assert one.auc == two.auc
    assert one.importance == two.importance


def test_one_set_is_refused():
    """Without a second set nothing can be held out."""
    with pytest.raises(ResultError, match="two sets"):
        two_sample_test(make(sets=1))


def test_a_patient_belongs_to_one_set():
    """A patient in two sets, or both real and digital, is refused."""
    rows = make()
    with pytest.raises(ResultError, match="one set"):
        Rows(rows.features, rows.real, np.full(len(rows.real), "p"), rows.matched, rows.height)


@given(st.integers(0, 10**6), st.integers(2, 200), st.sampled_from([None, 0, 1]))
def test_an_auc_is_that_of_scikit_learn_to_the_last_bit(seed, count, digits):
    """For any scores of both kinds, with or without ties."""
    rng = np.random.default_rng(seed)
    real, score = rng.random(count) < rng.uniform(0.05, 0.95), rng.standard_normal(count)
    real[0], real[-1] = True, False
    score = score if digits is None else score.round(digits)
    assert two_sample._auc(real, score) == roc_auc_score(real, score)
