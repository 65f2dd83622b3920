"""Laws of what stands after decisions."""

import tempfile
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_readings import (
    KINDS,
    ROUNDED,
    after,
    fits,
    free_block,
    history,
    made_event,
    made_result,
    readings,
    rules,
    snapshot,
    steps,
    store,
    unrounded,
)

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import read_manifest
from calcscore_ml.pipeline import score_labelled, score_scan
from calcscore_ml.result import PendingRange, read_result, write_result
from calcscore_ml.review.events import AddLesion, ExcludeVoxels, LabelLesion, Note, SplitLesion, Undo
from calcscore_ml.review.queue import order_lesions
from calcscore_ml.review.reviewed import to_result
from calcscore_ml.review.state import advance, replay, start, undone_events, what_if
from calcscore_ml.scores import Calcium, summarise

few = settings(max_examples=25)


def painted(reading):
    """The reading's calcium, put together from scratch: voxel by voxel in raster order."""
    rows = sorted(
        (tuple(voxel), int(hu), number, int(lesion.label))
        for number, lesion in enumerate(reading.lesions, start=1)
        for voxel, hu, kept in zip(lesion.voxels.tolist(), lesion.hu, lesion.kept, strict=True)
        if kept and lesion.label != Label.OTHER
    )
    columns = [np.array([row[i] for row in rows], dtype=np.intp) for i in range(4)]
    like = reading.calcium
    return Calcium(
        like.geometry,
        columns[0].reshape(-1, 3),
        columns[1].astype(np.int16),
        columns[2],
        columns[3],
        like.slice_thickness_mm,
    )


def test_a_fresh_reading_has_the_score_of_its_result(cohort, bundle, recipe, tmp_path):
    """For scans scored by a model or an observer, as stored, score and range are the result's to the last bit."""
    pending = 0
    for row in read_manifest(cohort)[:5]:
        scan = read_scan(row.image)
        by_model = score_scan(scan, bundle, recipe, scan_id=row.scan_id)
        by_hand = score_labelled(scan, read_labels(row.labels, scan.geometry), recipe, scan_id=f"{row.scan_id}-by-hand")
        for scored in (by_model, by_hand):
            folder = write_result(tmp_path / scored.result.scan_id, scored.result, scored.calcium, "")
            reading = start(*read_result(folder))
            assert reading.score == scored.result.score
            assert reading.range == scored.result.range
            assert [n.key for n in reading.lesions] == [str(n.lesion) for n in scored.result.lesions]
            pending += reading.range.pending
    assert pending


@given(st.integers(0, 30), rules)
def test_a_fresh_made_up_reading_has_the_score_of_its_result(seed, rule):
    """The same by every rule."""
    result, calcium = made_result(seed, rule)
    reading = start(result, calcium)
    assert reading.score == result.score
    assert reading.range == result.range


@given(readings)
@few
def test_replay_is_deterministic(reading):
    """All events at once, one after the other, or a second time: the same stands, to the last bit."""
    again = replay(reading.result, reading.calcium, reading.events)
    assert snapshot(again) == snapshot(reading)
    one_by_one = start(reading.result, reading.calcium)
    for stored in reading.events:
        one_by_one = advance(one_by_one, (stored,))
    assert snapshot(one_by_one) == snapshot(reading)
    assert again.version == len(reading.events)


@given(readings, st.sampled_from(KINDS[:5]), st.integers(0, 50), st.integers(0, 50))
@few
def test_undo_restores_and_undoing_it_brings_back(reading, kind, a, b):
    """What an undo leaves is exactly what stood before the event, and undoing the undo is as if nothing was undone."""
    event = made_event(reading, kind, a, b)
    assume(event is not None and fits(reading, event))
    done = after(reading, event)
    undone = after(done, Undo(event=done.events[-1].id))
    assert snapshot(undone) == snapshot(reading)
    redone = after(undone, Undo(event=undone.events[-1].id))
    assert snapshot(redone) == snapshot(done)
    assert snapshot(after(redone, Undo(event=redone.events[-1].id))) == snapshot(reading)


