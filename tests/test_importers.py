"""Laws of the importers: what a public data set's files say is what the manifest and its label volumes say."""

import contextlib
import json
import plistlib
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given
from hypothesis import strategies as st
from make_dicom import SECRETS, save, series
from matplotlib.path import Path as Polygon
from pydicom.dataelem import DataElement
from typer.testing import CliRunner

from calcscore_ml.anatomy import Label
from calcscore_ml.cli import app
from calcscore_ml.errors import ScanError
from calcscore_ml.geometry import Geometry
from calcscore_ml.importers import outlines as outlines_module
from calcscore_ml.importers.coca import ARTERY, draw_labels
from calcscore_ml.importers.folder import find_folder
from calcscore_ml.importers.listing import Shares, scan_ids
from calcscore_ml.importers.orcascore import find_orcascore
from calcscore_ml.importers.outlines import Outline, read_outlines
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels, write_labels
from calcscore_ml.io.volumes import write_volume
from calcscore_ml.manifest import SCAN_ID, altered, missing, read_manifest
from calcscore_ml.recipe import parse_recipe
from calcscore_ml.scan import Scan
from calcscore_ml.training import lesion_table

SHAPE = (6, 40, 48)
GRID = Geometry(SHAPE, (3.0, 0.5, 0.4), (-10.0, -20.0, 100.0))
PLAQUES = {Label.RCA: (1, 8, 10), Label.LAD: (2, 20, 30), Label.LCX: (4, 30, 12), Label.LM: (4, 12, 40)}
"""The first voxel (z, y, x) of each plaque: 3 x 4 voxels of one slice."""
NAMES = {label: name.title() for name, label in ARTERY.items()}


def chest(seed=0):
    """HU of a made-up chest: air around soft tissue, and a plaque of each artery with a texture of its own."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 10, SHAPE)
    hu[:, :3] = hu[:, -3:] = -1000
    for z, y, x in PLAQUES.values():
        hu[z, y : y + 3, x : x + 4] = rng.integers(200, 900, (3, 4))
    return np.rint(hu).astype(np.int16)


def truth():
    """Label volume of the plaques."""
    labels = np.zeros(SHAPE, np.uint8)
    for label, (z, y, x) in PLAQUES.items():
        labels[z, y : y + 3, x : x + 4] = label
    return labels


def outline(label, hu, **changed):
    """A region as COCA's files hold it: around a plaque, and a pixel wider at its left, so with dark pixels."""
    z, y, x = PLAQUES[label]
    corners = [(x - 1.3, y - 0.3), (x + 3.3, y - 0.3), (x + 3.3, y + 2.3), (x - 1.3, y + 2.3)]
    inside = hu[z, y : y + 3, x - 1 : x + 4]
    return {
        "Area": 0.024, "Center": f"({x}, {y})", "Dev": float(inside.std()), "IndexInImage": 0, "Length": 1.0,
        "Max": float(inside.max()), "Mean": float(inside.mean()), "Min": float(inside.min()), "Name": NAMES[label],
        "NumberOfPoints": 4, "Point_mm": [f"({a * 0.4}, {b * 0.5}, {100 + 3 * z})" for a, b in corners],
        "Point_px": [f"({a:f}, {b:f})" for a, b in corners], "Total": float(inside.sum()), "Type": 20, **changed,
    }  # fmt: skip


def plist(*rois):
    """The property list of regions, each with its slice."""
    images = [{"ImageIndex": z, "NumberOfROIs": 1, "ROIs": [roi]} for z, roi in rois]
    return plistlib.dumps({"Images": images})


def all_outlines(hu):
    return [(PLAQUES[label][0], outline(label, hu)) for label in PLAQUES]


