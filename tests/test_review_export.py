"""Laws of what leaves a review: tables, label volumes, results."""

import csv
import io
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_readings import after, events, made_event, made_result, readings, store

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ResultError, ReviewError
from calcscore_ml.io.labels import read_labels
from calcscore_ml.result import INTENDED_USE, REPORT_FILE, read_result
from calcscore_ml.review.events import AddLesion, LabelLesion, Note, Undo
from calcscore_ml.review.export import (
    COLUMNS,
    decision_rows,
    decisions_csv,
    label_volume,
    read_decisions,
    write_decisions,
    write_label_volume,
    write_reviewed,
)
from calcscore_ml.review.spreadsheet import FORMULA_STARTS, defused, fused
from calcscore_ml.review.state import StoredEvent, Totals, start
from calcscore_ml.review.store import STORE_FILE, open_store
from calcscore_ml.review.verdicts import read_verdicts, verdicts_csv

few = settings(max_examples=20)
names = st.from_regex(r"[A-Za-z0-9_.-]{1,40}", fullmatch=True)
scores = st.floats(0, 1e6)
totals = st.builds(Totals, scores, scores, scores, st.sampled_from(["0", "1-10", "> 400"]))
hostile = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30) | st.sampled_from(
    ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''", "\t=1", "\r\n=1", '=HYPERLINK("http://x","y")', "a,b\r\nc\rd"]
)
stored_events = st.builds(
    StoredEvent,
    id=st.integers(1, 2**40),
    scan_id=hostile,
    reading=names,
    version=st.integers(1, 10**6),
    observer=names,
    at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    event=events,
    lesion=st.none() | st.sampled_from(["12", "12.1", "+7"]),
    old_label=st.none() | st.integers(0, 7),
    new_label=st.none() | st.integers(0, 7),
    model_sha256=hostile,
    before=totals,
    after=totals,
)


@given(st.lists(stored_events, max_size=5, unique_by=lambda e: e.id))
def test_a_table_of_decisions_comes_back_equal(stored):
    """Whatever was decided, by whomever, of whatever scan: written and read, every row is as it was."""
    table = decisions_csv(stored)
    assert read_decisions(table) == decision_rows(stored)


@given(st.lists(stored_events, max_size=5, unique_by=lambda e: e.id))
def test_no_cell_is_a_formula(stored):
    """No cell of the table starts as a formula does, whatever the names and notes."""
    cells = [cell for row in csv.reader(io.StringIO(decisions_csv(stored), newline="")) for cell in row]
    assert len(cells) == len(COLUMNS) * (1 + len(stored))
    assert not [c for c in cells if c.startswith(FORMULA_STARTS[:-1])]


@given(hostile | st.text())
def test_defusing_is_undone_by_reading(text):
    """Every text comes back, those that start with apostrophes too; harmless ones are left alone."""
    assert fused(defused(text)) == text
    assert not defused(text).startswith(FORMULA_STARTS[:-1])
    if text[:1].isalnum():
        assert defused(text) == text


def test_an_observer_and_a_note_that_look_like_formulas(tmp_path):
    """The two things a person types are defused in the file, and are what was typed when it is read."""
    with open_store(tmp_path / STORE_FILE) as kept:
        for i, name in enumerate(["-anna", "1", "--"]):
            totals = Totals(1.0, 0.5, 2.5, "1-10")
            kept.append(
                "scan-1", "shared", i, name, Note(text="=cmd|' /C calc'!A0"), None, None, None, "f", totals, totals
            )
        file = write_decisions(tmp_path / "decisions.csv", kept)
        rows = read_decisions(file)
        assert rows == decision_rows(kept.all_events())
    text = file.read_text(encoding="utf-8")
    assert ",'-anna,note,," in text
    assert ",'=cmd|" in text
    assert [(r.observer, r.note) for r in rows] == [(n, "=cmd|' /C calc'!A0") for n in ("-anna", "1", "--")]
    with pytest.raises(ResultError, match="is there already"):
        write_decisions(file, [])
    assert file.read_text(encoding="utf-8") == text
    write_decisions(file, [], overwrite=True)
    assert read_decisions(file) == ()


def test_a_large_added_lesion_fits_a_cell():
    """The voxels of a lesion of a hundred thousand voxels come back; the limit of other readers of CSV is as before."""
    usual = csv.field_size_limit(131072)
    fresh = start(*made_result(0))
    voxels = tuple((z, y, x) for z in range(10) for y in range(100) for x in range(100))
    event = store(fresh, AddLesion(voxels=voxels, hu=(200,) * len(voxels), label=1))
    assert read_decisions(decisions_csv([event]))[0].event == event.event
    assert csv.field_size_limit(usual) == 131072


@given(readings)
@few
def test_undone_events_are_marked(reading):
    """A row is undone exactly when its event has no effect; an undone undo is one too."""
    alive = {}
    for e in reading.events:
        alive[e.id] = True
    for e in reversed(reading.events):
        if isinstance(e.event, Undo) and alive[e.id]:
            alive[e.event.event] = False
    assert [(r.id, r.undone) for r in decision_rows(reading.events)] == [(k, not v) for k, v in alive.items()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "must have a header"),
        (lambda t: t.replace("scan_id,", "scan,", 1), "must have the columns scan_id, reading"),
        (lambda t: t + "one,two\r\n", "got 2 for 20 columns in line 3"),
        (lambda t: t.replace("shared,1,", "shared,one,"), r"invalid literal .* in line 2; export it again"),
        (lambda t: t.replace("false", "no"), "in line 2"),
        (lambda t: t.replace(",label,", ",split,"), "must agree with its event"),
        (lambda t: t.replace("+00:00", ""), "tell a time in UTC"),
        (lambda t: t.replace("{", "["), "in line 2"),
        (lambda t: t + '"', "must be CSV text"),
    ],
)
def test_a_broken_table_is_told_by_its_line(change, message):
    """What is not as it was written is refused, with the line and what to do."""
    fresh = start(*made_result(0))
    table = decisions_csv([store(fresh, LabelLesion(lesion="1", label=1))])
    assert len(read_decisions(table)) == 1
    with pytest.raises(ReviewError, match=message):
        read_decisions(change(table))


