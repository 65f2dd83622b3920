"""A location may be wrong: models learn with displaced ones, and scores are means over displaced ones."""

import numpy as np
import pandas as pd
import pytest

from calcscore_features import ALL, LOCATED
from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.io import read_scan
from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.bundle import predict
from calcscore_ml.pipeline import describe_scan, score_scan

PLACE = [f.name for f in ALL if f.family in LOCATED]
OFFSETS = [f"heart_offset_{axis}_mm" for axis in "zyx"]
ERROR_MM = 5.0


@pytest.fixture(scope="module")
def scan(cohort):
    return read_scan(read_manifest(cohort)[0].image)


@pytest.fixture(scope="module")
def unsure(recipe):
    """The recipe, with a location that may be wrong."""
    errors = dict.fromkeys(("learnt_error_mm", "scored_error_mm"), ERROR_MM)
    return recipe.model_copy(update={"location": recipe.location.model_copy(update=errors)})


def test_only_features_of_place_change(scan, recipe, unsure):
    """A displaced location leaves every other feature, and the order of the columns, as they were."""
    plain = describe_scan(scan, recipe)
    learnt, scored = describe_scan(scan, unsure, learning=True), describe_scan(scan, unsure)
    assert len(plain.table)
    assert (len(plain.displaced), len(learnt.displaced), len(scored.displaced)) == (0, 0, 6)
    pd.testing.assert_frame_equal(scored.table, plain.table)
    for table in (learnt.table, *scored.displaced):
        assert list(table.columns) == list(plain.table.columns)
        pd.testing.assert_frame_equal(
            table.drop(columns=PLACE, errors="ignore"), plain.table.drop(columns=PLACE, errors="ignore")
        )


def test_displacements_are_what_the_recipe_says(scan, recipe, unsure):
    """Scoring goes each way along each axis; learning draws one way, the same for a scan at any time."""
    plain, scored = describe_scan(scan, recipe).table[OFFSETS], describe_scan(scan, unsure).displaced
    ways = [(table[OFFSETS] - plain).to_numpy() for table in scored]
    for way, expected in zip(ways, -ERROR_MM * np.vstack([np.eye(3), -np.eye(3)]), strict=True):
        np.testing.assert_allclose(way, np.tile(expected, (len(plain), 1)), atol=1e-9)
    first, second = (describe_scan(scan, unsure, learning=True).table for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    drawn = (first[OFFSETS] - plain).to_numpy()
    np.testing.assert_allclose(drawn, np.tile(drawn[0], (len(plain), 1)), atol=1e-9)
    assert 0 < np.abs(drawn[0]).max() < 5 * ERROR_MM


def test_probabilities_are_means_over_the_displacements(scan, unsure, bundle):
    """What is scored is the mean of the answers for the location and for each displacement of it."""
    described = describe_scan(scan, unsure)
    answers = np.array([predict(bundle, table)[0] for table in (described.table, *described.displaced)])
    scored = score_scan(scan, bundle, unsure, scan_id="a", described=described)
    assert np.ptp(answers, axis=0).max() > 0
    assert scored.uncertainty is not None
    mean = answers.mean(axis=0)[:, np.array(ARTERIES, dtype=int)].sum(axis=1)
    np.testing.assert_allclose(scored.uncertainty.coronary, mean)
