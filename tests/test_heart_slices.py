"""Laws of the heart box found from classified slices."""

import json

import numpy as np
import pytest
from test_heart import overlap

from calcscore_ml.errors import ModelError
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart import find_heart_box_by_slices
from calcscore_ml.heart.roi import Chest
from calcscore_ml.heart.slice_features import middle_of_chest, thumbnails, tissues_of
from calcscore_ml.heart.slice_model import FEATURES, MODEL_FILE, SliceModel, read_slice_model, write_slice_model
from calcscore_ml.heart.slicewise import best_interval
from calcscore_ml.io import read_scan
from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.heart_slices import fit_slice_model
from calcscore_ml.scan import OUTSIDE_HU, Scan


def labelled(cohort, count):
    """Scans and true boxes of a cohort, the boxes cut to the scan."""
    for row in read_manifest(cohort)[:count]:
        scan = read_scan(row.image)
        box = np.array(json.loads((row.image.parent / "truth.json").read_text())["heart_box_mm"])
        yield scan, np.clip(box, 0, np.array(scan.hu.shape) * scan.geometry.spacing)


@pytest.fixture(scope="module")
def chest():
    """The chest scan of the repository."""
    return read_scan("data/lung-pet-ct-dx-a0001-heart")


@pytest.fixture(scope="module")
def box(chest):
    """Its box."""
    return find_heart_box_by_slices(chest)


def crop(scan, low, high):
    """Part of a scan."""
    cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return Scan(np.ascontiguousarray(scan.hu[cut]), scan.geometry.crop(low, high))


def test_the_box_lies_around_the_heart_of_digital_patients(cohort):
    """On small fields of view that cut lungs and heart off, it shares four fifths of its union with the true box."""
    found = [(find_heart_box_by_slices(scan), true) for scan, true in labelled(cohort, 16)]
    shares = np.array([overlap(box.as_array(), true) for box, true in found])
    assert shares.mean() >= 0.8
    assert all(share >= 0.5 or not box.trusted for share, (box, _) in zip(shares, found, strict=True))


def test_the_box_of_the_real_scan_is_where_the_heart_is(chest, box):
    """On the chest scan of the repository, where the chambers were read off its pictures."""
    assert box.trusted
    assert 0.6 < box.quality <= 1
    read_off = np.array([[1, 38, 155], [25, 172, 285]])
    assert overlap(box.as_array() / chest.geometry.spacing, read_off) > 0.8


def test_padding_changes_nothing(chest, box):
    """What lies outside the reconstruction circle says nothing about the heart."""
    around = ((2, 2), (15, 20), (10, 25))
    hu = np.pad(chest.hu, around, constant_values=OUTSIDE_HU)
    padded = find_heart_box_by_slices(Scan(hu, Geometry(hu.shape, chest.geometry.spacing)))
    before = np.array([low for low, _ in around]) * chest.geometry.spacing
    assert padded.trusted == box.trusted
    assert padded.quality == pytest.approx(box.quality, abs=1e-3)
    np.testing.assert_allclose(padded.as_array(), box.as_array() + before, atol=1e-6)


@pytest.mark.parametrize(
    ("low", "high"),
    [((0, 20, 40), (32, 270, 366)), ((0, 0, 0), (29, 220, 330)), ((1, 10, 60), (30, 235, 340))],
    ids=["front and right", "top, back and left", "all sides"],
)
def test_moving_the_field_of_view_moves_the_box_with_it(chest, box, low, high):
    """Cutting off what holds no heart moves the sides by a coarse voxel at most, the ends by three slices."""
    moved = find_heart_box_by_slices(crop(chest, low, high)).as_array() + np.array(low) * chest.geometry.spacing
    apart = np.abs(moved - box.as_array()).max(axis=0)
    assert (apart <= np.array([15.0, 5.0, 5.0]) + 1e-6).all()


