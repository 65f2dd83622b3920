"""Label volumes: which voxel belongs to which artery or organ, on the grid of a scan."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import GeometryError, ScanError
from calcscore_ml.geometry import Geometry
from calcscore_ml.io.volumes import read_grid, write_grid

GRID_TOLERANCE = 0.1
"""A label grid may lie this far off the scan's, as a part of the finest spacing: converters round positions, while half
a voxel would already move labels."""


def read_labels(path: Path | str, geometry: Geometry, vocabulary: type[IntEnum] = Label) -> NDArray[np.uint8]:
    """Read a label volume onto a scan's grid, whatever order the file stores it in.

    Parameters
    ----------
    path : path
        NIfTI, NRRD or MetaImage.
    geometry : Geometry
        The scan's.
    vocabulary : type of IntEnum
        What the numbers mean: `Label`, or `Organ` of `calcscore_ml.anatomy`.

    Returns
    -------
    (nz, ny, nx) array of uint8
        Numbers of the vocabulary, 0 for none.

    Raises
    ------
    GeometryError
        When the file's grid is not the scan's.
    ScanError
        When the file holds a number that is no label.
    """
    path = Path(path)
    array, grid = read_grid(path)
    if not grid.matches(geometry, GRID_TOLERANCE * min(geometry.spacing)):
        raise GeometryError(
            f"labels must lie on the scan's grid, expected {_grid_text(geometry)}, got {_grid_text(grid)} in "
            f"{path.name}; resample the labels to the scan, or choose the labels of this scan"
        )
    _refuse_unknown(array, path, vocabulary)
    return array.astype(np.uint8)


def write_labels(
    labels: NDArray[np.uint8],
    geometry: Geometry,
    path: Path | str,
    *,
    vocabulary: type[IntEnum] = Label,
    overwrite: bool = False,
) -> Path:
    """Write a label volume, whole or not at all.

    Parameters
    ----------
    labels : (nz, ny, nx) array of uint8
        Numbers of the vocabulary.
    geometry : Geometry
        Of the array.
    path : path
        Ending in one of `calcscore_ml.io.volumes.WRITTEN_ENDINGS`.
    vocabulary : type of IntEnum
        What the numbers mean: `Label`, or `Organ` of `calcscore_ml.anatomy`.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The file's path.

    Raises
    ------
    GeometryError
        When the array does not fit the geometry.
    ScanError
        When it holds a number that is no label.
    ResultError
        When the file exists and `overwrite` is false, or the disk does not take it.
    """
    path = Path(path)
    if labels.shape != geometry.shape:
        raise GeometryError(f"labels must fit their grid {geometry.shape}, got {labels.shape} for {path.name}")
    _refuse_unknown(labels, path, vocabulary)
    write_grid(labels.astype(np.uint8, copy=False), geometry, path, overwrite=overwrite)
    return path


def _refuse_unknown(array: NDArray[np.generic], path: Path, vocabulary: type[IntEnum]) -> None:
    known = [int(label) for label in vocabulary]
    name = f"calcscore_ml.anatomy.{vocabulary.__name__}"
    strange = np.setdiff1d(np.unique(array), known)
    if strange.size:
        shown = ", ".join(f"{float(v):g}" for v in strange[:5])
        raise ScanError(
            f"labels must be numbers from {min(known)} to {max(known)} ({name}), got {shown} in "
            f"{path.name}; map the data set's own numbers first"
        )


def _grid_text(grid: Geometry) -> str:
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing)
    return f"{grid.shape} voxels of {spacing} mm from {tuple(round(o, 2) for o in grid.origin)}"
