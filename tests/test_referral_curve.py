"""Error left as lesions are referred: by hand, and between the random order and the oracle."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.bootstrap import patient_bootstrap
from calcscore_ml.evaluation.referral_curve import referral_curve

COLUMNS = ["scan_id", "truth", "predicted", "volume_mm3", "doubt"]

SCANS = pd.DataFrame({"patient_id": ["p", "p", "q", "r"], "scan_id": ["a", "b", "c", "d"]})
"""Three patients, one with two scans; no lesion is in scan d."""

SMALL = pd.DataFrame(
    [
        ("a", 1, 1, 40.0, 0.1),  # right
        ("a", 3, 0, 12.0, 0.9),  # missed
        ("b", 0, 2, 4.0, 0.3),  # invented
        ("b", 5, 6, 99.0, 0.9),  # aorta called a valve: no coronary error, and as doubtful as the missed one
        ("c", 4, 1, 8.0, 0.2),  # another artery
    ],
    columns=COLUMNS,
)

MEASURES = ("lesions", "volume_mm3")

rows = st.tuples(
    st.sampled_from("abcd"),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(1, 30).map(float),
    st.integers(0, 6).map(lambda i: i / 8),
)
lesion_tables = st.lists(rows, min_size=1, max_size=25).map(lambda r: pd.DataFrame(r, columns=COLUMNS))


def trace(table, measure="lesions", **options):
    return referral_curve(table, SCANS, uncertainty="doubt", measure=measure, **{"n": 2, **options})


def test_by_hand():
    """Five lesions in four scans, three of them wrong: two in doubt go together, then one by one."""
    curve = trace(SMALL)
    assert (4 * curve.referred).tolist() == [0, 2, 3, 4, 5]
    assert (4 * curve.left).tolist() == [3, 2, 1, 0, 0]
    assert (4 * curve.oracle_referred).tolist() == [0, 3, 5]
    assert (4 * curve.oracle_left).tolist() == [3, 0, 0]
    # Areas under line, curve and oracle: 7.5, 5 + 1.5 + 0.5 and 4.5.
    assert curve.gain.value == pytest.approx((7.5 - 7.0) / (7.5 - 4.5))
    assert curve.at(0.25) == pytest.approx(2.5 / 4)
    assert curve.random_at(0.25) == pytest.approx(3 * 4 / 5 / 4)
    assert curve.oracle_at(0.25) == pytest.approx(2 / 4)
    with pytest.raises(ValueError, match="read-only"):
        curve.left[0] = 0


def test_volume_by_hand():
    """The same in mm3, where the oracle refers the largest wrong lesion first."""
    curve = trace(SMALL, "volume_mm3")
    assert (4 * curve.left).tolist() == [24, 12, 8, 0, 0]
    assert (4 * curve.oracle_left).tolist() == [24, 12, 4, 0, 0]


def test_left_main_as_lad():
    """With the left main counted as LAD, a left main lesion called LAD is right."""
    assert (4 * trace(SMALL, left_main_as_lad=True).left).tolist() == [2, 1, 0, 0, 0]


@given(lesion_tables, st.sampled_from(MEASURES))
def test_ends(table, measure):
    """Nothing referred leaves the whole error, everything referred leaves exactly none, and it never rises."""
    curve = trace(table, measure)
    assert curve.referred[0] == curve.oracle_referred[0] == 0
    assert curve.left[-1] == curve.oracle_left[-1] == 0.0
    assert curve.referred[-1] == curve.oracle_referred[-1] == len(table) / len(SCANS)
    assert curve.left[0] == pytest.approx(curve.oracle_left[0])
    assert (np.diff(curve.left) <= 0).all()


@given(lesion_tables, st.sampled_from(MEASURES))
def test_the_oracle_is_never_above(table, measure):
    """No order leaves less error than the oracle after any number of lesions, so no gain exceeds one."""
    curve = trace(table, measure)
    for referred in np.linspace(0, curve.referred[-1], 31):
        assert curve.oracle_at(referred) <= curve.at(referred) + 1e-9
        assert curve.oracle_at(referred) <= curve.random_at(referred) + 1e-9
    assert np.isnan(curve.gain.value) or curve.gain.value <= 1 + 1e-9


@given(lesion_tables, st.sampled_from(MEASURES))
def test_no_uncertainty_is_the_random_order(table, measure):
    """One and the same uncertainty everywhere leaves the straight line, and gains nothing."""
    curve = trace(table.assign(doubt=0.5), measure)
    for referred in np.linspace(0, curve.referred[-1], 7):
        assert curve.at(referred) == pytest.approx(curve.random_at(referred), abs=1e-9)
    assert np.isnan(curve.gain.value) or abs(curve.gain.value) < 1e-9


@pytest.mark.parametrize("measure", MEASURES)
def test_random_is_the_mean_of_all_orders(measure):
    """The straight line is the mean over every order the lesions can be referred in."""
    curves = [
        trace(SMALL.assign(doubt=order), measure, n=1) for order in permutations(np.arange(len(SMALL), dtype=float))
    ]
    mean = np.mean([curve.left for curve in curves], axis=0)
    assert mean == pytest.approx([curves[0].random_at(referred) for referred in curves[0].referred])
    assert np.mean([curve.gain.value for curve in curves]) == pytest.approx(0, abs=1e-12)


@given(lesion_tables, st.sampled_from(MEASURES))
def test_the_opposite_order_loses_what_the_order_gains(table, measure):
    """Reversed, an uncertainty gains the opposite; applied to any rising function of it, the same."""
    gain = trace(table, measure).gain.value
    assert trace(table.assign(doubt=-table["doubt"]), measure).gain.value == pytest.approx(-gain, nan_ok=True, abs=1e-9)
    risen = table.assign(doubt=np.exp(3 * table["doubt"]))
    assert trace(risen, measure).gain.value == pytest.approx(gain, nan_ok=True, abs=1e-9)


def test_the_oracle_itself():
    """Doubt that knows the error gains all, whichever patients are drawn."""
    table = pd.DataFrame({"scan_id": list("abcd") * 3, "truth": 1, "predicted": [1, 0, 2] * 4, "volume_mm3": 2.0})
    found = trace(table.assign(doubt=table["predicted"] != 1), n=40).gain
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_nothing_wrong():
    """Without an error there is none to be left, and no gain to speak of."""
    curve = trace(SMALL.assign(predicted=SMALL["truth"]))
    assert not curve.left.any()
    assert np.isnan(curve.gain.value)
    assert np.isnan(trace(SMALL.iloc[:0]).gain.value)


def test_second_implementation():
    """Counting lesions, the gain is twice the area under scikit-learn's ROC curve of wrong by doubt, less one.

    Its interval is the bootstrap of that over patients.
    """
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.2
    table = pd.DataFrame({"scan_id": rng.choice(list("abcd"), 400), "truth": 1, "volume_mm3": 1.0})
    table = table.assign(predicted=np.where(wrong, 0, 1), doubt=rng.normal(wrong).round(1))
    patient = table["scan_id"].map(SCANS.set_index("scan_id")["patient_id"])
    pairs = {name: rows[["predicted", "doubt"]].to_numpy() for name, rows in table.groupby(patient)}

    def gini(drawn):
        predicted, doubt = np.concatenate(drawn).T
        return 2 * roc_auc_score(predicted == 0, doubt) - 1

    wanted, found = patient_bootstrap(gini, pairs, n=50, seed=6), trace(table, n=50, seed=6).gain
    assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))


@pytest.mark.parametrize(
    ("change", "measure", "message"),
    [
        (lambda t: t.drop(columns="doubt"), "lesions", "none called doubt"),
        (lambda t: t.assign(doubt=np.nan), "lesions", "finite, got 5"),
        (lambda t: t.assign(predicted=9), "lesions", "predicted labels"),
        (lambda t: t.assign(scan_id="z"), "lesions", "1 scans that do not"),
        (lambda t: t, "agatston", "'lesions' or 'volume_mm3', got 'agatston'"),
    ],
)
def test_rules(change, measure, message):
    """A table that breaks a rule raises, saying which."""
    with pytest.raises(ResultError, match=message):
        trace(change(SMALL), measure)
