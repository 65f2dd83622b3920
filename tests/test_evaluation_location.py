"""How well a location is told to be found."""

from dataclasses import replace

import numpy as np
import pytest

from calcscore_ml.anatomy import ARTERIES, Organ
from calcscore_ml.evaluation.location import LocationError, box_iou, dice, location_error, location_table
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.atlas import SHARES
from calcscore_ml.heart.fusion import FUSED
from calcscore_ml.heart.grid import Grid
from calcscore_ml.heart.labelled import Labelled
from calcscore_ml.heart.locate import Location
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.manifest import ManifestRow
from calcscore_ml.scan import Scan


@pytest.fixture
def known(tmp_path):
    """A block of a heart with an aorta on it and four straight arteries: the truth, and a location that is right."""
    geometry = Geometry((20, 20, 20), (4.0, 4.0, 4.0))
    organs = np.zeros(geometry.shape, dtype=np.uint8)
    organs[5:13, 5:13, 5:13] = Organ.HEART
    organs[13:17, 8:11, 8:11] = Organ.ASCENDING_AORTA
    lines = {a: np.linspace((20, 20, 20 + 8 * k), (48, 48, 20 + 8 * k), SHARES) for k, a in enumerate(ARTERIES)}
    row = ManifestRow("one", "one", "test", tmp_path, protocol="block")
    truth = Labelled(
        row, Scan(np.zeros(geometry.shape, np.int16), geometry), organs, {a: [v] for a, v in lines.items()}, {}
    )
    grid = Grid.cover((0, 0, 0), (76, 76, 76), 4.0)
    shares = {organ: (organs == organ).astype(np.float32) for organ in FUSED}
    low, high = truth.box_mm.tolist()
    box = HeartBox(tuple(low), tuple(high))
    found = Location(
        box,
        {"slices": box, "lungs": None},
        True,
        "",
        1.0,
        0.0,
        grid,
        shares,
        (),
        {a: v[None] for a, v in lines.items()},
    )
    return truth, found


def test_what_is_right_has_no_error(known):
    """The truth itself overlaps wholly, and its arteries are nowhere off."""
    truth, found = known
    error = location_error(found, truth)
    assert error.box_iou == {"location": 1.0, "slices": 1.0, "lungs": 0.0}
    assert error.heart_dice == error.aorta_dice == 1.0
    assert max(error.artery_mm.values()) < 0.1
    assert not error.failed


def test_a_shift_is_measured_in_full(known):
    """Arteries moved sideways by 5 mm are 5 mm off."""
    truth, found = known
    moved = {a: v + np.array([0, 0, 5.0]) for a, v in found.arteries.items()}
    error = location_error(replace(found, arteries=moved), truth)
    np.testing.assert_allclose(list(error.artery_mm.values()), 5.0, atol=0.1)


def test_only_what_lies_in_the_scan_is_measured(known):
    """Points of a true artery beyond the scan do not count."""
    truth, found = known
    longer = {a: [np.vstack([v[0], [[300.0, 300.0, 300.0]]])] for a, v in truth.branches.items()}
    error = location_error(found, replace(truth, branches=longer))
    assert max(error.artery_mm.values()) < 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"heart_dice": 0.5},
        {"artery_mm": dict.fromkeys(ARTERIES, 30.0)},
        {"box_iou": {"location": 0.2}},
        {"heart_dice": float("nan")},
        {"artery_mm": {}},
    ],
    ids=["heart", "arteries", "box", "no heart", "no arteries"],
)
def test_every_kind_of_failure_counts(known, change):
    """A heart, a box or arteries off, or none at all: the location failed; trusted or not is another question."""
    error = location_error(known[1], known[0])
    assert not error.failed
    assert replace(error, **change).failed


def test_the_table_counts_failures_and_who_noticed():
    """Two failed of three, one of them noticed; every number is a mean over the scans."""
    good = LocationError("a", "p", True, "", {"location": 0.9, "slices": 0.8, "lungs": 0.5}, 0.95, 0.9,
                         dict.fromkeys(ARTERIES, 4.0), 0.95, 2.0)  # fmt: skip
    missed, seen = replace(good, heart_dice=0.5), replace(good, heart_dice=0.6, trusted=False)
    text = location_table([good, missed, seen])
    assert "3 scans: 2 failed, 1 of them noticed; 0 of the others not trusted." in text
    assert "| heart, Dice | 0.683 |" in text
    assert "| all arteries, mm | 4.0 | 4.0 | 4.0 |" in text


def test_overlaps_have_their_closed_forms():
    """Dice and IoU of halves, of nothing, and of the same."""
    half = np.array([True, False])
    assert dice(half, ~half) == 0.0
    assert dice(half & ~half, half & ~half) == 1.0
    cube = np.array([[0.0, 0, 0], [2, 2, 2]])
    assert box_iou(cube, cube) == 1.0
    assert box_iou(cube, cube + 5) == 0.0
    assert box_iou(cube, cube + np.array([1.0, 0, 0])) == pytest.approx(1 / 3)
