"""Laws of choosing among recipes: on made lesions, of which a model with one patient in sight knows all."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_ablation import LEARNED, RECIPE, lesions
from test_scripts import run

from calcscore_ml import nested as module
from calcscore_ml.errors import RecipeError, ResultError
from calcscore_ml.manifest import read_manifest, write_manifest
from calcscore_ml.nested import nested
from calcscore_ml.recipe import read_recipe
from calcscore_ml.recipe_grid import read_grid, variants, widest
from calcscore_ml.reports.nested import write_nested
from calcscore_ml.training import LesionTable

GRID = {"features": {"only": [["volume_mm3", "extent_*"], ["volume_mm3", "m??_hu"]]}}


@pytest.fixture(scope="module")
def found():
    return nested(variants(RECIPE, GRID, "the tests"), LEARNED, folds=3)


def test_a_grid_is_every_combination():
    """Values of two keys give each pair once, the last key fastest, all else as in the recipe."""
    grid = {"decision": {"coronary_threshold": [0.3, 0.7]}, "model": {"seed": [1, 2, 3]}}
    made = variants(RECIPE, grid, "the tests")
    assert [(v.recipe.decision.coronary_threshold, v.recipe.model.seed) for v in made] == [
        (t, s) for t in (0.3, 0.7) for s in (1, 2, 3)
    ]
    assert made[1].name == "coronary_threshold = 0.3, seed = 2"
    same = {
        "model": {"seed": RECIPE.model.seed},
        "decision": {"coronary_threshold": RECIPE.decision.coronary_threshold},
    }
    for variant in made:
        parts = {k: getattr(variant.recipe, k).model_copy(update=u) for k, u in same.items()}
        assert variant.recipe.model_copy(update=parts) == RECIPE


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({}, "got nothing in here"),
        ({"candidates": {"connectivity": [6]}}, "varies features, model, decision, got candidates"),
        ({"model": {"seed": 3}}, "got 3 for model.seed in here"),
        ({"model": {"seed": []}}, r"got \[\] for model.seed"),
        ({"model": {"sed": [3]}}, "model.sed: no such key"),
        ({"model": {"parameters": {"n_tree": [3]}}}, "no parameter n_tree"),
    ],
)
def test_a_broken_grid_is_refused(grid, told):
    """The error names the key, what came and the file."""
    with pytest.raises(RecipeError, match=told):
        variants(RECIPE, grid, "here")


GRIDS = sorted((Path(__file__).parent.parent / "configs" / "grids").glob("*.toml"))


@pytest.mark.parametrize("grid", GRIDS, ids=lambda path: path.stem)
def test_grids_of_the_recipes_read(grid):
    """Each grid is of the recipe of its name, one table serves it, and the recipe's own values are among the tried."""
    recipe = read_recipe(grid.parent.parent / grid.name)
    made = read_grid(grid, recipe)
    assert len({v.name for v in made}) == len(made) > 1
    widest([v.recipe for v in made])
    assert recipe in [v.recipe for v in made]


def test_one_table_serves_all_variants():
    """The widest recipe has every feature that any variant learns from, of all scales and families."""
    grid = {
        "features": {"families": [["size"], ["gaussian", "intensity"]], "gaussian_scales_mm": [[1], [3]], "only": [[]]}
    }
    made = variants(RECIPE, grid, "here")
    assert {n for v in made for n in v.recipe.features.names()} == set(
        widest([v.recipe for v in made]).features.names()
    )


def test_the_table_keeps_what_a_recipe_leaves_out():
    """Whatever each variant learns from, the table has all features of its families."""
    assert widest([v.recipe for v in variants(RECIPE, GRID, "here")]).features.only == ()


def test_a_feature_has_one_meaning_in_a_table():
    """Variants that compute a feature in two ways cannot share a table, and are refused."""
    made = variants(RECIPE, {"features": {"shell_mm": [3.0, 5.0]}}, "here")
    with pytest.raises(RecipeError, match="in two ways"):
        widest([v.recipe for v in made])


def test_what_tells_the_label_is_chosen(found):
    """The variant that sees brightness is chosen, with and without any fold, and the choice is worth what it is."""
    assert found.chosen == 1
    assert set(found.chosen_without) == {1}
    assert found.worth["lesion.f1"].value == found.left_out[1]["lesion.f1"].value > 0.9
    assert np.nan_to_num(found.left_out[0]["lesion.f1"].value) < 0.5


def test_no_patient_is_judged_by_a_model_that_saw_it():
    """Labels that belong to the patient alone, and cannot be guessed, stay unknown whatever is chosen."""
    rng = np.random.default_rng(5)
    table = lesions(5)
    code = rng.normal(size=20)[[int(p[1:]) for p in table.patient_id]]
    marked = table.features.assign(volume_mm3=code + 3)
    positive = np.isin(table.patient_id, [f"p{i}" for i in rng.permutation(20)[:10]])
    secret = LesionTable(marked, positive.astype(np.intp), table.scan_id, table.patient_id)
    grid = {"features": {"only": [["volume_mm3"], ["volume_mm3", "extent_x_mm"]]}}
    found = nested(variants(RECIPE, grid, "here"), secret, folds=4)
    assert np.nan_to_num(found.worth["lesion.f1"].value) < 0.75
    assert np.nan_to_num(found.left_out[0]["lesion.f1"].value) < 0.75