@given(readings)
@few
def test_the_short_table_has_what_was_decided(reading):
    """One line per decided lesion: label, observer and note come back."""
    wanted = [(n.key, n.label, n.decided_by, n.note) for n in reading.lesions if n.decided]
    found = read_verdicts(verdicts_csv([reading]))
    assert [(v.lesion, v.label, v.observer, v.note) for v in found] == wanted
    assert {v.scan_id for v in found} <= {reading.scan_id}


def test_scripts_may_write_the_short_table(tmp_path):
    """Three columns do, in any order, with a byte-order mark, with labels by number, name or title."""
    file = tmp_path / "decided.csv"
    file.write_text(
        "\ufefflabel,scan_id,lesion\n1,a,12\nLAD,a,12.1\nthoracic aorta,b,+7\nother,b,3\n", encoding="utf-8"
    )
    assert [(v.scan_id, v.lesion, v.label) for v in read_verdicts(file)] == [
        ("a", "12", Label.LAD), ("a", "12.1", Label.LAD), ("b", "+7", Label.AORTA), ("b", "3", Label.OTHER),
    ]  # fmt: skip
    cases = {
        "scan_id,lesion\na,1\n": "must have the columns scan_id,lesion,label",
        "scan_id,lesion,label,why\na,1,1,x\n": "must have the columns",
        "scan_id,lesion,label,label\na,1,1,1\n": "must have the columns",
        "scan_id,lesion,label\na,1,8\n": r"a label must be 0 to 7 or one of OTHER, LAD.* got '8' in line 2",
        "scan_id,lesion,label\na,x,1\n": "must be named by its key, .* got lesion 'x' in line 2",
        "scan_id,lesion,label\n,1,1\n": "must name its scan, got none in line 2",
        "scan_id,lesion,label\na,1,1\na,1,2\n": "a second line for lesion 1 of a in line 3",
    }
    for text, message in cases.items():
        with pytest.raises(ReviewError, match=message):
            read_verdicts(text)
    with pytest.raises(ReviewError, match="must be CSV text in UTF-8"):
        read_verdicts(tmp_path / "none.csv")


@given(readings)
@few
def test_a_label_volume_has_every_voxel_that_counts(reading):
    """Each voxel has the label of its lesion; excluded ones and all others are 0."""
    volume = label_volume(reading)
    wanted = {}
    for n in reading.lesions:
        for voxel, kept in zip(n.voxels.tolist(), n.kept, strict=True):
            assert tuple(voxel) not in wanted
            wanted[tuple(voxel)] = int(n.label) if kept else 0
    assert {tuple(v): int(volume[tuple(v)]) for v in np.argwhere(volume).tolist()} == {
        k: v for k, v in wanted.items() if v
    }


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_label_volumes_come_back_equal(tmp_path, ending):
    """Written and read by the package's own label files, on the scan's grid; never over another unasked."""
    reading = start(*made_result(2))
    for i, kind in enumerate(["label", "split", "exclude", "add", "label"]):
        reading = after(reading, made_event(reading, kind, i, 4 + i))
    file = write_label_volume(reading, tmp_path / f"labels{ending}")
    assert np.array_equal(read_labels(file, reading.calcium.geometry), label_volume(reading))
    kept = file.read_bytes()
    with pytest.raises(ResultError, match="is there already"):
        write_label_volume(start(*made_result(3)), file)
    assert file.read_bytes() == kept
    write_label_volume(start(*made_result(2)), file, overwrite=True)
    assert np.array_equal(read_labels(file, reading.calcium.geometry), label_volume(start(*made_result(2))))


def test_a_reviewed_result_is_a_result(tmp_path):
    """Its folder is read as any other and scores as the reading does; it never replaces another unasked."""
    reading = after(start(*made_result(4)), LabelLesion(lesion="1", label=3), Note(text="<script>alert(1)</script>"))
    reading = after(reading, Note(lesion="1", text="<img src=x onerror=alert(1)>"), observer="ben")
    folder = write_reviewed(tmp_path / "reviewed", reading)
    result, calcium = read_result(folder)
    assert start(result, calcium).score == reading.score
    assert result.provenance.model["reviewed_by"] == "anna, ben"
    assert result.provenance.model["decisions"] == "1"
    report = (folder / REPORT_FILE).read_text(encoding="utf-8")
    assert INTENDED_USE in report
    assert not re.search(r"<(script|img)", report)
    assert "&lt;script&gt;" in report
    assert f">{reading.score.total.agatston:.0f}</span>" in report
    with pytest.raises(ResultError, match="never replaced unasked"):
        write_reviewed(folder, start(*made_result(5)))
    assert read_result(folder)[0] == result
    write_reviewed(folder, start(*made_result(5)), overwrite=True)
    assert read_result(folder)[0].score == made_result(5)[0].score
