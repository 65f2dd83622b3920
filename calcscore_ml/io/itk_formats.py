"""NRRD and MetaImage volumes: read through SimpleITK, written by our own hand.

SimpleITK 2.5.7 notices a truncated file, but for an NRRD file's last bytes, which are checked here; its NRRD writer can
stay silent about a full disk, so it writes neither format. Both are a few lines of text before the values; both worlds
are LPS.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import GeometryError, ScanError
from calcscore_ml.geometry import Geometry
from calcscore_ml.io.nifti import GZIP_LEVEL, StoredVolume

METAIMAGE_TYPES = {"int16": "MET_SHORT", "uint8": "MET_UCHAR"}
"""MetaImage's names of the types that are written."""


def read_itk(path: Path) -> StoredVolume:
    """Read a volume through SimpleITK.

    Parameters
    ----------
    path : Path
        NRRD or MetaImage.

    Returns
    -------
    StoredVolume
        As stored.

    Raises
    ------
    ScanError
        When the file is damaged, or not one three-dimensional volume of numbers.
    GeometryError
        When an NRRD file does not name its space.
    """
    import SimpleITK as sitk  # noqa: N813  (the name its own documentation uses; imported late because it is large)

    try:
        _check_gzip(path)
        image: Any = sitk.ReadImage(str(path))
    except (RuntimeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ScanError(
            f"a volume must be whole and readable, but {path.name} is not; copy or export the file again"
        ) from error
    dimension, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if dimension != 3 or components != 1:
        raise ScanError(
            f"a scan must be one three-dimensional volume with one number per voxel, got {dimension} dimensions and "
            f"{components} numbers in {path.name}; save one"
        )
    if path.suffix.lower() in (".nrrd", ".nhdr") and "NRRD_space" not in image.GetMetaDataKeys():
        raise GeometryError(
            f"a volume must say where it lies, but {path.name} has no field 'space': left and right are unknown; "
            "convert the DICOM files again"
        )
    return StoredVolume(
        sitk.GetArrayFromImage(image),
        np.array(image.GetSpacing()[::-1]),
        np.array(image.GetOrigin()),
        np.array(image.GetDirection()).reshape(3, 3),
    )


def nrrd_bytes(array: NDArray[np.generic], geometry: Geometry) -> bytes:
    """Return an NRRD file, compressed by gzip; see `calcscore_ml.io.nifti.nifti_bytes` for the parameters."""
    steps = np.array(geometry.direction) * geometry.spacing[::-1]
    axes = [f"({_words(step, ',')})" for step in steps.T]
    lines = (
        "NRRD0004",
        f"type: {array.dtype.name}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {_words(geometry.shape[::-1])}",
        f"space directions: {' '.join(axes)}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: ({_words(geometry.origin, ',')})",
    )
    return "\n".join(lines).encode() + b"\n\n" + gzip.compress(_little_endian(array), GZIP_LEVEL, mtime=0)


def metaimage_bytes(array: NDArray[np.generic], geometry: Geometry) -> bytes:
    """Return a MetaImage file, compressed by zlib; see `calcscore_ml.io.nifti.nifti_bytes` for the parameters."""
    values = zlib.compress(_little_endian(array), GZIP_LEVEL)
    lines = (
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {len(values)}",
        f"TransformMatrix = {_words(np.array(geometry.direction).T.ravel())}",  # axis by axis
        f"Offset = {_words(geometry.origin)}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_words(geometry.spacing[::-1])}",
        f"DimSize = {_words(geometry.shape[::-1])}",
        f"ElementType = {METAIMAGE_TYPES[array.dtype.name]}",
        "ElementDataFile = LOCAL",
    )
    return "\n".join(lines).encode() + b"\n" + values


def _check_gzip(path: Path) -> None:
    """Check the length and checksum of an NRRD file's compressed values, which SimpleITK does not."""
    if path.suffix.lower() != ".nrrd":
        return
    head, _, values = path.read_bytes().partition(b"\n\n")
    if re.search(rb"^encoding: *(gz|gzip)\s*$", head, re.MULTILINE):
        gzip.decompress(values)


def _little_endian(array: NDArray[np.generic]) -> bytes:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def _words(numbers: Iterable[float], between: str = " ") -> str:
    """Numbers as text that reads back to the same numbers; whole ones without a point."""
    return between.join(str(int(n)) if n == int(n) else repr(float(n)) for n in numbers)
