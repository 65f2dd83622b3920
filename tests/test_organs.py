"""Organs and centrelines of digital patients: where they lie, and how they are written, completed and refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import distance_transform_edt

from calcscore_ml.anatomy import AORTA, ARTERIES, Organ
from calcscore_ml.errors import ResultError, ScanError
from calcscore_ml.io.centrelines import CENTRELINE_COLUMNS, read_centrelines, write_centrelines
from calcscore_ml.io.labels import read_labels
from calcscore_ml.io.volumes import read_volume
from calcscore_ml.manifest import read_manifest
from calcscore_ml.phantom import Cohort, find_protocol, write_cohort
from calcscore_ml.phantom.cohort import CENTRELINES_NAME, ORGANS_NAME

CHEST = replace(find_protocol("chest-5mm"), name="chest", matrix=96, z_range_mm=(-100.0, 60.0), noise_sd_hu=(2.0, 3.0))
TINY = replace(find_protocol("gated-3mm"), name="tiny", matrix=64, z_range_mm=(-6.0, 6.0))
PLAIN = Cohort(count=1, seed=9, protocols=(TINY,), image_format="nifti")

POINTS = """artery,branch,point,x_mm,y_mm,z_mm,radius_mm
LM,left main,0,1.5,-2,30,2.5
LM,left main,1,2.5,-2,30,
LAD,LAD,0,3.5,-2,30,2
LAD,diagonal 1,4,3.5,-3,29,1
"""


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    """One chest of a cohort with organs: scan, organs, centrelines, truth."""
    folder = tmp_path_factory.mktemp("chest")
    (row,) = write_cohort(folder, replace(PLAIN, protocols=(CHEST,), organs=True))
    assert read_manifest(folder / "data_manifest.csv") == (row,)
    scan = read_volume(row.image)
    truth = json.loads((row.image.parent / "truth.json").read_text())
    return scan, read_labels(row.organs, scan.geometry, Organ), read_centrelines(row.centrelines), truth


def test_organs_lie_on_the_scan_where_they_are_seen(chest):
    """In their scan lungs are dark, heart and aorta are soft tissue, and spine and sternum are brighter."""
    scan, organs, _, _ = chest
    middle = {organ: float(np.median(scan.hu[organs == organ])) for organ in Organ}
    assert max(middle[Organ.RIGHT_LUNG], middle[Organ.LEFT_LUNG]) < -500
    assert all(-20 < middle[organ] < 80 for organ in (Organ.HEART, *AORTA))
    assert min(middle[Organ.SPINE], middle[Organ.STERNUM]) > middle[Organ.DESCENDING_AORTA]
    rightmost, leftmost = (np.argwhere(organs == lung)[:, 2].mean() for lung in (Organ.RIGHT_LUNG, Organ.LEFT_LUNG))
    assert rightmost < leftmost


def test_the_labelled_heart_fills_its_box(chest):
    """The heart's label spans the truth's heart box within two centimetres on each side: the sac has fat."""
    scan, organs, _, truth = chest
    heart = np.argwhere(organs == Organ.HEART) * np.asarray(scan.geometry.spacing)
    low, high = np.array(truth["heart_box_mm"])
    assert np.all(np.abs(heart.min(axis=0) - low) < 20)
    assert np.all(np.abs(heart.max(axis=0) - high) < 20)


def test_centrelines_run_on_the_heart(chest):
    """Every point within the scan lies within 6 mm of heart or aorta, and all four arteries have points."""
    scan, organs, lines, _ = chest
    near = distance_transform_edt(~np.isin(organs, (Organ.HEART, *AORTA)), sampling=scan.geometry.spacing)
    index = np.rint(scan.geometry.to_index(lines[["x_mm", "y_mm", "z_mm"]].to_numpy())).astype(int)
    inside = np.all((index >= 0) & (index < organs.shape), axis=1)
    assert inside.mean() > 0.9
    assert near[tuple(index[inside].T)].max() < 6
    assert set(lines.artery) == {artery.name for artery in ARTERIES}
    assert lines.radius_mm.between(0.3, 4).all()


def test_organs_asked_for_later_complete_the_scans(tmp_path):
    """A cohort made without organs is not made anew: the scan's files stay, and the organs are those made at once."""
    (bare,) = write_cohort(tmp_path / "a", PLAIN)
    home = bare.image.parent
    assert (bare.organs, bare.centrelines) == (None, None)
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in home.iterdir()}
    assert not {ORGANS_NAME, CENTRELINES_NAME} & set(before)
    asked = replace(PLAIN, organs=True)
    (full,) = write_cohort(tmp_path / "a", asked)
    assert {name: ((home / name).stat().st_mtime_ns, (home / name).read_bytes()) for name in before} == before
    (once,) = write_cohort(tmp_path / "b", asked)
    assert full.sha256 == bare.sha256 == once.sha256
    for name in (*before, ORGANS_NAME, CENTRELINES_NAME):
        assert (home / name).read_bytes() == (once.image.parent / name).read_bytes()
    assert {file.name for file in home.iterdir()} == {*before, ORGANS_NAME, CENTRELINES_NAME}
    full.centrelines.unlink()
    kept = full.organs.stat().st_mtime_ns
    write_cohort(tmp_path / "a", asked)
    assert full.organs.stat().st_mtime_ns == kept
    assert full.centrelines.read_bytes() == once.centrelines.read_bytes()
    assert write_cohort(tmp_path / "b", PLAIN) == (replace(once, organs=None, centrelines=None),), (
        "a scan with organs is the scan without"
    )


