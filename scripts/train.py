"""Train one ensemble, or compare several, on a labelled cohort.

python scripts/train.py cohort/data_manifest.csv models configs/default.toml configs/sequential_knn.toml
"""

from __future__ import annotations

import sys
from pathlib import Path

from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.bundle import save_bundle
from calcscore_ml.recipe import read_recipe
from calcscore_ml.training import counts, lesion_table, train


def main(manifest: Path, output: Path, recipes: list[Path], workers: int = 2) -> None:
    rows = [row for row in read_manifest(manifest) if row.split == "train"]
    for file in recipes:
        recipe = read_recipe(file)
        # Recipes that agree on candidates and features share the cache, so features are computed once.
        lesions = lesion_table(rows, recipe, cache=manifest.parent / ".features", workers=workers)
        bundle = train(lesions, recipe, trained_on=f"{len(rows)} scans of {manifest.parent.name}")
        print(save_bundle(output / recipe.name, bundle, overwrite=True), counts(lesions))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(p) for p in sys.argv[3:]])
