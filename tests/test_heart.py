"""Laws of the heart box."""

import json

import numpy as np
import pytest

from calcscore_ml.geometry import Geometry
from calcscore_ml.heart import find_heart_box
from calcscore_ml.io import read_scan
from calcscore_ml.manifest import read_manifest
from calcscore_ml.scan import Scan


def overlap(a, b):
    """Share of the union of two boxes that both cover."""
    both = np.clip(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0, None).prod()
    return both / ((a[1] - a[0]).prod() + (b[1] - b[0]).prod() - both)


def test_the_box_lies_around_the_heart_of_digital_patients(cohort):
    """On small fields of view that cut the lungs off, nine boxes of ten hold the centre and most of the chambers."""
    shares, centred = [], []
    for row in read_manifest(cohort):
        scan = read_scan(row.image)
        true = np.array(json.loads((row.image.parent / "truth.json").read_text())["heart_box_mm"])
        true = np.clip(true, 0, np.array(scan.hu.shape) * scan.geometry.spacing)
        found = find_heart_box(scan)
        assert found is not None
        shares.append(overlap(found.as_array(), true))
        centre = true.mean(axis=0)
        low, high = found.as_array()
        centred.append(((low < centre) & (centre < high)).all())
    assert np.mean(centred) >= 0.9
    assert np.median(shares) > 0.5


def test_the_box_of_the_real_scan_is_where_the_heart_is():
    """On the chest scan of the repository, where the heart was read off its pictures."""
    scan = read_scan("data/lung-pet-ct-dx-a0001-heart")
    box = find_heart_box(scan)
    assert box.trusted
    low, high = box.as_array() / scan.geometry.spacing
    assert overlap(np.array([low, high]), np.array([[0, 45, 110], [26, 175, 250]])) > 0.55


def test_moving_the_field_of_view_moves_the_box_with_it():
    """Cutting slices and columns off that hold no heart changes the box by at most a coarse voxel."""
    scan = read_scan("data/lung-pet-ct-dx-a0001-heart")
    whole = find_heart_box(scan).as_array()
    lower = (0, 8, 16)
    crop = Scan(np.ascontiguousarray(scan.hu[:, 8:, 16:-16]), scan.geometry.crop(lower, (32, 270, 350)))
    moved = find_heart_box(crop).as_array() + np.array(lower) * scan.geometry.spacing
    assert np.abs(moved - whole).max() <= 9.0


@pytest.mark.parametrize("hu", [-1000, 0, 1500], ids=["air", "water", "bone"])
def test_what_is_no_chest_has_no_heart(hu):
    """No box, no error, no warning."""
    array = np.full((6, 40, 40), hu, np.int16)
    assert find_heart_box(Scan(array, Geometry(array.shape, (3, 1, 1)))) is None


def test_noise_has_no_trusted_heart():
    """Whatever noise looks like, it is not taken for a heart in silence."""
    array = np.random.default_rng(0).normal(-300, 500, (20, 64, 64)).astype(np.int16)
    box = find_heart_box(Scan(array, Geometry(array.shape, (3, 4, 4))))
    assert box is None or not box.trusted


def test_a_phantom_with_lungs_and_a_cylinder_for_a_heart_is_scored_all_the_same():
    """The box may be wrong on a phantom; finding it never fails."""
    find_heart_box(read_scan("data/qrm-thorax-phantom"))
