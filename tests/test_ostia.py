"""Laws of the distance to the ostia."""

from dataclasses import replace

import numpy as np
import pytest

from calcscore_ml.anatomy import Label
from calcscore_ml.candidates import Candidates, find_candidates
from calcscore_ml.heart.ostia import FARTHEST_MM, OSTIA, ostia_distance_mm


def test_the_distance_is_that_of_the_nearest_voxel(located_chest):
    """Every lesion's distance is the least over its voxels, and infinite beyond the farthest."""
    scan, location = located_chest
    candidates = find_candidates(scan)
    found = ostia_distance_mm(location, candidates)
    marks = [location.landmarks[name].mean(axis=0) for name in OSTIA]
    points = np.vstack([*marks, location.arteries[Label.LM].mean(axis=0)])
    for i, (a, b) in enumerate(zip(candidates.offsets[:-1], candidates.offsets[1:], strict=True)):
        voxels = candidates.voxels[a:b] * np.asarray(scan.geometry.spacing)
        least = np.linalg.norm(voxels[:, None] - points, axis=2).min()
        assert found[i] == (pytest.approx(least) if least < FARTHEST_MM else np.inf)
    assert np.isfinite(found).any()


def test_nothing_is_known_without_a_trusted_location(located_chest):
    """Atlases that are not believed tell no distance, and a scan without lesions has none."""
    scan, location = located_chest
    candidates = find_candidates(scan)
    assert np.isnan(ostia_distance_mm(replace(location, trusted=False), candidates)).all()
    none = Candidates(scan.geometry, np.zeros((0, 3), np.intp), np.zeros(0, np.int16), np.zeros(1, np.intp), 130)
    assert ostia_distance_mm(location, none).shape == (0,)
