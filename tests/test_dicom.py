"""Laws of the DICOM reader and writer."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from make_dicom import SECRETS, enhanced, hu_values, save, series, store
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless
from scipy.spatial.transform import Rotation

from calcscore_ml.errors import ResultError, ScanError, SeriesChoiceError
from calcscore_ml.geometry import Geometry, canonical
from calcscore_ml.io import read_scan
from calcscore_ml.io.dicom_write import write_dicom
from calcscore_ml.scan import Acquisition, Scan

ROOT = Path(__file__).parent.parent


def read(datasets, tmp_path, **options):
    return read_scan(save(datasets, tmp_path / "scan"), **options)


def test_a_plain_series_reads_as_it_was_made(tmp_path):
    """Voxels, spacing, origin and acquisition are those of the header, with no remark."""
    hu = hu_values()
    scan = read(series(hu), tmp_path)
    assert np.array_equal(scan.hu, hu)
    assert scan.geometry == Geometry(hu.shape, (3.0, 0.5, 0.4), (-10.0, -20.0, 100.0))
    assert scan.acquisition == Acquisition(
        kvp=120.0, slice_thickness_mm=3.0, kernel="FC12", manufacturer="Toshiba", model="Aquilion"
    )
    assert scan.remarks == ()


@pytest.mark.parametrize("flip", [1, -1])
def test_simpleitk_reads_the_same_voxels_from_a_sound_series(tmp_path, flip):
    """A second implementation, given our order of files, sees the same values at the same places."""
    made = series(orientation=(flip, 0, 0, 0, flip, 0), origin=(10.0, 20.0, -30.0))
    folder = save(made, tmp_path / "scan")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    scan = read_scan(folder)
    theirs = np.array([image.TransformIndexToPhysicalPoint((i, j, k)) for i, j, k in ((0, 0, 0), (3, 2, 1), (9, 7, 4))])
    ours = np.rint(scan.geometry.to_index(theirs)).astype(int)
    values = [image[i, j, k] for i, j, k in ((0, 0, 0), (3, 2, 1), (9, 7, 4))]
    assert [int(scan.hu[tuple(index)]) for index in ours] == values


def test_only_positions_order_slices(tmp_path):
    """InstanceNumber and SliceLocation may say anything."""
    made = series()
    for number, image in zip((3, 1, 5, 2, 4), made, strict=True):
        image.InstanceNumber, image.SliceLocation = number, -number
    assert np.array_equal(read(made[::-1], tmp_path).hu, hu_values())


def test_each_slice_has_its_own_rescale(tmp_path):
    """Slope and intercept are applied slice by slice."""
    hu = hu_values()
    made = series(hu)
    for index, image in enumerate(made):
        image.RescaleIntercept, image.RescaleSlope = -1024 - 100 * index, 1
        store(image, hu[index].astype(np.int32) + 1024 + 100 * index)
    made[2].RescaleSlope, made[2].RescaleIntercept = 0.5, -2000
    store(made[2], 2 * (hu[2].astype(np.int32) + 2000))
    assert np.array_equal(read(made, tmp_path).hu, hu)


def test_a_missing_slice_is_named(tmp_path):
    """A gap is refused with the positions that are missing."""
    made = series(hu_values(7))
    with pytest.raises(ScanError, match=r"2 are missing in scan, at 106\.00, 112\.00 mm"):
        read([image for index, image in enumerate(made) if index not in (2, 4)], tmp_path)


def test_the_same_slice_stored_twice_counts_once(tmp_path):
    """Equal pixels at one position are one slice, and remarked."""
    made = series()
    scan = read([*made, made[1], made[4]], tmp_path)
    assert np.array_equal(scan.hu, hu_values())
    assert scan.remarks == ("2 slices were stored twice with equal pixels; one of each was kept",)


def test_two_images_at_one_position_are_refused(tmp_path):
    """Different pixels at one position may be two phases: nobody can choose between them."""
    made = series()
    other = series(hu_values(seed=1))[2]
    with pytest.raises(ScanError, match="a slice position must hold one image"):
        read([*made, other], tmp_path)


def test_unequal_distances_are_refused(tmp_path):
    """Slices half a millimetre off are not a grid; four micrometres are rounding."""
    made = series()
    made[2].ImagePositionPatient = [-10, -20, 106.004]
    assert read(made, tmp_path / "rounding").geometry.spacing[0] == pytest.approx(3.0)
    made[2].ImagePositionPatient = [-10, -20, 106.5]
    with pytest.raises(ScanError, match="slices must be equally far apart"):
        read(made, tmp_path)


def test_a_sideways_shifted_slice_is_refused(tmp_path):
    """A slice beside the line of the others belongs to another reconstruction."""
    made = series()
    made[3].ImagePositionPatient = [-9.9, -20, 109]
    with pytest.raises(ScanError, match=r"lies 0\.10 mm beside it"):
        read(made, tmp_path)


def test_a_localizer_in_the_folder_is_passed_over(tmp_path):
    """A localizer is no slice, whatever series it claims; nor is a file that is no DICOM."""
    made = series()
    scout = series(orientation=(1, 0, 0, 0, 0, -1))[0]
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    folder = save([*made, scout], tmp_path / "scan")
    (folder / "readme.txt").write_text("hello")
    (folder / "empty").touch()
    scan = read_scan(folder)
    assert np.array_equal(scan.hu, hu_values())
    assert scan.remarks == ()


def test_single_images_are_passed_over_with_a_remark(tmp_path):
    """One image of another kind, a snapshot or monitoring slice, does not hide the series."""
    extra = series(seed="b")[0]
    extra.ConvolutionKernel = "FC05"
    assert read([*series(), extra], tmp_path).remarks == ("1 images that are no series of slices were passed over",)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SeriesInstanceUID", "1.2.3"),
        ("ConvolutionKernel", "FC51"),
        ("KVP", 80),
        ("PixelSpacing", [0.45, 0.4]),
        ("ImageOrientationPatient", [0.9986295, 0.0523360, 0, -0.0523360, 0.9986295, 0]),
    ],
)
def test_series_that_differ_must_be_chosen_by_number_or_uid(tmp_path, keyword, value):
    """Slices that differ in what a scan shares are two series; each can be read, and the list names nobody."""
    other = hu_values(4, seed=1)
    made = series(other)
    for image in made:
        image.SeriesNumber = 1
        setattr(image, keyword, value)
    folder = save([*series(), *made], tmp_path / "scan")
    with pytest.raises(SeriesChoiceError, match="choose by number with --series N") as caught:
        read_scan(folder)
    assert len(caught.value.series) == 2
    assert caught.value.series[0].startswith("1: 4 slices of 10x8")
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert np.array_equal(read_scan(folder, series=1).hu, other)
    assert np.array_equal(read_scan(folder, series="2").hu, hu_values())
    for wrong in (0, 3, "1.2.3.4"):
        with pytest.raises(SeriesChoiceError, match="one series must be chosen"):
            read_scan(folder, series=wrong)


def test_a_uid_chooses_only_when_it_is_one_scan(tmp_path):
    """A UID names a series, unless two reconstructions share it."""
    one, two, three = series(), series(hu_values(4, seed=1), seed="b"), series(hu_values(3, seed=2), seed="b")
    for image in three:
        image.ConvolutionKernel = "FC51"
    folder = save([*one, *two, *three], tmp_path / "scan")
    assert np.array_equal(read_scan(folder, series=one[0].SeriesInstanceUID).hu, hu_values())
    with pytest.raises(SeriesChoiceError, match="got no single series"):
        read_scan(folder, series=two[0].SeriesInstanceUID)


def test_files_without_uids_belong_to_the_series_of_their_folder(tmp_path):
    """Public data sets lack UIDs; each folder is a series then."""
    made = series()
    for image in made:
        del image.SeriesInstanceUID, image.StudyInstanceUID
    save(made, tmp_path / "two" / "a")
    assert np.array_equal(read_scan(tmp_path / "two").hu, hu_values())
    save(made, tmp_path / "two" / "b")
    with pytest.raises(SeriesChoiceError):
        read_scan(tmp_path / "two")


def test_the_front_door_imports_nothing_heavy():
    """A command line that only prints help must not wait for pydicom or SimpleITK."""
    code = "import sys, calcscore_ml.io; sys.exit(bool({'pydicom', 'SimpleITK', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_illegal_uids_do_not_stop_the_reading(tmp_path):
    """Public data sets have UIDs with leading zeros; they warn nobody and only tell series apart."""
    folder = save(series(), tmp_path / "scan")
    uid = str(series()[0].SeriesInstanceUID).encode()
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(uid, b"01.02.003." + uid[10:]))
    assert np.array_equal(read_scan(folder).hu, hu_values())


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_missing_rescale_is_refused_unless_the_user_vouches(tmp_path, keyword):
    """Stored values are HU only when the header or the user says so."""
    made = series()
    del made[1][keyword]
    with pytest.raises(ScanError, match="stored values become HU by RescaleSlope and RescaleIntercept"):
        read(made, tmp_path)
    for image in made:
        store(image, image.pixel_array.astype(np.int32) - 1024, signed=True)
        image.pop("RescaleSlope", None)
    assert np.array_equal(read(made, tmp_path / "vouched", assume_hu=True).hu, hu_values())


def test_an_idle_rescale_is_recognised(tmp_path):
    """Slope 1 and intercept 0 on unsigned values leave nothing darker than fat: no HU."""
    made = series()
    for image in made:
        image.RescaleIntercept = 0
    with pytest.raises(ScanError, match="these look like stored values, not HU"):
        read(made, tmp_path)
    assert read(made, tmp_path, assume_hu=True).hu.min() >= 0


def test_other_modalities_are_refused_by_name(tmp_path):
    """An MR series is no scan; the error says what came."""
    made = series()
    for image in made:
        image.Modality, image.SOPClassUID = "MR", "1.2.840.10008.5.1.4.1.1.4"
    with pytest.raises(ScanError, match="a scan must be a series of CT slices with positions, got 5 MR in scan"):
        read(made, tmp_path)


@pytest.mark.parametrize(
    ("signed", "stored", "padding", "limit"),
    [
        (True, -2000, -2000, None),
        (True, -2000, 63536, None),
        (False, 63536, 63536, None),
        (False, 3500, 3400, 3600),
        (True, -3024, None, None),
    ],
)
def test_padding_becomes_air(tmp_path, signed, stored, padding, limit):
    """What the header calls padding, and what is darker than any reconstruction, is air, counted in a remark."""
    hu = hu_values()
    made = series(hu)
    for image, values in zip(made, hu, strict=True):
        shifted = values.astype(np.int32) + (0 if signed else 1024)
        shifted[0, :3] = stored
        store(image, shifted, signed, bits_stored=16 if signed else 12)
        image.RescaleIntercept = 0 if signed else -1024
        if padding is not None:
            image.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
        if limit is not None:
            image.add_new("PixelPaddingRangeLimit", "US", limit)
    expected = hu.copy()
    expected[:, 0, :3] = -1024
    scan = read(made, tmp_path)
    assert np.array_equal(scan.hu, expected)
    assert scan.remarks == ("15 voxels outside the reconstruction circle were set to air (-1024 HU)",)


@pytest.mark.parametrize("signed", [True, False])
def test_bits_above_bits_stored_are_not_values(tmp_path, signed):
    """Old files keep overlays in the unused bits; they do not reach HU, and signs survive."""
    hu = hu_values()
    made = series(hu)
    for image, values in zip(made, hu, strict=True):
        bits = (values.astype(np.int32) + (0 if signed else 1024)) & 0x0FFF
        bits[::2] |= 0x4000
        store(image, bits.astype(np.uint16).view(np.int16) if signed else bits, signed, bits_stored=12)
        image.RescaleIntercept = 0 if signed else -1024
    assert np.array_equal(read(made, tmp_path).hu, hu)


def test_a_tilted_gantry_is_recorded(tmp_path):
    """Spacing is measured at right angles to the slices, and the tilt is kept in the acquisition."""
    angle = np.deg2rad(12.0)
    tilted = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))
    scan = read(series(orientation=tilted, step=(0.0, 0.0, 2.5)), tmp_path)
    assert scan.acquisition.gantry_tilt_deg == pytest.approx(12.0, abs=1e-3)
    assert scan.geometry.spacing[0] == pytest.approx(2.5 * np.cos(angle), abs=1e-5)
    assert np.array_equal(scan.hu, hu_values())


def test_slices_that_are_not_axial_are_refused(tmp_path):
    """Agatston has no meaning on coronal or steeply oblique slices; 15 degrees are fine."""
    read(series(orientation=(1, 0, 0, 0, *_turn(15))), tmp_path / "fine")
    for degrees in (25, 90):
        with pytest.raises(ScanError, match="calcium is scored on axial slices"):
            read(series(orientation=(1, 0, 0, 0, *_turn(degrees))), tmp_path / str(degrees))


def _turn(degrees):
    return np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))


def test_one_slice_is_no_scan(tmp_path):
    """The distance between slices cannot be known from one."""
    with pytest.raises(ScanError, match="a scan needs at least two slices"):
        read(series(hu_values(1)), tmp_path)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_transfer_syntaxes_hold_the_same_scan(tmp_path, syntax):
    """How the bytes are laid out or compressed changes nothing."""
    made = series()
    for image in made:
        if syntax == RLELossless:
            image.compress(RLELossless, generate_instance_uid=False)
        else:
            image.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    folder = tmp_path / "scan"
    folder.mkdir()
    for index, image in enumerate(made):
        image.save_as(folder / str(index), enforce_file_format=True)
    assert np.array_equal(read_scan(folder).hu, hu_values())


@pytest.mark.parametrize("rle", [False, True])
def test_a_multi_frame_file_equals_its_slices(tmp_path, rle):
    """Frames in any order, each with its own rescale, are the same scan as single files."""
    made = series()
    store(made[1], hu_values()[1].astype(np.int32) + 1000)
    made[1].RescaleIntercept = -1000
    whole = enhanced(made, [3, 0, 4, 2, 1])
    if rle:
        whole.compress(RLELossless, generate_instance_uid=False)
    save([whole], tmp_path / "frames")
    scan = read_scan(next((tmp_path / "frames").iterdir()))
    assert scan == read(made, tmp_path)
    assert np.array_equal(scan.hu, hu_values())


def test_a_multi_frame_file_must_describe_each_frame(tmp_path):
    """Fewer descriptions than frames cannot be ordered."""
    whole = enhanced(series(), [0, 1, 2, 3, 4])
    whole.NumberOfFrames = 6
    with pytest.raises(ScanError, match="got 5 descriptions for 6 frames"):
        read([whole], tmp_path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_named_wherever_it_ends(tmp_path, keep):
    """A file cut off in its header or its pixels stops the reading, even at the end of the series."""
    folder = save(series(hu_values(5, 16, 16)), tmp_path / "scan")
    last = sorted(folder.iterdir())[0]
    whole = last.read_bytes()
    last.write_bytes(whole[: max(140, int(len(whole) * keep))])
    with pytest.raises(ScanError, match=last.name):
        read_scan(folder)


def test_a_truncated_compressed_file_is_named(tmp_path):
    """Compressed pixels that end early are not filled with zeros."""
    made = series()
    made[2].compress(RLELossless, generate_instance_uid=False)
    folder = save(made, tmp_path / "scan")
    broken = next(f for f in folder.iterdir() if pydicom.dcmread(f).file_meta.TransferSyntaxUID == RLELossless)
    broken.write_bytes(broken.read_bytes()[:-90])
    with pytest.raises(ScanError, match=broken.name):
        read_scan(folder)


def test_a_missing_decoder_is_explained(tmp_path, monkeypatch):
    """The error says which package reads the compressed pixels."""
    made = series()
    made[0].compress(RLELossless, generate_instance_uid=False)
    made[0].file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"  # HTJ2K: only pylibjpeg decodes it
    monkeypatch.setattr(pydicom.pixels.get_decoder("1.2.840.10008.1.2.4.201"), "_available", {})
    with pytest.raises(ScanError, match=r'pip install "calcscore-ml\[codecs\]"'):
        read(made, tmp_path)


def test_a_ct_file_without_a_position_is_named(tmp_path):
    """A CT slice that is nowhere cannot be left out quietly: it may be the last one."""
    made = series()
    del made[4].ImagePositionPatient
    with pytest.raises(ScanError, match="a CT slice must say where it lies"):
        read(made, tmp_path)


def test_nothing_of_the_patient_leaves_the_header(tmp_path):
    """Neither the scan nor its remarks hold a name, number, date or free text."""
    made = series()
    for image in made:
        image.ContrastBolusAgent = f"for {SECRETS[0]}"
        image.ImageComments = f"{SECRETS[0]} {SECRETS[1]}"
        image.PatientAge, image.PatientSex = "061Y", "F"
    scan = read(made, tmp_path)
    assert not any(secret in repr(scan) for secret in SECRETS)
    assert scan.acquisition.contrast_agent == "unnamed agent"
    assert (scan.acquisition.age_years, scan.acquisition.sex) == (61.0, "F")


@pytest.mark.parametrize(
    ("values", "agent"),
    [
        ({}, None),
        ({"ContrastBolusAgent": ""}, None),
        ({"ContrastBolusAgent": "NONE"}, None),
        ({"ContrastBolusAgent": "OMNIPAQUE 350"}, "omnipaque"),
        ({"ContrastBolusAgent": "CE"}, "unnamed agent"),
        ({"ImageComments": "ISOVUE 55 SEC DELAY"}, "isovue"),
    ],
)
def test_contrast_is_one_of_our_own_words(tmp_path, values, agent):
    """The agent's field and comments give a known name, 'unnamed agent' or nothing."""
    made = series()
    for image in made:
        for keyword, value in values.items():
            setattr(image, keyword, value)
    assert read(made, tmp_path).acquisition.contrast_agent == agent