@given(readings)
@few
def test_undone_events_have_no_effect(reading):
    """What stands is what the events that are not undone make of the result; only names of added lesions count all."""
    undone = undone_events(reading.events)
    standing = [e for e in reading.events if e.id not in undone and not isinstance(e.event, Undo)]
    assume(not any(isinstance(e.event, AddLesion) for e in standing))
    fresh = start(reading.result, reading.calcium)
    for stored in standing:
        fresh = after(fresh, stored.event, observer=stored.observer)
    assert snapshot(fresh) == snapshot(reading)


@given(readings, st.integers(0, 50), st.integers(0, 50))
@few
def test_what_if_says_what_will_stand(reading, a, b):
    """A decision that is only asked about gives what it gives when it is made, and changes nothing."""
    before = snapshot(reading)
    for kind in KINDS:
        event = made_event(reading, kind, a, b)
        if event is not None and fits(reading, event):
            assert snapshot(what_if(reading, event, "anna")) == snapshot(after(reading, event))
    assert snapshot(reading) == before


@given(readings, st.integers(0, 50), st.integers(0, 50))
def test_splitting_loses_nothing(reading, a, b):
    """Parts have every voxel once and all that was known of the whole; together they score what the whole did."""
    event = made_event(reading, "split", a, b)
    assume(event is not None)
    whole = reading.lesion(event.lesion)
    split = after(reading, event)
    parts = [
        n for n in split.lesions if n.key.startswith(f"{whole.key}.") and n.key.count(".") == whole.key.count(".") + 1
    ]
    assert [n.key for n in parts] == [f"{whole.key}.{i}" for i in range(1, len(event.parts) + 1)]
    for name in ("rows", "voxels", "hu", "kept"):
        joined = np.concatenate([getattr(n, name) for n in parts])[np.argsort(np.concatenate([n.rows for n in parts]))]
        assert np.array_equal(joined, getattr(whole, name)[np.argsort(whole.rows)]), name
    assert sum(n.volume_mm3 for n in parts) == pytest.approx(whole.volume_mm3)
    for name in ("label", "said", "accepted", "decided", "decided_by", "referred", "note", "probabilities", "lesion"):
        assert all(getattr(n, name) == getattr(whole, name) for n in parts), name
    own = {n.number for n in parts}
    for value in ("score", "area_mm2"):
        of_parts = sum(getattr(c, value) for c in split.score.contributions if c.lesion in own)
        of_whole = sum(getattr(c, value) for c in reading.score.contributions if c.lesion == whole.number)
        assert of_parts == pytest.approx(of_whole)
    for name in ("agatston", "volume_mm3", "mass_mg"):
        assert getattr(split.score.total, name) == pytest.approx(getattr(reading.score.total, name)), name
    assert split.range.lowest == pytest.approx(reading.range.lowest)
    assert split.range.highest == pytest.approx(reading.range.highest)


@given(unrounded, st.integers(0, 50), st.integers(0, 50))
def test_excluding_never_raises_the_score(reading, a, b):
    """Fewer voxels never score more, in total, per site, or in the range (rules that round lesions apart)."""
    event = made_event(reading, "exclude", a, b)
    assume(event is not None)
    less = after(reading, event)
    sites = [(r.score.total, *r.score.arteries, *r.score.elsewhere) for r in (reading, less)]
    for before, now in zip(*sites, strict=True):
        assert now.agatston <= before.agatston + 1e-9
        assert now.volume_mm3 <= before.volume_mm3 + 1e-9
    assert less.range.lowest <= reading.range.lowest + 1e-9
    assert less.range.highest <= reading.range.highest + 1e-9
    lesion = less.lesion(event.lesion)
    assert lesion.effect <= reading.lesion(event.lesion).effect + 1e-9
    assert len(lesion.excluded) == (~reading.lesion(event.lesion).kept).sum() + len(event.positions)


@given(readings)
def test_the_score_is_that_of_the_voxels(reading):
    """After any decisions, the score is what the voxels score when they are put together from scratch."""
    slow = summarise(painted(reading), reading.score.rule, reading.score.calibration, reading.score.scheme)
    for ours, theirs in zip(
        (reading.score.total, *reading.score.arteries, *reading.score.elsewhere),
        (slow.total, *slow.arteries, *slow.elsewhere),
        strict=True,
    ):
        for name in ("agatston", "volume_mm3", "mass_mg", "lesions", "largest_lesion_agatston", "largest_lesion_mm3"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name)), (ours.site, name)
    assert reading.score.category == slow.category