def coca(root, patients):
    """A small COCA: bytes of outlines (or None) by patient; series with invalid UIDs, as published."""
    home = root / "Gated_release_final"
    (home / "calcium_xml").mkdir(parents=True)
    for name, content in patients.items():
        if content is not None:
            (home / "calcium_xml" / f"{name}.xml").write_bytes(content)
        made = series(chest(int(name)))
        for image in made:
            for uid in ("SeriesInstanceUID", "StudyInstanceUID"):
                image[uid] = DataElement(uid, "UI", f"1.02.003.{name}", validation_mode=pydicom.config.IGNORE)
        save(made, home / "patient" / name / "Pro_Gated_CS_3.0")
    return root


def run(*arguments, code=0):
    """Run a command; its exit code is part of the law."""
    result = CliRunner().invoke(app, ["manifest", *(str(a) for a in arguments)])
    assert result.exit_code == code, result.output + repr(result.exception)
    return SimpleNamespace(told=json.loads(result.stdout) if "--json" in arguments else None, text=result.output)


def arteries_learnt(rows):
    """Labels of the lesions that training sees in these scans."""
    recipe = parse_recipe(
        {
            "name": "small",
            "location": {"atlases": ""},
            "candidates": {"min_volume_mm3": 0},
            "features": {"families": ["size"]},
        },
        "the tests",
    )
    table = lesion_table(rows, recipe)
    assert not table.failed
    return sorted(Label(v) for v in table.truth if v)


def test_coca_becomes_a_cohort_to_train_on(tmp_path):
    """Labels, manifest and checksums of a data set whose path has a space, read back by what trains."""
    root = coca(tmp_path / "my coca", {n: plist(*all_outlines(chest(int(n)))) for n in "012"} | {"3": None})
    out = tmp_path / "out put"
    done = run("coca", root, "-o", out, "--json", "--calibrate", 0, "--test", 0.5)
    assert done.told["failed"] == {}
    assert done.told["notes"] == {}
    rows = read_manifest(out / "data_manifest.csv")
    assert [r.scan_id for r in rows] == done.told["scans"] == ["coca-0", "coca-1", "coca-2", "coca-3"]
    assert not missing(rows)
    assert all(r.sha256 for r in rows)
    assert not altered(rows)
    assert rows[3].labels is None
    assert rows[3].split == ""
    assert all(r.split in ("train", "test") for r in rows[:3])
    assert "labels/coca-0.nii.gz" in (out / "data_manifest.csv").read_text()
    scan = read_scan(rows[0].image)
    assert np.array_equal(read_labels(rows[0].labels, scan.geometry), truth())
    assert arteries_learnt(rows[:3]) == sorted([*PLAQUES] * 3)


def test_one_bad_patient_never_stops_the_others(tmp_path):
    """Everything that can be wrong with a patient is told by name, the good ones are listed, and the exit code is 1."""
    hu = chest(0)
    good = all_outlines(hu)
    bad = {
        "10": (plist(*good)[:-40], "whole XML property list"),
        "11": (plist((1, outline(Label.RCA, hu, Name="Aorta")), (9, outline(Label.LAD, hu))), "'Aorta' in slice 1"),
        "12": (plist(*good, (6, outline(Label.RCA, hu))), "slice 6 of 6"),
        "13": (plist((1, outline(Label.RCA, hu, Point_px=["(44, 1)", "(60, 1)", "(44, 9)"]))), "48 x 40 pixels"),
        "14": (plist((1, outline(Label.RCA, hu, Point_px=["(1; 2)"]))), '"(x, y)"'),
        "15": (plist((1, outline(Label.RCA, hu, Point_px=[]))), "none in all 1"),
        "16": (plist((0, outline(Label.RCA, hu))), "mean HU"),
        "17": (plistlib.dumps({"Images": [{"ROIs": []}]}), "Images.0.ImageIndex"),
        "18": (plist(*good), "no files"),
    }
    root = coca(tmp_path / "coca", {"0": plist(*good), **{name: content for name, (content, _) in bad.items()}})
    for file in (root / "Gated_release_final" / "patient" / "18" / "Pro_Gated_CS_3.0").iterdir():
        file.unlink()
    (root / "Gated_release_final" / "calcium_xml" / "99.xml").write_bytes(plist(*good))
    done = run("coca", root, "-o", tmp_path / "out", "--json", code=1)
    assert done.told["scans"] == ["coca-0"]
    assert set(done.told["failed"]) == {"99.xml", *(f"coca-{name}" for name in bad)}
    for name, (_, words) in bad.items():
        assert words in done.told["failed"][f"coca-{name}"]
    assert [r.scan_id for r in read_manifest(tmp_path / "out" / "data_manifest.csv")] == ["coca-0"]
    assert {p.name for p in (tmp_path / "out" / "labels").iterdir()} == {"coca-0.nii.gz"}


