"""Laws of the decision before an expert has spoken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.referral.decision import arteries_by_map, decide, most_probable_artery

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


maps = arrays(float, (5, len(ARTERIES)), elements=st.one_of(st.just(np.nan), st.just(0.0), st.floats(0.001, 1)))


@given(rows, maps, st.booleans())
def test_maps_share_what_is_coronary(probabilities, by_map, as_lad):
    """Arteries get shares as the maps have them, and all else stays; a left main that counts as LAD adds to it."""
    before = by_map.copy()
    out = arteries_by_map(probabilities, by_map, left_main_as_lad=as_lad)
    assert np.array_equal(by_map, before, equal_nan=True)
    for row, found, said in zip(probabilities, out, by_map, strict=True):
        wanted = dict(zip(ARTERIES, said, strict=True))
        if as_lad:
            wanted = {**wanted, Label.LAD: wanted[Label.LAD] + wanted[Label.LM], Label.LM: 0 * wanted[Label.LM]}
        total = sum(wanted.values())
        if not total > 0:
            assert (found == row).all()
            continue
        coronary = sum(row[a] for a in ARTERIES)
        assert [found[a] for a in ARTERIES] == pytest.approx([coronary * wanted[a] / total for a in ARTERIES])
        assert all(found[t] == row[t] for t in Label if not t.is_coronary)