@pytest.mark.parametrize(
    ("values", "gated"),
    [
        ({}, None),
        ({"CardiacSynchronizationTechnique": "PROSPECTIVE"}, True),
        ({"CardiacSynchronizationTechnique": "NONE"}, False),
        ({"NominalPercentageOfCardiacPhase": 75.0}, True),
        ({"TriggerTime": 0}, None),
        ({"HeartRate": 61}, True),
        ({"ScanOptions": ["HELIX", "ECG_TRIG"]}, True),
        ({"ScanOptions": "HELIX"}, None),
    ],
)
def test_gating_is_read_where_scanners_write_it(tmp_path, values, gated):
    """A phase, a heart rate or a trigger means gating; silence means unknown."""
    made = series()
    for image in made:
        for keyword, value in values.items():
            setattr(image, keyword, value)
    assert read(made, tmp_path).acquisition.ecg_gated is gated


def test_lossy_compression_is_remarked(tmp_path):
    """HU values that went through lossy compression are not the scanner's."""
    made = series()
    for image in made:
        image.LossyImageCompression = "01"
    assert read(made, tmp_path).remarks == ("the images were compressed with loss, which changes HU values",)


def test_unreadable_numbers_are_silent_values(tmp_path):
    """A tube voltage that is no number is unknown; the scan is still read."""
    folder = save(series(), tmp_path / "scan")
    for file in folder.iterdir():
        content = file.read_bytes()
        assert content.count(b"DS\x06\x00120.0 ") == 1
        file.write_bytes(content.replace(b"120.0 ", b"twelve"))
    assert read_scan(folder).acquisition.kvp is None


