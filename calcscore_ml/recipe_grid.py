"""A recipe with several values where one stands: every combination of them, each a recipe of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from calcscore_ml.configs import read_toml
from calcscore_ml.errors import RecipeError
from calcscore_ml.recipe import Recipe, parse_recipe

VARIED = ("features", "model", "decision")
"""Sections whose keys may be varied: what is learnt from one table of lesions."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A recipe with one combination of values.

    Parameters
    ----------
    name : str
        The values that were chosen: ``n_neighbors = 5, smoothing = 0.1``.
    recipe : Recipe
        The whole recipe with them.
    """

    name: str
    recipe: Recipe


def read_grid(path: Path | str, recipe: Recipe) -> tuple[Variant, ...]:
    """Read a grid: a recipe's sections and keys, a list of values for each.

    Parameters
    ----------
    path : path
        A TOML file. Where a key's value is a list itself, the grid has a list of lists.
    recipe : Recipe
        What stays the same.

    Returns
    -------
    tuple of Variant
        All combinations; the last key varies fastest.

    Raises
    ------
    RecipeError
        When the file is not TOML, a section may not be varied, a key has no list of values, or a combination breaks a
        rule of recipes.
    """
    return variants(recipe, read_toml(path, "a grid"), str(path))


def variants(recipe: Recipe, grid: Mapping[str, Any], where: str) -> tuple[Variant, ...]:
    """Combine the values of a grid given as nested tables; `where` is named in errors."""
    strange = sorted(set(grid) - set(VARIED))
    if strange or not grid:
        raise RecipeError(f"a grid varies {', '.join(VARIED)}, got {', '.join(strange) or 'nothing'} in {where}")
    varied = list(_leaves(grid, (), where))
    made = []
    for values in product(*(choices for _, choices in varied)):
        content = recipe.model_dump(mode="json", exclude_none=True)
        for (keys, _), value in zip(varied, values, strict=True):
            _put(content, keys, value)
        name = ", ".join(f"{keys[-1]} = {_told(value)}" for (keys, _), value in zip(varied, values, strict=True))
        made.append(Variant(name, parse_recipe(content, where)))
    return tuple(made)


def widest(recipes: Sequence[Recipe], where: str = "a grid") -> Recipe:
    """Return the recipe whose table of lesions holds the features of all.

    Raises
    ------
    RecipeError
        When no one table does, because a feature of one name is computed in two ways.
    """
    parts = [r.features for r in recipes]
    wide = {
        "families": tuple(dict.fromkeys(f for p in parts for f in p.families)),
        "gaussian_scales_mm": tuple(sorted({s for p in parts for s in p.gaussian_scales_mm})),
        "crowd_mm": tuple(sorted({r for p in parts for r in p.crowd_mm})),
        "only": (),
    }
    made = [p.model_copy(update=wide) for p in parts]
    if any(m != made[0] for m in made):
        raise RecipeError(f"one table of lesions must serve all, but a feature is computed in two ways in {where}")
    content = recipes[0].model_dump(mode="json", exclude_none=True) | {"features": made[0].model_dump(mode="json")}
    return parse_recipe(content, where)


def _leaves(tree: Mapping[str, Any], above: tuple[str, ...], where: str) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    for key, value in tree.items():
        keys = (*above, key)
        if isinstance(value, Mapping):
            yield from _leaves(value, keys, where)
        elif isinstance(value, list) and value:
            yield keys, value
        else:
            raise RecipeError(
                f"a grid gives a list of values for each key, got {value!r} for {'.'.join(keys)} in {where}"
            )


def _put(content: dict[str, Any], keys: tuple[str, ...], value: object) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
    content[keys[-1]] = value


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
