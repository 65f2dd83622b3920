"""Scan the digital QRM insert many times beside the real scan: the table of docs/qrm.md, and its picture.

python scripts/digital_rods.py data/qrm-thorax-phantom [REPEATS] [PICTURE]
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calcscore_ml.io import read_scan
from calcscore_ml.phantom.rods import RODS, RodScan, rod_regions, scan_rods
from calcscore_ml.scan import Scan
from calcscore_ml.scores import RULES, from_label_volume, summarise
from calcscore_ml.scores.mass import MassCalibration

FACTOR = MassCalibration(0.728, "the scan's 200 mg/ml rod")
REAL_Z_MM = 599.375


def real_rods(scan: Scan) -> RodScan:
    """The same regions on the real scan."""
    world = scan.geometry.to_world(np.moveaxis(np.indices(scan.geometry.shape), 0, -1))
    return RodScan(scan, rod_regions(world[..., 2], world[..., 1], world[..., 0], (REAL_Z_MM, 0.0, 0.0)))


def scores(scanned: RodScan) -> NDArray[np.float64]:
    """Agatston and mass [mg] of each rod: (9, 2)."""
    found = []
    for number, rod in enumerate(RODS, start=1):
        one = np.where(scanned.rods == number, np.uint8(rod.label), np.uint8(0))
        total = summarise(from_label_volume(scanned.scan, one, threshold_hu=130), RULES[0], FACTOR).total
        found.append((total.agatston, total.mass_mg))
    return np.array(found)


def main(folder: str, repeats: int = 40, picture: str | None = None) -> None:
    real = real_rods(read_scan(folder))
    measured, repeated = scores(real), np.array([scores(scan_rods(seed)) for seed in range(repeats)])
    print("| rod | Agatston: real | digital mean (range) | mass [mg]: true | real | digital mean (range) |")
    print("|---" * 6 + "|")
    for k, rod in enumerate(RODS):
        agatston, mass = (f"{v.mean():.1f} ({v.min():.1f}-{v.max():.1f})" for v in repeated[:, k].T)
        name = f"{rod.diameter_mm:g} mm, {rod.density_mg_per_ml:g} mg/ml"
        print(f"| {name} | {measured[k, 0]:.1f} | {agatston} | {rod.mass_mg:.1f} | {measured[k, 1]:.1f} | {mass} |")
    if picture:
        brightest = [s.scan.hu[int(np.argmax((s.scan.hu > 500).sum(axis=(1, 2))))] for s in (real, scan_rods(0))]
        planes = [plane[-190:, -188:] for plane in brightest]
        grey = [np.clip((p[:188, :188].astype(float) + 100) / 7, 0, 255).astype(np.uint8) for p in planes]
        Image.fromarray(np.hstack(grey)).resize((752, 376)).save(picture, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40, sys.argv[3] if len(sys.argv) > 3 else None)
