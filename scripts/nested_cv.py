"""Choose a recipe's constants by cross-validation over the patients to train on, and check the choice by another.

python scripts/nested_cv.py COHORT/data_manifest.csv configs/isgum2007.toml configs/grids/isgum2007.toml nested

Patients of the split "test" are not looked at. Models that are there already are not trained again: an interrupted run
goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calcscore_ml.manifest import read_manifest
from calcscore_ml.nested import FOLDS, METRIC, nested
from calcscore_ml.recipe import read_recipe
from calcscore_ml.recipe_grid import read_grid, widest
from calcscore_ml.reports.nested import write_nested
from calcscore_ml.training import lesion_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("grid", type=Path, help="the recipe's keys, a list of values for each")
    parser.add_argument("output", type=Path)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--metric", default=METRIC, help="made as large as can be, for example lesion_volume.f1")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    variants = read_grid(options.grid, recipe)
    learned = [r for r in read_manifest(options.manifest) if r.split != "test"]
    wide = widest([v.recipe for v in variants], str(options.grid))
    table = lesion_table(learned, wide, cache=options.manifest.parent / ".features", workers=options.workers)
    found = nested(
        variants,
        table,
        folds=options.folds,
        metric=options.metric,
        workers=options.workers,
        kept=options.output / ".models",
    )
    print(write_nested(options.output, recipe.name, found).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