def test_the_box_stays_inside_the_scan_when_the_heart_does_not(chest):
    """A heart cut off below and above gives a box that ends where the scan ends."""
    part = crop(chest, (6, 0, 0), (20, 270, 366))
    low, high = find_heart_box_by_slices(part).as_array() / part.geometry.spacing
    assert (low >= -0.5).all()
    assert (high <= np.array(part.hu.shape) - 0.5).all()
    assert (low[0], high[0]) == (-0.5, 13.5)


@pytest.mark.parametrize("hu", [-1000, 0, 1500], ids=["air", "water", "bone"])
def test_what_is_no_chest_has_no_heart(hu):
    """No box, no error, no warning."""
    array = np.full((6, 40, 40), hu, np.int16)
    assert find_heart_box_by_slices(Scan(array, Geometry(array.shape, (3, 1, 1)))) is None


@pytest.mark.parametrize(
    "part",
    [np.s_[22:], np.s_[:, 150:], np.s_[:, :, :140], np.s_[:, ::-1]],
    ids=["above the heart", "behind it", "right of it", "back to front"],
)
def test_what_is_no_heart_is_not_trusted_and_says_why(chest, part):
    """Parts of a chest without the heart, or a chest the wrong way round, give no trusted box."""
    hu = np.ascontiguousarray(chest.hu[part])
    box = find_heart_box_by_slices(Scan(hu, Geometry(hu.shape, chest.geometry.spacing)))
    assert box is None or (not box.trusted and box.remark)


def test_a_phantom_has_no_trusted_heart():
    """Lungs and a cylinder that look the same in every slice are no patient."""
    box = find_heart_box_by_slices(read_scan("data/qrm-thorax-phantom"))
    assert box is None or not box.trusted


def test_a_single_wrong_slice_does_not_break_the_interval():
    """The interval is the most likely one, and slices of which nothing is known are outside."""
    assert best_interval(np.array([np.nan, -4.0, 3.0, -2.0, 3.0, 3.0, -4.0, 2.0, np.nan]))[:2] == (2, 6)
    assert best_interval(np.array([-1.0, np.nan])) == (0, 0, 0.0)


def test_cells_share_what_they_show(chest):
    """Shares lie between none and one, in every direction; a cell far outside the scan is unknown."""
    seen = Chest.of(chest)
    tissues, middle = tissues_of(seen), middle_of_chest(seen)
    for axis in (0, 1, 2):
        cells = thumbnails(tissues, axis, middle)
        assert cells.shape == (tissues.known.shape[axis], FEATURES)
        assert np.nanmin(cells) >= 0
        assert np.nanmax(cells) <= 1 + 1e-5
        assert np.isnan(thumbnails(tissues, axis, middle + 1000.0)).all()


def test_the_model_is_plain_arrays_and_comes_back_as_it_went(tmp_path):
    """Reading runs no code: the file of the package needs no pickle and is small, and one that does is refused."""
    with np.load(MODEL_FILE, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype == np.float32 for name in arrays.files)
    assert MODEL_FILE.stat().st_size < 300_000
    shipped = read_slice_model()
    again = read_slice_model(write_slice_model(tmp_path / "again.npz", shipped))
    assert (again.weight == shipped.weight).all()
    np.savez(tmp_path / "pickled.npz", mean=shipped.mean.astype(object), weight=shipped.weight, bias=shipped.bias)
    with pytest.raises(ModelError, match="plain arrays"):
        read_slice_model(tmp_path / "pickled.npz")
    with pytest.raises(ModelError, match="three classifiers"):
        SliceModel(shipped.mean[:2], shipped.weight, shipped.bias)


def test_training_learns_where_the_heart_is_and_repeats_itself(cohort):
    """Ten digital patients teach enough to find the heart of others; same scans and seed, same weights."""
    scans = list(labelled(cohort, 12))
    model, again = fit_slice_model(scans[:10], seed=3), fit_slice_model(scans[:10], seed=3)
    assert (model.weight == again.weight).all()
    for scan, true in scans[10:]:
        assert overlap(find_heart_box_by_slices(scan, model).as_array(), true) > 0.5
