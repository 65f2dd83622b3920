"""Laws of the pictures an expert sees, of the voxels an expert means, and of the scans behind them."""

import io
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_reviews import BONE, MERGED, MISSED, PATHS, SHAPE, SPACING, made_case, made_scan
from PIL import Image
from scipy import ndimage

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.io.volumes import write_volume
from calcscore_ml.review.regions import Limits, grow, split_by_arteries, split_by_plane
from calcscore_ml.review.slices import AXES, WINDOWS, PictureCache, Window, cut, grey, project, stretched, to_png
from calcscore_ml.review.volumes import UNSAVED_MOST, Volumes, Wanted
from calcscore_ml.sources import Source

LIMITS = Limits(130.0, 26, 1.5, 1000.0)
NONE = np.zeros((0, 3), dtype=int)

axes = st.sampled_from(sorted(AXES))
rng = np.random.default_rng(1)
HU = rng.integers(-1024, 1500, (6, 7, 9)).astype(np.int16)


@given(axes, st.data())
def test_a_slice_shows_every_voxel_where_it_is_looked_for(axis, data):
    """Right on the left, front and head up: pixel (row, column) is the voxel that the page takes it for."""
    at = data.draw(st.integers(0, HU.shape[AXES[axis]] - 1))
    plane = cut(HU, axis, at)
    for row, column in np.ndindex(plane.shape):
        up = plane.shape[0] - 1 - row
        voxel = {"axial": (at, row, column), "coronal": (up, at, column), "sagittal": (up, column, at)}[axis]
        assert plane[row, column] == HU[voxel]


@pytest.mark.parametrize("axis", sorted(AXES))
@pytest.mark.parametrize("beyond", [-1, 9, 10**9])
def test_there_is_no_slice_beyond_the_scan(axis, beyond):
    """An index from outside never wraps around."""
    with pytest.raises(IndexError):
        cut(HU, axis, beyond)


@given(st.sampled_from(sorted(WINDOWS)), axes)
def test_a_picture_is_its_greys(name, axis):
    """Decoded again, a PNG is the window's greys: black at its low end, white at its high end, rising between."""
    window = WINDOWS[name]
    plane = cut(HU, axis, 2)
    seen = np.asarray(Image.open(io.BytesIO(to_png(grey(plane, window)))))
    assert seen.dtype == np.uint8
    wanted = np.clip((plane.astype(float) - window.low_hu) / (window.high_hu - window.low_hu), 0, 1) * 255
    assert np.abs(seen - wanted).max() <= 1
    order = np.argsort(plane, axis=None)
    assert (np.diff(seen.reshape(-1)[order].astype(int)) >= 0).all()


def test_a_window_has_a_width():
    """Black above white is refused."""
    with pytest.raises(ValueError, match="low below high"):
        Window("w", 100.0, 100.0)


@given(axes)
def test_the_heart_is_seen_as_slices_are(axis):
    """What is bright in a part of the scan is bright where `cut` shows it, and nothing beyond the part is."""
    hu = np.full((6, 7, 9), -900, dtype=np.int16)
    hu[3, 2, 5] = 700
    lower, upper = np.array([1, 1, 2]), np.array([6, 7, 9])
    seen = project(hu, axis, lower, upper)
    inside = hu[1:6, 1:7, 2:9]
    brightest = np.argwhere(cut(inside, axis, np.argwhere(inside == 700)[0][AXES[axis]]) == 700)
    assert np.argwhere(seen == seen.max()).tolist() == brightest.tolist()
    assert stretched(seen).max() == 255


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=60), st.integers(0, 100))
def test_the_cache_keeps_within_its_bytes(wanted, limit):
    """Whatever is asked for, the right picture comes back and no more than the limit is kept."""
    cache = PictureCache(limit)
    for key, size in wanted:
        assert cache.get((key, size), lambda k=key, n=size: bytes([k]) * n) == bytes([key]) * size
        assert cache.held <= limit
        assert cache.held == sum(len(p) for p in cache._pictures.values())


def test_the_cache_draws_once_what_it_keeps():
    """The pictures asked for last are kept."""
    cache, drawn = PictureCache(30), []
    for key in "abcabdacd":
        cache.get(key, lambda k=key: drawn.append(k) or b"x" * 10)
    assert "".join(drawn) == "abcdc"


def by_scipy(hu, seed, limits, structure):
    labels, _ = ndimage.label(hu >= limits.threshold_hu, structure)
    return {tuple(v) for v in np.argwhere(labels == labels[seed]).tolist()}


@given(st.integers(0, 400), st.sampled_from([(6, 1), (18, 2), (26, 3)]))
def test_a_lesion_is_its_connected_component(seed, connectivity):
    """Found in a crop, it is what labelling the whole scan finds; SciPy is the second implementation."""
    rng = np.random.default_rng(seed)
    hu = np.rint(ndimage.gaussian_filter(rng.normal(0, 700, (12, 26, 26)), (0.7, 1.6, 1.6))).astype(np.int16)
    bright = np.argwhere(hu >= 130)
    at = tuple(bright[rng.integers(len(bright))].tolist())
    limits = Limits(130.0, connectivity[0], 0.0, 1e9)
    found = grow(hu, at, (3.0, 2.0, 2.0), limits, NONE)
    assert {tuple(v) for v in found.tolist()} == by_scipy(
        hu, at, limits, ndimage.generate_binary_structure(3, connectivity[1])
    )


