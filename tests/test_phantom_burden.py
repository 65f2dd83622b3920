"""Laws of coronary calcium that deliberate faults showed to be missing."""

import numpy as np
import pytest

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.burden import REFERENCE, reference_score
from calcscore_ml.phantom.calcification import draw_coronary_calcium
from calcscore_ml.phantom.canvas import Grid
from calcscore_ml.phantom.coronaries import build_coronaries
from calcscore_ml.phantom.deposits import Deposit, excess, sample
from calcscore_ml.phantom.heart import build_heart
from calcscore_ml.phantom.patient import draw_patient
from calcscore_ml.phantom.segments import SEGMENTS


@pytest.mark.parametrize(("radius", "density"), [(0.9, 450.0), (1.5, 220.0), (2.5, 300.0)])
def test_the_reference_score_is_agatston_s_definition(radius, density):
    """Area at or above 130 HU times the peak's weight, per 3 mm slice, counted anew on a grid of its own."""
    ball = Deposit(Label.LAD, "LAD", np.zeros((1, 3)), np.array([radius]), density)
    axis = (0.45 * np.arange(-20, 21)).astype(np.float32)
    _, hu = excess(sample(ball), Grid((3.0 * np.arange(-3, 4)).astype(np.float32), axis, axis), REFERENCE)
    expected = 0.0
    for plane in hu:
        area = 0.45**2 * float(np.count_nonzero(plane >= 130))
        expected += area * sum(float(plane.max()) >= edge for edge in (130, 200, 300, 400)) if area >= 1 else 0.0
    assert expected > 0
    assert reference_score(ball) == pytest.approx(expected, rel=1e-6)


def test_faint_specks_are_few():
    """Lesions that score nothing: about one for two patients with calcium, fewer without."""
    branches = build_coronaries(build_heart(draw_patient(1)))
    counts = []
    for seed in range(60):
        drawn = [d for d in draw_coronary_calcium(draw_patient(seed), branches) if d.label.is_coronary]
        counts.append(sum(reference_score(d) == 0 for d in drawn))
    assert 0.1 < np.mean(counts) < 1.0


def test_segment_numbers_are_the_diagram_s():
    """RCA 1 to 4 and 16, left main 5, LAD 6 to 10, LCX the others."""
    found = {label: [s.number for s in SEGMENTS if s.label is label] for label in {s.label for s in SEGMENTS}}
    assert found == {
        Label.RCA: [1, 2, 3, 4, 16],
        Label.LM: [5],
        Label.LAD: [6, 7, 8, 9, 10],
        Label.LCX: [11, 12, 13, 14, 15, 17, 18],
    }
