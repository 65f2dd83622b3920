"""Laws of the model that comes with the package."""

import pytest

from calcscore_ml.io import read_scan
from calcscore_ml.models.bundle import load_bundle
from calcscore_ml.models.default import default_model
from calcscore_ml.pipeline import score_scan
from calcscore_ml.recipe import builtin_recipe, parse_recipe, read_recipe


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(default_model())


def test_it_is_small_and_says_what_it_is(bundle):
    """A few MB; a card with training, metrics and intended use."""
    size = sum(f.stat().st_size for f in default_model().iterdir())
    assert size < 5_000_000
    assert "digital patients" in bundle.card.trained_on
    assert "not a medical device" in bundle.card.intended_use
    assert bundle.card.metrics
    assert set(bundle.card.units) == set(bundle.card.features)


def test_it_was_trained_by_a_recipe_of_the_repository(bundle):
    """The card's recipe is the built-in one, so the model can be made again."""
    stored = parse_recipe(bundle.card.recipe, "card")
    assert stored.model == read_recipe(builtin_recipe()).model
    assert stored.candidates == read_recipe(builtin_recipe()).candidates


def test_a_real_scan_without_clear_coronary_calcium_scores_low(bundle):
    """Chest scan A0001, no clear coronary calcium: at most a few units, and a result in any case."""
    recipe = parse_recipe(bundle.card.recipe, "card")
    result = score_scan(read_scan("data/lung-pet-ct-dx-a0001-heart"), bundle, recipe, scan_id="a0001").result
    assert result.score.total.agatston <= 10
    assert result.candidates > 20