def test_a_missed_lesion_is_found_within_the_recipes_limits():
    """From any of its voxels the same lesion; dark, listed, too small and too large ones are refused with the rule."""
    scan, labels = made_scan()
    listed = np.argwhere(labels > 0)
    first = grow(scan.hu, MISSED, SPACING, LIMITS, listed)
    for voxel in first[:: max(1, len(first) // 7)]:
        assert np.array_equal(grow(scan.hu, tuple(voxel.tolist()), SPACING, LIMITS, listed), first)
    for seed, words in [
        ((0, 0, 0), "at least 130 HU"),
        (BONE, "at most 1000 mm3"),
        (MERGED[0], "in one already"),
        ((-1, 0, 0), "of the scan"),
        (SHAPE, "of the scan"),
    ]:
        with pytest.raises(ReviewError, match=words):
            grow(scan.hu, seed, SPACING, LIMITS, listed)
    with pytest.raises(ReviewError, match=r"at least 1\.5 mm3"):
        grow(np.full((3, 3, 3), 0, np.int16) + 200 * (np.indices((3, 3, 3)).sum(0) == 0).astype(np.int16), (0, 0, 0),
             (1.0, 1.0, 1.0), LIMITS, NONE)  # fmt: skip


def test_a_lesion_that_touches_a_listed_one_stops_there():
    """Voxels of listed lesions are never taken, and nothing is reached through them."""
    hu = np.full((1, 1, 9), 300, dtype=np.int16)
    taken = np.array([[0, 0, 4]])
    found = grow(hu, (0, 0, 6), (1.0, 1.0, 1.0), Limits(130, 26, 0, 1e9), taken)
    assert found[:, 2].tolist() == [5, 6, 7, 8]


voxel_sets = st.integers(0, 10**6).map(
    lambda seed: np.unique(np.random.default_rng(seed).integers(0, 9, (30, 3)), axis=0)
)
points = st.tuples(*[st.floats(0, 8)] * 3)


@given(voxel_sets, points, points, axes)
def test_a_split_loses_nothing_and_follows_the_line(voxels, first, second, axis):
    """Each position is in one part; turned round, the line parts the same; a part lies on one side of it."""
    spacing = (2.0, 0.5, 0.7)
    try:
        parts = split_by_plane(voxels, spacing, first, second, axis)
    except ReviewError:
        return
    assert sorted(p for part in parts for p in part) == list(range(len(voxels)))
    moved = list(first)
    moved[AXES[axis]] += 3
    assert split_by_plane(voxels, spacing, tuple(moved), second, axis) == parts
    rows, columns = (a for a in range(3) if a != AXES[axis])
    steps = np.array(spacing)
    along = (np.array(second) - first) * steps
    off = (voxels - np.array(first)) * steps
    side = np.sign(along[rows] * off[:, columns] - along[columns] * off[:, rows])
    for part in parts:
        assert len(set(side[list(part)].tolist()) - {0.0}) <= 1


def test_a_line_that_misses_the_lesion_splits_nothing():
    """One side, one point, no artery: told."""
    voxels = np.array([[0, 1, 1], [0, 1, 2]])
    with pytest.raises(ReviewError, match="one side"):
        split_by_plane(voxels, (1, 1, 1), (0, 5, 0), (0, 5, 9), "axial")
    with pytest.raises(ReviewError, match="same one twice"):
        split_by_plane(voxels, (1, 1, 1), (0, 5, 0), (9, 5, 0), "axial")
    with pytest.raises(ReviewError, match="draw a line"):
        split_by_arteries(voxels, (1, 1, 1), {})
    with pytest.raises(ReviewError, match="LAD is nearest"):
        split_by_arteries(voxels, (1, 1, 1), {Label.LAD: voxels, Label.RCA: voxels + 40})


def test_arteries_split_what_lies_between_them():
    """Each voxel goes to the artery that passes nearest, in millimetres."""
    scan, _ = made_scan()
    lesion = grow(scan.hu, MERGED[0], SPACING, LIMITS, NONE)
    parts = split_by_arteries(lesion, SPACING, PATHS)
    assert len(parts) == 2
    steps = np.array(SPACING)
    for part, label in zip(parts, sorted(PATHS), strict=True):
        for voxel in lesion[list(part)]:
            away = {t: np.linalg.norm((p - voxel) * steps, axis=1).min() for t, p in PATHS.items()}
            assert away[label] == min(away.values())


def wanted_of(case, path):
    scan, result, _ = case
    return Wanted(scan.geometry, result.provenance.scan_sha256, None if path is None else Source(path))


def test_a_scan_is_read_once_and_then_mapped(tmp_path):
    """The first answer is of the scan's own file, the next session's of its prepared copy: the same values."""
    case = made_case()
    path = write_volume(case[0], tmp_path / "scan.nii.gz")
    wanted = {"a": wanted_of(case, path)}
    volumes = Volumes(wanted, tmp_path / "copies")
    assert volumes.state("a") == ("waiting", "")
    assert np.array_equal(volumes.request("a").result(), case[0].hu)
    volumes.close()
    volumes._readers.shutdown(wait=True)
    count, size = volumes.copies()
    assert count == 1
    assert size >= case[0].hu.nbytes
    path.unlink()
    again = Volumes(wanted, tmp_path / "copies")
    mapped = again.request("a").result()
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    assert np.array_equal(mapped, case[0].hu)
    again.close()


def test_another_scan_is_never_shown(tmp_path):
    """One voxel that differs, in the scan or in its copy, and the scan is refused or read again."""
    case = made_case()
    other = case[0].hu.copy()
    other[0, 0, 0] += 1
    wrong = write_volume(replace(case[0], hu=other), tmp_path / "wrong.nii.gz")
    volumes = Volumes({"a": wanted_of(case, wrong)}, tmp_path / "copies")
    with pytest.raises(ReviewError, match="fingerprint"):
        volumes.request("a").result()
    assert volumes.state("a")[0] == "failed"
    volumes.close()
    right = write_volume(case[0], tmp_path / "right.nii.gz")
    (tmp_path / "copies").mkdir(exist_ok=True)
    np.save(tmp_path / "copies" / f"{case[1].provenance.scan_sha256}.npy", other)
    volumes = Volumes({"a": wanted_of(case, right)}, tmp_path / "copies")
    assert np.array_equal(volumes.request("a").result(), case[0].hu)
    volumes.close()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"cut off" * 100])