def test_no_organs_are_laid_into_another_cohorts_scans(tmp_path):
    """A folder of scans made otherwise is refused before anything is written into it."""
    (bare,) = write_cohort(tmp_path, PLAIN)
    with pytest.raises(ResultError, match="another folder"):
        write_cohort(tmp_path, replace(PLAIN, protocols=(replace(TINY, matrix=48),), organs=True))
    assert not (bare.image.parent / ORGANS_NAME).exists()


def test_centrelines_are_read_back_as_written(tmp_path):
    """Writing and reading keeps every point to 0.1 micrometres; radii may be unknown, columns in any order."""
    (tmp_path / "a.csv").write_text(POINTS)
    table = read_centrelines(tmp_path / "a.csv")
    assert tuple(table.columns) == CENTRELINE_COLUMNS
    assert table.point.tolist() == [0, 1, 0, 4]
    assert table.radius_mm.isna().tolist() == [False, True, False, False]
    table["x_mm"] += 1 / 3
    turned = table[list(CENTRELINE_COLUMNS[::-1])]
    again = read_centrelines(write_centrelines(turned, tmp_path / "b.csv"))
    pd.testing.assert_frame_equal(again, table, rtol=0, atol=1e-4)
    bare = read_centrelines(write_centrelines(table.drop(columns="radius_mm"), tmp_path / "c.csv"))
    assert bare.radius_mm.isna().all()
    with pytest.raises(ResultError, match="is kept"):
        write_centrelines(table, tmp_path / "b.csv")
    with pytest.raises(ScanError, match=r"finite number .* in d\.csv, line 2"):
        write_centrelines(table.assign(z_mm=np.nan), tmp_path / "d.csv")
    assert not (tmp_path / "d.csv").exists()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (POINTS, "", "missing 'artery'"),
        ("y_mm", "y", "unknown 'y' in p.csv, line 1"),
        (",radius_mm", ",y_mm", "doubled 'y_mm'"),
        (",z_mm", ";z_mm", "unknown 'y_mm;z_mm'"),
        (POINTS.partition("\n")[2], "", "at least one point"),
        ("LAD,LAD", "D1,LAD", "LM, LAD, LCX, RCA, got 'D1' in p.csv, line 4"),
        ("LAD,LAD", "LAD,", "branch may not be empty, got '' in p.csv, line 4"),
        ("main,1,", "main,0,", "ascending from its origin, got 0 after 0 of LM 'left main' in p.csv, line 3"),
        ("main,1,", "main,1.5,", "whole number, got '1.5' in p.csv, line 3"),
        ("-3,29", "nan,29", "y_mm must be a finite number of millimetres, got 'nan' in p.csv, line 5"),
        ("-3,29", "-3,", "z_mm must be a finite number of millimetres, got '' in p.csv, line 5"),
        ("30,2\n", "30,inf\n", "radius_mm must be a finite number"),
        ("30,2\n", "30,0\n", "radius_mm must be above 0, got '0' in p.csv, line 4"),
        ("30,2\n", "30,2,7\n", "got 8 for 7 columns in p.csv, line 4"),
        ("LAD,LAD", 'LAD,"LAD', "must be CSV"),
    ],
)
def test_wrong_centrelines_are_refused(tmp_path, old, new, told):
    """Every error says the rule, what came, and which line of which file."""
    assert POINTS.count(old) == 1
    (tmp_path / "p.csv").write_text(POINTS.replace(old, new))
    with pytest.raises(ScanError, match=told.replace(".csv", r"\.csv")):
        read_centrelines(tmp_path / "p.csv")


def test_centrelines_that_cannot_be_read_are_refused(tmp_path):
    """A missing file and one in another encoding are told by name."""
    with pytest.raises(ScanError, match=r"none\.csv .*check the path"):
        read_centrelines(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(POINTS.replace("left", "l\xe4ft", 1).encode("latin-1"))
    with pytest.raises(ScanError, match=r"latin\.csv \(not UTF-8\)"):
        read_centrelines(tmp_path / "latin.csv")