@given(st.integers(0, 9), rules, st.permutations(range(6)), st.lists(st.integers(0, 50), min_size=12, max_size=12))
def test_the_order_of_decisions_on_different_lesions_does_not_matter(seed, rule, order, numbers):
    """Label, split, exclude and note on different lesions give the same state, to the last bit, in any order."""
    fresh = start(*made_result(seed, rule))
    decisions = []
    for i in range(6):
        event = made_event(fresh, KINDS[numbers[i] % 4 if numbers[i] % 4 != 3 else 4], i, numbers[6 + i])
        if event is not None and i < len(fresh.lesions) and event.lesion == fresh.lesions[i].key:
            decisions.append(event)
    assume(len(decisions) > 1)
    shuffled = [decisions[i] for i in order if i < len(decisions)]
    assert snapshot(after(fresh, *shuffled)) == snapshot(after(fresh, *decisions))


@given(readings)
@few
def test_the_range_contains_the_score(reading):
    """Lowest <= score <= highest by every rule, and all are one when nothing is pending."""
    span = reading.range
    assert span.lowest <= reading.score.total.agatston <= span.highest
    assert span.pending == sum(n.pending for n in reading.lesions)
    for lesion in reading.lesions:
        if lesion.pending:
            reading = after(reading, LabelLesion(lesion=lesion.key, label=int(lesion.said)))
    assert reading.range.lowest == reading.range.highest == reading.score.total.agatston
    assert reading.range.pending == 0


def test_the_range_contains_the_score_where_less_rounds_to_more():
    """Three arms of 1.68 round to 6, and with the pending voxel that joins them to 5: the range says both."""
    result, calcium = made_result(0, "ai-cac")
    arms = [(3, 10 + i, 10) for i in range(1, 5)] + [(3, 10 - i, 10) for i in range(1, 5)]
    arms += [(3, 10, 10 + i) for i in range(1, 5)]
    lesion = replace(result.lesions[0], label=Label.LAD, referred=True)
    voxels = np.array([*arms, (3, 10, 10)])
    one = replace(
        calcium, voxels=voxels, hu=np.full(13, 150, np.int16), lesion=np.ones(13, int), label=np.ones(13, int)
    )
    fresh = start(replace(result, lesions=(lesion,)), one)
    split = after(fresh, SplitLesion(lesion="1", parts=(tuple(range(12)), (12,))), LabelLesion(lesion="1.1", label=1))
    assert split.score.total.agatston == pytest.approx(5)
    assert after(split, LabelLesion(lesion="1.2", label=0)).score.total.agatston == pytest.approx(6)
    assert (split.range.lowest, split.range.highest) == (pytest.approx(5), pytest.approx(6))
    assert split.range.pending == 1


@given(unrounded)
@few
def test_the_range_is_that_of_every_outcome(reading):
    """Lowest and highest are the extremes over every way to reject and accept what is pending."""
    pending = [n for n in reading.lesions if n.pending]
    assume(1 <= len(pending) <= 4)
    outcomes = [reading.score.total.agatston]
    for labels in product(*((Label.OTHER, n.accepted) for n in pending)):
        events = (LabelLesion(lesion=n.key, label=int(t)) for n, t in zip(pending, labels, strict=True))
        outcomes.append(after(reading, *events).score.total.agatston)
    assert reading.range.lowest == pytest.approx(min(outcomes))
    assert reading.range.highest == pytest.approx(max(outcomes))


@given(readings)
@few
def test_a_pending_lesion_is_referred_and_undecided(reading):
    """A decision is a label: notes, splits and exclusions leave a lesion pending; whoever labelled last is named."""
    for lesion in reading.lesions:
        if lesion.pending:
            assert lesion.label == lesion.said
            assert not lesion.decided_by
        assert lesion.decided == bool(lesion.decided_by)
        labelled = after(reading, LabelLesion(lesion=lesion.key, label=3), observer="carol").lesion(lesion.key)
        assert (labelled.label, labelled.decided_by, labelled.pending) == (Label.RCA, "carol", False)
        if not lesion.decided:
            noted = after(reading, Note(lesion=lesion.key, text="?"), ExcludeVoxels(lesion=lesion.key, positions=(0,)))
            assert noted.lesion(lesion.key).pending == lesion.pending if len(lesion.rows) > 1 else True
        break


