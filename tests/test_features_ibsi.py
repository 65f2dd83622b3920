"""Features against the consensus values of the Image Biomarker Standardisation Initiative."""

import csv
from pathlib import Path

import pytest
from features_cases import one_lesion, phantom

from calcscore_features import ALL, Settings, compute

TABLE = Path(__file__).parents[1] / "features" / "reference_values.csv"
ROWS = list(csv.DictReader(TABLE.read_text().splitlines()))
STANDARDISED = {f.name: f for f in ALL if f.ibsi}


@pytest.fixture(scope="module")
def values():
    image, mask = phantom()
    assert mask.sum() == 74
    # Grey levels are the phantom's own: bins of width 1 from 1 on.
    settings = Settings(threshold_hu=1, glcm_bin_width_hu=1, glcm_max_hu=100)
    return compute(one_lesion(mask > 0, image, (2.0, 2.0, 2.0)), settings=settings)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["ibsi_tag"])
def test_feature_agrees_with_the_consensus(values, row):
    """A value lies within the tolerance, or equals the consensus to three digits where the tolerance is zero."""
    found, value, tolerance = float(values[row["feature"]][0]), float(row["value"]), float(row["tolerance"])
    if tolerance:
        assert abs(found - value) <= tolerance
    else:
        assert float(f"{found:.3g}") == value


def test_every_standardised_feature_has_a_reference_and_the_other_way_round():
    """Features with an IBSI code and rows of the reference table are the same set, each with the same code."""
    assert {(r["feature"], r["ibsi_code"]) for r in ROWS} == {(f.name, f.ibsi) for f in STANDARDISED.values()}
    assert len(ROWS) == len(STANDARDISED)


def test_texture_is_compared_with_the_merged_three_dimensional_matrix():
    """Every texture reference is of the aggregation that is implemented: 3D, merged."""
    texture = {r["aggregation"] for r in ROWS if STANDARDISED[r["feature"]].family == "texture"}
    assert texture == {"3D, merged"}
