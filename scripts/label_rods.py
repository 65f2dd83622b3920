"""Label the nine rods of the QRM phantom crop: the reference beside the scan in data/.

A disc around each rod, 1.5 mm wider than the rod, in the slices the insert lies in. Densities take the labels of three
arteries, so the table per artery is a table per density: LAD 200, LCX 400, RCA 800 mg/cm3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calcscore_ml.anatomy import Label
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import write_labels

MARGIN_MM = 1.5
SLICES = slice(4, 10)
RODS = (  # diameter mm, density label, centre (row, column) in the crop
    (5.0, Label.LAD, (171.5, 168.5)),
    (3.0, Label.LAD, (150.3, 155.0)),
    (1.0, Label.LAD, (129.1, 141.5)),
    (5.0, Label.LCX, (40.6, 161.5)),
    (3.0, Label.LCX, (63.3, 150.3)),
    (1.0, Label.LCX, (86.0, 139.1)),
    (5.0, Label.RCA, (110.3, 50.0)),
    (3.0, Label.RCA, (110.6, 75.6)),
    (1.0, Label.RCA, (109.6, 100.6)),
)


def main(scan_folder: Path, target: Path) -> None:
    geometry = read_scan(scan_folder).geometry
    labels = np.zeros(geometry.shape, np.uint8)
    rows, columns = np.ogrid[: geometry.shape[1], : geometry.shape[2]]
    for diameter_mm, label, (y, x) in RODS:
        distance_mm = np.hypot((rows - y) * geometry.spacing[1], (columns - x) * geometry.spacing[2])
        labels[SLICES, distance_mm <= diameter_mm / 2 + MARGIN_MM] = label
    write_labels(labels, geometry, target, overwrite=True)


if __name__ == "__main__":
    main(Path("data/qrm-thorax-phantom"), Path("data/qrm-thorax-phantom-labels.nii.gz"))
