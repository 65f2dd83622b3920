"""Laws of the volume and label readers and writers."""

import gzip
import json
import struct

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from make_dicom import SECRETS, hu_values, save, series
from test_dicom import acquisitions, scans

from calcscore_ml.errors import GeometryError, ResultError, ScanError
from calcscore_ml.geometry import Geometry
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels, write_labels
from calcscore_ml.io.volumes import WRITTEN_ENDINGS, write_volume
from calcscore_ml.scan import Acquisition, Scan

ENDINGS = pytest.mark.parametrize("ending", WRITTEN_ENDINGS)


def scan_of(hu=None, **acquisition):
    hu = hu_values() if hu is None else hu
    return Scan(hu, Geometry(hu.shape, (3.0, 0.5, 0.4), (-10.0, -20.0, 100.0)), Acquisition(**acquisition))


def patched(path, *changes):
    """Change numbers of a NIfTI-1 header in place: (offset, struct format, value)."""
    content = bytearray(path.read_bytes())
    for offset, fmt, value in changes:
        struct.pack_into("<" + fmt, content, offset, value)
    path.write_bytes(bytes(content))
    return path


@settings(max_examples=25, deadline=None)
@given(scan=scans(), ending=st.sampled_from(WRITTEN_ENDINGS))
def test_what_is_written_is_read_back_equal(tmp_path_factory, scan, ending):
    """Writing and reading a volume with its JSON file is the identity on scans."""
    path = write_volume(scan, tmp_path_factory.mktemp("volume") / f"scan{ending}")
    assert read_scan(path) == scan


@settings(max_examples=25, deadline=None)
@given(
    scan=scans(),
    ending=st.sampled_from(WRITTEN_ENDINGS),
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_the_order_of_storage_does_not_matter(tmp_path_factory, scan, ending, order, flips):
    """Any permutation and flip of the axes, left-handed ones too, written by ITK, is the same scan."""
    image = sitk.GetImageFromArray(scan.hu)
    image.SetSpacing(scan.geometry.spacing[::-1])
    image.SetOrigin(scan.geometry.origin)
    image.SetDirection(np.ravel(scan.geometry.direction).tolist())
    image = sitk.Flip(sitk.PermuteAxes(image, order), flips)
    path = tmp_path_factory.mktemp("volume") / f"scan{ending}"
    sitk.WriteImage(image, str(path))
    assert read_scan(path) == Scan(scan.hu, scan.geometry)


@settings(max_examples=20, deadline=None)
@given(scan=scans(), ending=st.sampled_from(WRITTEN_ENDINGS))
def test_itk_reads_the_same_voxels_at_the_same_places(tmp_path_factory, scan, ending):
    """A second implementation agrees with what we write."""
    path = write_volume(scan, tmp_path_factory.mktemp("volume") / f"scan{ending}")
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), scan.hu)
    nz, ny, nx = scan.hu.shape
    for z, y, x in ((0, 0, 0), (nz - 1, ny - 1, nx - 1), (nz - 1, 0, nx - 1)):
        assert np.allclose(image.TransformIndexToPhysicalPoint((x, y, z)), scan.geometry.to_world((z, y, x)), atol=1e-2)


@ENDINGS
def test_a_dicom_series_and_its_volume_are_one_scan(tmp_path, ending):
    """The same scan through DICOM and through a volume is equal, acquisition and all."""
    made = series(orientation=(-1, 0, 0, 0, -1, 0))
    for image in made:
        image.ConvolutionKernel = ["I30f", "3"]
        image.CalciumScoringMassFactorDevice = [0.743, 0.779, 0.812]
        image.ContrastBolusAgent, image.HeartRate = "Ultravist 370", 58
        image.PatientAge, image.PatientSex, image.ReconstructionDiameter = "007M", "M", 250
    scan = read_scan(save(made, tmp_path / "dicom"))
    path = write_volume(scan, tmp_path / f"scan{ending}")
    assert scan.acquisition.mass_factors_mg_per_ml_hu == (0.743, 0.779, 0.812)
    assert read_scan(path) == scan
    assert not any(secret in (tmp_path / "scan.json").read_text() for secret in SECRETS)


def test_a_tilt_survives_in_the_json_file(tmp_path):
    """What positions no longer show is written down."""
    scan = scan_of(gantry_tilt_deg=12.0)
    assert read_scan(write_volume(scan, tmp_path / "scan.nii")) == scan


