"""Laws of learning from experts' decisions: only what was decided is learnt, and it is learnt as it was decided."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_readings import made_result
from test_scripts import run as run_script
from typer.testing import CliRunner

from calcscore_ml.anatomy import Label
from calcscore_ml.candidates import Candidates
from calcscore_ml.cli import app
from calcscore_ml.decided import UNDECIDED, decided_labels, decided_table, join, reviewed_scans
from calcscore_ml.errors import ResultError
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.bundle import load_bundle
from calcscore_ml.pipeline import describe_scan
from calcscore_ml.result import read_result
from calcscore_ml.review.decision import decide
from calcscore_ml.review.events import ExcludeVoxels, LabelLesion, SplitLesion, Undo
from calcscore_ml.review.state import start, what_if
from calcscore_ml.review.store import STORE_FILE, open_store
from calcscore_ml.sources import SOURCES_FILE
from calcscore_ml.table import truth_labels
from calcscore_ml.training import lesion_table


def run(*args, code=0):
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def reviewed(cohort, model, tmp_path_factory):
    """Results of two scans of which one observer decided every listed lesion, as the reference has it."""
    out = tmp_path_factory.mktemp("reviewed") / "results"
    rows = [r for r in read_manifest(cohort) if r.split == "test"][:2]
    manifest = out.parent / "two.csv"
    lines = Path(cohort).read_text().splitlines()
    kept = [lines[0], *(line for line in lines[1:] if any(f"{r.scan_id}," in line for r in rows))]
    beside = Path(cohort).parent / "two.csv"
    beside.write_text("\n".join(kept) + "\n")
    run("score", beside, "--model", model, "-o", out)
    beside.rename(manifest)
    with open_store(out / STORE_FILE) as store:
        for row in rows:
            result, calcium = read_result(out / row.scan_id)
            reading = start(result, calcium)
            labels = read_labels(row.labels, result.geometry)
            for lesion in reading.lesions:
                of_voxels = labels[tuple(lesion.voxels.T)]
                label = int(np.bincount(of_voxels).argmax())
                event = LabelLesion(lesion=lesion.key, label=label)
                _, reading = decide(store, reading, "shared", "anna", event)
    return out, rows


def test_decided_lesions_are_rows_with_the_decided_label(reviewed, recipe):
    """Each decided lesion is the row of features that its candidate has, with the label the observer gave."""
    results, rows = reviewed
    table = decided_table(results, recipe)
    assert set(table.scan_id) == {r.scan_id for r in rows}
    for row in rows:
        scan = read_scan(row.image)
        described = describe_scan(scan, recipe)
        result, _ = read_result(results / row.scan_id)
        ids = np.array([n.lesion for n in result.lesions])
        own = table.rows(table.scan_id == row.scan_id)
        assert own.features.to_numpy() == pytest.approx(described.table.loc[ids].to_numpy(), nan_ok=True)
        whole = truth_labels(described.candidates, read_labels(row.labels, scan.geometry))[ids - 1]
        assert (own.truth == whole).mean() > 0.9  # by most voxels there, by a share of them here
    assert len(table.protocols) == 2


def test_a_decision_taken_back_is_not_learnt(reviewed, recipe, tmp_path):
    """An undone decision leaves its lesion out; another label replaces the first."""
    results, rows = reviewed
    other = tmp_path / "other.sqlite"
    scans = [read_result(results / row.scan_id) for row in rows]
    result, calcium = max(scans, key=lambda scan: len(scan[0].lesions))
    first, second = (str(n.lesion) for n in result.lesions[:2])
    with open_store(other) as store:
        reading = start(result, calcium)
        event, reading = decide(store, reading, "shared", "ben", LabelLesion(lesion=first, label=3))
        _, reading = decide(store, reading, "shared", "ben", LabelLesion(lesion=second, label=2))
        _, reading = decide(store, reading, "shared", "ben", LabelLesion(lesion=second, label=1))
        _, reading = decide(store, reading, "shared", "ben", Undo(event=event.id))
    table = decided_table(results, recipe, store=other, patients={result.scan_id: "someone"})
    assert table.truth.tolist() == [Label.LAD]
    assert table.patient_id.tolist() == ["someone"]


def test_parts_and_excluded_voxels_decide_by_what_is_left():
    """A candidate split in two takes the label of most of its voxels, and is undecided where too little was decided."""
    result, calcium = made_result(3)
    reading = start(result, calcium)
    largest = max(reading.lesions, key=lambda n: len(n.hu))
    n = len(largest.hu)
    offsets = np.array([0, n])
    candidates = Candidates(calcium.geometry, largest.voxels, largest.hu, offsets, 130.0)
    assert decided_labels(candidates, reading.lesions).tolist() == [UNDECIDED]
    few = max(1, n // 4)
    split = what_if(reading, SplitLesion(lesion=largest.key, parts=(tuple(range(few)), tuple(range(few, n)))), "anna")
    small, large = f"{largest.key}.1", f"{largest.key}.2"
    only_small = what_if(split, LabelLesion(lesion=small, label=2), "anna")
    assert decided_labels(candidates, only_small.lesions).tolist() == [UNDECIDED]
    assert decided_labels(candidates, what_if(split, LabelLesion(lesion=large, label=3), "anna").lesions).tolist() == [
        Label.RCA
    ]
    most = what_if(reading, ExcludeVoxels(lesion=largest.key, positions=tuple(range(few, n))), "anna")
    left = what_if(most, LabelLesion(lesion=largest.key, label=0), "anna")
    assert decided_labels(candidates, left.lesions).tolist() == [UNDECIDED]  # what was excluded was not decided
    lost = what_if(reading, ExcludeVoxels(lesion=largest.key, positions=tuple(range(n - few, n))), "anna")
    assert decided_labels(
        candidates, what_if(lost, LabelLesion(lesion=largest.key, label=0), "anna").lesions
    ).tolist() == [Label.OTHER]


def test_joined_tables_hold_both_and_no_scan_twice(cohort, recipe, reviewed):
    """Decided lesions come after the labelled ones; those of a scan that is labelled already are left out."""
    results, _ = reviewed
    train = [r for r in read_manifest(cohort) if r.split == "train"]
    table, decided = lesion_table(train, recipe), decided_table(results, recipe)
    both = join(table, decided)
    assert len(both.truth) == len(table.truth) + len(decided.truth) == len(both.features)
    assert (both.truth[: len(table.truth)] == table.truth).all()
    assert both.fingerprint() != table.fingerprint()
    again = join(both, decided)
    assert again.fingerprint() == both.fingerprint()


def test_train_learns_from_decisions(cohort, reviewed, tmp_path):
    """The command adds decided lesions to the training table, and the model's card says how many."""
    results, _ = reviewed
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        'name = "small"\n[location]\natlases = ""\n[features]\nfamilies = ["size", "location"]\n'
        '[model]\nestimator = "trees"\n[model.parameters]\nn_trees = 5\n'
    )
    told = run(
        *("train", cohort, "--recipe", recipe, "--cache", tmp_path / "c", "-o", tmp_path / "m"),
        *("--with-decisions", results, "--json"),
    )
    assert json.loads(told.stdout)["failed"] == {}
    decided = sum(len(read_result(results / s.scan_id)[0].lesions) for s in reviewed_scans(results))
    assert f"{decided} decisions on 2 scans of results" in load_bundle(tmp_path / "m").card.trained_on
    wrong = run("train", cohort, "-o", tmp_path / "x", "--with-decisions", tmp_path, code=2)
    assert "review first" in wrong.output.replace("\n", " ")


