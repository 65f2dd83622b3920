"""Probabilities against what came true, against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.bootstrap import patient_bootstrap
from calcscore_ml.evaluation.reliability import reliability

SCANS = pd.DataFrame({"patient_id": [f"{i // 2:02d}" for i in range(20)], "scan_id": range(20)})

rows = st.tuples(
    st.integers(0, 19), st.integers(0, 7), st.one_of(st.floats(0, 1), st.integers(0, 4).map(lambda i: i / 4))
)
lesion_tables = st.lists(rows, min_size=1, max_size=60).map(
    lambda r: pd.DataFrame(r, columns=["scan_id", "truth", "coronary"])
)


def drawn(seed, calibrated, n=4000):
    """Lesions whose probability is right, or too extreme."""
    rng = np.random.default_rng(seed)
    chance = rng.random(n)
    told = chance if calibrated else np.clip(1.6 * chance - 0.3, 0, 1)
    return pd.DataFrame(
        {"scan_id": rng.integers(0, 20, n), "truth": np.where(rng.random(n) < chance, 3, 5), "coronary": told}
    )


@given(lesion_tables, st.integers(1, 12))
def test_second_implementation(table, bins):
    """Curve and Brier score are scikit-learn's, and the calibration error is the curve's."""
    found = reliability(table, SCANS, bins=bins, n=2)
    truth = table["truth"].isin(ARTERIES)
    observed, predicted = calibration_curve(truth, table["coronary"], n_bins=bins, strategy="quantile")
    assert [b.predicted for b in found.bins] == pytest.approx(predicted.tolist())
    assert [b.observed.value for b in found.bins] == pytest.approx(observed.tolist())
    assert found.brier.value == pytest.approx(brier_score_loss(truth, table["coronary"]))
    counts = [b.lesions for b in found.bins]
    assert found.calibration_error.value == pytest.approx(np.average(np.abs(observed - predicted), weights=counts))
    assert sum(counts) == len(table)


def test_equal_mass():
    """Distinct probabilities fill the bins equally."""
    table = pd.DataFrame({"scan_id": 0, "truth": 0, "coronary": np.linspace(0, 1, 300) ** 3})
    assert [b.lesions for b in reliability(table, SCANS, bins=6, n=2).bins] == [50] * 6


def test_by_hand():
    """Two bins, one right and one 0.3 too sure."""
    table = pd.DataFrame({"scan_id": 0, "truth": [0, 0, 1, 0, 4, 0], "coronary": [0.2, 0.2, 0.2, 0.3, 0.8, 0.8]})
    found = reliability(table, SCANS, bins=2, n=2)
    assert [(b.lesions, b.observed.value) for b in found.bins] == [(3, pytest.approx(1 / 3)), (3, pytest.approx(1 / 3))]
    assert found.calibration_error.value == pytest.approx((3 * (1 / 3 - 0.2) + 3 * (1.9 / 3 - 1 / 3)) / 6)
    assert found.brier.value == pytest.approx((0.04 + 0.04 + 0.64 + 0.09 + 0.04 + 0.64) / 6)


def test_calibrated_probabilities_are_reliable():
    """Right probabilities have a small error, and most bins hold them; too extreme ones do not."""
    right, wrong = (reliability(drawn(0, calibrated), SCANS) for calibrated in (True, False))
    assert right.calibration_error.value < 0.03 < 0.05 < wrong.calibration_error.low
    assert right.brier.high < wrong.brier.low
    held = [b.observed.low <= b.predicted <= b.observed.high for b in right.bins]
    assert sum(held) >= 8
    assert wrong.bins[0].observed.low > wrong.bins[0].predicted


def test_other_labels():
    """Any column may be the probability of any labels; the two sides of one question have one error."""
    table = drawn(1, calibrated=False).assign(wall=lambda t: 1 - t["coronary"])
    coronary = reliability(table, SCANS, n=50)
    wall = reliability(table, SCANS, probability="wall", labels=(Label.AORTA,), n=50)
    assert wall.brier.value == pytest.approx(coronary.brier.value)
    assert wall.calibration_error.value == pytest.approx(coronary.calibration_error.value, abs=1e-3)


def test_intervals_are_the_patients():
    """Intervals are bootstraps over patients, each with all lesions of all their scans."""
    table = drawn(2, calibrated=False, n=300)
    found = reliability(table, SCANS, bins=1, n=80, seed=4)
    patient = SCANS["patient_id"].to_numpy()[table["scan_id"]]
    pairs = {
        name: np.column_stack([rows["truth"].isin(ARTERIES), rows["coronary"]]).astype(float)
        for name, rows in table.groupby(patient)
    }
    for ours, statistic in (
        (found.brier, lambda t, p: np.mean((t - p) ** 2)),
        (found.calibration_error, lambda t, p: abs(np.mean(t) - np.mean(p))),
        (found.bins[0].observed, lambda t, p: np.mean(t)),
    ):
        wanted = patient_bootstrap(lambda drawn, of=statistic: of(*np.concatenate(drawn).T), pairs, n=80, seed=4)
        assert (ours.value, ours.low, ours.high) == pytest.approx((wanted.value, wanted.low, wanted.high))


def test_nothing():
    """Without lesions there are no bins, and nothing is known."""
    found = reliability(drawn(0, calibrated=True).iloc[:0], SCANS, n=2)
    assert found.bins == ()
    assert np.isnan([found.brier.value, found.calibration_error.value]).all()


@pytest.mark.parametrize(
    ("change", "bins", "message"),
    [
        (lambda t: t.drop(columns="coronary"), 10, "none called coronary"),
        (lambda t: t.assign(coronary=-0.1), 10, "between 0 and 1"),
        (lambda t: t.assign(coronary=np.nan), 10, "between 0 and 1"),
        (lambda t: t.assign(truth=8), 10, "reference labels"),
        (lambda t: t.assign(scan_id=99), 10, "1 scans that do not"),
        (lambda t: t, 0, "at least one bin"),
    ],
)
def test_rules(change, bins, message):
    """A table that breaks a rule raises, saying which."""
    with pytest.raises(ResultError, match=message):
        reliability(change(drawn(0, calibrated=True, n=5)), SCANS, bins=bins)
