"""Laws of the review without a page: the queue as a table, and the table filled in as decisions."""

import csv
import io

import numpy as np
import pytest
from made_readings import made_result
from test_scripts import run, run_afresh

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.result import read_arteries, read_result, write_result
from calcscore_ml.review.desk import SHARED, Desk, open_results
from calcscore_ml.review.paper import QUEUE_COLUMNS, apply_verdicts, queue_csv, read_filled
from calcscore_ml.review.queue import order_lesions
from calcscore_ml.review.store import open_store


@pytest.fixture
def results(tmp_path):
    """Results of three scans on disk."""
    for seed, scan_id in enumerate(("scan-1", "=scan-2", "scan-3"), start=1):
        result, calcium = made_result(seed, scan_id=scan_id)
        paths = {Label.LAD: np.array([[1.0, 2.5, 3.0], [2.0, 3.5, 4.25]])}
        write_result(tmp_path / "results" / scan_id.strip("="), result, calcium, "a report", arteries=paths)
    return tmp_path / "results"


@pytest.fixture
def desk(results, tmp_path):
    """A desk of one observer over them."""
    cases, failed = open_results(results)
    assert not failed
    with open_store(tmp_path / "decisions.sqlite") as store:
        yield Desk(cases, store, "shared", ("anna", "ben"))


def rows_of(table):
    return list(csv.DictReader(io.StringIO(table)))


def filled(table, label="LAD", note=""):
    """The queue with a label on every line."""
    out = io.StringIO()
    writer = csv.DictWriter(out, QUEUE_COLUMNS)
    writer.writeheader()
    for row in rows_of(table):
        writer.writerow({**row, "label": label, "note": note})
    return out.getvalue()


def test_the_queue_on_paper_is_the_queue(desk):
    """It holds every pending lesion once, in the order of the page's queue, and no formula a spreadsheet would run."""
    readings = desk.readings(SHARED)
    table = queue_csv(readings.values())
    pending = [(i.scan_id, i.key) for i in order_lesions(readings.values()) if i.pending]
    assert [(r["scan_id"].lstrip("'"), r["lesion"]) for r in rows_of(table)] == pending
    assert not any(cell.startswith("=") for r in rows_of(table) for cell in r.values())
    assert all(r["label"] == r["note"] == "" for r in rows_of(table))


def test_an_untouched_queue_decides_nothing(desk):
    """Given back as it was, it holds no decision."""
    assert read_filled(queue_csv(desk.readings(SHARED).values())) == ()


def test_a_filled_queue_decides_every_lesion(desk):
    """Afterwards nothing is pending, every lesion has its label and note, and once more changes nothing."""
    table = filled(queue_csv(desk.readings(SHARED).values()), note="seen twice")
    verdicts = read_filled(table)
    done = apply_verdicts(desk, verdicts, "anna")
    assert (done.stored, done.known, done.refused) == (len(verdicts), 0, ())
    readings = desk.readings(SHARED)
    assert queue_csv(readings.values()).count("\n") == 1
    for verdict in verdicts:
        lesion = readings[verdict.scan_id].lesion(verdict.lesion)
        assert (lesion.label, lesion.decided_by, lesion.note) == (Label.LAD, "anna", "seen twice")
    again = apply_verdicts(desk, verdicts, "anna")
    assert (again.stored, again.known) == (0, len(verdicts))
    assert all(desk.readings(SHARED)[s].version == r.version for s, r in readings.items())


def test_one_bad_line_does_not_stop_the_others(desk):
    """An unknown scan, lesion or observer is refused by name, and the rest is stored."""
    first = rows_of(queue_csv(desk.readings(SHARED).values()))[0]
    table = (
        "scan_id,lesion,label,observer\n"
        f"{first['scan_id']},{first['lesion']},RCA,ben\n"
        f"scan-9,1,LAD,ben\n{first['scan_id']},9999,LAD,ben\nscan-1,1,LAD,carl\n"
    )
    done = apply_verdicts(desk, read_filled(table), "anna")
    assert done.stored == 1
    assert [name for name, _ in done.refused] == [
        "scan-9, lesion 1",
        f"{first['scan_id'].lstrip(chr(39))}, lesion 9999",
        "scan-1, lesion 1",
    ]


def test_a_table_without_labels_is_none(desk):
    """A table that has no column for labels, or an unknown label, is refused."""
    with pytest.raises(ReviewError, match="column label"):
        read_filled("scan_id,lesion\nscan-1,1\n")
    with pytest.raises(ReviewError, match="line 2"):
        read_filled("scan_id,lesion,label\nscan-1,1,liver\n")


def test_the_script_reviews_a_folder(results, tmp_path):
    """Queue out, decisions in, scores anew; the reviewed results are results, and nothing is replaced unasked."""
    queue = tmp_path / "queue.csv"
    run("refer_lesions.py", results, "--queue", queue)
    assert len(rows_of(queue.read_text())) > 0
    queue.write_text(filled(queue.read_text(), label="0"))
    out = run(
        "refer_lesions.py", results, "--decisions", queue, "--observer", "anna", "--reviewed", tmp_path / "reviewed"
    )
    assert "0 refused" in out
    for name in ("scan-1", "scan-3"):
        before, _ = read_result(results / name)
        after, _ = read_result(tmp_path / "reviewed" / name)
        assert after.range.pending == 0
        paths, kept = (read_arteries(folder / name) for folder in (results, tmp_path / "reviewed"))
        assert paths.keys() == kept.keys() == {Label.LAD}
        assert kept[Label.LAD] == pytest.approx(paths[Label.LAD])
        assert after.score.total.agatston == pytest.approx(before.range.lowest)
        assert after.provenance.model["reviewed_by"] == "anna"
        assert f"{name}: {after.headline}" in out
    told = run_afresh("refer_lesions.py", results, "--queue", queue)
    assert told.returncode == 2
    assert told.stderr.startswith("error: ")


def test_the_script_names_the_scans_to_label_next(results):
    """Scans come by the disagreement of their lesions, as many as asked for; a folder without results is refused."""
    told = run("next_scans.py", results, "--count", 2).splitlines()
    assert len(told) == 2
    values = [float(line.rpartition(": ")[2]) for line in told]
    assert values == sorted(values, reverse=True)
    assert run_afresh("next_scans.py", results / "scan-1").returncode == 2