def test_a_damaged_copy_is_made_again(tmp_path, content):
    """Whatever a copy's file holds, the scan's own values are shown."""
    case = made_case()
    path = write_volume(case[0], tmp_path / "scan.nii.gz")
    copy = tmp_path / "copies" / f"{case[1].provenance.scan_sha256}.npy"
    copy.parent.mkdir()
    copy.write_bytes(content)
    volumes = Volumes({"a": wanted_of(case, path)}, copy.parent)
    assert np.array_equal(volumes.request("a").result(), case[0].hu)
    volumes.close()
    volumes._readers.shutdown(wait=True)
    assert np.array_equal(np.load(copy), case[0].hu)


@pytest.mark.parametrize("lies", ["nowhere", "moved", "broken"])
def test_a_scan_that_cannot_be_read_is_told_without_its_path(tmp_path, lies):
    """The message says what to do, and nothing of the path, which may name a patient."""
    case = made_case()
    path = tmp_path / "Doe^Jane" / "scan.nii.gz"
    if lies == "broken":
        path.parent.mkdir()
        path.write_bytes(b"no scan")
    volumes = Volumes({"a": wanted_of(case, None if lies == "nowhere" else path)}, tmp_path / "copies")
    with pytest.raises(ReviewError, match="--scans") as told:
        volumes.request("a").result()
    assert "Doe" not in str(told.value)
    assert "Doe" not in volumes.state("a")[1]
    with pytest.raises(KeyError):
        volumes.request("b")
    volumes.close()


def test_where_the_disk_is_full_scans_are_shown_from_memory(tmp_path, monkeypatch):
    """Nothing is written, every scan is shown, and only a few stay in memory."""
    cases = [made_case(i, f"s{i}") for i in range(UNSAVED_MOST + 2)]
    wanted = {}
    for i, case in enumerate(cases):
        wanted[f"s{i}"] = wanted_of(case, write_volume(case[0], tmp_path / f"{i}.nii.gz"))
    monkeypatch.setattr("calcscore_ml.review.volumes.SPARE", 10**12)
    volumes = Volumes(wanted, tmp_path / "copies")
    for name, case in zip(wanted, cases, strict=True):
        assert np.array_equal(volumes.request(name).result(), case[0].hu)
    volumes.close()
    volumes._readers.shutdown(wait=True)
    assert volumes.copies() == (0, 0)
    assert len(volumes._unsaved) == UNSAVED_MOST


def test_copies_are_prepared_in_order_and_asked_ones_first(tmp_path):
    """The background prepares all; a scan that fails does not stop it; halves a crash left behind are removed."""
    cases = [made_case(i, f"s{i}") for i in range(3)]
    wanted = {f"s{i}": wanted_of(c, write_volume(c[0], tmp_path / f"{i}.nii.gz")) for i, c in enumerate(cases)}
    wanted["s1"] = wanted_of(cases[1], tmp_path / "gone.nii.gz")
    volumes = Volumes(wanted, tmp_path / "copies")
    volumes.folder.mkdir()
    old, new = (volumes.folder / f".{n}.part.x.npy" for n in ("00", "11"))
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    volumes.prepare(wanted)
    volumes._preparing.join(timeout=60)
    assert (old.exists(), new.exists()) == (False, True)
    assert [volumes.state(s)[0] for s in wanted] == ["ready", "failed", "ready"]
    assert volumes.copies()[0] == 2
    volumes.close()
