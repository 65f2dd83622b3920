"""Score the nine rods of the QRM phantom, and write their labels: the table in docs/scores.md.

python scripts/score_rods.py data/qrm-thorax-phantom [LABELS_TO_WRITE]

A disc around each rod, 1.5 mm wider than the rod, in the slices the insert lies in. Densities take the labels of three
arteries, so a table per artery is a table per density: LAD 200, LCX 400, RCA 800 mg/cm3.
"""

from __future__ import annotations

import sys

import numpy as np

from calcscore_ml.anatomy import Label
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import write_labels
from calcscore_ml.scores import RULES, from_label_volume, rod_calibration, summarise

MARGIN_MM, THICK_MM = 1.5, 18.0
RODS = (  # diameter mm, mg/cm3, label, centre (x, y, z) of the insert in the world mm, published and plain Agatston
    (5, 200, Label.LAD, (17.16, 31.37, 599.375), 137.4, 138.6),
    (3, 200, Label.LAD, (10.57, 21.02, 599.375), 22.4, 22.9),
    (1, 200, Label.LAD, (3.99, 10.68, 599.375), 0.0, 0.0),
    (5, 400, Label.LCX, (13.75, -32.51, 599.375), 236.7, 227.0),
    (3, 400, Label.LCX, (8.28, -21.43, 599.375), 69.5, 69.5),
    (1, 400, Label.LCX, (2.81, -10.36, 599.375), 0.0, 0.0),
    (5, 800, Label.RCA, (-40.67, 1.5, 599.375), 396.3, 402.9),
    (3, 800, Label.RCA, (-28.17, 1.65, 599.375), 89.3, 88.1),
    (1, 800, Label.RCA, (-15.97, 1.16, 599.375), 6.19, 6.19),
)
ROD_MM, WATER_MM = (-2.6, 0.38, 630.875), (-14.31, -17.68, 630.875)


def main(scan_folder: str, target: str | None = None) -> None:
    scan = read_scan(scan_folder)
    grid = scan.geometry
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    world = grid.to_world(index)
    rods = np.zeros(grid.shape, np.uint8)
    for number, (diameter_mm, _, _, (x, y, z), _, _) in enumerate(RODS, start=1):
        beside = np.hypot(world[..., 0] - x, world[..., 1] - y) <= diameter_mm / 2 + MARGIN_MM
        rods[beside & (np.abs(world[..., 2] - z) <= THICK_MM / 2)] = number
    labels = np.array([0, *[int(rod[2]) for rod in RODS]], np.uint8)[rods]
    if target:
        write_labels(labels, grid, target, overwrite=True)

    rod, water = (tuple(float(v) for v in grid.to_index(p)) for p in (ROD_MM, WATER_MM))
    calibration = rod_calibration(scan, rod_index=rod, water_index=water, slices=3)  # type: ignore[arg-type]
    print(f"mass factor {calibration.factor_mg_per_ml_hu:.4f} mg/cm3 per HU: {calibration.origin}\n")
    print("| rod | Agatston | published | plain | volume mm3 | mass mg | true mass mg |\n" + "|---|" + "---|" * 6)
    for number, (diameter_mm, density, label, _, published, plain) in enumerate(RODS, start=1):
        one = np.where(rods == number, np.uint8(label), np.uint8(0))
        score = summarise(from_label_volume(scan, one, threshold_hu=130), RULES[0], calibration).total
        true_mg = density / 1000 * np.pi / 4 * diameter_mm**3
        print(f"| {diameter_mm} mm, {density} mg/cm3 | {score.agatston:.1f} | {published:g} | {plain:g} |", end=" ")
        print(f"{score.volume_mm3:.1f} | {score.mass_mg:.1f} | {true_mg:.1f} |")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
