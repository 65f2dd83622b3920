"""Score the real scans of a folder and measure where arteries are located: the table of docs/real_scans.md.

python scripts/check_real_scans.py FOLDER [--landmarks data/real_landmarks.csv] [--pictures FOLDER]

FOLDER holds a folder for each scan, named as in the landmarks' column `scan`. What was seen there by eye, in voxels
(z, y, x) of the whole series, is in that file. Pictures show it as circles, and as dots the arteries that were located.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml import default_model, load_bundle, parse_recipe, read_scan, score_scan
from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.heart.lines import refine_line
from calcscore_ml.heart.locate import Location
from calcscore_ml.reports.figures import blank_figure
from calcscore_ml.reports.pictures import COLOURS
from calcscore_ml.scan import Scan

NEAR_MM, SLICES, HALF_MM = 3.0, 4, 75.0


def course_mm(location: Location, artery: Label) -> NDArray[np.float64]:
    """Centreline of an artery, the mean of the atlases', (n, 3)."""
    return refine_line(location.arteries[artery].mean(axis=0))[0]


def distances_mm(location: Location, seen: pd.DataFrame, spacing: tuple[float, float, float]) -> list[float]:
    """Distance of each place seen on an artery, or at an ostium, from where the atlases put it."""
    found = []
    for what, place in zip(seen["what"].astype(str), seen[["z", "y", "x"]].to_numpy() * spacing, strict=True):
        if what in Label.__members__ and Label[what] in location.arteries:
            found.append(float(np.linalg.norm(course_mm(location, Label[what]) - place, axis=1).min()))
        elif what.endswith("ostium") and what in location.landmarks:
            found.append(float(np.linalg.norm(location.landmarks[what].mean(axis=0) - place)))
    return found


def draw(scan: Scan, location: Location, seen: pd.DataFrame, title: str, file: Path) -> None:
    """Draw four slices with what was seen in them by eye, and the located arteries that pass within `NEAR_MM`."""
    spacing = np.asarray(scan.geometry.spacing)
    levels = np.unique(np.rint(seen["z"].to_numpy()).astype(int))
    chosen = levels[np.unique(np.linspace(0, len(levels) - 1, SLICES).round().astype(int))]
    middle = seen[["y", "x"]].mean().to_numpy()
    (top, left), (bottom, right) = middle - HALF_MM / spacing[1:], middle + HALF_MM / spacing[1:]
    figure = blank_figure(3.2 * len(chosen), 3.5)
    for axis, z in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen.tolist(), strict=True):
        axis.imshow(scan.hu[z], cmap="gray", vmin=-150, vmax=250)
        for artery in ARTERIES:
            if artery in location.arteries:
                line = course_mm(location, artery) / spacing
                near = line[np.abs(line[:, 0] - z) * spacing[0] <= NEAR_MM]
                axis.plot(near[:, 2], near[:, 1], ".", color=COLOURS[artery], markersize=2)
            own = seen[(seen["what"] == artery.name) & ((seen["z"] - z).abs() * spacing[0] <= NEAR_MM)]
            axis.plot(own["x"], own["y"], "o", color=COLOURS[artery], fillstyle="none", markersize=9)
        axis.set(xlim=(left, right), ylim=(bottom, top), title=f"slice {z}")
        axis.axis("off")
    figure.suptitle(title, fontsize=9)
    figure.savefig(file, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--landmarks", type=Path, default=Path("data/real_landmarks.csv"))
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each scan in which something was seen")
    options = parser.parse_args()
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    bundle = load_bundle(default_model())
    recipe = parse_recipe(bundle.card.recipe, "the model's card")
    seen = pd.read_csv(options.landmarks)
    print("| scan | said | location | proximal arteries and ostia, mm: mean, worst |\n|---|---|---|---|")
    for folder in sorted(p for p in options.folder.iterdir() if p.is_dir()):
        scan = read_scan(folder)
        scored = score_scan(scan, bundle, recipe, scan_id=folder.name)
        own = seen[seen["scan"] == folder.name]
        off = distances_mm(scored.location, own, scan.geometry.spacing)
        trust = "trusted" if scored.location.trusted else f"not trusted: {scored.location.remark}"
        told = f"{np.mean(off):.1f}, {max(off):.1f}" if off else "-"
        said = scored.result.headline + "".join(f"; {r}" for r in scored.result.invalid_reasons)
        if options.pictures and len(own):
            arteries = own[own["what"].isin([artery.name for artery in ARTERIES])]
            draw(scan, scored.location, arteries, f"{folder.name}: {said}", options.pictures / f"{folder.name}.webp")
        print(f"| {folder.name} | {said} | {trust} | {told} |", flush=True)


if __name__ == "__main__":
    main()
