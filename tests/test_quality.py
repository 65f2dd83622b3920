"""Laws of the remarks on a scan's quality."""

import json

import numpy as np
import pytest

from calcscore_ml.errors import GeometryError
from calcscore_ml.geometry import Geometry
from calcscore_ml.quality import blood_hu, describe, noise_hu, remarks
from calcscore_ml.scan import Acquisition, Scan

PLAIN = Acquisition(kvp=120.0, slice_thickness_mm=3.0, kernel="FC12", ecg_gated=True)
SHAPE, SPACING = (40, 90, 100), (3.0, 2.0, 2.0)
HEART = ((15.0, 50.0, 60.0), (105.0, 120.0, 140.0))


def body(noise=10.0, blood=40.0, acquisition=PLAIN, spacing=SPACING, reader=()):
    """A trunk of fat in air on a table, with a heart of muscle and blood."""
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)], indexing="ij")
    hu = np.full(SHAPE, -1000.0)
    hu[((y - 85) / 75) ** 2 + ((x - 100) / 90) ** 2 < 1] = -100
    heart = ((z - 60) / 45) ** 2 + ((y - 85) / 35) ** 2 + ((x - 100) / 40) ** 2
    hu[heart < 1] = 55
    hu[heart < 0.75] = blood
    hu += np.random.default_rng(0).normal(0, noise, SHAPE)
    hu[:, 86:88, :] = 100  # a table top of 4 mm
    return Scan(np.rint(hu).astype(np.int16), Geometry(SHAPE, spacing), acquisition, reader)


def codes(*args, **options):
    return [remark.code for remark in remarks(*args, **options)]


def test_a_sound_scan_has_no_remarks():
    """120 kVp, 3 mm, gated, no contrast, no metal: nothing to say."""
    assert remarks(body(), blood_hu=40.0) == ()


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"kvp": None}, "kvp_unknown", "warning"),
        ({"kvp": 100.0}, "kvp", "warning"),
        ({"contrast_agent": "iohexol"}, "contrast_header", "warning"),
        ({"ecg_gated": False}, "not_gated", "warning"),
        ({"ecg_gated": None}, "gating_unknown", "note"),
        ({"kernel": "B70f"}, "sharp_kernel", "warning"),
        ({"slice_thickness_mm": None}, "thickness_unknown", "note"),
        ({"slice_thickness_mm": 5.0}, "overlap", "note"),
        ({"slice_thickness_mm": 1.0}, "gap", "warning"),
        ({"gantry_tilt_deg": 12.0}, "tilt", "warning"),
    ],
)
def test_what_the_header_says_is_remarked(change, code, severity):
    """Each departure from a calcium scan gives its own remark, and no other."""
    values = {name: getattr(PLAIN, name) for name in PLAIN.__slots__} | change
    found = remarks(body(acquisition=Acquisition(**values)))
    assert [(remark.code, remark.severity) for remark in found] == [(code, severity)]


@pytest.mark.parametrize(
    ("kernel", "sharp"),
    [("B35f", False), ("Qr36d", False), ("I26f/3", False), ("FC12", False), ("STANDARD", False), ("B", False),
     ("YA", False), ("Bv49", False), ("nobody's", False), ("L", True),
     ("B70f", True), ("Br59f", True), ("I70f/2", True), ("FC51", True), ("LUNG", True), ("BONEPLUS", True)],
)  # fmt: skip
def test_kernels_that_sharpen_are_known(kernel, sharp):
    """Vendors' lung and bone kernels are warned of; cardiac and standard ones are not."""
    acquisition = Acquisition(kvp=120.0, slice_thickness_mm=3.0, kernel=kernel, ecg_gated=True)
    assert codes(body(acquisition=acquisition)) == (["sharp_kernel"] if sharp else [])


