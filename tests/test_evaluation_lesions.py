"""Lesions found, missed and invented, against a count by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.lesions import LesionReport, label_tables, lesion_report

QUICK = settings(deadline=None, max_examples=60)

COLUMNS = ["scan_id", "truth", "predicted", "volume_mm3"]

rows = st.tuples(st.sampled_from("abc"), st.integers(0, 7), st.integers(0, 7), st.integers(1, 400).map(lambda i: i / 8))
lesion_tables = st.lists(rows, min_size=1, max_size=40).map(lambda r: pd.DataFrame(r, columns=COLUMNS))

SMALL = pd.DataFrame(
    [
        ("a", 1, 1, 40.0),  # LAD found
        ("a", 4, 1, 10.0),  # left main given to the LAD
        ("a", 3, 0, 5.0),  # RCA missed
        ("a", 0, 2, 2.0),  # bone called LCX
        ("b", 5, 3, 8.0),  # aorta called RCA
        ("b", 5, 5, 100.0),  # aorta found
        ("b", 6, 0, 7.0),  # aortic valve missed
        ("b", 0, 0, 900.0),
    ],
    columns=COLUMNS,
)


def test_small_example():
    """A table small enough to count by hand gives the counts by hand."""
    report = lesion_report(SMALL)
    assert report.sensitivity == pytest.approx(2 / 3)
    assert report.ppv == pytest.approx(2 / 4)
    assert report.f1 == pytest.approx(2 * 2 / (3 + 4))
    assert report.volume_sensitivity == pytest.approx(50 / 55)
    assert report.volume_ppv == pytest.approx(50 / 60)
    assert report.volume_f1 == pytest.approx(100 / 115)
    assert report.false_positives_per_scan == 1
    assert report.false_positive_mm3_per_scan == 5
    assert report.artery_accuracy == 0.5
    assert report.artery_table.sum() == 2
    assert report.artery_table[ARTERIES.index(Label.LM), ARTERIES.index(Label.LAD)] == 1
    assert report.label_sensitivity(Label.AORTA) == 0.5
    assert report.label_ppv(Label.AORTA) == 1
    assert report.label_sensitivity(Label.AORTIC_VALVE) == 0
    assert np.isnan(report.label_sensitivity(Label.MITRAL_VALVE))


def test_left_main_as_lad():
    """Counting the left main as LAD makes a left main lesion given to the LAD right, and finds no other lesion."""
    apart, merged = lesion_report(SMALL), lesion_report(SMALL, left_main_as_lad=True)
    assert (apart.artery_accuracy, merged.artery_accuracy) == (0.5, 1.0)
    assert merged.counts[Label.LM].sum() == merged.counts[:, Label.LM].sum() == 0
    assert merged.sensitivity == apart.sensitivity
    assert merged.f1 == apart.f1


@settings(deadline=None, max_examples=20)
@given(lesion_tables)
def test_second_implementation(table):
    """Sensitivity, predictive value and F1 equal scikit-learn's, by number and weighted by volume."""
    truth, found = table["truth"].isin(ARTERIES), table["predicted"].isin(ARTERIES)
    report = lesion_report(table)
    for weight, names in (
        (np.ones(len(table)), ("sensitivity", "ppv", "f1")),
        (table["volume_mm3"], ("volume_sensitivity", "volume_ppv", "volume_f1")),
    ):
        for name, score in zip(names, (recall_score, precision_score, f1_score), strict=True):
            wanted = score(truth, found, sample_weight=weight, zero_division=np.nan)
            assert getattr(report, name) == pytest.approx(wanted, nan_ok=True)


@QUICK
@given(lesion_tables)
def test_loop(table):
    """False positives and right arteries are what a loop over the lesions counts."""
    wrong, mm3, found, right = 0, 0.0, 0, 0
    for row in table.itertuples():
        truth, predicted = Label(row.truth), Label(row.predicted)
        if predicted.is_coronary and not truth.is_coronary:
            wrong, mm3 = wrong + 1, mm3 + row.volume_mm3
        if predicted.is_coronary and truth.is_coronary:
            found, right = found + 1, right + (truth == predicted)
    report = lesion_report(table, n_scans=5)
    assert report.false_positives_per_scan == wrong / 5
    assert report.false_positive_mm3_per_scan == pytest.approx(mm3 / 5)
    assert report.artery_accuracy == pytest.approx(right / found if found else np.nan, nan_ok=True)


