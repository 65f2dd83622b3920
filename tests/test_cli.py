"""Laws of the command line: what a newcomer types, and what scripts read."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from calcscore_ml.cli import app
from calcscore_ml.io import read_scan
from calcscore_ml.manifest import read_manifest, write_manifest
from calcscore_ml.scores import RULES
from calcscore_ml.sources import SOURCES_FILE, Source, read_sources

LUNG = "data/lung-pet-ct-dx-a0001-heart"
QRM, RODS = "data/qrm-thorax-phantom", "data/qrm-thorax-phantom-labels.nii.gz"


def run(*arguments, code=0):
    """Run a command; its exit code is part of the law."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


@pytest.mark.parametrize("name", ["score", "explain", "rules", "info", "phantom", "train", "evaluate"])
def test_every_command_has_help_with_an_example(name):
    """`--help` shows how a command is used."""
    text = run(name, "--help").output
    assert f"calcscore {name}" in text
    assert "--json" in text


def test_the_front_door_names_its_exit_codes():
    """Help without a command lists commands and exit codes; the version is one line."""
    text = run("--help").output
    assert "2 wrong use" in text
    assert run("--version").output.startswith("calcscore-ml ")


def test_info_says_what_was_understood():
    """Machine output holds grid, acquisition and remarks; the text says the same to people."""
    told = json.loads(run("info", LUNG, "--json").stdout)
    assert told["acquisition"]["kvp"] == 120
    assert told["shape"] == [32, 270, 366]
    assert 30 < told["blood_hu"] < 60
    assert any(r["code"] == "slice_spacing" for r in told["remarks"])
    text = run("info", LUNG).output
    assert "5 mm apart" in text
    assert "{" not in text


def test_scoring_the_phantom_by_its_labels_gives_the_published_rods(tmp_path):
    """The real scan, its rods labelled: the total, the factor from its own rod, and where it is stored."""
    told = json.loads(
        run(
            "score", QRM, "--labels", RODS, "--rod", "17,108,128", "--water", "17,71,104", "-o", tmp_path, "--json"
        ).stdout
    )
    (scan,) = told["results"]
    assert scan["agatston"] == pytest.approx(961, rel=0.02)
    assert scan["pending"] == 0
    text = run("explain", scan["result"], "--rule", "all").output
    assert all(r.name in text for r in RULES)
    compared = json.loads(run("explain", scan["result"], "--rule", "umcu", "--json").stdout)
    assert sum(c["score"] for c in compared["contributions"]) == pytest.approx(compared["total"])
    assert [r["rule"] for r in compared["rules"]] == ["agatston", "umcu"]


def test_a_bad_scan_does_not_stop_the_others(cohort, model, tmp_path):
    """Three scans, one unreadable: two results, the third told, exit code 1."""
    rows = [r for r in read_manifest(cohort) if r.split == "test"][:3]
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"not a scan")
    manifest = write_manifest(
        [r if i else type(r)(**{**fields(r), "image": broken}) for i, r in enumerate(rows)], tmp_path / "m.csv"
    )
    done = run("score", manifest, "--model", model, "-o", tmp_path / "out", "--json", code=1)
    told = json.loads(done.stdout)
    assert len(told["results"]) == len(rows) - 1
    assert len(told["failed"]) == 1
    assert "broken" in told["failed"][0]["path"]
    for scan in told["results"]:
        assert (tmp_path / "out" / scan["scan_id"] / "report.html").stat().st_size > 10_000


def fields(row):
    return {name: getattr(row, name) for name in row.__slots__}


def test_results_are_named_by_fingerprint_and_kept(cohort, model, tmp_path):
    """A folder named after a patient leaves no trace in a result, and a second run replaces nothing unasked."""
    row = read_manifest(cohort)[0]
    private = tmp_path / "Doe_Jane" / "scan.nii.gz"
    private.parent.mkdir()
    shutil.copy(row.image, private)
    out = tmp_path / "out"
    run("score", private, "--model", model, "-o", out)
    (folder,) = (f for f in out.iterdir() if f.name != SOURCES_FILE)
    assert folder.name == f"scan-{read_scan(private).fingerprint()[:10]}"
    assert not any("Doe_Jane" in f.read_text(errors="ignore") for f in folder.iterdir())
    assert "overwrite" in run("score", private, "--model", model, "-o", out, code=1).output
    run("score", private, "--model", model, "-o", out, "--overwrite")


