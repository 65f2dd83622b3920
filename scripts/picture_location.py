"""Draw where heart, aorta and arteries were found in scans: the picture of the reports, as WebP files.

python scripts/picture_location.py OUTPUT_FOLDER SCAN [SCAN ...] [--atlases FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calcscore_ml.heart.atlas import DEFAULT, read_atlases
from calcscore_ml.heart.locate import locate
from calcscore_ml.io import read_scan
from calcscore_ml.reports.location_pictures import location_picture


def name_of(path: Path) -> str:
    """Of a scan's picture: its folder's, or its file's; the folder's too where a cohort calls all files image."""
    if path.is_dir():
        return path.name
    stem = path.name.split(".")[0]
    return path.parent.name if stem == "image" else stem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder of the pictures")
    parser.add_argument("scans", nargs="+", type=Path, help="DICOM folders or volume files")
    parser.add_argument("--atlases", default=DEFAULT, help="folder of atlases; those of the package when not given")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    atlases = read_atlases(options.atlases)
    for path in options.scans:
        scan = read_scan(path.resolve())
        location = locate(scan, atlases)
        target = options.output / f"{name_of(path.resolve())}.webp"
        target.write_bytes(location_picture(scan, location))
        said = "trusted" if location.trusted else f"not trusted: {location.remark}"
        print(f"{target.name}: {said}; similarity {location.similarity:.2f}, spread {location.spread_mm:.1f} mm")


if __name__ == "__main__":
    main()
