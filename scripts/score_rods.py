"""Score the nine rods of the QRM phantom, and write their labels: the table in docs/scores.md.

python scripts/score_rods.py data/qrm-thorax-phantom [LABELS_TO_WRITE]

A disc around each rod, 1.5 mm wider than the rod, in the slices the insert lies in. Densities take the labels of three
arteries, so a table per artery is a table per density: LAD 200, LCX 400, RCA 800 mg/cm3.
"""

from __future__ import annotations

import sys

import numpy as np

from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import write_labels
from calcscore_ml.phantom.rods import RODS, rod_regions
from calcscore_ml.scores import RULES, from_label_volume, rod_calibration, summarise

INSERT_Z_MM = 599.375
AGATSTON = (  # published and plain, in the order of the rods
    (137.4, 138.6), (22.4, 22.9), (0.0, 0.0), (236.7, 227.0), (69.5, 69.5), (0.0, 0.0), (396.3, 402.9), (89.3, 88.1),
    (6.19, 6.19),
)  # fmt: skip
ROD_MM, WATER_MM = (-2.6, 0.38, 630.875), (-14.31, -17.68, 630.875)


def main(scan_folder: str, target: str | None = None) -> None:
    scan = read_scan(scan_folder)
    grid = scan.geometry
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    world = grid.to_world(index)
    rods = rod_regions(world[..., 2], world[..., 1], world[..., 0], (INSERT_Z_MM, 0.0, 0.0))
    labels = np.array([0, *[int(rod.label) for rod in RODS]], np.uint8)[rods]
    if target:
        write_labels(labels, grid, target, overwrite=True)

    insert, water = (tuple(float(v) for v in grid.to_index(p)) for p in (ROD_MM, WATER_MM))
    calibration = rod_calibration(scan, rod_index=insert, water_index=water, slices=3)  # type: ignore[arg-type]
    print(f"mass factor {calibration.factor_mg_per_ml_hu:.4f} mg/cm3 per HU: {calibration.origin}\n")
    print("| rod | Agatston | published | plain | volume mm3 | mass mg | true mass mg |\n" + "|---|" + "---|" * 6)
    for number, (rod, (published, plain)) in enumerate(zip(RODS, AGATSTON, strict=True), start=1):
        one = np.where(rods == number, np.uint8(rod.label), np.uint8(0))
        score = summarise(from_label_volume(scan, one, threshold_hu=130), RULES[0], calibration).total
        print(f"| {rod.diameter_mm:g} mm, {rod.density_mg_per_ml:g} mg/cm3 | {score.agatston:.1f}", end=" ")
        print(f"| {published:g} | {plain:g} | {score.volume_mm3:.1f} | {score.mass_mg:.1f} | {rod.mass_mg:.1f} |")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