acquisitions = st.builds(
    Acquisition,
    kvp=st.none() | st.sampled_from([80.0, 100.0, 120.0, 117.5]),
    slice_thickness_mm=st.none() | st.floats(0.1, 10).map(lambda v: round(v, 4)),
    kernel=st.none() | st.sampled_from(["FC12", "Qr36d", "I30f/3"]),
    manufacturer=st.none() | st.just("Siemens Healthineers"),
    model=st.none() | st.just("NAEOTOM Alpha"),
    contrast_agent=st.none() | st.sampled_from(["iohexol", "unnamed agent"]),
    ecg_gated=st.none() | st.booleans(),
    mass_factors_mg_per_ml_hu=st.none() | st.just((0.743, 0.779, 0.812)),
    reconstruction_diameter_mm=st.none() | st.just(250.0),
    age_years=st.none() | st.integers(1, 99).map(float),
    sex=st.none() | st.sampled_from("FMO"),
)


@st.composite
def scans(draw):
    """Scans of any small shape, spacing, place and direction up to 15 degrees off the body axis, and any flip."""
    shape = tuple(draw(st.tuples(st.integers(2, 5), st.integers(1, 6), st.integers(1, 6))))
    size = st.floats(0.2, 6).map(lambda v: round(v, 4))
    spacing = draw(st.tuples(size, size, size))
    origin = draw(st.tuples(*[st.floats(-900, 900).map(lambda v: round(v, 3))] * 3))
    turn = Rotation.from_rotvec(
        np.array(draw(st.tuples(*[st.floats(-1, 1)] * 3))) * np.deg2rad(15) / np.sqrt(3)
    ).as_matrix()
    seed = draw(st.integers(0, 99))
    hu = hu_values(*shape, seed=seed)
    hu.flat[0] = -1000
    flips = draw(st.sampled_from([(1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)]))
    array, geometry = canonical(hu, spacing, origin, turn * flips)
    return Scan(np.ascontiguousarray(array), geometry, draw(acquisitions))


