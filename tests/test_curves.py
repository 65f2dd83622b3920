"""Pictures of curves: they can be drawn for any cohort, hold what was computed, and are always the same."""

import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from calcscore_ml.assessment import Assessment
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.curves import CLEAR_BELOW, curves
from calcscore_ml.evaluation.froc import froc
from calcscore_ml.evaluation.referral_curve import referral_curve
from calcscore_ml.evaluation.reliability import reliability
from calcscore_ml.evaluation.summary import evaluate
from calcscore_ml.reports.assessment import write_assessment
from calcscore_ml.reports.curves import CURVES, froc_figure, referral_figure, reliability_figure
from calcscore_ml.reports.figures import LINE, POINT, error_bars


def cohort(seed=0, scans=20, candidates=30):
    rng = np.random.default_rng(seed)
    n = scans * candidates
    truth = rng.choice([0, 1, 3, 5], size=n, p=[0.8, 0.1, 0.05, 0.05])
    coronary = np.where(np.isin(truth, (1, 3)), rng.beta(4, 1, n), rng.beta(0.4, 4, n))
    table = pd.DataFrame(
        {
            "scan_id": np.repeat(np.arange(scans), candidates),
            "truth": truth,
            "predicted": np.where(coronary >= 0.5, 1, 0),
            "coronary": coronary,
            "entropy": 1 - np.abs(2 * coronary - 1),
            "margin": np.abs(2 * coronary - 1),
            "disagreement": rng.random(n),
            "volume_mm3": rng.lognormal(3, 1, n),
        }
    )
    return table, pd.DataFrame({"scan_id": range(scans), "patient_id": [f"{i:02d}" for i in range(scans)]})


TABLE, SCANS = cohort()


def curve(column="entropy", table=TABLE, **options):
    return referral_curve(table, SCANS, uncertainty=column, n=20, **options)


def share_of_colour(png, colour, tolerance=24):
    pixels = np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(pixels - wanted).max(axis=2) <= tolerance).mean())


@pytest.mark.parametrize(
    "draw",
    [
        lambda table: froc_figure(froc(table, SCANS, n=20)),
        lambda table: reliability_figure(reliability(table, SCANS, n=20)),
        lambda table: referral_figure({"entropy": curve(table=table)}),
        lambda table: referral_figure({"entropy": curve(table=table, measure="volume_mm3")}, title="volume"),
    ],
)
def test_pictures(draw):
    """A figure is a picture with its curve in it, always the same bytes, and another for another cohort."""
    png = draw(TABLE)
    assert png.startswith(b"\x89PNG")
    assert share_of_colour(png, POINT) > 1e-3
    assert png == draw(TABLE)
    assert png != draw(cohort(seed=1)[0])


def test_intervals_are_drawn():
    """An interval leaves more ink than one without width, and that more than one that is not defined."""
    found = froc(TABLE, SCANS, n=20)
    narrow = replace(found, at=tuple((rate, replace(i, low=i.value, high=i.value)) for rate, i in found.at))
    undefined = replace(found, at=tuple((rate, replace(i, low=np.nan, high=np.nan)) for rate, i in found.at))
    ink = [share_of_colour(froc_figure(curve), LINE) for curve in (found, narrow, undefined)]
    assert ink[0] > ink[1] > ink[2] > 0


def test_each_curve_has_its_colour():
    """A second uncertainty adds a curve in a colour of its own."""
    one, two = {"entropy": curve()}, {"entropy": curve(), "disagreement": curve("disagreement")}
    assert share_of_colour(referral_figure(two), CURVES[1]) > 1e-3 > share_of_colour(referral_figure(one), CURVES[1])


@pytest.mark.parametrize("truth", [0, 1])
def test_odd_cohorts(truth):
    """Two lesions of one kind and equal probability can be drawn without a warning."""
    table = TABLE.iloc[:2].assign(truth=truth, coronary=0.5, predicted=1 - truth, entropy=0.5)
    assert reliability_figure(reliability(table, SCANS, n=5)).startswith(b"\x89PNG")
    assert referral_figure({"entropy": curve(table=table)}).startswith(b"\x89PNG")
    if truth:
        assert froc_figure(froc(table, SCANS, n=5)).startswith(b"\x89PNG")