@given(st.integers(0, 9), rules, st.integers(0, 50), st.integers(0, 50))
def test_an_added_lesion_scores_as_its_voxels_do(seed, rule, a, b):
    """An added lesion is decided, named by its event, and adds what it scores alone where it touches none."""
    fresh = start(*made_result(seed, rule))
    event = free_block(fresh, a, 0)
    assume(event is not None)
    with_it = after(fresh, Note(text="one more"), event.model_copy(update={"label": b % 4 + 1}))
    added = with_it.lesions[-1]
    assert (added.key, added.lesion, added.decided, added.pending) == ("+2", None, True, False)
    near = [np.abs(n.voxels[:, None] - added.voxels[None]).max(axis=2).min() for n in fresh.lesions]
    if min(near) > 1:
        gained = with_it.score.total.agatston - fresh.score.total.agatston
        assert gained == pytest.approx(added.effect if added.label in ARTERIES else 0)
    if rule not in ROUNDED:
        assert with_it.score.total.agatston >= fresh.score.total.agatston - 1e-9
    assert added.number not in {n.number for n in fresh.lesions}


@given(readings)
@few
def test_a_reviewed_result_scores_the_same(reading):
    """As a result, written and read again: score and range to the last bit, decided lesions no longer referred."""
    result, calcium = to_result(reading)
    with tempfile.TemporaryDirectory() as folder:
        again = start(*read_result(write_result(folder, result, calcium, "", overwrite=True)))
    assert again.score == result.score == reading.score
    assert again.range == result.range == reading.range
    assert [n.lesion for n in result.lesions] == [n.number for n in reading.lesions]
    for lesion, said, back in zip(reading.lesions, result.lesions, again.lesions, strict=True):
        assert said.label == back.label == lesion.label
        assert said.referred == lesion.pending
        assert np.array_equal(back.voxels, lesion.voxels[lesion.kept])
        assert said.volume_mm3 == pytest.approx(lesion.volume_mm3)
        assert (said.reason == f"decided by {lesion.decided_by}") == lesion.decided
        if lesion.whole:
            assert lesion.origin.index == said.index
        else:
            assert said.index == pytest.approx(lesion.voxels[lesion.kept].mean(axis=0))
            assert said.peak_hu == lesion.hu[lesion.kept].max()
    names = {e.observer for e in reading.events}
    assert result.provenance.model.get("reviewed_by", "") == ", ".join(sorted(names))


def test_what_does_not_fit_is_told():
    """Unknown lesions, positions, undos and voxels are refused: what must hold, what came, what to do."""
    fresh = start(*made_result(0))
    first = fresh.lesions[0]
    n = len(first.rows)
    parted = after(fresh, SplitLesion(lesion="1", parts=((0,), tuple(range(1, n)))))
    undone = after(parted, Undo(event=101))
    labelled = after(parted, LabelLesion(lesion="1.1", label=1))
    redone = after(fresh, LabelLesion(lesion="1", label=1), Undo(event=101))
    bright = free_block(fresh, 0, 0)
    taken = tuple(tuple(v) for v in first.voxels[:2].tolist())
    bare = after(parted, ExcludeVoxels(lesion="1.2", positions=tuple(range(n - 2))))
    cases = [
        (fresh, LabelLesion(lesion="99", label=1), "'99', which this scan does not list; load"),
        (fresh, LabelLesion(lesion="+1", label=1), "does not list"),
        (fresh, Note(lesion="99", text=""), "does not list"),
        (parted, LabelLesion(lesion="1", label=1), r"'1', which was split into 1\.1, 1\.2; load"),
        (undone, LabelLesion(lesion="1.1", label=1), "does not list"),
        (fresh, ExcludeVoxels(lesion="1", positions=(n,)), f"must be 0 to {n - 1}, .*got {n}; load"),
        (fresh, ExcludeVoxels(lesion="1", positions=tuple(range(n))), "must keep a voxel, got all of lesion 1"),
        (bare, ExcludeVoxels(lesion="1.2", positions=(n - 2,)), "must keep a voxel"),
        (fresh, SplitLesion(lesion="1", parts=((0,), (1,))), f"every voxel in a part, got 2 of {n} voxels"),
        (fresh, SplitLesion(lesion="1", parts=((0,), tuple(range(2, n + 1)))), "must be 0 to"),
        (bare, SplitLesion(lesion="1.2", parts=((0,), tuple(range(1, n - 1)))), "part must keep a voxel, got part 1"),
        (fresh, bright.model_copy(update={"hu": (129, 300, 300, 300)}), "must reach 130 HU in every voxel, got 129"),
        (fresh, AddLesion(voxels=((8, 0, 0),), hu=(300,), label=1), "must lie in the scan"),
        (fresh, AddLesion(voxels=taken, hu=(300, 300), label=1), "got 2 of lesion 1; label or split"),
        (fresh, Undo(event=101), "must name an event of this reading"),
        (labelled, Undo(event=101), "later ones build on .*undo those first"),
        (redone, Undo(event=101), "undone already; undo the undo"),
    ]
    for reading, event, message in cases:
        before = snapshot(reading)
        with pytest.raises(ReviewError, match=message):
            what_if(reading, event)
        assert snapshot(reading) == before


