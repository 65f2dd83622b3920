"""Laws of the picture of a location: what is drawn lies where it was found, and doubt is said."""

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from calcscore_ml.anatomy import AORTA, ARTERIES, Label, Organ
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart import HeartBox
from calcscore_ml.heart.atlas import LANDMARKS, SHARES
from calcscore_ml.heart.fusion import FUSED
from calcscore_ml.heart.grid import Grid
from calcscore_ml.heart.locate import Location
from calcscore_ml.pipeline import score_labelled
from calcscore_ml.reports.html import scan_report
from calcscore_ml.reports.location_pictures import GAP_PIXELS, LEGEND_PIXELS, VIEW_PIXELS, location_picture, views_of
from calcscore_ml.reports.pictures import COLOURS
from calcscore_ml.reports.planes import View, grey
from calcscore_ml.result import LocationSummary
from calcscore_ml.scan import Scan

CENTRE_MM = np.array([60.0, 90.0, 90.0])
RADIUS_MM = 45.0
STARTS = {"lungs": HeartBox((20.0, 40.0, 40.0), (100.0, 140.0, 140.0)), "slices": None}
GREY = Scan(np.full((40, 60, 60), 40, np.int16), Geometry((40, 60, 60), (3.0, 3.0, 3.0)))


def located(moved_mm=(0.0, 0.0, 0.0)):
    """A ball of a heart, a rod of an aorta behind it, and arteries that climb straight, by two atlases."""
    moved = np.array(moved_mm)
    grid = Grid(np.zeros(3), 4.0, (30, 45, 45))
    at = grid.points().reshape(*grid.shape, 3) - moved
    organs = dict.fromkeys(FUSED, np.zeros(grid.shape, np.float32))
    organs[Organ.HEART] = (np.linalg.norm(at - CENTRE_MM, axis=-1) < RADIUS_MM).astype(np.float32)
    organs[AORTA[2]] = (np.linalg.norm(at[..., 1:] - [155, 90], axis=-1) < 10).astype(np.float32)
    heights = np.linspace(30, 90, SHARES)
    arteries = {
        label: moved + np.stack([[[z, 70 + 10 * k, 65 + 15 * k + a] for z in heights] for a in (-1, 1)])
        for k, label in enumerate(ARTERIES)
    }
    low, high = (CENTRE_MM + moved + side * RADIUS_MM for side in (-1, 1))
    marks = {name: np.full((2, 3), 80.0) for name in LANDMARKS}
    return Location(HeartBox(tuple(low), tuple(high)), STARTS, True, "", 0.9, 2.0, grid, organs, (), arteries, marks)