def test_outlines_without_points_are_skipped_and_counted(tmp_path):
    """The others are drawn, and the patient is told of."""
    hu = chest(5)
    rois = [*all_outlines(hu), (0, outline(Label.RCA, hu, Point_px=[], Point_mm=[], NumberOfPoints=0))]
    root = coca(tmp_path / "coca", {"5": plist(*rois)})
    done = run("coca", root / "Gated_release_final", "-o", tmp_path / "out")
    assert "coca-5: note: 1 of 5 outlines have no points" in done.text
    assert "UID" not in done.text
    (row,) = read_manifest(tmp_path / "out" / "data_manifest.csv")
    assert np.array_equal(read_labels(row.labels, GRID), truth())


@given(seed=st.integers(0, 10_000), corners=st.integers(3, 12), label=st.sampled_from(list(PLAQUES)))
def test_labels_are_the_bright_pixels_whose_centre_is_inside(seed, corners, label):
    """Matplotlib's point-in-polygon, a second implementation, finds the same pixels of any star-shaped outline."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    points = rng.uniform(14, 26, 2) + rng.uniform(2, 13, (corners, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
    hu = rng.integers(-200, 600, SHAPE).astype(np.int16)
    z = int(rng.integers(SHAPE[0]))
    labels, _ = draw_labels(Scan(hu, GRID), [Outline(z, NAMES[label], points)])
    y, x = np.indices(SHAPE[1:]).reshape(2, -1)
    inside = Polygon(points).contains_points(np.stack([x, y], 1)).reshape(SHAPE[1:])
    assert np.array_equal(labels[z], np.where(inside & (hu[z] >= 130), label, 0))
    assert not np.delete(labels, z, axis=0).any()


@pytest.mark.parametrize("turn", [lambda hu: hu[::-1], lambda hu: hu[:, ::-1], lambda hu: hu[:, :, ::-1]])
def test_outlines_of_a_turned_scan_are_refused(turn):
    """On slices upside down, or an image mirrored, the means are others than the file's."""
    hu = chest()
    rois = [Outline(z, roi["Name"], np.array([[float(v) for v in re.findall(r"[\d.]+", p)] for p in roi["Point_px"]]),
                    roi["Mean"]) for z, roi in all_outlines(hu)]  # fmt: skip
    labels, note = draw_labels(Scan(hu, GRID), rois)
    assert np.array_equal(labels, truth())
    assert note == ""
    with pytest.raises(ScanError, match="4 of 4 do not have the mean HU"):
        draw_labels(Scan(turn(hu).copy(), GRID), rois)
    _, note = draw_labels(Scan(hu, GRID), [replace(rois[0], mean_hu=float("nan")), *rois[1:]])
    assert note == "1 of 4 outlines do not have the mean HU of their file"
    _, note = draw_labels(Scan(hu, GRID), [*rois, Outline(0, NAMES[Label.RCA], np.array([[5, 5], [9, 5], [5, 9.0]]))])
    assert note == "1 of 5 outlines hold no pixel of 130 HU"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'<!DOCTYPE plist [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><plist><string>&c;</string></plist>', "entity"),
        (plistlib.dumps({"Images": []}, fmt=plistlib.FMT_BINARY), "whole XML"),
        (b'<?xml version="1.0" encoding="klingon"?><plist></plist>', "whole XML"),
        (b"<plist><date>never</date></plist>", "whole XML"),
        (b"<plist><array/></plist>", "the root"),
        (b"", "whole XML"),
        (plist((1, {"Name": "a", "Point_px": ["(nan, 1)"]})), "finite"),
    ],
)
def test_outlines_that_are_none_are_refused(tmp_path, content, words):
    """Entities, binary property lists, unknown encodings and values, points that are nowhere: told, with the file."""
    (tmp_path / "1.xml").write_bytes(content)
    with pytest.raises(ScanError, match=words) as caught:
        read_outlines(tmp_path / "1.xml")
    assert "1.xml" in str(caught.value)