@given(acquisition=acquisitions)
@settings(max_examples=20, deadline=None)
def test_the_json_file_speaks_dicom(tmp_path_factory, acquisition):
    """Its keys are DICOM keywords, as dcm2niix writes them."""
    folder = tmp_path_factory.mktemp("json")
    hu = hu_values()
    write_volume(Scan(hu, Geometry(hu.shape, (1, 1, 1)), acquisition), folder / "scan.nii")
    header = json.loads((folder / "scan.json").read_text())
    assert ("KVP" in header) == (acquisition.kvp is not None)
    assert header.get("ManufacturersModelName") == acquisition.model


def test_dcm2niix_json_is_understood(tmp_path):
    """Keys we do not know are passed over; those we know are read."""
    path = write_volume(scan_of(), tmp_path / "scan.nii.gz")
    (tmp_path / "scan.json").write_text(
        json.dumps(
            {"Modality": "CT", "KVP": 100, "ManufacturersModelName": "Force", "ImageOrientationPatientDICOM": [1]}
        )
    )
    assert read_scan(path).acquisition == Acquisition(kvp=100.0, model="Force")


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_a_broken_json_file_is_named(tmp_path, content):
    """A side-car that cannot be read is an error, not silence."""
    path = write_volume(scan_of(), tmp_path / "scan.nii.gz")
    (tmp_path / "scan.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ScanError, match=r"scan\.json"):
        read_scan(path)


@ENDINGS
def test_writing_is_deterministic(tmp_path, ending):
    """The same scan gives the same bytes: no time stands in them."""
    for name in "ab":
        write_volume(scan_of(), tmp_path / name / f"scan{ending}")
    content = (tmp_path / "a" / f"scan{ending}").read_bytes()
    assert content == (tmp_path / "b" / f"scan{ending}").read_bytes()
    packed = content.find(b"\x1f\x8b\x08")
    assert packed < 0 or content[packed + 4 : packed + 8] == bytes(4)  # gzip's field for the time


@ENDINGS
def test_existing_volumes_are_kept(tmp_path, ending):
    """Neither the volume nor its JSON file is overwritten unasked, and both are when asked."""
    path = write_volume(scan_of(), tmp_path / f"scan{ending}")
    other = scan_of(hu_values(seed=1), kvp=100.0)
    with pytest.raises(ResultError, match="an existing result is kept"):
        write_volume(other, path)
    assert read_scan(path) == scan_of()
    assert read_scan(write_volume(other, path, overwrite=True)) == other


@pytest.mark.parametrize("name", ["scan.mhd", "scan.nhdr", "scan.dcm", "scan"])
def test_only_whole_files_are_written(tmp_path, name):
    """Formats of two files cannot be renamed into place at once."""
    with pytest.raises(ScanError, match=r"a volume"):
        write_volume(scan_of(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [20, 360, -10])
@ENDINGS
def test_a_truncated_volume_is_refused(tmp_path, ending, keep):
    """A file cut off anywhere is an error; ITK would fill a NIfTI file with zeros."""
    path = write_volume(scan_of(), tmp_path / f"scan{ending}")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ScanError, match="scan"):
        read_scan(path)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_a_damaged_gzip_is_refused(tmp_path, ending):
    """A flipped bit in compressed data is noticed by its checksum."""
    path = write_volume(scan_of(), tmp_path / f"scan{ending}")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ScanError, match="a volume must be whole"):
        read_scan(path)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ([(280, "f", 0.4)], GeometryError, "sform and qform must agree"),
        ([(76, "f", -1.0)], GeometryError, "sform and qform must agree"),
        ([(252, "h", 0), (280, "f", 0.4)], None, ""),
        ([(252, "h", 0), (254, "h", 0)], GeometryError, "has neither sform nor qform"),
        ([(252, "h", 0), (284, "f", 0.2)], GeometryError, "pixdim and sform must give one voxel size"),
        ([(252, "h", 0), (284, "f", 0.05)], GeometryError, "orthonormal columns, got a sheared one"),
        ([(252, "h", 0), (280, "f", float("nan"))], GeometryError, "pixdim and sform"),
        ([(123, "B", 1)], GeometryError, "must give mm"),
        ([(70, "h", 128)], ScanError, "plain numbers"),
        ([(40, "h", 4), (48, "h", 2)], ScanError, "three-dimensional"),
        ([(40, "h", 2)], ScanError, "three-dimensional"),
        ([(40, "h", 9)], ScanError, "three-dimensional"),
        ([(344, "4s", b"ni1\0")], ScanError, "NIfTI-1 or NIfTI-2 in one file"),
    ],
)
def test_nifti_headers_that_could_mislead_are_refused(tmp_path, changes, error, message):
    """Mirrored, sheared, silent, two- and four-dimensional files stop; a left-handed sform alone is only an order."""
    path = patched(write_volume(scan_of(), tmp_path / "scan.nii"), *changes)
    if error is None:
        mirrored = read_scan(path)
        assert np.array_equal(mirrored.hu, scan_of().hu[:, :, ::-1])
        return
    with pytest.raises(error, match=message):
        read_scan(path)


