"""Pictures of an evaluation: they can be drawn for any cohort, and always the same."""

import subprocess
import sys
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.lesions import lesion_report
from calcscore_ml.reports.figures import LINE, POINT, agreement_figure, category_figure, confusion_figure


def scans(n=60, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random(n) < 0.3, 0, rng.lognormal(4, 1.5, n))
    return pd.DataFrame({"mass_mg_truth": truth, "mass_mg": truth * rng.lognormal(0, 0.2, n)})


def pixels(png):
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def share_of_colour(png, colour, tolerance=24):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(pixels(png) - wanted).max(axis=2) <= tolerance).mean())


def test_agreement():
    """A figure of agreement is a picture with the scans and the limits in it, and always the same bytes."""
    png = agreement_figure(scans(), "mass_mg", title="Agreement")
    assert png.startswith(b"\x89PNG")
    assert share_of_colour(png, LINE) > 1e-3
    assert png == agreement_figure(scans(), "mass_mg", title="Agreement")
    assert png != agreement_figure(scans(seed=1), "mass_mg", title="Agreement")


def test_agreement_shows_every_scan():
    """More scans leave more ink."""
    few, many = (agreement_figure(scans(n), "mass_mg") for n in (5, 200))
    assert share_of_colour(many, POINT, 60) > 2 * share_of_colour(few, POINT, 60)


@pytest.mark.parametrize(
    ("truth", "measured"),
    [([0.0], [0.0]), ([0.0, 0.0], [0.0, 0.0]), ([5.0, 5.0], [5.0, 5.0]), ([0.0, 40000.0], [9000.0, 0.0])],
)
def test_agreement_of_odd_cohorts(truth, measured):
    """One scan, no calcium, no difference, or wild differences can be drawn without a warning."""
    assert agreement_figure(pd.DataFrame({"agatston_truth": truth, "agatston": measured})).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"agatston": [1.0]}), "none called agatston_truth"),
        (pd.DataFrame({"agatston": [-1.0], "agatston_truth": [1.0]}), "not negative"),
        (pd.DataFrame({"agatston": [np.nan], "agatston_truth": [1.0]}), "finite"),
        (pd.DataFrame({"agatston": [], "agatston_truth": []}), "at least one scan"),
    ],
)
def test_agreement_rules(table, message):
    """Scores that cannot be drawn raise, saying why."""
    with pytest.raises(ResultError, match=message):
        agreement_figure(table)


def lesions(truth, predicted):
    return lesion_report(pd.DataFrame({"scan_id": "a", "truth": truth, "predicted": predicted, "volume_mm3": 12.5}))


def test_confusion_grows_with_the_labels():
    """Labels that neither side uses take no room, and volumes can be drawn instead of counts."""
    small, large = lesions([0, 1], [0, 1]), lesions(range(8), [7, 6, 5, 4, 3, 2, 1, 0])
    assert pixels(confusion_figure(small)).size < pixels(confusion_figure(large)).size
    assert confusion_figure(small) != confusion_figure(small, volume=True)
    with pytest.raises(ResultError, match="at least one lesion"):
        confusion_figure(lesions([], []))


def test_confusion_colour_is_the_share_of_the_row():
    """A row of a hundred lesions and a row of one are as dark when all are right."""
    one = pixels(confusion_figure(lesions([0, 1], [0, 1]), title="t"))
    many = pixels(confusion_figure(lesions([0] * 3 + [1], [0] * 3 + [1]), title="t"))
    assert np.mean(np.abs(one - many)) < 1


def test_category():
    """A table of categories is drawn when it fits its titles."""
    assert category_figure(np.eye(3, dtype=int), ("0", "1-100", "> 100")).startswith(b"\x89PNG")
    with pytest.raises(ResultError, match="square"):
        category_figure(np.eye(3, dtype=int), ("0",))


def test_matplotlib_is_imported_late():
    """Importing the figures imports no matplotlib: a command line that draws nothing starts fast."""
    code = "import sys, calcscore_ml.reports.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