@settings(max_examples=25, deadline=None)
@given(scan=scans(), compress=st.sampled_from([None, "rle"]))
def test_what_is_written_is_read_back_equal(tmp_path_factory, scan, compress):
    """Writing and reading DICOM is the identity on scans."""
    folder = tmp_path_factory.mktemp("dicom") / "scan"
    write_dicom(scan, folder, uid_seed="x", compress=compress)
    assert read_scan(folder) == scan
    shutil.rmtree(folder)


def test_writing_is_deterministic_and_names_nobody(tmp_path):
    """The same scan and seed give the same bytes, another seed other UIDs; name and dates are empty."""
    scan = read(series(), tmp_path)
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        write_dicom(scan, tmp_path / name, uid_seed=seed)
    a, b, c = ((tmp_path / name / "0003.dcm").read_bytes() for name in "abc")
    assert a == b != c
    image = pydicom.dcmread(tmp_path / "a" / "0003.dcm")
    assert not image.PatientName
    assert not image.PatientID
    assert not image.StudyDate
    uids = [pydicom.dcmread(f).SOPInstanceUID for f in (tmp_path / "a").iterdir()]
    assert len(set(uids)) == 5
    assert all(uid.is_valid for uid in uids)


def test_very_dark_values_are_written_signed(tmp_path):
    """Values below -1024 HU survive writing."""
    hu = hu_values()
    hu[0, 0, 0] = -1400
    scan = Scan(hu, Geometry(hu.shape, (3, 1, 1)))
    assert read_scan(write_dicom(scan, tmp_path / "scan", uid_seed="x")) == scan


def test_a_folder_with_files_is_never_written_into(tmp_path):
    """Two scans never mix in one folder; an empty folder may be filled."""
    scan = read(series(), tmp_path)
    (tmp_path / "new").mkdir()
    write_dicom(scan, tmp_path / "new", uid_seed="x")
    with pytest.raises(ResultError, match="an existing result is kept"):
        write_dicom(scan, tmp_path / "new", uid_seed="x")