def test_large_files_are_refused_unread(tmp_path, monkeypatch):
    """A byte more than the limit is too much."""
    whole = plist(*all_outlines(chest()))
    path = tmp_path / "1.xml"
    path.write_bytes(whole)
    assert len(read_outlines(path)) == 4
    monkeypatch.setattr(outlines_module, "LARGEST_BYTES", len(whole) - 1)
    with pytest.raises(ScanError, match="larger"):
        read_outlines(path)


@given(at=st.integers(0, 4000), insert=st.binary(max_size=6), cut=st.integers(0, 60))
def test_damaged_outlines_are_outlines_or_a_told_error(tmp_path_factory, at, insert, cut):
    """Whatever bytes are lost or added, nothing but a project error comes out."""
    whole = plist(*all_outlines(chest()))
    path = tmp_path_factory.mktemp("x") / "1.xml"
    path.write_bytes(whole[:at] + insert + whole[at + cut :])
    with contextlib.suppress(ScanError):
        assert all(o.points.shape[1:] == (2,) and np.isfinite(o.points).all() for o in read_outlines(path))


def meta_image(path, array, spacing=GRID.spacing):
    """Write a MetaImage by SimpleITK, header and values in two files."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def test_orcascore_becomes_a_cohort_to_train_on(tmp_path):
    """The challenge's split, labels and vendors; angiograms and test references are not there; the rest is told."""
    labels = np.where(truth() == Label.LM, Label.LAD, truth()).astype(np.uint8)
    images = tmp_path / "Challenge data" / "Training_set" / "Images"
    meta_image(images / "TRV1P1CTI.mhd", chest(1))
    meta_image(images / "TRV1P1CTAI.mhd", chest(2))
    meta_image(images.parent / "Reference" / "TRV1P1R.mhd", labels)
    meta_image(tmp_path / "Challenge data" / "Test_set" / "TE V2 P13 CTI.mha", chest(3))
    meta_image(images / "trv1p1cti-heart.mha", labels)
    done = run("orcascore", tmp_path / "Challenge data", "-o", tmp_path, "--json")
    assert list(done.told["notes"]) == ["Training_set/Images/trv1p1cti-heart.mha"]
    rows = read_manifest(tmp_path / "data_manifest.csv")
    assert [(r.scan_id, r.split, r.protocol, r.labels is not None) for r in rows] == [
        ("orcascore-TE-V2-P13", "test", "vendor 2", False),
        ("orcascore-TR-V1-P1", "train", "vendor 1", True),
    ]
    assert "Challenge data/Training_set/Images/TRV1P1CTI.mhd" in (tmp_path / "data_manifest.csv").read_text()
    assert not missing(rows)
    assert not altered(rows)
    assert arteries_learnt(rows[1:]) == [Label.LAD, Label.LAD, Label.LCX, Label.RCA]
    (images / "TRV1P1CTI.raw").write_bytes(b"\0" * 2 * chest().size)
    assert altered(rows) == rows[1:]


