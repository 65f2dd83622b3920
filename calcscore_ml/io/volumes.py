"""Volumes: NIfTI, NRRD and MetaImage files, with a JSON file beside them that says how the scan was made.

``scan.nii.gz`` has its acquisition in ``scan.json``, in the words dcm2niix uses: DICOM keywords. With it, a scan read
from a volume equals the same scan read from DICOM.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import GeometryError, ScanError
from calcscore_ml.files import write_beside, write_bytes
from calcscore_ml.geometry import Geometry, canonical
from calcscore_ml.io import VOLUME_ENDINGS
from calcscore_ml.io.acquisition import JSON_NAMES, as_header, number, read_acquisition
from calcscore_ml.io.dicom_series import refuse_oblique
from calcscore_ml.io.hounsfield import fill_outside, outside_remark, refuse_stored_values
from calcscore_ml.io.itk_formats import metaimage_bytes, nrrd_bytes, read_itk
from calcscore_ml.io.nifti import nifti_bytes, read_nifti
from calcscore_ml.scan import Acquisition, Scan, to_int16

WRITTEN_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Endings that can be written: header and values in one file, so that a rename puts both in place."""

TILT_KEY = "GantryDetectorTilt"
"""JSON key of the gantry tilt [degrees]."""


def read_volume(path: Path | str, *, assume_hu: bool = False) -> Scan:
    """Read a scan from a volume file and the JSON file beside it, if there is one.

    Parameters
    ----------
    path : path
        ``.nii``, ``.nii.gz``, ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``.
    assume_hu : bool
        Accept values that do not look like HU.

    Returns
    -------
    Scan
        In canonical order.

    Raises
    ------
    ScanError
        When the file is damaged, not three-dimensional, holds NaN or no HU.
    GeometryError
        When the volume is sheared, does not say where it lies, or says it twice and differently.
    """
    path = Path(path)
    array, geometry = read_grid(path)
    refuse_oblique(np.array(geometry.direction)[:, 2], path)
    hu = to_int16(array, path.name)
    if not hu.flags.writeable:
        hu = hu.copy()
    outside = fill_outside(hu)
    if not assume_hu:
        refuse_stored_values(hu, path.name)
    acquisition = _read_side_car(side_car(path))
    return Scan(hu, geometry, acquisition, (outside_remark(outside),) if outside else ())


def write_volume(scan: Scan, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write a scan and the JSON file beside it, both whole or neither.

    Parameters
    ----------
    scan : Scan
        Any.
    path : path
        Ending in one of `WRITTEN_ENDINGS`. NIfTI keeps positions in single precision.
    overwrite : bool
        Replace existing files.

    Returns
    -------
    Path
        The volume's path.

    Raises
    ------
    ResultError
        When a file exists and `overwrite` is false, or the disk does not take it.
    ScanError
        When the ending is not one that can be written.
    """
    path = Path(path)
    header = {JSON_NAMES.get(name, name): value for name, value in as_header(scan.acquisition).items()}
    if scan.acquisition.gantry_tilt_deg:
        header[TILT_KEY] = scan.acquisition.gantry_tilt_deg
    with write_beside(side_car(path), overwrite) as beside:
        beside.write_text(json.dumps(header, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_grid(scan.hu, scan.geometry, path, overwrite=overwrite)
    return path


def side_car(path: Path) -> Path:
    """Return the path of the JSON file beside a volume.

    >>> side_car(Path("a/scan.nii.gz")).as_posix()
    'a/scan.json'
    """
    return path.with_name(path.name[: -len(_ending(path))] + ".json")


def read_grid(path: Path) -> tuple[NDArray[np.generic], Geometry]:
    """Read any volume file as an array in canonical order; see `read_volume` for what is refused.

    Parameters
    ----------
    path : Path
        With an ending of `calcscore_ml.io.VOLUME_ENDINGS`.

    Returns
    -------
    array : (nz, ny, nx) array
        Values of the type stored.
    geometry : Geometry
        Of the array.
    """
    stored = read_nifti(path) if _ending(path).startswith(".nii") else read_itk(path)
    try:
        return canonical(*stored)
    except GeometryError as error:
        raise GeometryError(f"{error} in {path.name}") from error


def write_grid(
    array: NDArray[np.int16] | NDArray[np.uint8], geometry: Geometry, path: Path, *, overwrite: bool = False
) -> None:
    """Write an array as a volume file, whole or not at all; see `write_volume`."""
    ending = _ending(path)
    if ending not in WRITTEN_ENDINGS:
        raise ScanError(
            f"a volume is written to one of {', '.join(WRITTEN_ENDINGS)}, got {path.name}; choose another ending"
        )
    if ending.startswith(".nii"):
        content = nifti_bytes(array, geometry, compress=ending == ".nii.gz")
    else:
        content = (nrrd_bytes if ending == ".nrrd" else metaimage_bytes)(array, geometry)
    write_bytes(path, content, overwrite)


def _ending(path: Path) -> str:
    for ending in sorted(VOLUME_ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return ending
    raise ScanError(
        f"a volume's name ends in one of {', '.join(VOLUME_ENDINGS)}, got {path.name}; rename or convert it"
    )


def _read_side_car(path: Path) -> Acquisition:
    if not path.is_file():
        return Acquisition()
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ScanError(
            f"the file beside a volume must be JSON, but {path.name} is not ({error}); mend it or move it away"
        ) from error
    if not isinstance(header, dict):
        raise ScanError(
            f"the file beside a volume must hold DICOM keywords and values, got a list or a number in {path.name}"
        )
    for keyword, name in JSON_NAMES.items():
        header.setdefault(keyword, header.get(name))
    return read_acquisition(header, number(header, TILT_KEY) or 0.0)
