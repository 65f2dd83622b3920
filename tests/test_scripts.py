"""Every experiment in scripts/ runs, on small input, as its first lines say."""

import contextlib
import io
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(script, *arguments):
    """Run a script as ``__main__`` from the repository's root, in this process: its output.

    An interpreter of its own says the same after seconds of imports; `run_afresh` is for what only that can tell.
    """
    path, told, complained, code = ROOT / "scripts" / script, io.StringIO(), io.StringIO(), None
    with (
        contextlib.redirect_stdout(told),
        contextlib.redirect_stderr(complained),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        patch.syspath_prepend(path.parent)
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    assert not code, f"{told.getvalue()}{complained.getvalue()}{code}"
    return told.getvalue()


def run_afresh(script, *arguments):
    """Run a script from the repository's root as a user does, by an interpreter of its own."""
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_train_and_evaluate_compare_ensembles_on_one_cohort(cohort, tmp_path):
    """Two recipes, one cohort: two models, two evaluations with tables and figures."""
    recipes = []
    for estimator in ("sequential_knn", "bagged_svm"):
        recipes.append(tmp_path / f"{estimator}.toml")
        name = estimator.replace("_", "-")
        recipes[-1].write_text(
            f'name = "{name}"\n[location]\natlases = ""\n[features]\nfamilies = ["size", "location"]\n'
            f'[model]\nestimator = "{estimator}"\n'
        )
    run("train.py", cohort, tmp_path / "models", *recipes)
    models = sorted((tmp_path / "models").iterdir())
    assert [m.name for m in models] == ["bagged-svm", "sequential-knn"]
    told = run("evaluate.py", cohort, tmp_path / "evaluation", *models)
    assert told.count("sensitivity") > 2
    assert (tmp_path / "evaluation" / "bagged-svm" / "confusion.png").exists()


def test_slice_classifiers_are_trained_and_measured(cohort, tmp_path):
    """A cohort gives a file of classifiers, and another cohort a line per scan."""
    told = run("train_heart_slices.py", cohort, "--test", cohort, "--output", tmp_path / "slices.npz")
    assert (tmp_path / "slices.npz").exists()
    assert told.count("small, slices") == 16


def test_locations_are_measured_and_drawn(tmp_path):
    """A cohort with organs gives a table of errors, a line per scan, and a picture of each."""
    from conftest import SMALL

    from calcscore_ml.phantom import Cohort, write_cohort

    rows = write_cohort(tmp_path / "c", Cohort(count=2, seed=3, protocols=(SMALL,), image_format="nifti", organs=True))
    manifest = tmp_path / "c" / "data_manifest.csv"
    told = run("measure_location.py", manifest, "--csv", tmp_path / "errors.csv")
    assert "2 scans:" in told
    assert len((tmp_path / "errors.csv").read_text().splitlines()) == 3
    run("picture_location.py", tmp_path / "pictures", rows[0].image)
    assert len(list((tmp_path / "pictures").iterdir())) == 1


def test_the_place_of_a_lesion_is_ablated(cohort, tmp_path):
    """Four sets of features, the last with arteries by ensemble and by map: five rows."""
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        'name = "small"\n[location]\natlases = ""\n[features]\nfamilies = ["size", "location", "atlas", "arteries"]\n'
        '[model]\nestimator = "trees"\nparameters = { n_trees = 10 }\n'
    )
    told = run("ablate_location.py", cohort, "--test", cohort, "--recipes", recipe)
    assert told.count("| small |") == 5


def test_real_scans_are_checked_against_what_was_seen(tmp_path):
    """A row for each folder: what is said and how far off arteries are; a picture where something was seen."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "4d-lung-113-heart").symlink_to(ROOT / "data" / "4d-lung-113-heart")
    seen = tmp_path / "seen.csv"
    seen.write_text(
        "scan,what,z,y,x,doubt_mm\n4d-lung-113-heart,LAD,20,70,80,3\n4d-lung-113-heart,left ostium,20,70,70,3\n"
    )
    told = run(
        "check_real_scans.py", tmp_path / "scans", "--landmarks", seen, "--pictures", tmp_path / "pictures"
    ).splitlines()
    assert len(told) == 3
    assert told[2].startswith("| 4d-lung-113-heart | ")
    assert float(told[2].split("|")[-2].split(",")[0]) > 0
    assert (tmp_path / "pictures" / "4d-lung-113-heart.webp").stat().st_size > 5000


def test_a_crop_is_a_scan_in_its_place(tmp_path):
    """The crops in data/ were cut by a script that moves no voxel."""
    from calcscore_ml.io import read_scan

    source = ROOT / "data" / "qrm-thorax-phantom"
    done = run_afresh("crop_scan.py", source, tmp_path / "crop", "2:8,10:60,20:90", "test")
    assert done.returncode == 0, done.stdout + done.stderr
    whole, crop = read_scan(source), read_scan(tmp_path / "crop")
    assert (crop.hu == whole.hu[2:8, 10:60, 20:90]).all()
    assert crop.geometry.matches(whole.geometry.crop((2, 10, 20), (8, 60, 90)))


def test_a_cohort_describes_itself(cohort):
    """Every scan, artery and label of the cohort is counted in the tables."""
    told = run("describe_cohort.py", cohort)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("|")]
    table = {row[0]: row[1:] for row in rows}
    assert sum(int(table[name][0]) for name in ("0", "1-10", "11-100", "101-400", "> 400")) == 16
    assert table["small"][0] == "16"
    assert {"LM", "LAD", "LCX", "RCA"} <= set(table)


def test_calcium_is_described_beside_the_published_figures():
    """Every patient is counted once by age and sex, and the shares of the arteries add up."""
    told = run("describe_calcium.py", 24)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("|")]
    table = {row[0]: row[1:] for row in rows}
    ages = [row for name, row in table.items() if "/" in name]
    assert sum(int(cell.split("(")[1].rstrip(")")) for row in ages for cell in (row[0], row[2])) == 24
    assert sum(int(table[name][0].rstrip("%")) for name in ("LAD", "RCA", "LCX", "LM")) == pytest.approx(100, abs=2)
    assert table["LAD"][-1] == "75 %"


WITH_ARGUMENTS = ("train.py", "evaluate.py", "crop_scan.py", "score_rods.py", "describe_cohort.py", "digital_rods.py",
                  "describe_calcium.py")  # fmt: skip


@pytest.mark.parametrize("script", WITH_ARGUMENTS)
def test_a_call_without_arguments_says_how(script):
    """A script called wrongly ends with its first lines as its error."""
    with pytest.raises(AssertionError, match="python scripts/"):
        run(script)


def test_a_wrong_call_fails_on_the_command_line():
    """An interpreter of its own returns an exit code that is not 0, and says how on standard error."""
    done = run_afresh("train.py")
    assert done.returncode != 0
    assert "python scripts/" in done.stderr
