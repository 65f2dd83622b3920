"""What knowing the place of a lesion is worth: location off, the heart's box, the atlas, all arteries; per ensemble.

python scripts/ablate_location.py TRAIN.csv [TRAIN.csv ...] --test TEST.csv [--recipes configs/default.toml ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calcscore_features import FAMILIES
from calcscore_ml.ablation import families_of, judged, trained_with
from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.bundle import predict
from calcscore_ml.recipe import Recipe, read_recipe
from calcscore_ml.referral.decision import arteries_by_map, decide
from calcscore_ml.training import LesionTable, lesion_table

PLAIN = tuple(f for f in FAMILIES if f not in ("location", "atlas", "arteries"))
SETS = {"location off": PLAIN, "heart box only": (*PLAIN, "location"), "atlas": (*PLAIN, "location", "atlas"),
        "all arteries": FAMILIES}  # fmt: skip
MAPS = [f"{a}_probability" for a in ("lm", "lad", "lcx", "rca")]
METRICS = ("lesion.sensitivity", "lesion.ppv", "lesion.false_positives_per_scan", "lesion_volume.sensitivity",
           "artery.accuracy_of_found")  # fmt: skip


def cells(recipe: Recipe, learned: LesionTable, tested: LesionTable, columns: list[str]) -> list[list[str]]:
    own, _ = predict(trained_with(columns, recipe, learned), tested.features)
    ways = [own, arteries_by_map(own, tested.features[MAPS].to_numpy())] if MAPS[0] in columns else [own]
    threshold = recipe.decision.coronary_threshold
    return [[str(judged(decide(way, threshold), recipe, tested)[m]) for m in METRICS] for way in ways]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path, nargs="+")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--recipes", type=Path, nargs="+", default=[Path("configs/default.toml")])
    options = parser.parse_args()
    print("| ensemble | features | " + " | ".join(METRICS) + " |\n|" + "---|" * (2 + len(METRICS)))
    for recipe in map(read_recipe, options.recipes):
        rows = [row for manifest in options.train for row in read_manifest(manifest)]
        kept = options.train[0].parent / ".features"
        learned, tested = (lesion_table(r, recipe, cache=kept) for r in (rows, read_manifest(options.test)))
        groups = families_of(recipe)
        for name, families in SETS.items():
            columns = [f for family in families for f in groups.get(family, ())]
            for way, values in zip(("", ", artery by map"), cells(recipe, learned, tested, columns), strict=False):
                print(f"| {recipe.name} | {name}{way} ({len(columns)}) | " + " | ".join(values) + " |", flush=True)


if __name__ == "__main__":
    main()
