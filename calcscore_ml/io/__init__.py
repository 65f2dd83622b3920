"""Reading scans: DICOM folders and files, NIfTI, NRRD and MetaImage volumes.

The readers import pydicom and SimpleITK; this package does so only when a file is read.
"""

from __future__ import annotations

from pathlib import Path

from calcscore_ml.errors import ScanError
from calcscore_ml.scan import Scan

VOLUME_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Endings of volume files; any other file is taken for DICOM."""


def read_scan(path: Path | str, *, series: int | str | None = None, assume_hu: bool = False) -> Scan:
    """Read one CT scan, whatever its format.

    Parameters
    ----------
    path : path
        A folder of DICOM files, a DICOM file, or a volume (`VOLUME_ENDINGS`).
    series : int, str or None
        For DICOM with several series: its number in the list the error shows, or its SeriesInstanceUID.
    assume_hu : bool
        Take values for HU that the file does not mark, or that do not look like HU.

    Returns
    -------
    Scan
        In canonical order, with the reader's remarks.

    Raises
    ------
    ScanError
        When there is no such file, or it is not one CT scan.
    SeriesChoiceError
        When there are several series and none was chosen.
    GeometryError
        When a volume is mirrored or sheared, or does not say where it lies.
    """
    path = Path(path)
    if not path.exists():
        raise ScanError(f"a scan must be a file or folder, but {path} does not exist; check the path")
    if path.is_file() and path.name.lower().endswith(VOLUME_ENDINGS):
        from calcscore_ml.io.volumes import read_volume

        return read_volume(path, assume_hu=assume_hu)
    from calcscore_ml.io.dicom import read_dicom

    return read_dicom(path, series=series, assume_hu=assume_hu)
