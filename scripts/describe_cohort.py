"""Say what a digital cohort holds, as tables for a page: scans, scores by category, arteries, look-alikes, candidates.

python scripts/describe_cohort.py cohort/data_manifest.csv

Scores are those of the labelled voxels, as an observer who knows the truth would give them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from calcscore_ml.anatomy import Label
from calcscore_ml.candidates import find_candidates
from calcscore_ml.io.labels import read_labels
from calcscore_ml.io.volumes import read_volume
from calcscore_ml.manifest import ManifestRow, read_manifest
from calcscore_ml.pipeline import score_labelled
from calcscore_ml.recipe import LocationSection, Recipe

CATEGORIES = (0, 1e-9, 10 + 1e-9, 100 + 1e-9, 400 + 1e-9)
RECIPE = Recipe(name="described", location=LocationSection(atlases=""))  # no place is asked for
NAMES = ("0", "1-10", "11-100", "101-400", "> 400")


def describe(row: ManifestRow) -> dict[str, object]:
    scan = read_volume(row.image)
    assert row.labels is not None
    labels = read_labels(row.labels, scan.geometry)
    score = score_labelled(scan, labels, RECIPE, scan_id=row.scan_id).result.score
    arteries = {site.site: site.agatston for site in score.arteries}
    return {
        "protocol": row.protocol,
        "agatston": score.total.agatston,
        "candidates": len(find_candidates(scan)),
    } | arteries


def show(title: str, table: pd.DataFrame) -> None:
    columns = [title, *map(str, table.columns)]
    lines = [columns, ["---"] * len(columns)]
    lines += [[str(name), *(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row)]
              for name, row in zip(table.index, table.itertuples(index=False), strict=True)]  # fmt: skip
    print("\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))


def main(manifest: Path) -> None:
    rows = read_manifest(manifest)
    scans = pd.DataFrame(Parallel(n_jobs=2)(delayed(describe)(row) for row in rows))
    place = np.digitize(scans.agatston, CATEGORIES) - 1
    show("Agatston", pd.DataFrame({"scans": np.bincount(place, minlength=5)}, index=pd.Index(NAMES)))
    counts = scans.groupby("protocol").candidates.describe()[["count", "min", "50%", "max"]].astype(int)
    show("candidates of", counts)
    arteries = scans.drop(columns=["protocol", "agatston", "candidates"])
    calcified = scans.agatston > 0
    shares = {"share of all Agatston": arteries.sum() / scans.agatston.sum(),
              "of calcified patients": (arteries[calcified] > 0).mean()}  # fmt: skip
    show("artery", pd.DataFrame(shares))
    truth = pd.read_csv(manifest.with_name("truth.csv"))
    kinds = truth.groupby(truth.label.map(lambda v: Label(v).name))
    columns = {"lesions": kinds.size(), "with labelled voxels": kinds.voxels.apply(lambda v: (v > 0).sum()),
               "median mass [mg]": kinds.mass_mg.median()}  # fmt: skip
    show("label", pd.DataFrame(columns))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
