"""The curve of lesions found against false positives, against counts by hand and by loop."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation import froc as module
from calcscore_ml.evaluation.bootstrap import patient_bootstrap
from calcscore_ml.evaluation.froc import froc
from calcscore_ml.evaluation.lesions import lesion_report

COLUMNS = ["scan_id", "truth", "coronary", "volume_mm3"]

SCANS = pd.DataFrame({"patient_id": ["p", "p", "q", "r"], "scan_id": ["a", "b", "c", "d"]})
"""Three patients, one with two scans; no lesion is in scan d."""

SMALL = pd.DataFrame(
    [
        ("a", 1, 0.9, 40.0),
        ("a", 0, 0.8, 9.0),
        ("b", 3, 0.8, 7.0),  # ties with bone in another scan
        ("c", 5, 0.5, 50.0),  # aorta
        ("c", 2, 0.3, 6.0),
        ("c", 0, 0.0, 800.0),
    ],
    columns=COLUMNS,
)
MISSED = pd.DataFrame({"scan_id": ["c", "c"], "truth": [1, 5], "volume_mm3": [2.0, 2.0]})

# Few distinct probabilities, 0 and 1 among them, so that ties are common.
rows = st.tuples(st.sampled_from("abcd"), st.integers(0, 7), st.integers(0, 8).map(lambda i: i / 8), st.just(1.0))
lesion_tables = st.lists(rows, max_size=25).map(lambda r: pd.DataFrame(r, columns=COLUMNS))
missed_tables = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 7), st.just(1.0)), max_size=3).map(
    lambda r: pd.DataFrame(r, columns=["scan_id", "truth", "volume_mm3"])
)


def test_by_hand():
    """Four coronary lesions, one of them never offered: each found lesion makes a point, ties share one."""
    curve = froc(SMALL, SCANS, missed=MISSED, rates=(0.0, 0.25, 0.49, 0.5, 5.0), n=20)
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.3, 0.0]
    assert curve.false_positives_per_scan.tolist() == [0, 0, 0.25, 0.5, 0.75]
    assert curve.sensitivities.tolist() == [0, 0.25, 0.5, 0.75, 0.75]
    assert [(rate, found.value) for rate, found in curve.at] == [
        (0.0, 0.25),
        (0.25, 0.5),
        (0.49, 0.5),
        (0.5, 0.75),
        (5.0, 0.75),
    ]
    with pytest.raises(ValueError, match="read-only"):
        curve.sensitivities[0] = 1


@given(lesion_tables, missed_tables)
def test_every_point_is_an_evaluation(table, missed):
    """A point is what the lesion report says when everything at or above its threshold is called coronary."""
    curve = froc(table, SCANS, missed=missed, n=2)
    for threshold, rate, share in zip(
        curve.thresholds, curve.false_positives_per_scan, curve.sensitivities, strict=True
    ):
        called = table.assign(predicted=np.where(table["coronary"] >= threshold, 1, 0))
        report = lesion_report(called, missed=missed, n_scans=len(SCANS))
        assert rate == pytest.approx(report.false_positives_per_scan)
        assert share == pytest.approx(report.sensitivity, nan_ok=True)


@given(lesion_tables, missed_tables, st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 3.0]))
def test_no_threshold_does_better(table, missed, rate):
    """At a given rate, no threshold at all finds more without more false positives."""
    ((_, found),) = froc(table, SCANS, missed=missed, rates=(rate,), n=2).at
    best = np.nan
    for threshold in np.linspace(0, 1.0625, 18):
        called = table.assign(predicted=np.where(table["coronary"] >= threshold, 1, 0))
        report = lesion_report(called, missed=missed, n_scans=len(SCANS))
        if report.false_positives_per_scan <= rate:
            best = np.nanmax([best, report.sensitivity]) if not np.isnan(report.sensitivity) else np.nan
    assert found.value == pytest.approx(best, nan_ok=True)


@given(lesion_tables)
def test_rises(table):
    """The curve starts where nothing is called, rises, and ends where everything is."""
    curve = froc(table, SCANS, n=2)
    assert (np.diff(curve.thresholds) < 0).all()
    assert (np.diff(curve.false_positives_per_scan) >= 0).all()
    coronary = table["truth"].isin(ARTERIES)
    assert curve.false_positives_per_scan[-1] == pytest.approx((~coronary).sum() / len(SCANS))
    if coronary.any():
        assert (curve.sensitivities[0], curve.sensitivities[-1]) == (0, 1)
        assert (np.diff(curve.sensitivities) >= 0).all()


def test_second_implementation():
    """With nothing missed, the points are those of scikit-learn's ROC curve, its false positives counted per scan."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"scan_id": rng.choice(list("abcd"), 300), "truth": rng.integers(0, 8, 300), "volume_mm3": 1.0}
    ).assign(coronary=rng.random(300).round(2))
    curve = froc(table, SCANS, n=2)
    coronary = table["truth"].isin(ARTERIES)
    false, true, thresholds = roc_curve(coronary, table["coronary"], drop_intermediate=False)
    theirs = {t: (f * (~coronary).sum() / 4, s) for t, f, s in zip(thresholds, false, true, strict=True)}
    ours = zip(curve.false_positives_per_scan, curve.sensitivities, strict=True)
    for threshold, point in zip(curve.thresholds, ours, strict=True):
        assert point == pytest.approx(theirs[threshold])


