"""Pictures of curves: they can be drawn for any cohort, hold what was computed, and are always the same."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.froc import froc
from calcscore_ml.evaluation.referral_curve import referral_curve
from calcscore_ml.evaluation.reliability import reliability
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
