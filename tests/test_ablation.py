"""Laws of ablation: on made lesions whose label one group of features tells."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scripts import run

from calcscore_ml.ablation import (
    METRICS,
    FeatureSet,
    correlated_groups,
    decided,
    families_of,
    feature_sets,
    importance,
    judged,
    measured,
    permuted,
    thinned,
    trained_with,
)
from calcscore_ml.recipe import parse_recipe
from calcscore_ml.reports.ablation import write_ablation
from calcscore_ml.training import LesionTable

RECIPE = parse_recipe(
    {
        "name": "small",
        "features": {"families": ["size", "intensity"], "only": ["volume_mm3", "extent_*", "m??_hu"]},
        "model": {"estimator": "trees", "parameters": {"n_trees": 20, "negatives_per_positive": 3.0}},
    },
    "the tests",
)


def lesions(seed, count=400):
    """Lesions whose label the two brightnesses tell, alike both; all else is noise."""
    rng = np.random.default_rng(seed)
    names = RECIPE.features.names()
    table = pd.DataFrame(rng.uniform(1, 2, (count, len(names))), columns=list(names))
    truth = np.where(rng.random(count) < 0.3, rng.integers(1, 4, count), 0)
    table["max_hu"] = 300.0 * (truth > 0) + rng.normal(200, 30, count)
    table["min_hu"] = table["max_hu"] - 40 + rng.normal(0, 3, count)
    patient = np.array([f"p{i % 20}" for i in range(count)])
    return LesionTable(table, truth.astype(np.intp), patient, patient)


LEARNED, TESTED = lesions(0), lesions(1)
RNG = np.random.default_rng


def test_every_feature_is_left_out_once_and_alone_once():
    """Over the sets of families, each feature is missing from one and alone with its family in one."""
    groups = families_of(RECIPE)
    assert list(groups) == ["size", "intensity"]
    assert sorted(f for g in groups.values() for f in g) == sorted(RECIPE.features.names())
    sets = {s.name: set(s.features) for s in feature_sets(groups)}
    for name, features in groups.items():
        assert sets[f"only {name}"] == set(features) == sets["all"] - sets[f"without {name}"]
    assert sets["size to intensity"] == sets["all"]


def test_what_tells_the_label_is_missed_and_nothing_else():
    """F1 falls without the family that tells the label, stays without the other, and is low with the other alone."""
    groups = families_of(RECIPE)
    f1 = {s.name: measured(s, RECIPE, LEARNED, TESTED)["lesion.f1"] for s in feature_sets(groups)}
    assert f1["all"] > 0.9
    assert f1["without size"] > 0.9
    assert np.nan_to_num(f1["without intensity"]) < 0.5
    assert f1["only intensity"] == f1["without size"]


def test_a_row_tells_every_metric_with_its_interval():
    """Name, number of features, and for each metric a value between its ends."""
    row = measured(FeatureSet("two", ("max_hu", "volume_mm3")), RECIPE, LEARNED, TESTED)
    assert (row["recipe"], row["set"], row["features"]) == ("small", "two", 2)
    for metric in METRICS:
        assert row[f"{metric}.low"] <= row[metric] <= row[f"{metric}.high"]


def test_features_that_say_the_same_matter_together():
    """The two brightnesses are one group and the first of the list; permuting noise costs next to nothing."""
    found = importance(RECIPE, LEARNED, TESTED, repeats=2)
    assert set(found["group"].iloc[0].split(", ")) == {"max_hu", "min_hu"}
    assert found["lost"].iloc[0] > 0.3
    assert found["lost"].iloc[1:].abs().max() < 0.1
    assert (found["lost"].diff().dropna() <= 0).all()


def test_importance_is_that_of_all_lesions_when_none_stands_for_others():
    """Without thinning, what a group loses is the plain loss over the same permutation of the whole table."""
    found = importance(RECIPE, LEARNED, TESTED, repeats=1, thin=1, workers=2).set_index("group")["lost"]
    bundle = trained_with(RECIPE.features.names(), RECIPE, LEARNED)
    f1 = {}
    for name, table in {"whole": TESTED, **{g: permuted(TESTED, g.split(", "), RNG(0)) for g in found.index}}.items():
        f1[name] = judged(decided(bundle, RECIPE, table), RECIPE, table)["lesion.f1"].value
    for group, lost in found.items():
        assert lost == pytest.approx(f1["whole"] - f1[group])


def test_thinned_lesions_stand_for_all():
    """All calcium stays; of the rest one in five, each counted five times: as many as there were, but for rounding."""
    part, stands_for = thinned(TESTED, 5, RNG(1))
    coronary = part.truth > 0
    assert coronary.sum() == (TESTED.truth > 0).sum()
    assert set(stands_for[coronary]) == {1}
    assert set(stands_for[~coronary]) == {5}
    assert abs(stands_for.sum() - len(TESTED.truth)) < 60
    rows = {tuple(r) for r in TESTED.features.to_numpy()}
    assert {tuple(r) for r in part.features.to_numpy()} <= rows


def test_thinning_hardly_moves_what_matters():
    """The group that tells the label loses about the same, whether all are asked or one in four."""
    whole, part = (importance(RECIPE, LEARNED, TESTED, repeats=3, thin=thin).iloc[0] for thin in (1, 4))
    assert whole["group"] == part["group"]
    assert part["lost"] == pytest.approx(whole["lost"], abs=0.15)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.8, 0.95]))
def test_groups_hold_only_what_correlates(seed, alike):
    """Each feature is in one group, and all pairs of a group correlate at least as asked, by scipy's own ranks."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(60, 3))
    noise = rng.normal(size=(60, 9)) * rng.uniform(0, 1.5, 9)
    table = pd.DataFrame(np.repeat(base, 3, axis=1) + noise, columns=[f"f{i}" for i in range(9)])
    groups = correlated_groups(table, alike)
    assert sorted(f for g in groups for f in g) == sorted(table.columns)
    ranks = table.corr("spearman").abs()
    assert all(ranks.loc[list(g), list(g)].to_numpy().min() >= alike - 1e-9 for g in groups)