def test_interval_is_the_patients():
    """An interval is the bootstrap over patients, each with all its scans, the curve traced anew in every sample."""
    rng = np.random.default_rng(1)
    scans = pd.DataFrame({"scan_id": range(30), "patient_id": [f"{i // 2:02d}" for i in range(30)]})
    table = pd.DataFrame({"scan_id": rng.integers(0, 30, 200), "truth": rng.integers(0, 4, 200), "volume_mm3": 1.0})
    table["coronary"] = np.where(table["truth"] > 0, rng.beta(3, 1, 200), rng.beta(1, 2, 200)).round(2)

    def at_half(drawn):
        renamed = [(t.assign(scan_id=t["scan_id"] + 100 * i), s + 100 * i) for i, (t, s) in enumerate(drawn)]
        people = pd.DataFrame({"scan_id": np.concatenate([s for _, s in renamed]), "patient_id": "x"})
        ((_, found),) = froc(pd.concat([t for t, _ in renamed]), people, rates=(0.5,), n=1).at
        return found.value

    by_patient = {
        name: (table[table["scan_id"].isin(rows["scan_id"])], rows["scan_id"].to_numpy())
        for name, rows in scans.groupby("patient_id")
    }
    wanted = patient_bootstrap(at_half, by_patient, n=40, seed=3)
    ((_, found),) = froc(table, scans, rates=(0.5,), n=40, seed=3).at
    assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))


def test_points_are_thinned(monkeypatch):
    """Of too many points the ends and an even choice between them are kept, and each that is kept is unchanged."""
    table = pd.DataFrame({"scan_id": "a", "truth": [1, 0] * 100, "coronary": np.arange(200) / 200, "volume_mm3": 1.0})
    whole = froc(table, SCANS, n=2)
    monkeypatch.setattr(module, "MAX_POINTS", 11)
    few = froc(table, SCANS, n=2)
    assert len(few.thresholds) == 12
    assert few.thresholds[-1] == whole.thresholds[-1]
    where = np.searchsorted(-whole.thresholds, -few.thresholds)
    assert np.array_equal(few.sensitivities, whole.sensitivities[where])
    assert np.array_equal(few.false_positives_per_scan, whole.false_positives_per_scan[where])


def test_nothing():
    """Without a lesion there is a point and no sensitivity; with missed ones alone it is zero."""
    curve = froc(SMALL.iloc[:0], SCANS, n=2)
    assert curve.thresholds.tolist() == [np.inf]
    assert np.isnan(curve.sensitivities).all()
    assert froc(SMALL.iloc[:0], SCANS, missed=MISSED, n=2).sensitivities.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="coronary"), "none called coronary"),
        (lambda t: t.assign(coronary=1.5), "between 0 and 1"),
        (lambda t: t.assign(coronary=np.nan), "between 0 and 1"),
        (lambda t: t.assign(truth=8), "reference labels"),
        (lambda t: t.assign(scan_id="z"), "1 scans that do not"),
    ],
)
def test_rules(change, message):
    """A table that breaks a rule raises, saying which."""
    with pytest.raises(ResultError, match=message):
        froc(change(SMALL), SCANS)