def test_the_best_of_many_random_ones_is_flattered_and_the_choice_is_not():
    """Among variants that only draw other seeds on noise, the best looks better than choosing it is worth."""
    noise = lesions(6)
    noise = LesionTable(noise.features.assign(max_hu=1.0, min_hu=1.0), noise.truth, noise.scan_id, noise.patient_id)
    grid = {"model": {"seed": list(range(6))}, "decision": {"coronary_threshold": [0.25, 0.3, 0.35]}}
    found = nested(variants(RECIPE, grid, "here"), noise, folds=3)
    best = found.left_out[found.chosen]["lesion.f1"].value
    assert best == max(e["lesion.f1"].value for e in found.left_out)
    assert np.nan_to_num(found.worth["lesion.f1"].value) < best


def test_a_choice_without_a_fold_asks_models_that_never_saw_it(monkeypatch):
    """Where one variant is right when two folds are away and the other when one is, each is asked where it belongs."""
    truth = np.eye(8)[LEARNED.truth]
    right = {("size", 2): True, ("size", 1): False, ("bright", 2): False, ("bright", 1): True}

    def said(recipe, table, out, kept):
        name = "bright" if "max_hu" in recipe.features.names() else "size"
        away = 1 if out.mean() < 0.5 else 2
        return np.where(out[:, None], truth if right[name, away] else np.eye(8)[np.zeros(len(truth), int)], 0.0)

    monkeypatch.setattr(module, "_asked", said)
    found = nested(variants(RECIPE, GRID, "the tests"), LEARNED, folds=3)
    assert found.chosen == 1
    assert set(found.chosen_without) == {0}
    assert found.left_out[1]["lesion.f1"].value == 1
    assert found.worth["lesion.f1"].value == 0


def test_what_is_undefined_is_not_chosen():
    """A variant that calls nothing coronary has no positive predictive value, and loses to one that has."""
    found = nested(
        variants(RECIPE, {"decision": {"coronary_threshold": [1.0, 0.5]}}, "here"),
        LEARNED,
        folds=3,
        metric="lesion.ppv",
    )
    assert np.isnan(found.left_out[0]["lesion.ppv"].value)
    assert found.chosen == 1


def test_a_threshold_needs_no_model_of_its_own():
    """Variants that only decide otherwise share models; each is trained once per choice of folds left out."""
    asked = []
    grid = {"decision": {"coronary_threshold": [0.2, 0.5, 0.8]}}
    found = nested(variants(RECIPE, grid, "here"), LEARNED, folds=3, on_model=lambda: asked.append(1))
    assert len(asked) == 3 + 3
    sensitive = [e["lesion.sensitivity"].value for e in found.left_out]
    assert sensitive == sorted(sensitive, reverse=True)
    assert sensitive[0] > sensitive[-1]


def test_an_interrupted_choice_goes_on(tmp_path, monkeypatch, found):
    """What a model said is kept: a second run trains none and chooses alike; other lesions ask anew."""
    made = variants(RECIPE, GRID, "the tests")
    first = nested(made, LEARNED, folds=3, kept=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * (3 + 3)
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("trained again"))
    again = nested(made, LEARNED, folds=3, kept=tmp_path)
    assert again.worth.to_json() == first.worth.to_json() == found.worth.to_json()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        nested(made, replace(LEARNED, features=LEARNED.features * 2), folds=3, kept=tmp_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"folds": 2}, "3 folds or more"),
        ({"folds": 21}, "got 21 folds"),
        ({"folds": 3, "metric": "lesion.f2"}, "lesion.f1.*got 'lesion.f2'"),
    ],
)
def test_wrong_use_is_told(options, told):
    """Too few folds, more folds than patients, and a metric that is none."""
    with pytest.raises(ResultError, match=told):
        nested(variants(RECIPE, GRID, "here"), LEARNED, **options)


def test_a_page_tells_each_variant_and_the_choice(found, tmp_path):
    """A row per variant, the chosen one bold; a choice by one label shows that label's metrics, any other lesions'."""
    text = write_nested(tmp_path, "small", found).read_text(encoding="utf-8")
    assert f"| **{found.variants[1].name}** | 3 of 3 | {found.left_out[1]['lesion.f1']} |" in text
    assert f"| {found.variants[0].name} | 0 of 3 |" in text
    assert f"| *choosing so* | | {found.worth['lesion.f1']} |" in text
    page = write_nested(tmp_path, "small", replace(found, metric="artery.lad_f1")).read_text(encoding="utf-8")
    assert "| artery.lad_f1 | artery.lad_sensitivity | artery.lad_ppv |" in page


def test_the_script_leaves_test_patients_alone(cohort, tmp_path):
    """Images of test patients may be missing: they are not read. What was chosen is a recipe that reads."""
    rows = read_manifest(cohort)
    manifest = tmp_path / "data_manifest.csv"
    write_manifest([r if r.split != "test" else replace(r, image=tmp_path / r.scan_id) for r in rows], manifest)
    recipe, grid = tmp_path / "small.toml", tmp_path / "grid.toml"
    recipe.write_text(
        'name = "small"\n[location]\natlases = ""\n[features]\nfamilies = ["size", "gaussian"]\n'
        '[model]\nestimator = "trees"\nparameters = { n_trees = 10 }\n'
    )
    grid.write_text("[features]\ngaussian_scales_mm = [[2], [2, 4]]\n[model.parameters]\nmin_samples_leaf = [3, 9]\n")
    told = run("nested_cv.py", manifest, recipe, grid, tmp_path / "out", "--folds", 3, "--workers", 1)
    assert "gaussian_scales_mm = [2, 4], min_samples_leaf = 9" in told.replace("**", "")
    assert "choosing so" in told
    chosen = read_recipe(tmp_path / "out" / "small_chosen.toml")
    assert chosen in [v.recipe for v in read_grid(grid, read_recipe(recipe))]
    assert tomllib.loads((tmp_path / "out" / "small_chosen.toml").read_text())["name"] == "small"