def test_orcascores_bad_patients_are_told(tmp_path):
    """A missing or misshapen reference, a number that is none of its, a doubled or missing scan: each by its reason."""
    for patient in range(1, 7):
        meta_image(tmp_path / f"TRV1P{patient}CTI.mhd", chest(patient))
        meta_image(tmp_path / f"TRV1P{patient}R.mhd", np.minimum(truth(), 3))
    (tmp_path / "TRV1P2R.mhd").unlink()
    meta_image(tmp_path / "TRV1P3R.mhd", truth()[:-1])
    meta_image(tmp_path / "TRV1P4R.mhd", truth())
    meta_image(tmp_path / "TR_V1_P05_CTI.mha", chest(5))
    (tmp_path / "TRV1P6CTI.mhd").unlink()
    done = run("orcascore", tmp_path, "-o", tmp_path / "out", "--json", code=1)
    assert done.told["scans"] == ["orcascore-TR-V1-P1"]
    words = {2: "needs a reference", 3: "grid", 4: "numbers up to 3", 5: "one CTI file", 6: "scoring scan"}
    failed = {name[-1]: reason for name, reason in done.told["failed"].items()}
    assert sorted(failed) == [str(n) for n in words]
    for patient, said in words.items():
        assert said in failed[str(patient)]


@given(
    parts=st.tuples(st.sampled_from(["TR", "te"]), st.integers(1, 4), st.integers(1, 40)),
    joins=st.tuples(*[st.sampled_from(["", " ", "_", "-", " - "])] * 3),
)
def test_names_are_understood_however_joined(tmp_path_factory, parts, joins):
    """With or without something between them, the parts of a name are the same."""
    root = tmp_path_factory.mktemp("names")
    (kind, vendor, patient), (a, b, c) = parts, joins
    (root / f"{kind}{a}V{vendor}{b}P{patient}{c}CTI.mhd").touch()
    (root / f"{kind}{c}V{vendor}{a}P{patient}{b}R.mhd").touch()
    (root / f"{kind}{c}V{vendor}{a}P{patient}{b}CTAI.mhd").touch()
    (row,) = find_orcascore(root).rows
    assert row.scan_id == f"orcascore-{kind.upper()}-V{vendor}-P{patient}"
    assert row.image.name.endswith("CTI.mhd")
    assert row.labels.name.endswith("R.mhd")


def folder_of_scans(root):
    """Two patients: one with a DICOM series and a volume, one with a DICOM series; labels for the first two."""
    save(series(chest(1)), root / "Doe Jane" / "ct 1")
    write_labels(truth(), GRID, root / "Doe Jane" / "ct 1-labels.nii.gz")
    write_volume(Scan(chest(2), GRID), root / "Doe Jane" / "later" / "image.nii.gz")
    write_labels(truth(), GRID, root / "Doe Jane" / "later" / "labels.nii.gz")
    save(series(chest(3), seed="b"), root / "Roe" / "a")
    return root


def test_any_folder_becomes_a_cohort_to_train_on(tmp_path):
    """DICOM folders and volumes are scans, label volumes and masks of other numbers are not, patients share a split."""
    root = folder_of_scans(tmp_path / "my scans")
    write_volume(Scan(chest(4), GRID), root / "Roe" / "msk.nrrd")
    (root / "Roe" / "notes.txt").write_text("none")
    done = run("folder", root, "-o", root, "--json")
    assert list(done.told["notes"]) == ["Roe/msk.nrrd"]
    rows = read_manifest(root / "data_manifest.csv")
    assert [(r.scan_id, r.patient_id) for r in rows] == [
        ("Doe-Jane-ct-1", "Doe Jane"), ("Doe-Jane-later-image", "Doe Jane"), ("Roe-a", "Roe"),
    ]  # fmt: skip
    assert [r.labels and r.labels.name for r in rows] == ["ct 1-labels.nii.gz", "labels.nii.gz", None]
    assert rows[0].split == rows[1].split != ""
    assert rows[2].split == ""
    assert not missing(rows)
    assert not altered(rows)
    assert arteries_learnt(rows[:2]) == sorted([*PLAQUES] * 2)
    (root / "moved").mkdir()
    assert "\nDoe-Jane-ct-1,Doe Jane," in (root / "data_manifest.csv").read_text()


