"""Evaluate trained ensembles on the same test patients, one after the other.

python scripts/evaluate.py cohort/data_manifest.csv evaluation models/sequential-knn models/bagged-svm
"""

from __future__ import annotations

import sys
from pathlib import Path

from calcscore_ml.assessment import assess_cohort
from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.bundle import load_bundle
from calcscore_ml.recipe import parse_recipe
from calcscore_ml.reports.assessment import write_assessment


def main(manifest: Path, output: Path, models: list[Path], workers: int = 2) -> None:
    rows = [row for row in read_manifest(manifest) if row.split == "test"]
    for folder in models:
        bundle = load_bundle(folder)
        recipe = parse_recipe(bundle.card.recipe, str(folder))
        found = assess_cohort(rows, bundle, recipe, workers=workers, by="protocol")
        write_assessment(output / bundle.card.name, found, overwrite=True)
        print(f"\n{bundle.card.name}\n{found.automatic.to_text()}")
        print(f"referred per scan: {found.scans['referred'].mean():.2f}; after the expert:")
        print(found.after_expert.to_text())


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(p) for p in sys.argv[3:]])
