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
from calcscore_ml.heart.place import measure_place
from calcscore_ml.io import read_scan
from calcscore_ml.phantom import generate
from calcscore_ml.scan import OUTSIDE_HU, Scan

FAMILIES = ("location", "atlas", "arteries")
PLACE = [f for f in registry() if f.family in FAMILIES]

MEDIAN_MM, WORST_20TH_MM = 1.0, 6.0
"""Every feature in mm moves by at most these in half, and in nineteen twentieths, of all places around the heart."""

MEDIAN_SHARE, WORST_20TH_SHARE = 0.02, 0.10
"""The same for shares, probabilities and nearnesses."""

COUNT = 150


def places(scan, points_mm):
    """Every place feature at some points, (z, y, x) index x spacing; a lesion of one voxel at each."""
    location = locate(scan, read_atlases())
    assert location.trusted
    spacing = np.asarray(scan.geometry.spacing)
    voxels = np.rint(points_mm / spacing).astype(np.intp)
    voxels = np.clip(voxels, 0, np.array(scan.hu.shape) - 1)
    lesions = Lesions(scan.hu, scan.geometry.spacing, voxels, np.arange(len(voxels) + 1))
    place = measure_place(scan, location, voxels * spacing)
    return pd.DataFrame(
        calcscore_features.compute(lesions, heart_box_mm=location.box.as_array(), place=place, families=FAMILIES)
    )


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


@pytest.fixture(scope="module", params=["a real chest", "a digital heart"])
def known(request):
    """A scan, points in and around its heart, and their features."""
    if request.param == "a real chest":
        scan = read_scan("data/lung-pet-ct-dx-a0001-heart")
    else:
        scan = generate(4711, "gated-2.5mm").scan
    low, high = locate(scan, read_atlases()).box.as_array()
    extent = (np.array(scan.hu.shape) - 1) * scan.geometry.spacing
    points = np.random.default_rng(0).uniform(np.maximum(low, 0), np.minimum(high, extent), (COUNT, 3))
    points = np.rint(points / scan.geometry.spacing) * scan.geometry.spacing
    return scan, points, places(scan, points)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_scan_moves_no_lesion(known, change):
    """Padding, cropping and resampling leave every place feature within the stated tolerances."""
    scan, points, before = known
    other, shift = CHANGES[change](scan)
    moved = np.abs(places(other, points + shift) - before)
    for feature in PLACE:
        values = moved[feature.name].to_numpy()
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        # A voxel of a coarser grid lies up to half of it away: the place itself moves, and with it what is measured.
        rounding = np.linalg.norm(np.subtract(other.geometry.spacing, scan.geometry.spacing)) / 2
        whole = feature.unit == "mm"
        median, most = (MEDIAN_MM, WORST_20TH_MM) if whole else (MEDIAN_SHARE, WORST_20TH_SHARE)
        slack = rounding if whole else rounding / 40
        assert np.median(values) <= median + slack, feature.name
        assert np.percentile(values, 95) <= most + slack, feature.name


def test_permuted_lesions_are_permuted_rows(known):
    """The order of lesions is the order of rows, for every place feature."""
    scan, points, before = known
    order = np.random.default_rng(1).permutation(COUNT)
    after = places(scan, points[order])
    np.testing.assert_allclose(after.to_numpy(), before.to_numpy()[order], rtol=1e-9, atol=1e-9)
