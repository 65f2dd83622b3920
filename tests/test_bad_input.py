"""Every row of docs/bad_input.md happens as written.

A case is a function of a scratch folder that does the bad thing. It is registered under the row's first cell; what it
raises, or the list of remarks it returns, must begin with the row's message. To add a row, add it to both.
"""

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from make_dicom import hu_values, save, series, store
from test_volumes import patched, scan_of

from calcscore_ml.candidates import threshold_for_kvp
from calcscore_ml.errors import CalcscoreError
from calcscore_ml.files import write_text
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.locate import Location
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels, write_labels
from calcscore_ml.io.volumes import write_volume
from calcscore_ml.manifest import ManifestRow, read_manifest, write_manifest
from calcscore_ml.models.bundle import load_bundle
from calcscore_ml.models.skops_file import load_estimator
from calcscore_ml.quality import remarks
from calcscore_ml.recipe import builtin_recipe, read_recipe
from calcscore_ml.scan import Scan
from calcscore_ml.training import lesion_table
from calcscore_ml.validity import why_no_score

BOX = HeartBox((0.0, 10.0, 10.0), (90.0, 60.0, 60.0))

TABLE = Path(__file__).parent.parent / "docs" / "bad_input.md"
CASES = {}


def case(name):
    """Register the function that does what a row says."""

    def register(function):
        CASES[name] = function
        return function

    return register


def rows():
    """The table: input, what happens, message."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[1:]]


@contextlib.contextmanager
def full_disk(take_bytes):
    """A disk that takes this many bytes per file."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (take_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_every_row_is_tried_and_every_case_is_documented():
    """The table and the cases name the same inputs."""
    assert sorted(row[0] for row in rows()) == sorted(CASES)


@pytest.mark.parametrize(("name", "outcome", "message"), rows())
def test_bad_input_ends_as_documented(tmp_path, name, outcome, message):
    """A row that stops raises a project error that begins with the message; another gives a remark that does."""
    stops = outcome.startswith("stops") or outcome == "keeps it"
    with pytest.raises(CalcscoreError) if stops else contextlib.nullcontext() as caught:
        given = CASES[name](tmp_path)
    said = [str(caught.value)] if stops else given
    assert any(text.startswith(message) for text in said) if message else not said
    assert not [p for p in tmp_path.rglob("*") if ".part." in p.name], "nothing half-written is left"


def read(datasets, tmp_path):
    return list(read_scan(save(datasets, tmp_path / "scan")).remarks)


@case("path that does not exist")
def _(tmp_path):
    read_scan(tmp_path / "none")


@case("empty folder")
def _(tmp_path):
    read_scan(tmp_path)


@case("folder without DICOM files")
def _(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    read_scan(tmp_path)


@case("truncated DICOM file")
def _(tmp_path):
    folder = save(series(), tmp_path / "scan")
    last = max(folder.iterdir())
    last.write_bytes(last.read_bytes()[:-20])
    read_scan(folder)


@case("DICOM file cut off in its header")
def _(tmp_path):
    folder = save(series(), tmp_path / "scan")
    last = max(folder.iterdir())
    last.write_bytes(last.read_bytes()[:-200])
    read_scan(folder)


@case("truncated NIfTI file")
def _(tmp_path):
    path = write_volume(scan_of(), tmp_path / "scan.nii")
    path.write_bytes(path.read_bytes()[:-1])
    read_scan(path)


@case("missing slice")
def _(tmp_path):
    made = series()
    del made[2]
    read(made, tmp_path)


@case("duplicate slice, equal pixels")
def _(tmp_path):
    made = series()
    return read([*made, made[2]], tmp_path)


@case("duplicate slice, different pixels")
def _(tmp_path):
    read([*series(), series(hu_values(seed=1))[2]], tmp_path)


@case("unequal slice distances")
def _(tmp_path):
    made = series()
    made[-1].ImagePositionPatient = [-10, -20, 112.4]
    read(made, tmp_path)


@case("mixed series")
def _(tmp_path):
    read([*series(), *series(seed="b")], tmp_path)


@case("localizer among the slices")
def _(tmp_path):
    scout = series(orientation=(1, 0, 0, 0, 0, -1), seed="b")[0]
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return read([*series(), scout], tmp_path)


@case("coronal slices")
def _(tmp_path):
    read(series(orientation=(1, 0, 0, 0, 0, -1)), tmp_path)


@case("single slice")
def _(tmp_path):
    read(series()[:1], tmp_path)


@case("missing rescale")
def _(tmp_path):
    made = series()
    del made[0].RescaleSlope
    read(made, tmp_path)


@case("stored values instead of HU")
def _(tmp_path):
    read_scan(write_volume(scan_of(hu_values() + np.int16(1024)), tmp_path / "scan.nii.gz"))


@case("MR instead of CT")
def _(tmp_path):
    made = series()
    for image in made:
        image.Modality = "MR"
    read(made, tmp_path)


@case("compressed pixels without a decoder")
def _(tmp_path):
    made = series()
    made[0].compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
    made[0].file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2: no decoder for any CT
    read(made, tmp_path)


@case("pixel padding")
def _(tmp_path):
    made = series()
    values = hu_values()[0].astype(np.int32) + 1024
    values[0, 0] = 63536
    store(made[0], values)
    for image in made:
        image.add_new("PixelPaddingValue", "US", 63536)
    return read(made, tmp_path)


@case("tilted gantry")
def _(tmp_path):
    angle = np.deg2rad(12)
    made = series(orientation=(1, 0, 0, 0, np.cos(angle), -np.sin(angle)), step=(0, 0, 3))
    return [remark.text for remark in remarks(read_scan(save(made, tmp_path / "scan")))]


@case("NaN in NIfTI")
def _(tmp_path):
    values = hu_values().astype(np.float32)
    values[0, 0, 0] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "scan.nii.gz"))
    read_scan(tmp_path / "scan.nii.gz")