@QUICK
@given(lesion_tables, st.randoms())
def test_order(table, random):
    """The order of the lesions is of no consequence."""
    order = random.sample(range(len(table)), len(table))
    one, other = lesion_report(table), lesion_report(table.iloc[order])
    assert np.array_equal(one.counts, other.counts)
    assert np.allclose(one.volumes_mm3, other.volumes_mm3)


@QUICK
@given(lesion_tables)
def test_groups_add_up(table):
    """The tables of the scans add up to the table of all."""
    codes, names = pd.factorize(table["scan_id"])
    counts, volumes = label_tables(codes, table["truth"], table["predicted"], table["volume_mm3"], len(names))
    report = lesion_report(table)
    assert np.array_equal(counts.sum(axis=0), report.counts)
    assert np.allclose(volumes.sum(axis=0), report.volumes_mm3)


@QUICK
@given(lesion_tables)
def test_perfect(table):
    """A system that repeats the reference has no error."""
    report = lesion_report(table.assign(predicted=table["truth"]))
    assert report.false_positives_per_scan == 0
    if table["truth"].isin(ARTERIES).any():
        assert (report.sensitivity, report.ppv, report.artery_accuracy) == (1, 1, 1)


def test_missed_by_extraction():
    """A reference lesion that no candidate covers lowers sensitivity and changes no predictive value."""
    missed = pd.DataFrame([("a", 2, 15.0), ("c", 5, 1.0)], columns=["scan_id", "truth", "volume_mm3"])
    before, after = lesion_report(SMALL), lesion_report(SMALL, missed=missed)
    assert after.sensitivity == pytest.approx(2 / 4)
    assert after.volume_sensitivity == pytest.approx(50 / 70)
    assert after.ppv == before.ppv
    assert after.n_scans == 3
    assert lesion_report(SMALL.iloc[:0], missed=missed).sensitivity == 0


def test_scans_without_candidates():
    """A scan without any candidate counts among the scans when it is told of."""
    assert lesion_report(SMALL, n_scans=4).false_positives_per_scan == 0.5
    with pytest.raises(ResultError, match="got 1 for 2 scans"):
        lesion_report(SMALL, n_scans=1)


def test_empty():
    """No lesions give NaN shares, without a warning, and no false positives."""
    report = lesion_report(SMALL.iloc[:0], n_scans=3)
    assert np.isnan([report.sensitivity, report.ppv, report.f1, report.artery_accuracy]).all()
    assert report.false_positives_per_scan == 0


def test_other_column_names():
    """Columns may be called otherwise."""
    renamed = SMALL.rename(columns={"scan_id": "s", "truth": "t", "predicted": "p", "volume_mm3": "v"})
    report = lesion_report(renamed, scan="s", truth="t", predicted="p", volume="v")
    assert np.array_equal(report.counts, lesion_report(SMALL).counts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="truth"), "none called truth"),
        (lambda t: t.assign(truth=9), "reference labels must be 0 to 7, got .*9"),
        (lambda t: t.assign(predicted=-1), "predicted labels"),
        (lambda t: t.assign(predicted=1.5), "predicted labels"),
        (lambda t: t.assign(volume_mm3=-1.0), "volumes must be finite"),
        (lambda t: t.assign(volume_mm3=np.inf), "volumes must be finite"),
    ],
)
def test_rules(change, message):
    """A table that breaks a rule raises, saying which."""
    with pytest.raises(ResultError, match=message):
        lesion_report(change(SMALL))


def test_report_is_read_only():
    """A report's tables can neither be written nor have another shape."""
    report = lesion_report(SMALL)
    with pytest.raises(ValueError, match="read-only"):
        report.counts[0, 0] = 5
    with pytest.raises(ResultError, match="8 x 8"):
        LesionReport(np.zeros((3, 3), dtype=np.int64), np.zeros((8, 8)), 1)
