"""Laws of the agreement of two readings."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_readings import after, free_block, made_result
from sklearn.metrics import cohen_kappa_score

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.evaluation.agreement import bland_altman, intraclass_correlation
from calcscore_ml.review.consensus import FEWEST_SCANS, compare
from calcscore_ml.review.events import LabelLesion, Note, SplitLesion
from calcscore_ml.review.state import start

few = settings(max_examples=25)
labels = st.lists(st.none() | st.integers(0, 7), min_size=24, max_size=24)


def scans(count=4):
    return {f"scan-{i}": start(*made_result(i, scan_id=f"scan-{i}")) for i in range(count)}


def decided(fresh, verdicts):
    """Readings in which each lesion in turn got a label, or None for no decision."""
    out, at = {}, 0
    for scan_id, reading in fresh.items():
        for n in reading.lesions:
            label = verdicts[at % len(verdicts)]
            at += 1
            if label is not None:
                reading = after(reading, LabelLesion(lesion=n.key, label=label))
        out[scan_id] = reading
    return out


def label(reading, **by_key):
    return after(reading, *(LabelLesion(lesion=k.replace("_", ".")[1:], label=v) for k, v in by_key.items()))


def split(reading, key, *counts):
    """Split a lesion into runs of so many voxels, the last part taking the rest."""
    n = len(reading.lesion(key).rows)
    cuts = [0, *np.cumsum(counts).tolist(), n]
    parts = tuple(tuple(range(a, b)) for a, b in pairwise(cuts))
    return after(reading, SplitLesion(lesion=key, parts=parts))


@given(labels, labels)
@few
def test_agreement_is_that_of_scikit_learn(first, second):
    """Over the lesions both decided, share and both kappas are those of the reference implementation."""
    fresh = scans()
    found = compare({"anna": decided(fresh, first), "ben": decided(fresh, second)})
    keys = [(s, n.key) for s, r in fresh.items() for n in r.lesions]
    both = [(k, a, b) for k, a, b in zip(keys, first, second, strict=False) if a is not None and b is not None]
    assert [(p.scan_id, p.first_key, int(p.first), int(p.second)) for p in found.pairs] == [
        (*k, a, b) for k, a, b in both
    ]
    assert all(p.first_key == p.second_key for p in found.pairs)
    a, b = ([int(row[i]) for row in both] for i in (1, 2))
    if not both:
        assert np.isnan([found.agreement, found.kappa, found.kappa_coronary]).all()
        return
    assert found.agreement == pytest.approx(np.mean(np.array(a) == b))
    for value, x, y in ((found.kappa, a, b), (found.kappa_coronary, np.isin(a, ARTERIES), np.isin(b, ARTERIES))):
        if len({*x, *y}) == 1:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(cohen_kappa_score(x, y))


def test_agreement_by_hand():
    """Five of six alike; chance alone gives (3*3 + 2*2 + 1*0 + 0*1) / 36, and for coronary or not (4*4 + 2*2) / 36."""
    fresh = {"scan-0": scans(1)["scan-0"]}
    assert len(fresh["scan-0"].lesions) == 6
    first, second = decided(fresh, [1, 1, 1, 0, 0, 3]), decided(fresh, [1, 1, 1, 0, 0, 2])
    found = compare({"anna": first, "ben": second})
    assert (found.names, len(found.pairs), found.alone) == (("anna", "ben"), 6, ())
    assert found.agreement == pytest.approx(5 / 6)
    assert found.kappa == pytest.approx((5 / 6 - 13 / 36) / (1 - 13 / 36))
    assert found.kappa_coronary == pytest.approx(1)
    assert [(p.first_key, p.first, p.second) for p in found.disagreements] == [("6", Label.RCA, Label.LCX)]
    assert found.disagreements[0].effect == fresh["scan-0"].lesion("6").effect


@given(labels, labels)
@few
def test_the_two_can_be_swapped(first, second):
    """Swapping the readings swaps what is said of each and changes no measure of agreement."""
    fresh = scans()
    a, b = decided(fresh, first), decided(fresh, second)
    there, back = compare({"a": a, "b": b}), compare({"b": b, "a": a})
    assert [(p.first, p.second, p.effect) for p in there.pairs] == [(p.second, p.first, p.effect) for p in back.pairs]
    for name in ("agreement", "kappa", "kappa_coronary", "icc", "scans"):
        assert getattr(there, name) == pytest.approx(getattr(back, name), nan_ok=True)
    assert there.limits.bias == pytest.approx(-back.limits.bias, nan_ok=True)


def test_whoever_agrees_is_perfect():
    """A reading compared with itself agrees wholly, in labels and in scores."""
    one = decided(scans(), [1, 2, 0, 3, 5])
    found = compare({"anna": one, "ben": one})
    assert (found.agreement, found.kappa, found.kappa_coronary, found.icc) == (1, 1, 1, pytest.approx(1))
    assert (found.limits.bias, found.limits.lower, found.limits.upper) == (0, 0, 0)
    assert found.disagreements == ()


def test_scores_are_compared_where_nothing_is_pending():
    """ICC and limits are those of the scores of scans that both have finished, and NaN for too few."""
    fresh = scans(6)
    first, second = decided(fresh, [1, 2, 0]), decided(fresh, [1, 0, 3, 2])
    second["scan-5"] = fresh["scan-5"]
    assert second["scan-5"].range.pending
    found = compare({"anna": first, "ben": second})
    assert [s[0] for s in found.scores] == [f"scan-{i}" for i in range(5)]
    a, b = ([r[s].score.total.agatston for s, *_ in found.scores] for r in (first, second))
    assert found.icc == pytest.approx(intraclass_correlation(np.column_stack([a, b])))
    assert found.limits == bland_altman(a, b)
    assert found.limits.bias == pytest.approx(np.mean(np.array(b) - a))
    less = [{k: r[k] for k in list(r)[: FEWEST_SCANS - 1]} for r in (first, second)]
    too_few = compare({"anna": less[0], "ben": less[1]})
    assert too_few.scans == FEWEST_SCANS - 1
    assert np.isnan([too_few.icc, too_few.limits.bias, too_few.limits.lower]).all()
    only = compare({"anna": first, "ben": {"scan-1": second["scan-1"]}})
    assert {p.scan_id for p in only.pairs} == {"scan-1"}


def test_a_split_is_paired_by_its_voxels():
    """Parts are compared with the whole, or with the parts that share most of their voxels; slivers are no opinions."""
    fresh = scans(1)["scan-0"]
    whole = label(fresh, _1=1)
    in_two = label(split(fresh, "1", 30), **{"_1_1": 1, "_1_2": 0})
    nearly = label(split(fresh, "1", 33), **{"_1_1": 1, "_1_2": 3})

    def pairs(a, b):
        found = compare({"a": {"s": a}, "b": {"s": b}}).pairs
        return [(p.first_key, p.second_key, int(p.first), int(p.second)) for p in found]

    assert pairs(whole, in_two) == [("1", "1.1", 1, 1), ("1", "1.2", 1, 0)]
    assert pairs(in_two, whole) == [("1.1", "1", 1, 1), ("1.2", "1", 0, 1)]
    assert pairs(in_two, nearly) == [("1.1", "1.1", 1, 1), ("1.2", "1.2", 0, 3)]
    turned = label(split(fresh, "1", 48), **{"_1_1": 1, "_1_2": 0})  # of 78 voxels: its first part has most of both
    assert pairs(in_two, turned) == [("1.1", "1.1", 1, 1), ("1.2", "1.2", 0, 0)]
    assert pairs(fresh, whole) == []


def test_added_lesions_are_paired_by_their_voxels_not_by_their_names():
    """Two who add the same voxels agree whatever the keys; what only one added is told apart, and must be settled."""
    fresh = scans(1)["scan-0"]
    block, other = free_block(fresh, 0, 0), free_block(fresh, 1, 1)
    assert not set(block.voxels) & set(other.voxels)
    first = after(fresh, block)
    second = after(fresh, Note(text="one first"), block)
    same = compare({"a": {"s": first}, "b": {"s": second}})
    assert [(p.first_key, p.second_key, p.agrees) for p in same.pairs] == [("+1", "+2", True)]
    assert same.alone == same.disagreements == ()
    apart = compare({"a": {"s": first}, "b": {"s": after(fresh, other)}})
    assert apart.pairs == ()
    assert [(p.first_key, p.second_key) for p in apart.alone] == [("+1", None), (None, "+1")]
    assert set(apart.disagreements) == set(apart.alone)
    taken_back = after(first, LabelLesion(lesion="+1", label=0))
    assert compare({"a": {"s": taken_back}, "b": {"s": fresh}}).alone == ()


def test_disagreements_come_by_effect():
    """What matters most to the score is settled first."""
    fresh = scans()
    found = compare({"a": decided(fresh, [1]), "b": decided(fresh, [0])})
    effects = [p.effect for p in found.disagreements]
    assert len(effects) == len(found.pairs) > 10
    assert effects == sorted(effects, reverse=True)


def test_what_cannot_be_compared_is_told():
    """One reading, three, or readings of different results are refused."""
    one = scans(1)
    for readings in ({"a": one}, {"a": one, "b": one, "c": one}):
        with pytest.raises(ReviewError, match=r"two readings are compared, got [13]"):
            compare(readings)
    result, calcium = made_result(0, scan_id="scan-0")
    provenance = replace(result.provenance, scan_sha256="1" * 64)
    other = {"scan-0": start(replace(result, provenance=provenance), calcium)}
    with pytest.raises(ReviewError, match="must be of one result, got different ones of scan-0"):
        compare({"a": one, "b": other})
