"""Laws of recipes."""

import pytest

from calcscore_ml.errors import RecipeError
from calcscore_ml.recipe import Recipe, builtin_recipe, parse_recipe, read_recipe


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
