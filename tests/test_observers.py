"""Two observers are compared as a system and a reference are."""

import numpy as np
import pandas as pd
import pytest

from calcscore_ml.anatomy import Label
from calcscore_ml.assessment import assess_scan
from calcscore_ml.errors import GeometryError
from calcscore_ml.evaluation.summary import evaluate
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import read_manifest
from calcscore_ml.observers import compare_observers
from calcscore_ml.pipeline import score_labelled, score_scan
from calcscore_ml.scan_row import GROUPS, UNKNOWN, scan_row


@pytest.fixture(scope="module")
def rows(cohort):
    return read_manifest(cohort)[:6]


@pytest.fixture(scope="module")
def read(rows):
    """Scan and labels of each row."""
    scans = [read_scan(row.image) for row in rows]
    return [(scan, read_labels(row.labels, scan.geometry)) for row, scan in zip(rows, scans, strict=True)]


def other_reading(labels, seed):
    """What a second observer might outline: some of the same, some under another artery, some not at all."""
    rng = np.random.default_rng(seed)
    of_slice = rng.permuted(np.arange(len(labels)) % 3)[:, None, None]
    return np.where((of_slice == 0) & (labels == Label.LAD), Label.LCX, np.where(of_slice == 1, 0, labels))


def test_a_system_read_as_an_observer_has_the_same_row(rows, read, bundle, recipe):
    """A system's decisions painted as a label volume get the scores and groups that its assessment gave them."""
    for row, (scan, labels) in zip(rows, read, strict=True):
        scored = score_scan(scan, bundle, recipe, scan_id=row.scan_id)
        decided = np.zeros(len(scored.candidates) + 1, dtype=np.uint8)
        for lesion in scored.result.lesions:
            decided[lesion.lesion] = lesion.label
        painted = decided[scored.candidates.label_volume()]
        found = compare_observers(
            scan, labels, painted, recipe, patient_id=row.patient_id, scan_id=row.scan_id, protocol=row.protocol
        ).scan
        wanted = assess_scan(row, {"": (bundle, recipe)})[""].scan
        assert wanted.keys() - found.keys() == {
            "referred",
            "lowest",
            "highest",
            "no_score",
            "invalid_reasons",
            "whole_scan",
        }
        for name, value in found.items():
            assert value == (pytest.approx(wanted[name]) if isinstance(value, float) else wanted[name]), name


def test_each_observer_has_his_own_scores(read, recipe):
    """Both sides of a row are what the observer's label volume scores alone; swapping observers swaps the sides."""
    for scan, labels in read[:2]:
        second = other_reading(labels, 0)
        there, back = (
            compare_observers(scan, *pair, recipe, patient_id="p", scan_id="s").scan
            for pair in ((labels, second), (second, labels))
        )
        for suffix, volume in (("_truth", labels), ("", second)):
            alone = score_labelled(scan, volume, recipe, scan_id="s").result.score
            assert there[f"agatston{suffix}"] == alone.total.agatston
            assert there[f"mass_mg{suffix}"] == alone.total.mass_mg
            assert there[f"volume_lcx_mm3{suffix}"] == alone.arteries[2].volume_mm3
        for name in (n for n in there if f"{n}_truth" in there):
            assert (there[name], there[f"{name}_truth"]) == (back[f"{name}_truth"], back[name])


def test_rows_can_be_evaluated(read, recipe):
    """Observers who agree are perfect, others are not, and `evaluate` takes the rows of many scans as they are."""

    def evaluation(readings):
        parts = [
            compare_observers(scan, labels, second, recipe, patient_id=f"p{i}", scan_id=f"s{i}")
            for i, (scan, labels, second) in enumerate(readings)
        ]
        return evaluate(pd.concat([p.lesions for p in parts]), pd.DataFrame([p.scan for p in parts]), by=GROUPS, n=5)

    same = evaluation([(scan, labels, labels) for scan, labels in read])
    assert (same["lesion.f1"].value, same["agatston.icc_a1"].value, same["artery.accuracy_of_found"].value) == (1, 1, 1)
    other = evaluation([(scan, labels, other_reading(labels, i)) for i, (scan, labels) in enumerate(read)])
    assert other["lesion.sensitivity"].value < 1
    assert other["artery.accuracy_of_found"].value < 1
    assert other["agatston.bias"].value < 0


def test_what_is_not_known_is_said(read, recipe):
    """A header that says nothing gives a group of its own, and no group is empty."""
    scan, labels = read[0]
    score = score_labelled(scan, labels, recipe, scan_id="s").result.score
    row = scan_row(type(scan.acquisition)(), score, score, patient_id="p", scan_id="s")
    assert [row[name] for name in GROUPS] == [UNKNOWN] * 5 + [score.category]


def test_a_volume_of_another_shape_is_refused(read, recipe):
    """Labels that do not fit the scan raise."""
    scan, labels = read[0]
    with pytest.raises(GeometryError, match="scan's shape"):
        compare_observers(scan, labels, labels[1:], recipe, patient_id="p", scan_id="s")