def test_rules():
    """What cannot be drawn raises, saying why."""
    with pytest.raises(ResultError, match="at least one coronary lesion"):
        froc_figure(froc(TABLE.assign(truth=0), SCANS, n=2))
    with pytest.raises(ResultError, match="at least one lesion"):
        reliability_figure(reliability(TABLE.iloc[:0], SCANS, n=2))
    with pytest.raises(ResultError, match="needs a wrong lesion"):
        referral_figure({"entropy": curve(table=TABLE.assign(predicted=TABLE["truth"]))})
    with pytest.raises(ResultError, match="1 to 5 curves, got 0"):
        referral_figure({})
    with pytest.raises(ResultError, match="by one measure"):
        referral_figure({"a": curve(), "b": curve(measure="volume_mm3")})
    with pytest.raises(ResultError, match="same lesions"):
        referral_figure({"a": curve(), "b": replace(curve(), left=2 * curve().left)})


def test_an_interval_beside_its_value_has_one_bar():
    """A value outside its interval has no bar on that side, one without an interval has none that is drawn."""
    bars = error_bars([0.5, 0.9, 0.2, 0.3], [0.4, 0.5, 0.3, np.nan], [0.7, 0.8, 0.6, np.nan])
    assert np.allclose(bars, [[0.1, 0.4, 0.0, np.nan], [0.2, 0.0, 0.4, np.nan]], equal_nan=True)


def test_all_curves_are_the_single_ones():
    """Curves of an evaluation are those traced one by one; the reliability leaves clear cases out."""
    found = curves(TABLE, SCANS, n=20)
    np.testing.assert_array_equal(found.froc.sensitivities, froc(TABLE, SCANS, n=20).sensitivities)
    unclear = TABLE[TABLE["coronary"] >= CLEAR_BELOW]
    assert 0 < len(unclear) < len(TABLE)
    assert found.reliability == reliability(unclear, SCANS, n=20)
    assert list(found.referral) == ["entropy", "1 - margin", "disagreement"]
    np.testing.assert_array_equal(found.referral["entropy"].left, curve().left)
    np.testing.assert_array_equal(found.referral["1 - margin"].left, curve().left)


def test_curves_can_be_read_again():
    """Stored curves hold every point, finite or null, and the intervals."""
    found = curves(TABLE, SCANS, n=20)
    read = json.loads(found.to_json())
    assert read["froc"]["thresholds"][0] is None
    assert read["froc"]["sensitivities"] == found.froc.sensitivities.tolist()
    assert [a["value"] for a in read["froc"]["at"]] == [i.value for _, i in found.froc.at]
    assert read["reliability"]["calibration_error"] == found.reliability.calibration_error.to_plain()
    assert sum(b["lesions"] for b in read["reliability"]["bins"]) == (TABLE["coronary"] >= CLEAR_BELOW).sum()
    assert read["referral"]["entropy"]["gain"]["value"] == found.referral["entropy"].gain.value


def test_curves_that_cannot_be_are_left_out():
    """Without coronary lesions, probabilities or members there is nothing to trace, and nothing breaks."""
    none = TABLE.assign(truth=0, coronary=0.0, disagreement=np.nan)
    found = curves(none, SCANS, n=20)
    assert (found.froc, found.reliability) == (None, None)
    assert "disagreement" not in found.referral
    assert json.loads(found.to_json())["froc"] is None
    missed = pd.DataFrame({"scan_id": [0], "truth": [1], "volume_mm3": [2.0]})
    assert curves(none, SCANS, missed=missed, n=20).froc.sensitivities[-1] == 0
    assert curves(none.iloc[:0], SCANS, n=20).referral == {}


@pytest.mark.parametrize(("truth", "more"), [(TABLE["truth"], {"froc.png"}), (0, set())])
def test_an_evaluations_folder_holds_the_curves_that_there_are(tmp_path, truth, more):
    """Numbers and figures of reliability and referral; of lesions found where there is any to find."""
    lesions, scans = TABLE.assign(truth=truth), SCANS.assign(agatston=1.0, agatston_truth=np.arange(len(SCANS)))
    found = evaluate(lesions, scans, n=20)
    missed = pd.DataFrame({"scan_id": [], "truth": [], "volume_mm3": []})
    write_assessment(tmp_path, Assessment(found, found, scans, lesions, missed))
    files = {file.name for file in tmp_path.iterdir()}
    assert files >= {"curves.json", "reliability.png", "referral.png", "agreement.png"} | more
    assert ("froc.png" in files) == bool(more)
    assert (json.loads((tmp_path / "curves.json").read_text())["froc"] is None) == (not more)


def test_the_left_main_counts_as_lad_in_referral_when_asked():
    """A left main called LAD is wrong, or right, as the evaluation counts."""
    table = TABLE.assign(truth=np.where(TABLE["truth"] == 1, 4, TABLE["truth"]))
    wrong = [curves(table, SCANS, left_main_as_lad=as_lad, n=5).referral["entropy"].left[0] for as_lad in (False, True)]
    assert wrong[0] > wrong[1]