def test_where_scans_lie_is_told_to_nobody_else_and_not_kept_unless_wanted(cohort, model, tmp_path):
    """Paths, which may name a patient, are in one file that its owner alone can read, or in none."""
    row = read_manifest(cohort)[0]
    run("score", row.image, "--model", model, "-o", tmp_path / "kept")
    (source,) = read_sources(tmp_path / "kept").values()
    assert source == Source(row.image.absolute())
    assert (tmp_path / "kept" / SOURCES_FILE).stat().st_mode & 0o077 == 0
    run("score", row.image, "--model", model, "-o", tmp_path / "none", "--no-keep-paths")
    (folder,) = (tmp_path / "none").iterdir()
    assert not any(str(row.image) in f.read_text(errors="ignore") for f in folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", LUNG, "--rule", "utrecht"], "umcu"),
        (["score", LUNG, "--model", "no-such-model"], "bundle"),
        (["score", LUNG, "--recipe", "no-such.toml"], "TOML"),
        (["score", LUNG, "--rod", "1,2"], "three numbers"),
        (["score", LUNG, "--rod", "1,2,3"], "go together"),
        (["explain", "no-such-result"], "calcscore score"),
        (["train", "no-such.csv"], "manifest"),
        (["phantom", "--format", "jpeg"], "dicom or nifti"),
        (["phantom", "--protocol", "mri"], "protocol"),
        (["phantom", "nowhere"], "held_out"),
    ],
)
def test_wrong_use_says_what_to_do(arguments, words):
    """Exit code 2, and a message that names what there is."""
    assert words in " ".join(run(*arguments, code=2).output.split())


def test_a_scan_that_is_not_there_is_a_failed_scan(tmp_path):
    """A path that cannot be read fails that scan (exit code 1), in `info` and in `score`."""
    assert "does not exist" in run("info", tmp_path / "nowhere", code=1).output


def test_train_and_evaluate_end_to_end(cohort, tmp_path):
    """Manifest in, bundle out; bundle in, tables and figures out."""
    recipe = tmp_path / "small.toml"
    recipe.write_text('name = "small"\n[location]\natlases = ""\n[features]\nfamilies = ["size", "location"]\n')
    told = json.loads(
        run("train", cohort, "--recipe", recipe, "-o", tmp_path / "model", "--cache", tmp_path / "c", "--json").stdout
    )
    assert told["lesions"]["other"] > 0
    assert "never replaced" in run("train", cohort, "-o", tmp_path / "model", code=2).output
    out = tmp_path / "evaluation"
    told = json.loads(
        run(
            *("evaluate", cohort, "--model", tmp_path / "model", "-o", out, "--json"),
            *("--by", "protocol", "--by", "sex", "--left-main-as-lad"),
        ).stdout
    )
    assert {name.split()[0] for name in told["automatic"]["subgroups"]} == {"protocol", "sex"}
    assert told["automatic"]["left_main_as_lad"]
    assert "lesion.sensitivity" in told["automatic"]["metrics"]
    assert {f.name for f in out.iterdir()} >= {
        *("evaluation.json", "curves.json", "scans.csv", "lesions.csv"),
        *("agreement.png", "confusion.png", "reliability.png", "referral.png"),
    }
    assert "patient_id" not in (out / "scans.csv").read_text()


def test_phantom_lists_its_cohorts_and_protocols():
    """A newcomer sees what there is, on screen and for machines."""
    shown = run("phantom", "--list").stderr
    assert "held_out" in shown
    assert "slice mm" in shown
    told = json.loads(run("phantom", "--list", "--json").stdout)
    assert {"default", "rescans"} <= set(told["cohorts"])
    assert "gated-3mm-tin" in told["protocols"]


def test_phantom_writes_a_cohort_that_reads_back(tmp_path):
    """A digital scan written as DICOM is a scan like any other."""
    one = ("-n", 1, "--seed", 3, "--protocol", "gated-3mm", "--format", "dicom")
    told = json.loads(run("phantom", "-o", tmp_path / "c", *one, "--json").stdout)
    (row,) = read_manifest(told["manifest"])
    assert read_scan(row.image).hu.shape[1:] == (512, 512)
