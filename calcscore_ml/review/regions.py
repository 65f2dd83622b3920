"""Which voxels an expert means: a lesion found at a point, and a lesion split in parts.

What comes back is checked against the recipe: an expert adds and splits lesions by the same threshold, connectivity and
limits on volume by which candidates were found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ReviewError
from calcscore_ml.review.slices import AXES, Axis

FIRST_REACH_MM = 12.0
"""Half the width of the first crop a lesion is looked for in; doubled until the lesion fits [mm]."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes voxels a lesion, as the recipe says.

    Parameters
    ----------
    threshold_hu : float
        Lowest value [HU].
    connectivity : {6, 18, 26}
        Neighbours of a voxel.
    min_volume_mm3, max_volume_mm3 : float
        Smallest and largest lesion [mm3].
    """

    threshold_hu: float
    connectivity: Literal[6, 18, 26]
    min_volume_mm3: float
    max_volume_mm3: float


def grow(
    hu: NDArray[np.int16],
    seed: tuple[int, int, int],
    spacing: tuple[float, float, float],
    limits: Limits,
    taken: NDArray[np.integer],
) -> NDArray[np.intp]:
    """Find the lesion at a voxel: everything bright that is connected to it and belongs to no listed lesion.

    Only a crop around the voxel is read, larger ones until the lesion ends within.

    Parameters
    ----------
    hu : (nz, ny, nx) array of int16
        The scan.
    seed : tuple of int
        The voxel (z, y, x).
    spacing : tuple of float
        Of the scan, (z, y, x) [mm].
    limits : Limits
        What makes voxels a lesion.
    taken : (k, 3) array of int
        Voxels of the listed lesions.

    Returns
    -------
    (n, 3) array of int
        Voxels (z, y, x) in raster order.

    Raises
    ------
    ReviewError
        When the voxel is outside the scan, too dark or already in a lesion, or the lesion is too small or too large.
    """
    at, shape, steps = np.asarray(seed), np.asarray(hu.shape), np.asarray(spacing)
    if (at < 0).any() or (at >= shape).any():
        raise ReviewError(f"a lesion is added at a voxel of the scan {hu.shape}, got {seed}")
    value = int(hu[seed])
    if value < limits.threshold_hu:
        raise ReviewError(
            f"a lesion is added at a voxel of at least {limits.threshold_hu:g} HU, got {value}; choose a brighter one"
        )
    if len(taken) and (np.asarray(taken) == at).all(axis=1).any():
        raise ReviewError("a lesion is added where none is listed, but this voxel is in one already; label that lesion")
    reach = FIRST_REACH_MM
    while True:
        lower = np.maximum(at - np.ceil(reach / steps).astype(int), 0)
        upper = np.minimum(at + np.ceil(reach / steps).astype(int) + 1, shape)
        own, open_ended = _component(hu, at, lower, upper, limits, taken)
        volume_mm3 = len(own) * float(steps.prod())
        if volume_mm3 > limits.max_volume_mm3:
            raise ReviewError(
                f"a lesion is at most {limits.max_volume_mm3:g} mm3 by the recipe, but here is more that is connected: "
                "bone, contrast agent or metal"
            )
        if not open_ended:
            break
        reach *= 2
    if volume_mm3 < limits.min_volume_mm3:
        raise ReviewError(
            f"a lesion is at least {limits.min_volume_mm3:g} mm3 by the recipe, got {volume_mm3:.2g} mm3 connected here"
        )
    return own


def split_by_plane(
    voxels: NDArray[np.integer],
    spacing: tuple[float, float, float],
    first: tuple[float, float, float],
    second: tuple[float, float, float],
    axis: Axis,
) -> tuple[tuple[int, ...], ...]:
    """Part voxels by the plane through two points of a view, at right angles to the view.

    Parameters
    ----------
    voxels : (n, 3) array of int
        Of the lesion.
    spacing : tuple of float
        (z, y, x) [mm].
    first, second : tuple of float
        Points (z, y, x) in voxels.
    axis : {'axial', 'coronal', 'sagittal'}
        The view they were drawn in.

    Returns
    -------
    tuple of tuple of int
        Positions into `voxels` of the two parts, on the plane itself with the second.

    Raises
    ------
    ReviewError
        When the points are one, or all voxels are on one side.

    >>> row = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3]])
    >>> split_by_plane(row, (1, 1, 1), (0, -5, 1.5), (0, 5, 1.5), "axial")
    ((2, 3), (0, 1))
    """
    steps = np.asarray(spacing, dtype=float)
    along = (np.asarray(second, dtype=float) - np.asarray(first, dtype=float)) * steps
    along[AXES[axis]] = 0
    if np.linalg.norm(along) < steps.min() / 2:
        raise ReviewError("a split needs two points apart from each other in the view, got the same one twice")
    through = np.zeros(3)
    through[AXES[axis]] = 1
    side = (np.asarray(voxels) - np.asarray(first)) * steps @ np.cross(along, through)
    ahead = side >= 0
    if ahead.all() or not ahead.any():
        raise ReviewError("a split needs a line that goes through the lesion, but all of it is on one side")
    return tuple(tuple(np.flatnonzero(part).tolist()) for part in (~ahead, ahead))


def split_by_arteries(
    voxels: NDArray[np.integer], spacing: tuple[float, float, float], paths: Mapping[Label, NDArray[np.floating]]
) -> tuple[tuple[int, ...], ...]:
    """Part voxels by the nearest expected artery.

    Parameters
    ----------
    voxels : (n, 3) array of int
        Of the lesion.
    spacing : tuple of float
        (z, y, x) [mm].
    paths : mapping of Label to (k, 3) array
        Expected arteries, in voxels.

    Returns
    -------
    tuple of tuple of int
        Positions into `voxels` of each part, in the order of `Label`.

    Raises
    ------
    ReviewError
        When no artery is expected, or one is nearest to all of it.
    """
    known = [label for label in sorted(paths) if len(paths[label])]
    if not known:
        raise ReviewError("a split by arteries needs expected arteries, but none were found in this scan; draw a line")
    steps = np.asarray(spacing, dtype=float)
    away = [cKDTree(np.asarray(paths[label]) * steps).query(np.asarray(voxels) * steps)[0] for label in known]
    nearest = np.argmin(away, axis=0)
    parts = tuple(tuple(np.flatnonzero(nearest == i).tolist()) for i in np.unique(nearest))
    if len(parts) < 2:
        only = known[int(nearest[0])].title
        raise ReviewError(f"a split by arteries needs two of them, but {only} is nearest to all of this lesion")
    return parts


def _component(
    hu: NDArray[np.int16],
    at: NDArray[np.integer],
    lower: NDArray[np.integer],
    upper: NDArray[np.integer],
    limits: Limits,
    taken: NDArray[np.integer],
) -> tuple[NDArray[np.intp], bool]:
    """The component of a voxel within a crop, and whether it may go on beyond."""
    crop = tuple(slice(int(a), int(b)) for a, b in zip(lower, upper, strict=True))
    bright = np.asarray(hu[crop] >= limits.threshold_hu)
    if len(taken):
        near = np.asarray(taken)[((taken >= lower) & (taken < upper)).all(axis=1)] - lower
        bright[tuple(near.T)] = False
    labels = cc3d.connected_components(bright, connectivity=limits.connectivity, binary_image=True)
    own = np.argwhere(labels == labels[tuple(at - lower)])
    inside = upper - lower - 1
    low_edge = ((own == 0) & (lower > 0)).any()
    high_edge = ((own == inside) & (upper < np.asarray(hu.shape))).any()
    return (own + lower).astype(np.intp), bool(low_edge or high_edge)