@case("mirrored affine")
def _(tmp_path):
    read_scan(patched(write_volume(scan_of(), tmp_path / "scan.nii"), (280, "f", 0.4)))


@case("sheared affine")
def _(tmp_path):
    read_scan(patched(write_volume(scan_of(), tmp_path / "scan.nii"), (284, "f", 0.05)))


@case("volume that does not say where it lies")
def _(tmp_path):
    read_scan(patched(write_volume(scan_of(), tmp_path / "scan.nii"), (252, "h", 0), (254, "h", 0)))


@case("four-dimensional volume")
def _(tmp_path):
    image = sitk.GetImageFromArray(np.full((2, 3, 4, 5), -1000, dtype=np.int16), isVector=False)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    read_scan(tmp_path / "scan.nii.gz")


@case("labels of another scan")
def _(tmp_path):
    labels = np.zeros((2, 3, 4), dtype=np.uint8)
    path = write_labels(labels, Geometry(labels.shape, (3, 1, 1)), tmp_path / "labels.nii.gz")
    read_labels(path, Geometry(labels.shape, (2.5, 1, 1)))


@case("label number that is no label")
def _(tmp_path):
    write_labels(np.full((2, 3, 4), 8, dtype=np.uint8), Geometry((2, 3, 4), (3, 1, 1)), tmp_path / "labels.nii.gz")


@case("manifest with a misspelt split")
def _(tmp_path):
    (tmp_path / "m.csv").write_text("scan_id,patient_id,image,split\ns1,p1,a.nii,trian\n")
    read_manifest(tmp_path / "m.csv")


@case("one patient in two splits")
def _(tmp_path):
    (tmp_path / "m.csv").write_text("scan_id,patient_id,image,split\ns1,p1,a.nii,train\ns2,p1,b.nii,test\n")
    read_manifest(tmp_path / "m.csv")


@case("result that exists already")
def _(tmp_path):
    write_volume(scan_of(), tmp_path / "scan.nii.gz")
    write_volume(scan_of(), tmp_path / "scan.nii.gz")


@case("disk full while writing a volume")
def _(tmp_path):
    for ending in (".nii", ".nii.gz", ".nrrd"):
        with full_disk(300), pytest.raises(CalcscoreError, match="a result must be written whole"):
            write_volume(scan_of(), tmp_path / f"scan{ending}")
    assert not list(tmp_path.iterdir())
    with full_disk(300):
        write_volume(scan_of(), tmp_path / "scan.mha")


@case("disk full while writing a manifest")
def _(tmp_path):
    many = [ManifestRow(f"s{i}", f"p{i}", "train", tmp_path / f"{i}.nii") for i in range(200)]
    write_manifest([], tmp_path / "m.csv")
    try:
        with full_disk(300):
            write_manifest(many, tmp_path / "m.csv", overwrite=True)
    finally:
        assert read_manifest(tmp_path / "m.csv") == ()


@case("disk full while writing a result")
def _(tmp_path):
    with full_disk(300):
        try:
            write_text(tmp_path / "result.json", "x" * 10_000)
        finally:
            assert not list(tmp_path.iterdir())


@case("misspelt key in a recipe")
def _(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "mine"\n[candidates]\ntreshold_hu = 130\n')
    read_recipe(recipe)


@case("recipe for a tube voltage without a published threshold")
def _(tmp_path):
    threshold_for_kvp(90)


@case("model file that is a pickle")
def _(tmp_path):
    load_estimator(pickle.dumps({"a": "model"}), "model/model.skops")


@case("model folder with a file missing")
def _(tmp_path):
    load_bundle(tmp_path)


@case("training cohort without labels")
def _(tmp_path):
    lesion_table([ManifestRow("s1", "p1", "train", tmp_path / "1.nii")], read_recipe(builtin_recipe()))


def unscored(box=BOX, slices=30, offset=0, noise=10.0, blood=40.0, atlases=False):
    """Why a trunk of soft tissue in air has no score."""
    hu = np.full((slices, 80, 80), -1000 + offset, np.int16)
    hu[:, 10:70, 10:70] = 40 + offset
    scan = Scan(hu, Geometry(hu.shape, (3.0, 1.0, 1.0)))
    return list(why_no_score(scan, Location(box, {}), blood_hu=blood, noise_hu=noise, atlases=atlases))


case("scan without a heart")(lambda _: unscored(box=None))
case("heart that atlases do not fit")(lambda _: unscored(atlases=True))
case("contrast agent in the blood")(lambda _: unscored(blood=121.0))
case("values with an offset of 1024, padding aside")(lambda _: unscored(offset=1024))
case("fewer slices than a heart needs")(lambda _: unscored(slices=19))
case("more noise than a model learns from")(lambda _: unscored(noise=95.0))


def test_a_plain_trunk_has_a_score():
    """Each of the scans without a score above has it for its own fault alone."""
    assert unscored() == []
