"""Calcium: the voxels that were decided to be calcified plaque, each with its lesion and label.

What every score is computed from. It carries its own spacing, so a score never looks back at the scan's file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.candidates import Candidates
from calcscore_ml.components import Connectivity, sparse_components
from calcscore_ml.errors import GeometryError
from calcscore_ml.geometry import Geometry
from calcscore_ml.scan import Scan


@dataclass(frozen=True, slots=True, eq=False)
class Calcium:
    """Voxels decided to be calcium.

    Parameters
    ----------
    geometry : Geometry
        Of the scan.
    voxels : (n, 3) array of int
        Indices (z, y, x).
    hu : (n,) array of int16
        Their values [HU].
    lesion : (n,) array of int
        Id of the lesion each belongs to.
    label : (n,) array of int
        `Label` of each voxel; no voxel is `Label.OTHER`.
    slice_thickness_mm : float or None
        Nominal slice width [mm], for the rules that use it.
    """

    geometry: Geometry
    voxels: NDArray[np.intp]
    hu: NDArray[np.int16]
    lesion: NDArray[np.intp]
    label: NDArray[np.intp]
    slice_thickness_mm: float | None = None

    def __post_init__(self) -> None:
        for array in (self.voxels, self.hu, self.lesion, self.label):
            array.flags.writeable = False

    def of(self, labels: tuple[Label, ...]) -> Calcium:
        """Return the calcium with one of these labels."""
        return self._where(np.isin(self.label, labels))

    def in_lesions(self, lesions: NDArray[np.integer]) -> Calcium:
        """Return the calcium of these lesions."""
        return self._where(np.isin(self.lesion, lesions))

    def _where(self, keep: NDArray[np.bool_]) -> Calcium:
        return Calcium(
            self.geometry,
            self.voxels[keep],
            self.hu[keep],
            self.lesion[keep],
            self.label[keep],
            self.slice_thickness_mm,
        )


def from_candidates(candidates: Candidates, labels: ArrayLike, slice_thickness_mm: float | None = None) -> Calcium:
    """Take the candidates that carry a label other than `Label.OTHER`.

    Parameters
    ----------
    candidates : Candidates
        L lesions.
    labels : (L,) array-like of int
        Decided label of each.
    slice_thickness_mm : float or None
        Nominal slice width [mm].
    """
    label = np.asarray(labels, dtype=np.intp)
    if label.shape != (len(candidates),):
        raise ValueError(f"there must be one label for each of {len(candidates)} candidates, got shape {label.shape}")
    of_voxel = label[candidates.owner] if len(candidates) else np.zeros(0, dtype=np.intp)
    keep = of_voxel != Label.OTHER
    return Calcium(
        candidates.geometry,
        candidates.voxels[keep],
        candidates.hu[keep],
        candidates.owner[keep] + 1,
        of_voxel[keep],
        slice_thickness_mm,
    )


def from_label_volume(
    scan: Scan, labels: NDArray[np.integer], *, threshold_hu: float, connectivity: Connectivity = 26
) -> Calcium:
    """Take the voxels an observer labelled, at or above a threshold.

    Parameters
    ----------
    scan : Scan
        The scan the labels were drawn on.
    labels : (nz, ny, nx) array of int
        `Label` numbers, 0 elsewhere.
    threshold_hu : float
        Labelled voxels below it are ignored, as drawn outlines run over the lesion's edge [HU].
    connectivity : {6, 18, 26}
        What makes voxels of one label one lesion.

    Raises
    ------
    GeometryError
        When the label volume does not fit the scan.
    """
    if labels.shape != scan.hu.shape:
        raise GeometryError(f"a label volume must have the scan's shape {scan.hu.shape}, got {labels.shape}")
    where = np.flatnonzero(labels)
    where = where[scan.hu.reshape(-1)[where] >= threshold_hu]
    voxels = np.stack(np.unravel_index(where, labels.shape), axis=1).astype(np.intp)
    label = labels.reshape(-1)[where].astype(np.intp)
    lesion = sparse_components(voxels, label, connectivity) + 1
    hu = scan.hu.reshape(-1)[where]
    return Calcium(scan.geometry, voxels, hu, lesion, label, scan.acquisition.slice_thickness_mm)