def test_decisions_that_cannot_be_used_are_told(reviewed, recipe, tmp_path):
    """No store, an unknown reading, a lost scan and another scan in its place are errors that say what to do."""
    results, rows = reviewed
    with pytest.raises(ResultError, match="review first"):
        reviewed_scans(tmp_path)
    with pytest.raises(ResultError, match="'dawn'"):
        reviewed_scans(results, reading="dawn")
    kept = (results / SOURCES_FILE).read_text()
    try:
        (results / SOURCES_FILE).write_text("")
        with pytest.raises(ResultError, match="score it again"):
            reviewed_scans(results)
        swapped = [json.loads(line) for line in kept.splitlines()]
        for line in swapped:
            line["path"] = str(rows[0].image)
        (results / SOURCES_FILE).write_text("".join(json.dumps(line) + "\n" for line in swapped))
        table = decided_table(results, recipe)
        assert set(table.scan_id) == {rows[0].scan_id}
        assert [name for name, _ in table.failed] == [rows[1].scan_id]
        assert "must be the one that was scored" in table.failed[0][1]
    finally:
        (results / SOURCES_FILE).write_text(kept)


def test_what_decisions_are_worth_is_measured(cohort, tmp_path):
    """The experiment trains on the start, and on it with lesions and scans chosen by doubt and by chance."""
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        'name = "small"\n[location]\natlases = ""\n[features]\nfamilies = ["size", "location"]\n'
        '[model]\nestimator = "trees"\n[model.parameters]\nn_trees = 5\n'
    )
    out = tmp_path / "worth.csv"
    run_script("learn_from_decisions.py", cohort, out, "--recipe", recipe, "--workers", 1)
    lines = out.read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [
        "start",
        "and referred lesions",
        "and as many lesions by chance",
        "and scans chosen by disagreement",
        "and as many scans by chance",
        "and the whole pool",
    ]
