"""Measure how well heart, aorta and coronary arteries are located on a cohort with label volumes of organs.

python scripts/measure_location.py COHORT/data_manifest.csv [--scans 30] [--atlases default] [--workers 2]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from joblib import Parallel, delayed

from calcscore_ml.evaluation.location import LocationError, location_error, location_table
from calcscore_ml.heart.atlas import read_atlases
from calcscore_ml.heart.labelled import read_labelled
from calcscore_ml.heart.locate import locate
from calcscore_ml.manifest import ManifestRow, read_manifest


def measure(row: ManifestRow, atlases: str) -> LocationError:
    truth = read_labelled(row)
    return location_error(locate(truth.scan, read_atlases(atlases)), truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--scans", type=int, default=30, help="so many, evenly over the cohort")
    parser.add_argument("--skip", type=int, default=0, help="leave out every so manieth scan: those that were tuned on")
    parser.add_argument("--atlases", default="default")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="a line per scan")
    options = parser.parse_args()
    rows = [r for i, r in enumerate(read_manifest(options.manifest)) if not options.skip or i % options.skip]
    rows = rows[:: max(1, len(rows) // options.scans)][: options.scans]
    errors = Parallel(n_jobs=options.workers)(delayed(measure)(row, options.atlases) for row in rows)
    print(location_table(errors))
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(
                ["scan_id", "protocol", "trusted", "failed", "iou", "heart", "aorta", "artery_mm", "spread_mm"]
            )
            for e in errors:
                mean = sum(e.artery_mm.values()) / max(1, len(e.artery_mm))
                values = (e.box_iou["location"], e.heart_dice, e.aorta_dice, mean, e.spread_mm)
                writer.writerow([e.scan_id, e.protocol, e.trusted, e.failed, *(f"{v:.3f}" for v in values)])


if __name__ == "__main__":
    main()