def test_no_name_of_a_header_enters_a_manifest(tmp_path):
    """Names, identifiers, dates and free text of DICOM headers stay where they are; numbers hide folders' names too."""
    root = folder_of_scans(tmp_path / "scans")
    for more in ((), ("--number",)):
        done = run("folder", root, "-o", tmp_path / "out", "--json", "--overwrite", *more)
        text = (tmp_path / "out" / "data_manifest.csv").read_text()
        assert not any(secret in text for secret in SECRETS)
    assert done.told["scans"] == ["patient-1-scan-1", "patient-1-scan-2", "patient-2-scan-1"]
    assert [r.patient_id for r in read_manifest(tmp_path / "out" / "data_manifest.csv")] == [
        "patient-1", "patient-1", "patient-2",
    ]  # fmt: skip


def test_patterns_say_where_labels_are_and_whose_a_scan_is(tmp_path):
    """Labels in a folder of their own, with another ending; patients in the names of files."""
    for name in ("sub-7_a", "sub-7_b", "sub-8_a", "nobody"):
        write_volume(Scan(chest(), GRID), tmp_path / "img" / f"{name}.mha")
        write_labels(truth(), GRID, tmp_path / "masks" / f"{name}.nrrd")
    found = find_folder(tmp_path, labels=["../masks/{scan}.nrrd"], patient=r"sub-(\d+)")
    assert [(r.patient_id, r.image.name) for r in found.rows] == [
        ("7", "sub-7_a.mha"), ("7", "sub-7_b.mha"), ("8", "sub-8_a.mha"),
    ]  # fmt: skip
    assert all(r.labels == tmp_path / "masks" / r.image.with_suffix(".nrrd").name for r in found.rows)
    assert [name for name, _ in found.failed] == ["img-nobody"]
    whole = find_folder(tmp_path / "img", patient=r"sub-\d+|nobody")
    assert sorted({r.patient_id for r in whole.rows}) == ["nobody", "sub-7", "sub-8"]


def test_what_cannot_be_a_scan_or_its_labels_is_told(tmp_path):
    """A mask of the heart given as labels, shared and lonely labels, two series in a folder, labels of another grid."""
    root = tmp_path / "scans"
    heart = np.where(chest() > -500, 1, 0).astype(np.uint8)
    heart[chest() >= 130] = 3
    write_volume(Scan(chest(), GRID), root / "a" / "img.nrrd")
    write_labels(heart, GRID, root / "a" / "msk.nrrd")
    write_labels(truth(), GRID, root / "b" / "labels.nii.gz")
    for name in ("x", "y"):
        write_volume(Scan(chest(), GRID), root / "b" / f"{name}.nii.gz")
    write_labels(truth(), GRID, root / "c" / "gone_labels.nii.gz")
    save(series(chest()), root / "d")
    for i, image in enumerate(series(chest(), seed="other")):
        image.save_as(root / "d" / f"other{i}", enforce_file_format=True)
    write_volume(Scan(chest(), GRID), root / "e" / "img.nii.gz")
    write_labels(truth(), replace(GRID, origin=(0.0, 0.0, 0.0)), root / "e" / "img_labels.nii.gz")
    write_volume(Scan(chest(), GRID), root / "f" / "good.nii.gz")
    patterns = [v for p in ("msk.nrrd", "labels.nii.gz", "{scan}_labels.nii.gz") for v in ("--labels", p)]
    done = run("folder", root, "-o", tmp_path / "out", "--json", *patterns, code=1)
    assert done.told["scans"] == ["f-good"]
    assert done.told["notes"] == {}
    words = {
        "a-img": "mask of organs", "b-x": "one scan", "b-y": "one scan", "c/gone_labels.nii.gz": "needs its scan",
        "d": "only series of its folder", "e-img": "grid",
    }  # fmt: skip
    assert set(done.told["failed"]) == set(words)
    for name, said in words.items():
        assert said in done.told["failed"][name]