def test_events_of_another_stream_are_refused():
    """A reading is all events of one scan and one reading in order."""
    fresh = start(*made_result(0))
    first = store(fresh, Note(text="a"))
    second = store(advance(fresh, (first,)), Note(text="b"), name="other")
    elsewhere = store(start(*made_result(0, scan_id="scan-2")), Note(text="a"))
    for events in ([elsewhere], [second], [first, first], [first, second]):
        with pytest.raises(ReviewError, match="all events of one scan in order"):
            replay(fresh.result, fresh.calcium, events)


def test_notes_stand_until_the_next():
    """The last note on a lesion or the scan stands, parts keep it, and undoing brings the earlier one back."""
    fresh = start(*made_result(1))
    noted = after(fresh, Note(text="breath"), Note(lesion="2", text="stent?"), Note(lesion="2", text="stent"))
    assert (noted.note, noted.lesion("2").note, noted.lesion("1").note) == ("breath", "stent", "")
    n = len(noted.lesion("2").rows)
    assert after(noted, SplitLesion(lesion="2", parts=((0,), tuple(range(1, n))))).lesion("2.1").note == "stent"
    assert after(noted, Undo(event=noted.events[-1].id)).lesion("2").note == "stent?"


def test_a_scan_without_lesions_can_be_read():
    """Nothing listed, nothing pending, no score: a lesion can still be added."""
    result, calcium = made_result(0)
    empty = calcium.in_lesions(np.array([], dtype=np.intp))
    score = summarise(empty, result.score.rule, result.score.calibration)
    result = replace(result, lesions=(), candidates=0, score=score, range=PendingRange(0, 0, 0))
    reading = start(result, empty)
    assert (reading.headline, reading.lesions) == ("0", ())
    grown = after(reading, AddLesion(voxels=tuple((2, 3, x) for x in range(6)), hu=(250,) * 6, label=1))
    assert grown.score.total.agatston == pytest.approx(6 * 0.42 * 2 * 0.5)
    assert to_result(grown)[0].score == grown.score


@given(st.lists(st.tuples(st.integers(0, 9), steps), max_size=4), st.randoms())
@few
def test_the_queue_has_every_lesion_once_pending_and_urgent_first(histories, random):
    """Pending first, by urgency, then effect; the order of scans as they come does not matter."""
    named = [history(made_result(seed, scan_id=f"scan-{i}"), kinds) for i, (seed, kinds) in enumerate(histories)]
    queue = order_lesions(named)
    ranks = [(not i.pending, -i.lesion.urgency, -i.lesion.effect) for i in queue]
    assert ranks == sorted(ranks)
    assert sorted((i.scan_id, i.key) for i in queue) == sorted((r.scan_id, n.key) for r in named for n in r.lesions)
    random.shuffle(named)
    assert [(i.scan_id, i.key) for i in order_lesions(named)] == [(i.scan_id, i.key) for i in queue]