def test_slices_that_are_not_3_mm_apart_are_warned_of():
    """Agatston's slices were 3 mm."""
    acquisition = Acquisition(kvp=120.0, slice_thickness_mm=5.0, ecg_gated=True)
    assert codes(body(acquisition=acquisition, spacing=(5.0, 2.0, 2.0))) == ["slice_spacing"]


@pytest.mark.parametrize("blood", [35.0, 50.0, 80.0, 120.0, 300.0, 450.0])
@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, 2.0), (10.0, 3.0), (30.0, 5.0)])
def test_blood_is_measured_within_a_few_hu(blood, noise, tolerance):
    """The estimate holds for any brightness and under noise, though the box holds fat and muscle too."""
    assert blood_hu(body(noise, blood), HEART) == pytest.approx(blood, abs=tolerance)


def test_bright_blood_is_warned_of():
    """Contrast shows even when the header is silent; 70 HU is the limit."""
    assert codes(body(), blood_hu=111.0) == ["contrast_blood"]
    assert codes(body(), blood_hu=71.0) == ["contrast_blood"]
    assert codes(body(), blood_hu=60.0) == []
    assert codes(body(), blood_hu=float("nan")) == []


def test_a_box_without_blood_gives_nan():
    """Air has no blood."""
    assert np.isnan(blood_hu(body(), ((0, 0, 0), (30, 6, 6))))


@pytest.mark.parametrize(
    "box", [((0, 0, 0), (1, 1)), ((500, 0, 0), (600, 9, 9)), ((9, 9, 9), (0, 0, 0)), ((0, 0, 0), (np.nan, 1, 1))]
)
def test_a_box_outside_the_scan_is_an_error(box):
    """A heart must lie in the scan."""
    with pytest.raises((GeometryError, ValueError)):
        blood_hu(body(), box)


@pytest.mark.parametrize("noise", [5.0, 20.0, 35.0])
def test_noise_is_measured_within_a_tenth(noise):
    """White noise of known SD is found among fat, heart and their edges."""
    assert noise_hu(body(noise)) == pytest.approx(noise, rel=0.1)


def test_high_noise_is_warned_of():
    """Above 30 HU, three SD of blood reach the threshold."""
    assert codes(body(noise=35.0)) == ["noise"]


def test_metal_counts_inside_the_body_only():
    """A clip in the chest is warned of; a wire on the table is not."""
    scan = body()
    for place, expected in (((slice(10, 12), 40, 50), ["metal"]), ((slice(10, 30), 86, 50), [])):
        hu = scan.hu.copy()
        hu[place] = 3000
        assert codes(Scan(hu, scan.geometry, PLAIN)) == expected


def test_a_short_or_narrow_scan_is_warned_of():
    """A whole heart needs about 100 mm along the body and 160 mm across."""
    scan = body()
    assert codes(Scan(scan.hu[:20], scan.geometry.crop((0, 0, 0), (20, 90, 100)), PLAIN)) == ["coverage"]
    assert codes(Scan(scan.hu[:, :, :60], scan.geometry.crop((0, 0, 0), (40, 90, 60)), PLAIN)) == ["field_of_view"]


def test_the_readers_remarks_come_last_as_sentences():
    """What the reader repaired is noted after all warnings."""
    found = remarks(body(acquisition=Acquisition(), reader=("one slice was stored twice",)))
    assert found[-1].text == "One slice was stored twice."
    severities = [remark.severity for remark in found]
    assert severities == sorted(severities, reverse=True)


def test_a_description_is_plain_json():
    """What was understood of a scan can be stored, NaN free, even for a scan of air."""
    air = Scan(np.full((4, 5, 6), -1000, dtype=np.int16), Geometry((4, 5, 6), (3.0, 0.5, 0.4)))
    for scan in (body(), air):
        said = json.loads(json.dumps(describe(scan), allow_nan=False))
        assert said["shape"] == list(scan.hu.shape)
        assert said["fingerprint"] == scan.fingerprint()
    assert said["noise_hu"] is None
    assert said["extent_mm"] == pytest.approx([12.0, 2.5, 2.4])