def test_a_patients_scans_are_never_on_both_sides(tmp_path):
    """Of many patients with several labelled scans each has one split, and every split has patients."""
    for patient in range(40):
        for scan in "ab":
            for name in (f"{scan}.nii.gz", f"{scan}_labels.nii.gz"):
                (tmp_path / f"p{patient}").mkdir(exist_ok=True)
                (tmp_path / f"p{patient}" / name).touch()
    rows = find_folder(tmp_path).rows
    assert len(rows) == 80
    assert len({(r.patient_id, r.split) for r in rows}) == 40
    assert {r.split for r in rows} == {"train", "calibrate", "test"}


@given(
    seed=st.integers(0, 99), calibrate=st.floats(0, 0.5), test=st.floats(0, 0.5), names=st.sets(st.text(), max_size=9)
)
def test_a_patients_split_depends_on_nobody_else(seed, calibrate, test, names):
    """Dealing is a function of seed and patient; shares are met on average; at the ends, exactly."""
    shares = Shares(calibrate, test, seed)
    splits = [shares.split_of(f"p{i}") for i in range(2000)]
    assert splits == [Shares(calibrate, test, seed).split_of(f"p{i}") for i in range(2000)]
    assert abs(splits.count("test") / 2000 - test) < 0.05
    assert abs(splits.count("calibrate") / 2000 - calibrate) < 0.05
    assert all(Shares(0, 1, seed).split_of(name) == "test" for name in names)
    assert all(Shares(0, 0, seed).split_of(name) == "train" for name in names)


@given(names=st.lists(st.text(max_size=6) | st.sampled_from(["a/b", "a b", "A-b", "a-b-2"])))
def test_every_name_gives_an_id_of_its_own(names):
    """Ids keep the manifest's rule and are unique, in capitals or not."""
    ids = scan_ids(names)
    assert all(SCAN_ID.fullmatch(one) for one in ids)
    assert len({one.lower() for one in ids}) == len(names)


@pytest.mark.parametrize("name", ["coca", "orcascore", "folder"])
def test_help_shows_how_and_an_empty_root_is_wrong_use(tmp_path, name):
    """Help has an example; a folder without scans, or none, exits with 2 and writes nothing."""
    text = run(name, "--help").text
    assert f"calcscore manifest {name}" in text
    assert "--overwrite" in text
    for root in (tmp_path, tmp_path / "none"):
        assert "got no" in " ".join(run(name, root, "-o", tmp_path / "out", code=2).text.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--labels", "{scan}_labels"), "must end in one of"),
        (("--patient", "("), "regular expression"),
        (("--test", "0.7", "--calibrate", "0.7"), "at most 1 together"),
    ],
)
def test_wrong_use_says_what_to_do(tmp_path, arguments, words):
    """Exit code 2, before anything is read or written."""
    folder_of_scans(tmp_path / "scans")
    assert words in " ".join(run("folder", tmp_path / "scans", "-o", tmp_path / "out", *arguments, code=2).text.split())
    assert not (tmp_path / "out").exists()


def test_an_existing_manifest_or_label_volume_is_kept(tmp_path):
    """Overwriting must be asked for, and then gives the same again."""
    root = coca(tmp_path / "coca", {"0": plist(*all_outlines(chest(0)))})
    out = tmp_path / "out"
    run("coca", root, "-o", out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert "never replaced unasked" in run("coca", root, "-o", out, code=2).text
    (out / "data_manifest.csv").unlink()
    assert "labels" in run("coca", root, "-o", out, code=2).text
    run("coca", root, "-o", out, "--overwrite")
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_nothing_is_written_when_no_scan_can_be_used(tmp_path):
    """All bad: exit code 1, no manifest, and every reason."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.nii").write_bytes(b"no")
    done = run("folder", tmp_path / "scans", "-o", tmp_path / "out", "--json", code=1)
    assert done.told["manifest"] is None
    assert list(done.told["failed"]) == ["a"]
    assert not (tmp_path / "out").exists()
