"""Permuting, padding, cropping or resampling a scan moves no lesion by more than a stated tolerance.

Laws over all features that say where a lesion lies: heart box, atlas, arteries.
"""

import numpy as np
import pandas as pd
import pytest

import calcscore_features
from calcscore_features import Lesions, registry
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.atlas import read_atlases
from calcscore_ml.heart.locate import locate
from calcscore_ml.heart.place import measure_place, measure_places
from calcscore_ml.scan import OUTSIDE_HU, Scan

FAMILIES = ("location", "atlas", "arteries")
PLACE = [f for f in registry() if f.family in FAMILIES]

MEDIAN_MM, MOST_MM = 5.0, 10.0
"""In half of all places around the heart a feature in mm moves by at most a slice of the chest scan, in nineteen of
twenty by at most ten mm."""

MEDIAN_SHARE, MOST_SHARE = 0.04, 0.25
"""The same for shares, probabilities and nearnesses."""

SEEN = ("lung_surface_mm", "body_surface_mm")
"""Told from the scan alone: a pocket of air that counts as lung or not moves them, so only the median is held."""

COUNT = 150


def places(scan, location, points_mm):
    """Every place feature at some points, (z, y, x) index x spacing; a lesion of one voxel at each."""
    spacing = np.asarray(scan.geometry.spacing)
    voxels = np.clip(np.rint(points_mm / spacing).astype(np.intp), 0, np.array(scan.hu.shape) - 1)
    lesions = Lesions(scan.hu, scan.geometry.spacing, voxels, np.arange(len(voxels) + 1))
    place = measure_place(scan, location, voxels * spacing)
    box = location.box.as_array()
    return pd.DataFrame(calcscore_features.compute(lesions, heart_box_mm=box, place=place, families=FAMILIES))


def halved(scan, axes):
    """Average pairs of voxels along some axes; where the old first voxel lies now, in mm."""
    hu, spacing = scan.hu.astype(np.float32), np.array(scan.geometry.spacing)
    shift = np.zeros(3)
    for axis in axes:
        n = hu.shape[axis] // 2 * 2
        even, odd = (np.take(hu, range(start, n, 2), axis) for start in (0, 1))
        hu = (even + odd) / 2
        shift[axis] = -spacing[axis] / 2
        spacing[axis] *= 2
    return Scan(np.rint(hu).astype(np.int16), Geometry(hu.shape, tuple(spacing)), scan.acquisition), shift


def padded(scan, voxels, value):
    hu = np.pad(scan.hu, [(n, n) for n in voxels], constant_values=value)
    return Scan(hu, Geometry(hu.shape, scan.geometry.spacing), scan.acquisition), np.array(
        voxels
    ) * scan.geometry.spacing


def cropped(scan):
    low = np.array([0, 8, 16])
    hu = np.ascontiguousarray(scan.hu[:, low[1] : -4, low[2] : -16])
    return Scan(hu, Geometry(hu.shape, scan.geometry.spacing), scan.acquisition), -low * scan.geometry.spacing


CHANGES = {
    "padded with nothing": lambda s: padded(s, (2, 6, 6), OUTSIDE_HU),
    "padded with air": lambda s: padded(s, (0, 10, 12), -1000),
    "cropped": cropped,
    "half the pixels": lambda s: halved(s, (1, 2)),
    "half the slices": lambda s: halved(s, (0,)),
}


def known(scan, location):
    """A scan, its location, points in its heart box, and their features."""
    low, high = location.box.as_array()
    extent = (np.array(scan.hu.shape) - 1) * scan.geometry.spacing
    points = np.random.default_rng(0).uniform(np.maximum(low, 0), np.minimum(high, extent), (COUNT, 3))
    points = np.rint(points / scan.geometry.spacing) * scan.geometry.spacing
    return scan, location, points, places(scan, location, points)


@pytest.fixture(scope="module")
def chest(located_chest):
    return known(*located_chest)


@pytest.fixture(scope="module")
def heart(located_digital):
    digital, location = located_digital
    return known(digital.scan, location)


def hold(known, change):
    """Every place feature stays within the stated tolerances."""
    scan, _, points, before = known
    other, shift = CHANGES[change](scan)
    location = locate(other, read_atlases())
    assert location.trusted
    moved = np.abs(places(other, location, points + shift) - before)
    # A voxel of a coarser grid lies up to half of it away: the place itself moves, and with it what is measured.
    rounding = np.linalg.norm(np.subtract(other.geometry.spacing, scan.geometry.spacing)) / 2
    far = {}
    for feature in PLACE:
        values = moved[feature.name].dropna().to_numpy()
        if not len(values):
            continue
        whole = feature.unit == "mm"
        median, most = (MEDIAN_MM, MOST_MM) if whole else (MEDIAN_SHARE, MOST_SHARE)
        slack = rounding if whole else rounding / 20
        found = float(np.median(values)), float(np.percentile(values, 95))
        if found[0] > median + slack or (found[1] > most + slack and feature.name not in SEEN):
            far[feature.name] = found
    assert not far


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_scan_moves_no_lesion(chest, change):
    """Padding, cropping and resampling a real chest leave every place feature within the stated tolerances."""
    hold(chest, change)


@pytest.mark.parametrize("change", ["padded with nothing", "half the pixels"])
def test_a_changed_digital_scan_moves_no_lesion(heart, change):
    """The same in a small field of view that cuts the lungs off."""
    hold(heart, change)


def test_permuted_lesions_are_permuted_rows(chest):
    """The order of lesions is the order of rows, for every place feature."""
    scan, location, points, before = chest
    order = np.random.default_rng(1).permutation(COUNT)
    after = places(scan, location, points[order])
    np.testing.assert_allclose(after.to_numpy(), before.to_numpy()[order], rtol=1e-9, atol=1e-9)


def test_a_displaced_location_is_one_measured_from_elsewhere(chest):
    """What atlases say moves with the location, what the scan shows stays, for every such measurement."""
    scan, location, points, _ = chest
    move = np.array([4.0, -7.0, 2.5])
    here, displaced = measure_places(scan, location, points, [np.zeros(3), move])
    there = measure_place(scan, location, points - move)
    for name in ("atlas_mm", "artery_mm", "artery_along", "artery_spread_mm", "artery_probability"):
        np.testing.assert_array_equal(getattr(displaced, name), getattr(there, name))
    np.testing.assert_array_equal(displaced.calcium_probability, there.calcium_probability)
    assert list(displaced.surface_mm) == list(here.surface_mm)
    for name, distance in displaced.surface_mm.items():
        same = here if name in ("lung", "body") else there
        np.testing.assert_array_equal(distance, same.surface_mm[name])
    for name, way in displaced.landmark_mm.items():
        np.testing.assert_allclose(way, here.landmark_mm[name] - move)
    for name, share in displaced.tissue.items():
        np.testing.assert_array_equal(share, here.tissue[name])
