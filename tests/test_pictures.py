"""Laws of the pictures in reports."""

import io

import numpy as np
from PIL import Image

from calcscore_ml.candidates import find_candidates
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart import HeartBox
from calcscore_ml.reports.pictures import PICTURE_PIXELS, contact_sheets, embed, lesion_pictures, overview
from calcscore_ml.scan import Scan
from calcscore_ml.scores import from_candidates


def scan_with(*places):
    hu = np.full((4, 60, 60), 40, np.int16)
    for z, y, x in places:
        hu[z, y : y + 3, x : x + 3] = 500
    return Scan(hu, Geometry(hu.shape, (3.0, 1.0, 1.0)))


def opened(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def test_a_lesion_is_bright_in_the_middle_of_its_picture():
    """The close picture is centred on the lesion, outlined in its colour, and square."""
    scan = scan_with((1, 30, 30))
    found = find_candidates(scan)
    close, context = (opened(p) for p in lesion_pictures(scan, found.voxels, found.hu, "#ff0000"))
    assert close.shape == context.shape == (PICTURE_PIXELS, PICTURE_PIXELS, 3)
    middle = PICTURE_PIXELS // 2
    assert close[middle, middle].min() > 180
    red = close[..., 0] - close[..., 2]
    y, x = np.nonzero(red > 80)
    assert abs(y.mean() - middle) < 4
    assert abs(x.mean() - middle) < 4


def test_what_lies_beyond_the_scan_is_black():
    """A lesion in the corner has its picture, with black where the scan ends."""
    scan = scan_with((0, 0, 0))
    found = find_candidates(scan)
    close, _ = (opened(p) for p in lesion_pictures(scan, found.voxels, found.hu, "#ff0000"))
    assert close[:40, :40].max() < 40
    assert close[-30:, -30:].min() > 40


def test_contact_sheets_hold_every_candidate_asked_for():
    """As many thumbnails as rows, each with its lesion in the middle."""
    scan = scan_with((0, 5, 5), (1, 30, 40), (3, 50, 10))
    found = find_candidates(scan)
    ((sheet, count),) = contact_sheets(scan, found, np.array([0, 2]))
    assert count == 2
    picture = opened(sheet)
    assert picture[18, 18].min() > 200
    assert picture[18, 36 + 18].min() > 200
    assert picture[18, 2 * 36 + 18].max() < 30
    assert contact_sheets(scan, found, np.array([], dtype=int)) == []


def test_the_overview_marks_lesions_and_a_trusted_box():
    """Lesions appear in their label's colour; a box that is not trusted is not drawn."""
    scan = scan_with((1, 30, 30))
    calcium = from_candidates(find_candidates(scan), [3])
    box = HeartBox((0.0, 25.0, 25.0), (12.0, 35.0, 35.0))
    with_box = opened(overview(scan, calcium, box))
    whole = opened(overview(scan, calcium, HeartBox(box.lower_mm, box.upper_mm, trusted=False)))
    assert with_box.shape != whole.shape
    for picture in (with_box, whole):
        assert (picture[..., 2] - picture[..., 0] > 80).any()  # the blue of the RCA


def test_embedded_pictures_name_their_kind():
    """A page can show them without asking anyone."""
    assert embed(b"\x89PNG").startswith("data:image/png;base64,")
