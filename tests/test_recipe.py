"""Laws of recipes."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcscore_features import ALL
from calcscore_ml.anatomy import Label
from calcscore_ml.errors import RecipeError
from calcscore_ml.recipe import TARGETS, Recipe, builtin_recipe, parse_recipe, read_recipe


@pytest.mark.parametrize("name", ["default", "sequential_knn"])
def test_built_in_recipes_are_whole(name):
    """Each reads, and what it stores with a model reads back equal."""
    recipe = read_recipe(builtin_recipe(name))
    assert parse_recipe(recipe.model_dump(mode="json"), "a card") == recipe


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"name": "x", "candidates": {"treshold_hu": 130}}, "candidates.treshold_hu: no such key"),
        ({"name": "x", "candidates": {"min_volume_mm3": 9, "max_volume_mm3": 1}}, "min_volume_mm3"),
        ({"name": "x", "candidates": {"connectivity": 4}}, "candidates.connectivity"),
        ({"name": "x", "features": {"families": ["colour"]}}, "colour"),
        ({"name": "x", "features": {"only": ["gaus_l_2mm_hu"]}}, "gauss_l_2mm_hu"),
        ({"name": "x", "features": {"families": ["size"], "only": ["heart_*"]}}, "features: "),
        ({"name": "x", "model": {"estimator": "forest"}}, "model.estimator"),
        ({"name": "x", "model": {"estimator": "svm", "parameters": {"k": 3}}}, "svm has no parameter k"),
        ({"name": "x", "model": {"estimator": "rules", "parameters": {"limits": {"max": {}}}}}, "max_hu"),
        ({"name": "x", "model": {"targets": []}}, "model.targets"),
        ({"name": "x", "model": {"targets": ["OTHER"]}}, "model.targets"),
        ({"name": "x", "scores": {"rule": "utrecht"}}, "umcu"),
        ({"name": "x", "referral": {"coronary_low": 2}}, "referral.coronary_low"),
        ({"name": "not a name"}, "name"),
        ({}, "name"),
    ],
)
def test_an_error_names_the_key(content, words):
    """A typing error is found before anything is computed."""
    with pytest.raises(RecipeError, match="got") as error:
        parse_recipe(content, "my.toml")
    assert words in str(error.value)
    assert "my.toml" in str(error.value)


def test_a_file_that_is_no_recipe_is_refused(tmp_path):
    """Missing and malformed files say so."""
    (tmp_path / "bad.toml").write_text("name = ")
    for file in (tmp_path / "bad.toml", tmp_path / "none.toml"):
        with pytest.raises(RecipeError, match="readable TOML"):
            read_recipe(file)
    with pytest.raises(RecipeError, match="default"):
        builtin_recipe("utrecht")


def test_the_threshold_may_follow_the_tube_voltage():
    """With "by kvp", threshold and weights change together, and an unknown voltage is refused."""
    recipe = Recipe.model_validate({"name": "x", "candidates": {"threshold_hu": "by kvp"}})
    assert recipe.candidates.threshold_for(80) == 177
    assert recipe.rule_for(80).weight_edges_hu[0] == 177
    with pytest.raises(RecipeError, match="tube voltage"):
        recipe.candidates.threshold_for(None)
    assert Recipe(name="x").rule_for(80).weight_edges_hu[0] == 130


SHOWN = re.findall(r"^```toml\n(.*?)^```", Path("docs/data_formats.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", SHOWN, ids=lambda t: tomllib.loads(t)["name"])
def test_recipes_shown_are_recipes(text):
    """What the docs show is read, stored and read again as it was."""
    recipe = parse_recipe(tomllib.loads(text), "the docs")
    assert parse_recipe(recipe.model_dump(mode="json"), "a card") == recipe


NAMES = [f.name for f in ALL]


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=9, unique=True))
def test_only_takes_exactly_the_named_features(wanted):
    """In the catalogue's order, whatever their order in the recipe; none named means all."""
    assert Recipe.model_validate({"name": "x"}).features.names() == tuple(NAMES)
    features = Recipe.model_validate({"name": "x", "features": {"only": wanted}}).features
    assert features.names() == tuple(n for n in NAMES if n in wanted)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), st.sampled_from(["ensemble", "map"]))
def test_scoring_asks_for_the_families_it_needs(wanted, by):
    """Every feature of the model is still there, and no family without one but the maps that a decision asks."""
    whole = Recipe.model_validate({"name": "x", "features": {"only": wanted}, "decision": {"artery_by": by}})
    features = whole.for_scoring().features
    assert features.names() == whole.features.names()
    maps = {"arteries"} if by == "map" else set()
    assert set(features.families) == {f.family for f in ALL if f.name in wanted} | maps


@given(
    st.lists(st.sampled_from(TARGETS), min_size=1, unique=True),
    st.sampled_from(["LM", "LAD"]),
    st.lists(st.sampled_from(list(Label)), min_size=1, max_size=20),
)
def test_a_label_that_is_no_target_is_other(targets, left_main_as, truth):
    """Targets stay, all else is "other", and a left main that counts as LAD is what LAD is."""
    model = Recipe.model_validate({"name": "x", "model": {"targets": targets, "left_main_as": left_main_as}}).model
    for label, learnt in zip(truth, model.learnt(np.array(truth, dtype=np.intp)), strict=True):
        counted = Label[left_main_as] if label == Label.LM else label
        assert learnt == (counted if counted.name in targets else Label.OTHER)


def test_all_labels_are_targets_unless_told():
    """The default learns every label of `Label`, as it is."""
    truth = np.array(list(Label), dtype=np.intp)
    assert (Recipe(name="x").model.learnt(truth) == truth).all()
    assert set(TARGETS) == set(Label.__members__) - {"OTHER"}
