"""Build the model that comes with the package: digital cohort, training, evaluation, bundle.

The first patients of a cohort are trained on, the next ones, whom the model has not seen, are its card's figures.

python scripts/build_default_model.py FOLDER_FOR_THE_COHORTS [--recipe configs/default.toml]

Reproducible from the seed on one platform. An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from calcscore_ml.assessment import assess_cohort
from calcscore_ml.decided import join
from calcscore_ml.models.bundle import save_bundle
from calcscore_ml.models.default import DEFAULT_FOLDER
from calcscore_ml.phantom import read_cohort, write_cohort
from calcscore_ml.recipe import read_recipe
from calcscore_ml.reports.assessment import write_assessment
from calcscore_ml.training import LesionTable, lesion_table, train

COHORT, TRAINED_ON, TESTED_ON = "default", slice(0, 130), slice(130, 187)
METRICS = (
    "lesion.sensitivity",
    "lesion.ppv",
    "lesion.false_positives_per_scan",
    "artery.accuracy_of_found",
    "agatston.icc_a1",
    "category.accuracy",
    "category.kappa_linear",
)


def with_negatives(lesions: LesionTable, file: Path) -> LesionTable:
    """Add what `scripts/real_negatives.py` kept, a patient for each scan, labelled other."""
    with np.load(file, allow_pickle=False) as kept:
        table = pd.DataFrame(kept["features"].astype(np.float64), columns=list(kept["names"]))
        scan = kept["scan"]
    negatives = LesionTable(table, np.zeros(len(table), dtype=np.intp), scan, scan)
    return join(lesions, negatives)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", type=Path, default=Path("configs/default.toml"))
    parser.add_argument("--output", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--negatives", type=Path, default=Path("data/real_negatives.npz"), help="certain negatives")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    rows = write_cohort(options.folder / COHORT, read_cohort(COHORT), workers=options.workers)
    learned, held_out = rows[TRAINED_ON], rows[TESTED_ON]
    lesions = lesion_table(learned, recipe, cache=options.folder / ".features", workers=options.workers)
    said = f"{len(learned)} digital patients (`calcscore phantom {COHORT}`, the first {len(learned)})"
    if options.negatives.is_file():
        digital = len(lesions.truth)
        lesions = with_negatives(lesions, options.negatives)
        said += f" and {len(lesions.truth) - digital} candidates of real scans without coronary calcium"
    bundle = train(lesions, recipe, trained_on=said)
    found = assess_cohort(held_out, bundle, recipe, workers=options.workers, by="protocol")
    write_assessment(options.folder / f"evaluation-{recipe.name}", found, overwrite=True)
    print(found.automatic.to_text())
    known = {result.name: result.interval.value for result in found.automatic.results}
    metrics = {
        f"{name}, {len(held_out)} other digital patients of {COHORT}.toml": known[name]
        for name in METRICS
        if name in known
    }
    print(save_bundle(options.output, replace(bundle, card=replace(bundle.card, metrics=metrics)), overwrite=True))


if __name__ == "__main__":
    main()
