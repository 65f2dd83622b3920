"""What decisions of an expert are worth as training rows, beside lesions and scans labelled by chance.

python scripts/learn_from_decisions.py MANIFEST OUTPUT.csv [--recipe configs/default.toml] [--cache FOLDER]

Scans of the split `train` are, by turns of patients, labelled from the start (one in five), a pool that the first model
refers lesions of (two in five), and the patients all models are tested on (the rest). Writes F1 of lesions by model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from calcscore_ml.ablation import decided, judged
from calcscore_ml.decided import join
from calcscore_ml.files import write_text
from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.bundle import predict
from calcscore_ml.recipe import Recipe, read_recipe
from calcscore_ml.referral.choice import choose_scans, of_scans
from calcscore_ml.referral.uncertainty import measure
from calcscore_ml.training import LesionTable, lesion_table, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--recipe", type=Path, default=Path("configs/default.toml"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    rows = [r for r in read_manifest(options.manifest) if r.split == "train"]
    table = lesion_table(rows, recipe, cache=options.cache, workers=options.workers)
    turn = np.unique(table.patient_id, return_inverse=True)[1] % 5
    start, pool, test = table.rows(turn == 0), table.rows(np.isin(turn, (1, 2))), table.rows(turn > 2)
    first = train(start, recipe, trained_on="the start")
    doubt = measure(*predict(first, pool.features))
    doubtful = (doubt.coronary >= recipe.referral.coronary_low) & (doubt.coronary <= recipe.referral.coronary_high)
    rng = np.random.default_rng(recipe.model.seed)
    scans = np.unique(pool.scan_id)
    fifth = max(1, len(scans) // 5)
    chosen = choose_scans(of_scans(pool.scan_id, doubt), fifth)
    by_chance = rng.choice(scans, fifth, replace=False)
    some = rng.permutation(len(doubtful)) < doubtful.sum()
    more = {
        "start": np.zeros(len(doubtful), dtype=bool),
        "and referred lesions": doubtful,
        "and as many lesions by chance": some,
        "and scans chosen by disagreement": np.isin(pool.scan_id, chosen),
        "and as many scans by chance": np.isin(pool.scan_id, by_chance),
        "and the whole pool": np.ones(len(doubtful), dtype=bool),
    }
    told = [_row(name, start, pool.rows(mask), test, recipe) for name, mask in more.items()]
    write_text(options.output, pd.DataFrame(told).to_csv(index=False), overwrite=True)
    print(pd.DataFrame(told).to_string(index=False))


def _row(name: str, start: LesionTable, more: LesionTable, test: LesionTable, recipe: Recipe) -> dict[str, object]:
    bundle = train(join(start, more) if len(more.truth) else start, recipe, trained_on=name)
    found = judged(decided(bundle, recipe, test), recipe, test)
    scans = len(np.unique(more.scan_id))
    return {"model": name, "lesions added": len(more.truth), "of scans": scans, "F1": str(found["lesion.f1"])}


if __name__ == "__main__":
    main()
