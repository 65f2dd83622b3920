"""Laws of the manifest."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calcscore_ml.errors import ManifestError, ResultError
from calcscore_ml.manifest import (
    SPLITS,
    ManifestRow,
    altered,
    content_sha256,
    missing,
    read_manifest,
    write_manifest,
)

HEADER = "scan_id,patient_id,split,image,labels,protocol,source,licence,sha256"
"""Of the manifests before organs had columns."""
PATHS = ("image", "labels", "organs", "centrelines")
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), max_size=8)


@st.composite
def manifests(draw):
    """Rows that keep every rule; one split per patient."""
    names = draw(st.lists(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,6}", fullmatch=True), unique=True, max_size=6))
    splits = {patient: draw(st.sampled_from(SPLITS)) for patient in "pqr"}
    rows = []
    for name in names:
        patient = draw(st.sampled_from("pqr"))
        rows.append(
            ManifestRow(
                name,
                patient,
                splits[patient],
                Path("scans") / f"{name}.nii.gz",
                draw(st.none() | st.just(Path("labels") / f"{name}, manual.nii.gz")),
                *(draw(texts) for _ in range(3)),
                draw(st.sampled_from(["", "0" * 64, "a1" * 32])),
                draw(st.none() | st.just(Path("scans") / f"{name}, organs.nii.gz")),
                draw(st.none() | st.just(Path("scans") / f"{name}.csv")),
            )
        )
    return rows


@settings(deadline=None, max_examples=50)
@given(rows=manifests())
def test_what_is_written_is_read_back_equal(tmp_path_factory, rows):
    """Writing and reading is the identity on valid rows, up to the order by scan_id."""
    folder = tmp_path_factory.mktemp("cohort")
    placed = [
        replace(r, **{name: path and folder / path for name in PATHS for path in [getattr(r, name)]}) for r in rows
    ]
    path = write_manifest(placed, folder / "data_manifest.csv")
    assert read_manifest(path) == tuple(sorted(placed, key=lambda r: r.scan_id))


def test_a_cohort_moves_as_one_folder(tmp_path):
    """Paths in the file are relative to it; those outside stay absolute."""
    folder = tmp_path / "a"
    rows = [ManifestRow("s1", "p1", "train", folder / "s1"), ManifestRow("s2", "p2", "test", tmp_path / "other" / "s2")]
    write_manifest(rows, folder / "m.csv")
    folder.rename(tmp_path / "b")
    assert [r.image for r in read_manifest(tmp_path / "b" / "m.csv")] == [
        tmp_path / "b" / "s1",
        tmp_path / "other" / "s2",
    ]


def test_a_relative_path_reads_where_it_was_written(tmp_path, monkeypatch):
    """Rows given relative to the working folder find their files again."""
    monkeypatch.chdir(tmp_path)
    write_manifest([ManifestRow("s1", "p1", "", Path("data/s1"))], "data/m.csv")
    assert "s1,p1,,s1" in (tmp_path / "data" / "m.csv").read_text()
    assert read_manifest("data/m.csv")[0].image == Path("data/s1")


def test_a_manifest_of_before_organs_is_read(tmp_path):
    """The columns organs and centrelines may be missing; what is written begins with the columns of before."""
    (tmp_path / "m.csv").write_text(f"{HEADER}\ns1,p1,test,a.nii,b.nii,p,s,l,\n")
    (row,) = read_manifest(tmp_path / "m.csv")
    assert row == ManifestRow("s1", "p1", "test", tmp_path / "a.nii", tmp_path / "b.nii", "p", "s", "l")
    assert (row.organs, row.centrelines) == (None, None)
    write_manifest([replace(row, organs=tmp_path / "s1" / "o.nii")], tmp_path / "m.csv", overwrite=True)
    written = (tmp_path / "m.csv").read_text()
    assert written == f"{HEADER},organs,centrelines\ns1,p1,test,a.nii,b.nii,p,s,l,,s1/o.nii,\n"


def test_columns_may_stand_in_any_order_and_some_be_left_out(tmp_path):
    """Spreadsheets reorder columns, add a byte order mark and empty lines."""
    (tmp_path / "m.csv").write_bytes("\ufeffimage, patient_id ,scan_id\r\na.nii,p1,s1\r\n,,\r\n".encode())
    assert read_manifest(tmp_path / "m.csv") == (ManifestRow("s1", "p1", "", tmp_path / "a.nii"),)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["s1,p1,trian,a,,,,,"], "train, calibrate, test or empty, got 'trian' in m.csv, line 2, column split"),
        (["s1,,train,a,,,,,"], "patient_id may not be empty, got '' in m.csv, line 2, column patient_id"),
        ([",p,train,a,,,,,"], "column scan_id"),
        (["s1,p1,train,,,,,,"], "column image"),
        (["../s1,p1,train,a,,,,,"], "a scan_id holds letters, digits"),
        (["s1,p1,train,a,,,,,12"], "64 hexadecimal digits or empty, got '12' in m.csv, line 2, column sha256"),
        (["s1,p1,train,a,,,,,", "S1,p2,train,b,,,,,"], "same scan_id in m.csv, lines 2 and 3"),
        (["s1,p1,train,a,,,,,", "", "s2,p1,train,a,,,,,"], "same image in m.csv, lines 2 and 4"),
        (["s1,p1,train,a,,,,,", "s2,p1,test,b,,,,,"], "a patient's scans stay in one split, got train and test"),
        (["s1,p1,train,a,b,c,d,e,f,g"], "got 10 for 9 columns in m.csv, line 2"),
        (['s1,p1,train,"a,,,,,'], "a manifest must be CSV, but m.csv, line 2"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named_with_line_and_column(tmp_path, lines, message):
    """Every error says where to look."""
    (tmp_path / "m.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    with pytest.raises(ManifestError, match=message.replace("m.csv", r"m\.csv")):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a manifest starts with scan_id,patient_id,split"),
        (b"scan_id;patient_id;image\n", "separated by commas"),
        (b"scan_id,patient_id\n", "missing 'image'"),
        (b"scan_id,patient_id,image,lables\n", "unknown 'lables'"),
        (b"scan_id,patient_id,image,image\n", "doubled 'image'"),
        (b"scan_id,patient_id,image\ns\xff,p,a\n", "must be UTF-8"),
    ],
)
def test_a_wrong_header_is_explained(tmp_path, content, message):
    """What is not a manifest is refused before any row is looked at."""
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "m.csv")


def test_a_manifest_that_is_not_there_is_an_error(tmp_path):
    """The path is named."""
    with pytest.raises(ManifestError, match="readable file"):
        read_manifest(tmp_path / "none.csv")


def test_an_unassigned_scan_may_share_a_patient_with_any_split(tmp_path):
    """Empty is no split yet."""
    rows = [ManifestRow("s1", "p1", "train", tmp_path / "a"), ManifestRow("s2", "p1", "", tmp_path / "b")]
    assert len(read_manifest(write_manifest(rows, tmp_path / "m.csv"))) == 2


def test_writing_checks_what_reading_checks(tmp_path):
    """No manifest is written that could not be read."""
    rows = [ManifestRow("s1", "p1", "train", tmp_path / "a"), ManifestRow("s2", "p1", "test", tmp_path / "b")]
    with pytest.raises(ManifestError, match="one split"):
        write_manifest(rows, tmp_path / "m.csv")
    assert not list(tmp_path.iterdir())


def test_an_existing_manifest_is_kept(tmp_path):
    """Overwriting must be asked for."""
    row = ManifestRow("s1", "p1", "train", tmp_path / "a")
    write_manifest([row], tmp_path / "m.csv")
    with pytest.raises(ResultError, match="an existing result is kept"):
        write_manifest([], tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv") == (row,)
    write_manifest([], tmp_path / "m.csv", overwrite=True)
    assert read_manifest(tmp_path / "m.csv") == ()


def test_missing_files_are_listed_not_refused(tmp_path):
    """A manifest may be read where the scans are not."""
    (tmp_path / "a.nii").touch()
    rows = (
        ManifestRow("s1", "p1", "train", tmp_path / "a.nii", tmp_path / "a_labels.nii"),
        ManifestRow("s2", "p1", "train", tmp_path / "b.nii"),
        ManifestRow("s3", "p1", "train", tmp_path / "a.nii", organs=tmp_path / "o.nii", centrelines=tmp_path / "c.csv"),
    )
    assert [p.name for p in missing(rows)] == ["a_labels.nii", "b.nii", "o.nii", "c.csv"]


def test_altered_images_are_found(tmp_path):
    """A changed byte, name or file changes the hash of a file or folder; a moved folder keeps it."""
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "1").write_bytes(b"one")
    (tmp_path / "scan" / "2").write_bytes(b"two")
    row = ManifestRow("s1", "p1", "train", tmp_path / "scan", sha256=content_sha256(tmp_path / "scan"))
    assert altered([row]) == ()
    (tmp_path / "scan").rename(tmp_path / "moved")
    assert content_sha256(tmp_path / "moved") == row.sha256
    (tmp_path / "moved").rename(tmp_path / "scan")
    (tmp_path / "scan" / "2").rename(tmp_path / "scan" / "3")
    assert altered([row]) == (row,)
    assert content_sha256(tmp_path / "scan" / "1") == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"


@pytest.mark.parametrize(
    ("name", "header"),
    [("s.mhd", "NDims = 3\nElementDataFile = s 1.raw\n"), ("s.nhdr", "NRRD0004\ndimension: 3\ndata file: s 1.raw\n")],
)
def test_a_headers_hash_is_of_its_values_too(tmp_path, name, header):
    """Where a header names the file of its values, a changed value changes the hash; LOCAL values are in the file."""
    (tmp_path / name).write_text(header)
    (tmp_path / "s 1.raw").write_bytes(b"\0\1")
    row = ManifestRow("s1", "p1", "", tmp_path / name, sha256=content_sha256(tmp_path / name))
    assert altered([row]) == ()
    (tmp_path / "s 1.raw").write_bytes(b"\0\2")
    assert altered([row]) == (row,)
    (tmp_path / name).write_text(header.replace("s 1.raw", "LOCAL"))
    assert content_sha256(tmp_path / name) == sha256((tmp_path / name).read_bytes()).hexdigest()


def test_the_repositorys_manifest_lists_its_scans():
    """The real scans are there and unaltered; the digital cohorts are listed, each to be made by one command."""
    rows = read_manifest("data_manifest.csv")
    real = [r for r in rows if r.sha256]
    assert {r.image.name for r in real} == {p.name for p in Path("data").iterdir() if p.is_dir()}
    assert not missing(real)
    assert not altered(real)
    digital = [r for r in rows if r not in real]
    assert {r.source for r in digital} == {
        "calcscore phantom default", "calcscore phantom held_out", "calcscore phantom stented",
    }  # fmt: skip
    assert [sum(r.split == s for r in digital) for s in ("train", "calibrate", "test")] == [192, 48, 60]
