"""Cut a box out of a scan and write it as losslessly compressed DICOM: how the crops in data/ were made.

python scripts/crop_scan.py SOURCE TARGET Z0:Z1,Y0:Y1,X0:X1 "licence and source"
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from calcscore_ml.io import read_scan
from calcscore_ml.io.dicom_write import write_dicom
from calcscore_ml.scan import Scan


def main(source: str, target: str, box: str, description: str) -> None:
    scan = read_scan(Path(source))
    lower, upper = np.array([[int(v) for v in part.split(":")] for part in box.split(",")]).T
    cut = tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))
    crop = Scan(
        np.ascontiguousarray(scan.hu[cut]),
        scan.geometry.crop(lower, upper),
        replace(scan.acquisition, age_years=None, sex=None),
    )
    write_dicom(crop, Path(target), uid_seed=Path(target).name, description=description, compress="rle")
    print(f"{target}: {crop.hu.shape}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
