"""Every published system, as a recipe, trains on a small digital cohort and scores it; what is said of all of them."""

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_scripts import run

import calcscore_ml.heart
from calcscore_ml.anatomy import Label
from calcscore_ml.assessment import assess_cohort, assess_systems
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.summary import evaluate
from calcscore_ml.manifest import read_manifest
from calcscore_ml.recipe import LocationSection, read_recipe
from calcscore_ml.reports.system_tables import (
    COLUMNS,
    COMPARED,
    aortic_table,
    calibration_table,
    differences_table,
    subgroups,
    subgroups_table,
    systems_table,
)
from calcscore_ml.reports.systems import compared, write_systems
from calcscore_ml.training import lesion_table, train

CONFIGS = Path(__file__).parent.parent / "configs"
SYSTEMS = tomllib.loads((CONFIGS / "comparison" / "systems.toml").read_text(encoding="utf-8"))
NAMES = SYSTEMS["recipes"]
ATLAS = Path(calcscore_ml.heart.__file__).parent / "default_atlas" / "1"


def recipe_of(name):
    return read_recipe(CONFIGS / f"{name}.toml")


def smaller(recipe, atlases):
    """The recipe with one atlas, fewer trees and rows: the same system, trained in a second."""

    def less(given):
        few = {"n_trees": 20, "selection_rows": 120, "rows_per_member": 300, "stage_one_rows": 200}
        return {k: less(v) if isinstance(v, dict) else few.get(k, v) for k, v in given.items()}

    part = recipe.model.model_copy(update={"parameters": less(recipe.model.parameters)})
    return recipe.model_copy(update={"model": part, "location": LocationSection(atlases=str(atlases))})


@pytest.fixture(scope="module")
def rows(cohort):
    return read_manifest(cohort)


@pytest.fixture(scope="module")
def models(rows, tmp_path_factory):
    """A model of each recipe, all trained on one table: it is computed for the first, and found again for the rest."""
    learned, cache = [r for r in rows if r.split == "train"], tmp_path_factory.mktemp("features")
    atlases = tmp_path_factory.mktemp("atlases")
    shutil.copytree(ATLAS, atlases / ATLAS.name)
    found = {}
    for name in NAMES:
        recipe = smaller(recipe_of(name), atlases)
        found[name] = (train(lesion_table(learned, recipe, cache=cache), recipe, trained_on="a few"), recipe)
    assert len(list(cache.iterdir())) == len(learned)
    return found