def test_qform_alone_places_a_volume(tmp_path):
    """Without sform the quaternion is used, and means what the sform meant."""
    hu = hu_values()
    turned = Geometry(hu.shape, (3.0, 0.5, 0.4), (1, 2, 3), ((0.98, -0.199, 0), (0.199, 0.98, 0), (0, 0, 1)))
    path = patched(write_volume(Scan(hu, turned), tmp_path / "scan.nii"), (254, "h", 0))
    assert read_scan(path) == Scan(hu, turned)


def test_a_geometry_error_names_the_file(tmp_path):
    """Whoever has a thousand volumes must know which."""
    path = patched(write_volume(scan_of(), tmp_path / "scan.nii"), (252, "h", 0), (284, "f", 0.05))
    with pytest.raises(GeometryError, match=r"scan\.nii"):
        read_scan(path)


def test_big_endian_and_nifti_2_hold_the_same_scan(tmp_path):
    """Byte order and version of the header change nothing."""
    scan = scan_of()
    small = write_volume(scan, tmp_path / "a.nii").read_bytes()
    big, large = bytearray(small), bytearray(544)
    for offset, fmt in (
        (0, "i"),
        (40, "8h"),
        (70, "2h"),
        (76, "8f"),
        (108, "3f"),
        (252, "2h"),
        (256, "6f"),
        (280, "12f"),
    ):
        struct.pack_into(">" + fmt, big, offset, *struct.unpack_from("<" + fmt, small, offset))
    big[352:] = np.frombuffer(small[352:], "<i2").astype(">i2").tobytes()
    (tmp_path / "big.nii").write_bytes(bytes(big))
    struct.pack_into("<i8s", large, 0, 540, b"n+2\0\r\n\x1a\n")
    for offset, fmt, source, kind in (
        (12, "2h", 70, "2h"), (16, "8q", 40, "8h"), (104, "8d", 76, "8f"), (176, "2d", 112, "2f"),
        (344, "2i", 252, "2h"), (352, "6d", 256, "6f"), (400, "12d", 280, "12f"),
    ):  # fmt: skip
        struct.pack_into("<" + fmt, large, offset, *struct.unpack_from("<" + kind, small, source))
    struct.pack_into("<q", large, 168, 544)
    struct.pack_into("<i", large, 500, 2)
    (tmp_path / "large.nii.gz").write_bytes(gzip.compress(bytes(large) + small[352:]))
    assert read_scan(tmp_path / "big.nii") == scan
    assert read_scan(tmp_path / "large.nii.gz") == scan
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "big.nii"))), scan.hu)


def test_scaled_and_floating_values_are_rounded(tmp_path):
    """Slope and intercept of the header are applied; fractions of HU are rounded."""
    scan = scan_of()
    path = patched(write_volume(scan, tmp_path / "scan.nii"), (112, "f", 0.5), (116, "f", -100.0))
    assert np.array_equal(read_scan(path).hu, np.rint(0.5 * scan.hu - 100))
    image = sitk.GetImageFromArray(scan.hu + np.float32(0.25))
    sitk.WriteImage(image, str(tmp_path / "float.mha"))
    assert np.array_equal(read_scan(tmp_path / "float.mha").hu, scan.hu)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_nan_is_refused(tmp_path, ending):
    """A voxel that is no number could be above or below any threshold."""
    values = hu_values().astype(np.float32)
    values[1, 2, 3] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"scan{ending}"))
    with pytest.raises(ScanError, match="HU values must be finite, got 1 NaN"):
        read_scan(tmp_path / f"scan{ending}")


@ENDINGS
def test_stored_values_are_not_taken_for_hu(tmp_path, ending):
    """A volume without anything darker than fat is refused, unless the user vouches for it."""
    path = write_volume(scan_of(hu_values() + np.int16(1024)), tmp_path / f"scan{ending}")
    with pytest.raises(ScanError, match="these look like stored values, not HU"):
        read_scan(path)
    assert read_scan(path, assume_hu=True).hu.min() >= 0


