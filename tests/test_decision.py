"""Laws of the decision before an expert has spoken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.referral.decision import decide, most_probable_artery

rows = arrays(float, (5, len(Label)), elements=st.floats(0.001, 1)).map(lambda p: p / p.sum(axis=1, keepdims=True))


@given(rows, st.floats(0, 1))
def test_a_lesion_is_coronary_when_its_arteries_together_reach_the_threshold(probabilities, threshold):
    """The label is coronary exactly then, and the most probable of its side."""
    labels = decide(probabilities, threshold)
    together = probabilities[:, list(ARTERIES)].sum(axis=1)
    for row, label, share in zip(probabilities, labels, together, strict=True):
        assert Label(label).is_coronary == (share >= threshold)
        side = [t for t in Label if t.is_coronary == Label(label).is_coronary]
        assert row[label] == pytest.approx(max(row[t] for t in side))


@given(rows, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_never_adds_a_coronary_lesion(probabilities, a, b):
    """The decision is monotone."""
    low, high = sorted((a, b))
    coronary = [np.isin(decide(probabilities, t), ARTERIES) for t in (low, high)]
    assert (coronary[0] >= coronary[1]).all()


@given(rows)
def test_an_accepted_lesion_gets_an_artery(probabilities):
    """Whatever the model thinks, an expert who accepts a lesion puts it in an artery."""
    assert np.isin(most_probable_artery(probabilities), ARTERIES).all()
