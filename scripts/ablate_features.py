"""What families and features are worth to an ensemble: left out, alone, one after the other, permuted.

python scripts/ablate_features.py COHORT/data_manifest.csv ablation --recipes configs/isgum2007.toml

Sets that are in the output's table already are not trained again: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from calcscore_ml.ablation import REPEATS, families_of, feature_sets, importance, measured, origin
from calcscore_ml.manifest import read_manifest
from calcscore_ml.recipe import read_recipe
from calcscore_ml.reports.ablation import write_ablation
from calcscore_ml.training import lesion_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--recipes", type=Path, nargs="+", required=True)
    parser.add_argument("--by", choices=("family", "feature"), default="family", help="what is left out at a time")
    parser.add_argument("--permuted", type=int, default=REPEATS, help="times a group of features is permuted; 0: never")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rows, kept = read_manifest(options.manifest), options.manifest.parent / ".features"
    for recipe in map(read_recipe, options.recipes):
        learned, tested = (
            lesion_table([r for r in rows if (r.split == "test") == test], recipe, cache=kept, workers=options.workers)
            for test in (False, True)
        )
        table = options.output / f"{recipe.name}.csv"
        done = pd.read_csv(table) if table.exists() else pd.DataFrame({"set": [], "of": []})
        mark = origin(recipe, learned, tested)
        if set(done["of"]) - {mark}:
            parser.error(f"{table} is of another recipe or cohort, and never replaced unasked; use another folder")
        groups = families_of(recipe)
        if options.by == "feature":
            groups = {name: (name,) for name in recipe.features.names()}
        asked = [s for s in feature_sets(groups) if s.name not in set(done["set"])]
        work = (delayed(measured)(s, recipe, learned, tested) for s in asked)
        for row in Parallel(n_jobs=options.workers, return_as="generator")(work):
            done = pd.DataFrame([*done.to_dict("records"), {"of": mark, **row}])
            write_ablation(options.output, recipe.name, done)
        lost = None
        if options.permuted:
            lost = importance(recipe, learned, tested, repeats=options.permuted, workers=options.workers)
        page = write_ablation(options.output, recipe.name, done, lost)
        print(page.read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