def test_the_corners_of_a_volume_become_air(tmp_path):
    """Volumes converted from DICOM keep the scanner's -3024; they read as the DICOM files do."""
    hu = hu_values()
    hu[:, 0, 0] = -3024
    scan = read_scan(write_volume(scan_of(hu), tmp_path / "scan.nii"))
    assert (scan.hu[:, 0, 0] == -1024).all()
    assert scan.remarks == ("5 voxels outside the reconstruction circle were set to air (-1024 HU)",)


@pytest.mark.parametrize(("shape", "ending"), [((4, 5), ".mha"), ((2, 3, 4, 5), ".mha"), ((4, 5), ".nrrd")])
def test_other_dimensions_are_refused(tmp_path, shape, ending):
    """A picture or a series of volumes is not one scan."""
    image = sitk.GetImageFromArray(np.full(shape, -1000, dtype=np.int16), isVector=False)
    sitk.WriteImage(image, str(tmp_path / f"scan{ending}"))
    with pytest.raises(ScanError, match="three-dimensional"):
        read_scan(tmp_path / f"scan{ending}")


def test_a_nrrd_file_without_a_space_is_refused(tmp_path):
    """NRRD may leave open where left and right are."""
    path = write_volume(scan_of(), tmp_path / "scan.nrrd")
    head, values = path.read_bytes().split(b"\n\n", 1)
    lines = [b"spacings: 0.4 0.5 3" if s.startswith(b"space directions") else s for s in head.split(b"\n")]
    path.write_bytes(b"\n".join(s for s in lines if not s.startswith((b"space:", b"space origin"))) + b"\n\n" + values)
    with pytest.raises(GeometryError, match="has no field 'space'"):
        read_scan(path)


def test_a_sheared_metaimage_is_refused(tmp_path):
    """Axes that are not at right angles have no place in a grid."""
    path = write_volume(scan_of(), tmp_path / "scan.mha")
    content = path.read_bytes()
    assert content.count(b"TransformMatrix = 1 0 0 0 1 0 0 0 1") == 1
    path.write_bytes(content.replace(b"TransformMatrix = 1 0 0 0 1 0", b"TransformMatrix = 1 0 0 0.1 1 0"))
    with pytest.raises(GeometryError, match=r"sheared one .* in scan\.mha"):
        read_scan(path)


@ENDINGS
@pytest.mark.parametrize("flips", [(False, False, False), (True, True, False), (True, False, True)])
def test_labels_land_on_the_scan_whatever_their_order(tmp_path, ending, flips):
    """A label volume stored in another order is read onto the scan's grid."""
    scan = scan_of()
    labels = np.random.default_rng(3).integers(0, 8, scan.hu.shape).astype(np.uint8)
    path = write_labels(labels, scan.geometry, tmp_path / f"labels{ending}")
    assert np.array_equal(read_labels(path, scan.geometry), labels)
    sitk.WriteImage(sitk.Flip(sitk.ReadImage(str(path)), flips), str(path))
    assert np.array_equal(read_labels(path, scan.geometry), labels)


def test_labels_of_another_grid_are_refused(tmp_path):
    """The error says which grid was expected and which came; a shift of a tenth of a voxel is rounding."""
    scan = scan_of()
    labels = np.zeros(scan.hu.shape, dtype=np.uint8)
    near = Geometry(scan.hu.shape, (3.0, 0.5, 0.4), (-10.03, -20.0, 100.0))
    far = Geometry(scan.hu.shape, (3.0, 0.5, 0.4), (-9.8, -20.0, 100.0))
    path = write_labels(labels, near, tmp_path / "labels.nrrd")
    read_labels(path, scan.geometry)
    write_labels(labels, far, path, overwrite=True)
    with pytest.raises(GeometryError, match=r"expected \(5, 8, 10\) voxels .* from \(-10.0, .* got .* from \(-9.8"):
        read_labels(path, scan.geometry)
    with pytest.raises(GeometryError, match="labels must lie on the scan's grid"):
        read_labels(write_labels(labels[1:], near.crop((1, 0, 0), near.shape), tmp_path / "b.nrrd"), scan.geometry)


def test_numbers_that_are_no_labels_are_refused(tmp_path):
    """A data set's own numbers must be mapped first."""
    scan = scan_of()
    labels = np.zeros(scan.hu.shape, dtype=np.uint8)
    labels[0, 0, 0] = 9
    with pytest.raises(ScanError, match="got 9"):
        write_labels(labels, scan.geometry, tmp_path / "labels.nrrd")
    sitk.WriteImage(sitk.GetImageFromArray(labels / 4), str(tmp_path / "odd.nrrd"))
    with pytest.raises(ScanError, match=r"got 2\.25"):
        read_labels(tmp_path / "odd.nrrd", Geometry(labels.shape, (1, 1, 1)))
