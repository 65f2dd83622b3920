"""Lesions of two readers: splits, merges and touching arteries, by hand; and the two readers change places."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import GeometryError, ResultError
from calcscore_ml.evaluation.lesions import lesion_report
from calcscore_ml.evaluation.matching import match_lesions
from calcscore_ml.geometry import Geometry
from calcscore_ml.scan import Scan
from calcscore_ml.scores import from_label_volume

RULES = ("any", "half")

volumes = hnp.arrays(np.uint8, (2, 4, 5), elements=st.sampled_from([0, 0, 0, 1, 2, 4, 5]))


def calcium(labels, spacing=(2.0, 1.0, 1.0)):
    labels = np.asarray(labels)
    scan = Scan(np.full(labels.shape, 300, dtype=np.int16), Geometry(labels.shape, spacing))
    return from_label_volume(scan, labels, threshold_hu=130)


def line(text):
    """A row of voxels, a digit each; "." is 0."""
    return np.array([[[int(c) for c in text.replace(".", "0")]]])


def match(reference, measured, rule="any"):
    return match_lesions(calcium(line(reference)), calcium(line(measured)), rule=rule)


def rows(table, *columns):
    return list(table[list(columns)].itertuples(index=False, name=None))


@pytest.mark.parametrize("rule", RULES)
def test_one_split_into_two(rule):
    """One reference lesion that the other reader splits into two is found once, and neither piece is false."""
    found = match(".111111.", ".11.111.", rule)
    assert rows(found.reference, "volume_mm3", "overlap_mm3", "found", "other_label") == [(12.0, 10.0, True, 1)]
    assert rows(found.measured, "volume_mm3", "overlap_mm3", "found") == [(4.0, 4.0, True), (6.0, 6.0, True)]
    assert rows(found.lesions("a"), "truth", "predicted", "volume_mm3") == [(1, 1, 12.0)]


@pytest.mark.parametrize("rule", RULES)
def test_two_merged_into_one(rule):
    """Two reference lesions that the other reader merges into one are both found, and the one is not false."""
    found = match(".11.111.", ".111111.", rule)
    assert rows(found.reference, "volume_mm3", "found") == [(4.0, True), (6.0, True)]
    assert rows(found.measured, "volume_mm3", "overlap_mm3", "found") == [(12.0, 10.0, True)]
    assert rows(found.lesions("a"), "truth", "predicted") == [(1, 1), (1, 1)]


def test_touching_lesions_of_different_arteries():
    """Touching voxels of two arteries are two lesions; the other reader's border between them may lie elsewhere."""
    found = match(".444111.", ".411111.")
    assert rows(found.reference.sort_values("label"), "label", "found", "other_label") == [(1, True, 1), (4, True, 1)]
    # Of the three left main voxels one is left main and two are LAD in the other: it is found, in the wrong artery.
    assert rows(found.measured.sort_values("label"), "label", "overlap_mm3", "other_label") == [
        (1, 10.0, 1),
        (4, 2.0, 4),
    ]
    report = lesion_report(found.lesions("a"))
    assert (report.sensitivity, report.ppv, report.artery_accuracy) == (1.0, 1.0, 0.5)


def test_any_and_half():
    """One voxel of four finds by one rule and not by the other; two of four find by both, each in its own volume."""
    assert match("1111...", "...1111", "any").reference["found"].all()
    quarter = match("1111...", "...1111", "half")
    assert rows(quarter.lesions("a"), "truth", "predicted", "volume_mm3") == [(1, 0, 8.0), (0, 1, 8.0)]
    assert match("1111..", "..1111", "half").reference["found"].all()
    uneven = match("11.....", ".111111", "half")
    assert (uneven.reference["found"].all(), uneven.measured["found"].any()) == (True, False)


def test_missed_and_invented():
    """What one reader alone outlined is missed or false, wherever the other's calcium ends beside it."""
    found = match("111....2", "...33..2")
    assert rows(found.lesions("a"), "truth", "predicted", "volume_mm3") == [(1, 0, 6.0), (2, 2, 2.0), (0, 3, 4.0)]


def test_another_site():
    """A plaque that the other reader gives to the aorta is missed, and the aorta's calcium is false; none is twice."""
    found = match(".111..55.", ".555..55.")
    assert rows(found.lesions("a"), "truth", "predicted") == [(1, 0), (5, 5), (0, 5)]
    assert rows(found.reference, "label", "overlap_mm3", "found") == [(1, 0.0, False), (5, 4.0, True)]


def test_components_are_in_space():
    """Voxels that meet at a corner in the next slice are one lesion."""
    labels = np.zeros((2, 2, 4), dtype=np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = labels[0, 0, 3] = 2
    assert rows(match_lesions(calcium(labels), calcium(labels)).reference, "volume_mm3") == [(4.0,), (2.0,)]


@given(volumes, volumes, st.sampled_from(RULES))
def test_swapped(first, second, rule):
    """Swapping the two volumes swaps the two tables."""
    there, back = (match_lesions(calcium(a), calcium(b), rule=rule) for a, b in ((first, second), (second, first)))
    pd.testing.assert_frame_equal(there.reference, back.measured)
    pd.testing.assert_frame_equal(there.measured, back.reference)


@given(volumes, st.sampled_from(RULES))
def test_a_reader_agrees_with_himself(labels, rule):
    """Of the same volume twice, every lesion is found whole, under its label, and none is false."""
    found = match_lesions(calcium(labels), calcium(labels), rule=rule)
    assert found.reference["found"].all()
    assert found.reference["overlap_mm3"].tolist() == found.reference["volume_mm3"].tolist()
    assert found.reference["other_label"].tolist() == found.reference["label"].tolist()
    assert len(found.lesions("a")) == len(found.reference)


@given(volumes, volumes, st.sampled_from(RULES))
def test_second_implementation(first, second, rule):
    """Lesions labelled by SciPy and looked up one by one in the other volume say the same."""
    table = match_lesions(calcium(first), calcium(second), rule=rule).reference
    wanted = []
    for label in np.unique(first[first > 0]):
        parts, count = ndimage.label(first == label, np.ones((3, 3, 3)))
        site = ARTERIES if Label(label).is_coronary else (label,)
        for part in range(1, count + 1):
            there = second[parts == part]
            inside = there[np.isin(there, site)]
            found = len(inside) >= (1 if rule == "any" else len(there) / 2)
            commonest = np.bincount(inside).argmax() if found else 0
            wanted.append((label, 2.0 * len(there), 2.0 * len(inside), found, commonest))
    columns = ("label", "volume_mm3", "overlap_mm3", "found", "other_label")
    assert sorted(rows(table, *columns)) == sorted(wanted)


@given(volumes, volumes)
def test_half_is_stricter(first, second):
    """Whatever half a volume finds, one voxel finds."""
    lenient, strict = (match_lesions(calcium(first), calcium(second), rule=rule) for rule in RULES)
    assert (lenient.reference["found"] | ~strict.reference["found"]).all()


def test_nothing():
    """Two empty volumes have no lesions and no rows."""
    assert match("...", "...").lesions("a").empty


def test_rules():
    """Volumes of two grids and unknown rules raise, saying which."""
    with pytest.raises(GeometryError, match=r"\(1, 1, 3\) and \(1, 1, 4\)"):
        match("1..", "1...")
    with pytest.raises(GeometryError, match="another place"):
        match_lesions(calcium(line("11")), calcium(line("11"), spacing=(2.0, 1.0, 0.5)))
    with pytest.raises(ResultError, match="'any' or 'half', got 'most'"):
        match("1", "1", "most")
