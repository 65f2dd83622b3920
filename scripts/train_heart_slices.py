"""Train the slice classifiers that the heart box can be found with, and measure them on another cohort.

python scripts/train_heart_slices.py cohorts/default/data_manifest.csv [--test cohorts/held_out/data_manifest.csv]

The truth is `heart_box_mm` of each scan's truth.json, as `calcscore phantom` writes it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.heart import HeartBox, find_heart_box
from calcscore_ml.heart.slice_model import MODEL_FILE, write_slice_model
from calcscore_ml.heart.slicewise import find_heart_box_by_slices
from calcscore_ml.io import read_scan
from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.heart_slices import fit_slice_model
from calcscore_ml.scan import Scan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--output", type=Path, default=MODEL_FILE)
    options = parser.parse_args()
    model = fit_slice_model((scan, true) for _, scan, true in scans(options.manifest))
    print(write_slice_model(options.output, model, overwrite=True))
    for protocol, scan, true in scans(options.test) if options.test else ():
        faces = np.array([[0, 0, 0], scan.hu.shape]) - 0.5
        inside = np.clip(true, *(faces * scan.geometry.spacing))
        boxes = [("slices", find_heart_box_by_slices(scan, model)), ("anatomy", find_heart_box(scan))]
        trust = [f"{name} {shared(box, inside):.3f} {bool(box and box.trusted)}" for name, box in boxes]
        print(protocol, *trust, sep=", ")


def scans(manifest: Path) -> Iterator[tuple[str, Scan, NDArray[np.float64]]]:
    for row in read_manifest(manifest):
        truth = json.loads((row.image.parent / "truth.json").read_text(encoding="utf-8"))
        yield row.protocol, read_scan(row.image), np.array(truth["heart_box_mm"])


def shared(box: HeartBox | None, true: NDArray[np.float64]) -> float:
    if box is None:
        return 0.0
    found = box.as_array()
    both = np.clip(np.minimum(found[1], true[1]) - np.maximum(found[0], true[0]), 0, None).prod()
    return float(both / (np.diff(found, axis=0).prod() + np.diff(true, axis=0).prod() - both))


if __name__ == "__main__":
    main()
