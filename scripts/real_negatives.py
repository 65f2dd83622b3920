"""Describe candidates of real scans without coronary calcium, certain negatives to learn from: data/real_negatives.npz.

python scripts/real_negatives.py FOLDER [--output data/real_negatives.npz] [--rows 1500] [--scans NAME ...]

FOLDER holds a folder for each scan. What the candidates are is not known, only that they are no coronary calcium: those
near a place of data/real_landmarks.csv on an artery are left out. Only features are kept, no scan.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from calcscore_ml.io import read_scan
from calcscore_ml.pipeline import describe_scan
from calcscore_ml.recipe import builtin_recipe, read_recipe

SCANS = ("lung-pet-ct-dx-a0001", "lung-pet-ct-dx-a0001-sharp", "acrin-flt-breast-013")
NEAR_MM = 15.0
"""Candidates this near to a place seen on an artery are left out: A0001 has a faint speck of the LAD."""
HEART_MM = 15.0
"""Only candidates in the heart's box or this near to it are kept: bone and bowel are well known."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("data/real_negatives.npz"))
    parser.add_argument("--rows", type=int, default=1500, help="of a scan at most: the largest, and as many at random")
    parser.add_argument("--scans", nargs="+", default=SCANS)
    options = parser.parse_args()
    recipe, seen = read_recipe(builtin_recipe()), pd.read_csv("data/real_landmarks.csv")
    tables, names = [], []
    for name in options.scans:
        scan = read_scan(options.folder / name)
        described = describe_scan(scan, recipe, learning=True)
        spacing = np.asarray(scan.geometry.spacing)
        at = described.candidates.centroids() * spacing
        keep = np.ones(len(at), dtype=bool)
        if described.location.box is not None:
            low, high = described.location.box.as_array()
            keep &= ((at >= low - HEART_MM) & (at <= high + HEART_MM)).all(axis=1)
        own = seen[(seen["scan"] == name.removesuffix("-sharp")) & seen["what"].isin(["LM", "LAD", "LCX", "RCA"])]
        for place in own[["z", "y", "x"]].to_numpy() * spacing:
            keep &= np.linalg.norm(at - place, axis=1) > NEAR_MM
        chosen = np.flatnonzero(keep)
        if len(chosen) > options.rows:
            by_size = chosen[np.argsort(-described.candidates.volumes_mm3[chosen], kind="stable")]
            large, small = np.split(by_size, [options.rows // 2])
            drawn = np.random.default_rng(0).choice(small, options.rows - len(large), replace=False)
            chosen = np.sort(np.concatenate([large, drawn]))
        tables.append(described.table.iloc[chosen])
        names += [name] * len(chosen)
        print(f"{name}: {len(chosen)} of {len(at)} candidates")
    table = pd.concat(tables)
    np.savez_compressed(
        options.output,
        features=table.to_numpy(np.float32),
        names=np.array(table.columns, dtype=np.str_),
        scan=np.array(names, dtype=np.str_),
    )


if __name__ == "__main__":
    main()