def opened(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(float)


@cache
def sheet(moved_mm=(0.0, 0.0, 0.0)):
    return opened(location_picture(GREY, located(moved_mm)))


def nearness(picture, view, number, point_mm, colour):
    """How much of a colour's hue is seen within two pixels of a point in a view; 1 is all of it."""
    column, row = view.pixels(np.asarray(point_mm, dtype=float)).astype(int)
    row, column = row + number // 3 * (VIEW_PIXELS + GAP_PIXELS), column + number % 3 * (VIEW_PIXELS + GAP_PIXELS)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
    seen = picture[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3)
    wanted, seen = wanted - wanted.mean(), seen - seen.mean(axis=1, keepdims=True)
    along = seen @ wanted / (wanted @ wanted)
    across = np.linalg.norm(seen - along[:, None] * wanted, axis=1) / np.linalg.norm(wanted)
    return float((along - across).max())


def test_the_picture_is_small_whatever_the_scan():
    """Nine views, three side by side, in less than 300 kB, even of nothing but noise."""
    noise = np.random.default_rng(5).normal(40, 120, GREY.hu.shape).astype(np.int16)
    for location in (located(), Location(None, {"lungs": None, "slices": None})):
        picture = location_picture(Scan(noise, GREY.geometry), location)
        assert len(picture) < 300_000
        assert opened(picture).shape[1] == 3 * VIEW_PIXELS + 2 * GAP_PIXELS
        assert 900 < opened(picture).shape[0] < 1400


@pytest.mark.parametrize("label", ARTERIES)
def test_every_artery_is_drawn_where_it_is(label):
    """Its colour is seen in all views at its mean centreline, and some millimetres beside it is not."""
    location = located()
    for number, (name, view) in enumerate(views_of(GREY, location)):
        point = location.arteries[label].mean(axis=0)[SHARES // 3]
        if view.axis == 0:
            if not 30 < view.at_mm < 90:
                continue
            point = [view.at_mm, *point[1:]]
        assert nearness(sheet(), view, number, point, COLOURS[label]) > 0.3, name
        beside = np.asarray(point) - np.array([0, 5, 7])
        assert nearness(sheet(), view, number, beside, COLOURS[label]) < 0.15, name


def test_slices_show_only_the_arteries_near_them():
    """An axial slice below an artery's end does not show it."""
    location = located()
    number, view = next((k, v) for k, (_, v) in enumerate(views_of(GREY, location)) if v.axis == 0 and v.at_mm < 25)
    for label in ARTERIES:
        point = [view.at_mm, *location.arteries[label].mean(axis=0)[0, 1:]]
        assert nearness(sheet(), view, number, point, COLOURS[label]) < 0.15


def test_outlines_are_where_half_the_votes_are():
    """The heart's edge is white and its middle is grey; the aorta's edge has its colour."""
    number, view = next(
        (k, v) for k, (_, v) in enumerate(views_of(GREY, located())) if v.axis == 0 and 60 < v.at_mm < 85
    )
    half = np.sqrt(RADIUS_MM**2 - (view.at_mm - CENTRE_MM[0]) ** 2)
    top, left = number // 3 * (VIEW_PIXELS + GAP_PIXELS), number % 3 * (VIEW_PIXELS + GAP_PIXELS)
    column, row = view.pixels(np.array([view.at_mm, CENTRE_MM[1], CENTRE_MM[2] - half])).astype(int)
    reach = int(4 * view.pixels_per_mm)
    edge = sheet()[top + row, left + column - reach : left + column + reach].min(axis=1)
    assert edge.max() > 190
    assert sheet()[top + row - 25, left + column + 3 * reach].max() < 160
    aorta = [view.at_mm, 155.0 - 9.5, 90.0]
    assert nearness(sheet(), view, number, aorta, COLOURS[Label.AORTA]) > 0.3


def test_outlines_reach_the_last_slice():
    """A slice above the grid's last centre, but within its voxels, has its outlines: that of the aorta here."""
    location = located()
    assert location.grid.upper_mm[0] == 116
    ends = replace(
        location,
        organs=location.organs
        | {AORTA[1]: location.organs[AORTA[2]], AORTA[2]: np.zeros(location.grid.shape, np.float32)},
    )
    ends.organs[AORTA[1]][:-1] = 0
    number, view = next((k, v) for k, (n, v) in enumerate(views_of(GREY, ends)) if n.endswith("highest found"))
    assert view.at_mm == 117
    picture = opened(location_picture(GREY, ends))
    assert nearness(picture, view, number, [117, 155.0 - 9.5, 90.0], COLOURS[Label.AORTA]) > 0.3


def test_lines_move_with_the_location():
    """What is found elsewhere is drawn elsewhere: the old place is empty."""
    moved = (0.0, 12.0, -18.0)
    before, after = located(), located(moved)
    view = views_of(GREY, after)[7][1]
    for label in ARTERIES:
        own = after.arteries[label].mean(axis=0)[SHARES // 3]
        assert nearness(sheet(moved), view, 7, own, COLOURS[label]) > 0.3
    point = before.arteries[Label.RCA].mean(axis=0)[SHARES // 3]
    assert nearness(sheet(moved), view, 7, point, COLOURS[Label.RCA]) < 0.15


def test_an_untrusted_location_shows_boxes_and_no_outlines():
    """No artery, no aorta and no heart is drawn; the boxes found without atlases are, and the legend says why."""
    doubted = replace(located(), trusted=False, remark="the arteries lie apart")
    picture = opened(location_picture(GREY, doubted))
    views = picture[:-LEGEND_PIXELS]
    plain = opened(location_picture(GREY, replace(doubted, starts={"lungs": None, "slices": None})))[:-LEGEND_PIXELS]
    assert (np.ptp(plain, axis=2) > 60).sum() == 0
    assert (np.ptp(views, axis=2) > 30).sum() > 500
    lines = np.abs(views - plain).max(axis=2) > 30
    assert lines.mean() < 0.02
    other = opened(location_picture(GREY, replace(doubted, remark="quite something else")))
    assert np.abs(other - picture)[-LEGEND_PIXELS:].max() > 100
    assert np.abs(other - picture)[:-LEGEND_PIXELS].mean() < 0.1


def test_right_is_left_and_up_is_front_or_head():
    """The patient's right is on the left; front is up in axial and left in sagittal views; the head is up."""
    hu = np.zeros((40, 60, 60), np.int16)
    hu[30:, :15, :20] = 200  # head, front, right
    scan = Scan(hu, GREY.geometry)
    low, high = np.zeros(3), (np.array(hu.shape) - 1) * 3.0
    for axis, at_mm in ((0, 110.0), (1, 10.0), (2, 10.0)):
        picture = grey(scan, View(axis, at_mm, low, high, 1.0))
        assert picture[5, 5] > 200
        assert max(picture[-5, 5], picture[5, -5], picture[-5, -5]) < 150


def test_the_report_tells_how_well_things_were_found(recipe):
    """Similarity and spread when trusted; else the remark in a warning, escaped."""
    recipe = recipe.model_copy(update={"location": recipe.location.model_copy(update={"atlases": ""})})
    scored = score_labelled(GREY, np.zeros(GREY.hu.shape, np.uint8), recipe, scan_id="grey")
    doubted = replace(located(), trusted=False, remark="<b>hearts</b> & minds lie apart", grid=None)
    for location in (located(), doubted):
        result = replace(scored.result, location=LocationSummary.of(location))
        page = scan_report(result, GREY, scored.candidates, scored.calcium, location)
        section = page.split("Where heart, aorta and arteries were found")[1].split("<h2>")[0]
        assert section.count("data:image/webp") == 1
        assert ('class="doubt"' in section) != location.trusted
        assert "0.90" in section
        assert "2.0 mm" in section
        assert "<b>hearts" not in page
        assert ("&lt;b&gt;hearts&lt;/b&gt; &amp; minds" in section) != location.trusted
        assert ("> RCA<" in section) == location.trusted