@pytest.fixture(scope="module")
def found(rows, models):
    tested = [r for r in rows if r.split != "train"][:2]
    return assess_systems(tested, models, resamples=50, by=("protocol", "sex"))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_where_each_value_comes_from(name):
    """Every choice of a recipe says whether it is the paper's or ours: on its line or at its head."""
    head = ""
    for line in (CONFIGS / f"{name}.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            head = line
        free = line.startswith(("#", "[", "]", " ", "name ", "description ", "seed ", "coronary_threshold "))
        if line and not free:
            assert "published" in line + head or "our choice" in line + head, line


@pytest.mark.parametrize(("name", "count"), [("isgum2007", 64), ("isgum2010_aorta", 63), ("shahzad2013", 62)])
def test_published_numbers_of_features_are_met(name, count):
    """As many features as the paper says."""
    assert len(recipe_of(name).features.names()) == count


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_runs_from_scans_to_scores(name, found):
    """Each system names lesions by its own labels only, and gets a score for every scan."""
    one, recipe = found[name], recipe_of(name)
    assert len(one.scans) == 2
    assert np.isfinite(one.scans[["agatston", "agatston_truth"]]).all(axis=None)
    told = {Label(int(label)).name for label in one.lesions["predicted"]} - {"OTHER"}
    assert told <= set(recipe.model.targets)
    assert one.lesions["coronary"].between(0, 1).all()


def test_systems_side_by_side_are_each_as_alone(rows, models, found):
    """What a system decides does not depend on which others run beside it."""
    bundle, recipe = models["kurkure2010"]
    alone = assess_cohort([r for r in rows if r.split != "train"][:1], bundle, recipe, resamples=50)
    beside = found["kurkure2010"]
    first = beside.lesions[beside.lesions["scan_id"] == alone.scans["scan_id"].iloc[0]]
    assert alone.lesions.equals(first.reset_index(drop=True))


def test_tables_and_figure_hold_every_system(found, tmp_path):
    """A row per system with its published figures, a row per difference, a figure, and no patient's id."""
    page = write_systems(tmp_path, found, "calcscore", SYSTEMS["published"], "Eleven systems")
    text = page.read_text(encoding="utf-8")
    for name in NAMES:
        assert f"| {name} |" in text
        assert SYSTEMS["published"][name] in text
    assert text.count("\n| isgum2012 |") == 4
    assert ("## Calcium of the aorta" in text) == bool(aortic_table(found))
    assert len(pd.read_csv(tmp_path / "subgroups.csv")) == len(subgroups(found))
    assert (tmp_path / "systems.png").stat().st_size > 10_000
    assert "patient" not in (tmp_path / "scans.csv").read_text(encoding="utf-8")


def test_a_comparison_is_not_replaced_unasked(tmp_path):
    """Where there is one already, the script stops before it makes a cohort, and says what to do."""
    (tmp_path / "systems.md").write_text("mine")
    with pytest.raises(AssertionError, match="use --overwrite or another folder"):
        run("compare_systems.py", CONFIGS / "cohorts" / "compare.toml", tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["systems.md"]


def test_a_system_differs_from_its_copy_by_nothing(found):
    """Two systems that decide alike differ by zero, and nothing is bold."""
    one = found["calcscore"]
    differences = compared({"a": one, "b": one}, "b")
    values = [metric.comparison.difference.value for metric in differences["a"].values()]
    assert set(differences["a"]) <= set(COMPARED)
    assert all(v == 0 or np.isnan(v) for v in values)
    assert "**" not in differences_table(differences, "b")


def test_a_better_system_gains(found):
    """One that finds all of ten plaques has an F1 of 1, and gains all of it over one that finds none."""
    table = found["calcscore"].lesions.assign(predicted=0)
    table["truth"] = np.where(np.arange(len(table)) < 10, int(Label.LAD), 0)
    blind = replace(found["calcscore"], lesions=table)
    perfect = replace(blind, lesions=table.assign(predicted=table["truth"]))
    differences = compared({"blind": blind, "perfect": perfect}, "perfect")
    assert differences["blind"]["lesion.f1"].comparison.difference.value == 1


def test_systems_are_compared_with_one_of_them(found):
    """A name that is not among them is told, with those that are."""
    with pytest.raises(ResultError, match="'ours' for isgum2007"):
        compared(found, "ours")


def test_subgroups_are_evaluations_of_their_own(found):
    """Every metric of every value of each column, for each system, with the scans it is of."""
    table = subgroups(found)
    assert set(table["system"]) == set(NAMES)
    one = table[table["system"] == "calcscore"].drop_duplicates("group")
    assert one[one["group"].str.startswith("protocol ")]["scans"].sum() == 2
    assert one[one["group"].str.startswith("sex ")]["scans"].sum() == 2
    name, part = found["kurkure2010"].automatic.subgroups[0]
    chosen = table[(table["system"] == "kurkure2010") & (table["group"] == name)].set_index("metric")["value"]
    assert len(chosen) == len(part.results)
    shown = subgroups_table(found).splitlines()
    assert f"{name}, {part.n_scans} scans" in shown[0]
    assert len(shown) == 2 + len(NAMES)


def test_the_table_of_the_aorta_holds_who_names_any(found):
    """A system that calls nothing aorta has no row; one that finds all has shares of one."""
    one = found["calcscore"]
    table = one.lesions.assign(predicted=0, truth=0)
    table.loc[:4, "truth"] = int(Label.AORTA)
    kinds = {"blind": table, "perfect": table.assign(predicted=table["truth"])}
    made = {k: replace(one, automatic=evaluate(t, one.scans, n=20)) for k, t in kinds.items()}
    rows = aortic_table(made).splitlines()[2:]
    assert len(rows) == 1
    assert rows[0].startswith("| perfect | 1.000")
    assert aortic_table({"blind": made["blind"]}) == ""


def test_probabilities_are_told_by_their_error(found):
    """A row per system; who is always right and sure has no error, who is never has all of it."""
    one = found["calcscore"]
    table = one.lesions.assign(coronary=np.where(np.arange(len(one.lesions)) < 9, 1.0, 0.0))
    right = replace(one, lesions=table.assign(truth=np.where(table["coronary"] > 0, 1, 0)))
    wrong = replace(one, lesions=table.assign(truth=0))
    rows = calibration_table({"right": right, "wrong": wrong}).splitlines()[2:]
    assert rows[0].startswith("| right | 9 | 0.000")
    assert rows[1].startswith("| wrong | 9 | 1.000")
    assert len(calibration_table(found).splitlines()) == 2 + len(NAMES)


def test_the_table_says_what_its_columns_are(found):
    """Column names and a cell for each."""
    lines = systems_table(found, {}).splitlines()
    assert all(name in lines[0] for name in COLUMNS)
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