def test_missing_and_constant_features_have_a_group():
    """A feature of NaN alone, and one that never changes, stand in groups of their own kind and raise nothing."""
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": np.nan, "c": 5.0})
    assert sorted(f for g in correlated_groups(table) for f in g) == ["a", "b", "c"]
    assert correlated_groups(table[["a"]]) == [("a",)]


def test_opposites_say_the_same():
    """A feature and its negative are one group."""
    values = np.random.default_rng(0).normal(size=(50, 2))
    table = pd.DataFrame({"a": values[:, 0], "b": -values[:, 0], "c": values[:, 1]})
    assert correlated_groups(table) == [("a", "b"), ("c",)]


def test_permuting_moves_whole_rows_of_the_group_alone():
    """Values of a group come from one other lesion, all together; other features and the labels stay."""
    mixed = permuted(TESTED, ["max_hu", "min_hu"], np.random.default_rng(3))
    rows = {tuple(r) for r in TESTED.features[["max_hu", "min_hu"]].to_numpy()}
    assert {tuple(r) for r in mixed.features[["max_hu", "min_hu"]].to_numpy()} == rows
    assert not mixed.features["max_hu"].equals(TESTED.features["max_hu"])
    rest = [c for c in TESTED.features if c not in ("max_hu", "min_hu")]
    assert mixed.features[rest].equals(TESTED.features[rest])
    assert mixed.truth is TESTED.truth


def test_values_may_come_from_lesions_that_are_not_asked_about():
    """Donors give whole rows of the group, also those of lesions outside the table."""
    part, _ = thinned(TESTED, 5, RNG(1))
    mixed = permuted(part, ["max_hu", "min_hu"], RNG(2), TESTED.features).features[["max_hu", "min_hu"]].to_numpy()
    own, all_rows = ({tuple(r) for r in t.features[["max_hu", "min_hu"]].to_numpy()} for t in (part, TESTED))
    given = {tuple(r) for r in mixed}
    assert given <= all_rows
    assert given - own


def test_a_page_lists_every_set(tmp_path):
    """A row per set, a row per group of features, a figure."""
    sets = pd.DataFrame([measured(s, RECIPE, LEARNED, TESTED) for s in list(feature_sets(families_of(RECIPE)))[:2]])
    sets.loc[1, ["lesion.ppv", "lesion.ppv.low", "lesion.ppv.high"]] = np.nan
    page = write_ablation(tmp_path, "small", sets, pd.DataFrame({"group": ["a, b"], "lost": [0.5], "sd": [0.1]}))
    text = page.read_text(encoding="utf-8")
    assert "| all | " in text
    assert "| without size | " in text
    assert " | - | " in text
    assert "nan" not in text
    assert "| a, b | 0.500 | 0.100 |" in text
    assert (tmp_path / "small.png").read_bytes()[:4] == b"\x89PNG"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A recipe on two families, without atlases."""
    file = tmp_path_factory.mktemp("recipes") / "small.toml"
    file.write_text(
        'name = "small"\n[location]\natlases = ""\n[features]\nfamilies = ["size", "location"]\n'
        '[model]\nestimator = "trees"\nparameters = { n_trees = 10 }\n'
    )
    return file


def test_an_interrupted_ablation_goes_on(cohort, small, tmp_path):
    """Sets that are there are kept as they are; those that are not are added."""
    run("ablate_features.py", cohort, tmp_path, "--recipes", small, "--workers", 1)
    whole = (tmp_path / "small.csv").read_text().splitlines()
    assert len(whole) == 1 + 6
    kept = whole[1].replace("small,all", "small,all").rsplit(",", 1)[0] + ",0.123"
    (tmp_path / "small.csv").write_text("\n".join([whole[0], kept, *whole[2:4]]) + "\n")
    told = run("ablate_features.py", cohort, tmp_path, "--recipes", small, "--workers", 1)
    again = (tmp_path / "small.csv").read_text().splitlines()
    assert again[1].endswith(",0.123")
    assert len(again) == len(whole)
    assert "permuted together" in told


def test_an_ablation_of_something_else_is_not_gone_on_with(cohort, small, tmp_path):
    """A table of another recipe of that name, or of another cohort, is kept, and the error says so."""
    run("ablate_features.py", cohort, tmp_path, "--recipes", small, "--workers", 1, "--permuted", 0)
    kept = (tmp_path / "small.csv").read_text()
    other = tmp_path / "small.toml"
    other.write_text(small.read_text().replace("n_trees = 10", "n_trees = 11"))
    with pytest.raises(AssertionError, match="never replaced unasked"):
        run("ablate_features.py", cohort, tmp_path, "--recipes", other, "--workers", 1, "--permuted", 0)
    assert (tmp_path / "small.csv").read_text() == kept
