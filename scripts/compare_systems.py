"""Every published system on one digital cohort: trained, evaluated, one table beside the published figures.

python scripts/compare_systems.py configs/cohorts/compare.toml comparison [--count 80] [--recipes configs/x.toml ...]
"""

from __future__ import annotations

import argparse
import time
import tomllib
from dataclasses import replace
from pathlib import Path

from calcscore_ml.assessment import assess_systems
from calcscore_ml.manifest import MANIFEST_NAME, read_manifest
from calcscore_ml.phantom.cohort import write_cohort
from calcscore_ml.phantom.plan import read_cohort
from calcscore_ml.recipe import read_recipe
from calcscore_ml.reports.systems import PAGE, SUBGROUPS, write_systems
from calcscore_ml.training import lesion_table, train

CONFIGS = Path(__file__).parent.parent / "configs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="a cohort's TOML file, or the manifest of one that is there")
    parser.add_argument("output", type=Path, nargs="?", default=Path("comparison"))
    parser.add_argument("--count", type=int, help="patients, instead of the cohort's")
    parser.add_argument("--recipes", type=Path, nargs="+", help="all published systems when not given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--overwrite", action="store_true", help="replace a comparison that is there")
    options = parser.parse_args()
    if (options.output / PAGE).exists() and not options.overwrite:
        parser.error(f"a comparison is never replaced unasked, got {options.output}; use --overwrite or another folder")
    systems = tomllib.loads((CONFIGS / "comparison" / "systems.toml").read_text(encoding="utf-8"))
    files = options.recipes or [CONFIGS / f"{name}.toml" for name in systems["recipes"]]
    manifest = options.cohort
    if manifest.suffix == ".toml":
        cohort = read_cohort(manifest)
        cohort = replace(cohort, count=options.count or cohort.count)
        manifest = options.output / cohort.name / MANIFEST_NAME
        write_cohort(manifest.parent, cohort, workers=options.workers)
    rows = read_manifest(manifest)
    learned, tested = ([r for r in rows if (r.split == "test") == test] for test in (False, True))
    bundles = {}
    for recipe in map(read_recipe, files):
        table = lesion_table(learned, recipe, cache=manifest.parent / ".features", workers=options.workers)
        began = time.perf_counter()
        bundles[recipe.name] = (train(table, recipe, trained_on=f"{len(learned)} scans"), recipe)
        print(f"{recipe.name}: trained in {time.perf_counter() - began:.0f} s", flush=True)
    found = assess_systems(tested, bundles, workers=options.workers, by=SUBGROUPS)
    heading = f"{len(found)} systems, trained on {len(learned)} and tested on {len(tested)} digital scans"
    best = "calcscore" if "calcscore" in found else next(iter(found))
    print(write_systems(options.output, found, best, systems["published"], heading).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
