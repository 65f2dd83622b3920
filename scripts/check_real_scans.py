"""Score the real scans of a folder and measure where arteries are located: the table of docs/real_scans.md.

python scripts/check_real_scans.py FOLDER [--landmarks data/real_landmarks.csv]

FOLDER holds a folder for each scan, named as in the landmarks' column `scan`. What was seen there by eye, in voxels
(z, y, x) of the whole series, is in that file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from calcscore_ml import default_model, load_bundle, parse_recipe, read_scan, score_scan
from calcscore_ml.anatomy import Label
from calcscore_ml.heart.lines import refine_line
from calcscore_ml.heart.locate import Location


def distances_mm(location: Location, seen: pd.DataFrame, spacing: tuple[float, float, float]) -> list[float]:
    """Distance of each place seen on an artery, or at an ostium, from where the atlases put it."""
    found = []
    for what, place in zip(seen["what"].astype(str), seen[["z", "y", "x"]].to_numpy() * spacing, strict=True):
        if what in Label.__members__ and Label[what] in location.arteries:
            line, _ = refine_line(location.arteries[Label[what]].mean(axis=0))
            found.append(float(np.linalg.norm(line - place, axis=1).min()))
        elif what.endswith("ostium") and what in location.landmarks:
            found.append(float(np.linalg.norm(location.landmarks[what].mean(axis=0) - place)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--landmarks", type=Path, default=Path("data/real_landmarks.csv"))
    options = parser.parse_args()
    bundle = load_bundle(default_model())
    recipe = parse_recipe(bundle.card.recipe, "the model's card")
    seen = pd.read_csv(options.landmarks)
    print("| scan | said | location | proximal arteries and ostia, mm: mean, worst |\n|---|---|---|---|")
    for folder in sorted(p for p in options.folder.iterdir() if p.is_dir()):
        scan = read_scan(folder)
        scored = score_scan(scan, bundle, recipe, scan_id=folder.name)
        off = distances_mm(scored.location, seen[seen["scan"] == folder.name], scan.geometry.spacing)
        trust = "trusted" if scored.location.trusted else f"not trusted: {scored.location.remark}"
        told = f"{np.mean(off):.1f}, {max(off):.1f}" if off else "-"
        said = scored.result.headline + "".join(f"; {r}" for r in scored.result.invalid_reasons)
        print(f"| {folder.name} | {said} | {trust} | {told} |", flush=True)


if __name__ == "__main__":
    main()
