"""Where a grid of voxels lies in the patient: the one axis rule.

Arrays are (z, y, x). Spacing is (z, y, x) in mm. The world is DICOM's patient space, LPS: x grows to the patient's
left, y to the back, z to the head. Points of the world are (x, y, z) in mm. Nothing outside this module and
`calcscore_ml.io` converts between the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.errors import GeometryError

ORTHONORMAL_TOLERANCE = 1e-3
"""Largest entry of D'D - I for a direction matrix D; NIfTI quaternions in single precision stay below 1e-6."""

POSITION_TOLERANCE_MM = 1e-2
"""Two grids are the same when no corner differs by more; ten times below the finest voxel of a clinical scan."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Shape, spacing, origin and direction of a grid.

    Parameters
    ----------
    shape : tuple of int
        Voxels along (z, y, x).
    spacing : tuple of float
        Distance between voxel centres along (z, y, x) [mm].
    origin : tuple of float
        Centre of voxel (0, 0, 0) in the world, (x, y, z) [mm].
    direction : (3, 3) tuple of tuples
        Columns are the world directions, (x, y, z), in which the array's x, y and z indices grow. It must be a
        rotation: a mirrored or sheared grid has no place here.

    Raises
    ------
    GeometryError
        When a rule above is broken.

    Examples
    --------
    >>> g = Geometry((48, 512, 512), (3.0, 0.5, 0.5))
    >>> g.voxel_volume_mm3, g.pixel_area_mm2
    (0.75, 0.25)
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _triple(self.shape, "shape", int))
        object.__setattr__(self, "spacing", _triple(self.spacing, "spacing", float))
        object.__setattr__(self, "origin", _triple(self.origin, "origin", float))
        matrix = np.asarray(self.direction, dtype=float)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise GeometryError(f"direction must be 3x3 finite numbers, got {self.direction}")
        object.__setattr__(self, "direction", tuple(tuple(float(v) for v in row) for row in matrix))
        if min(self.shape) < 1:
            raise GeometryError(f"every axis of a grid needs at least one voxel, got shape {self.shape}")
        if min(self.spacing) <= 0:
            raise GeometryError(f"spacing must be positive [mm], got {self.spacing}")
        shear = np.abs(matrix.T @ matrix - np.eye(3)).max()
        if shear > ORTHONORMAL_TOLERANCE:
            raise GeometryError(f"direction must have orthonormal columns, got a sheared one (off by {shear:.3g})")
        if np.linalg.det(matrix) < 0:
            raise GeometryError("direction must be right-handed, got a mirrored one: left and right may be swapped")

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of a voxel [mm3]."""
        return self.spacing[0] * self.spacing[1] * self.spacing[2]

    @property
    def pixel_area_mm2(self) -> float:
        """Area of a voxel in its slice [mm2]."""
        return self.spacing[1] * self.spacing[2]

    def to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """Place voxel indices in the world.

        Parameters
        ----------
        index : (..., 3) array-like
            Indices (z, y, x), not necessarily whole.

        Returns
        -------
        (..., 3) array of float
            Points (x, y, z) in LPS [mm].

        >>> Geometry((4, 4, 4), (3.0, 0.5, 0.5), (10.0, 20.0, 30.0)).to_world((1, 0, 2)).tolist()
        [11.0, 20.0, 33.0]
        """
        steps = np.asarray(index, dtype=float)[..., ::-1] * self.spacing[::-1]
        return np.asarray(steps @ np.asarray(self.direction).T + self.origin)

    def to_index(self, world: ArrayLike) -> NDArray[np.float64]:
        """Find voxel indices of world points: the inverse of `to_world`.

        Parameters
        ----------
        world : (..., 3) array-like
            Points (x, y, z) in LPS [mm].

        Returns
        -------
        (..., 3) array of float
            Indices (z, y, x), not rounded.

        >>> Geometry((4, 4, 4), (3.0, 0.5, 0.5), (10.0, 20.0, 30.0)).to_index((11.0, 20.0, 33.0)).tolist()
        [1.0, 0.0, 2.0]
        """
        offset = (np.asarray(world, dtype=float) - self.origin) @ np.asarray(self.direction)
        return np.asarray((offset / self.spacing[::-1])[..., ::-1])

    def crop(self, lower: ArrayLike, upper: ArrayLike) -> Geometry:
        """Return the geometry of the sub-grid ``array[lower:upper]``, both (z, y, x)."""
        low, high = np.asarray(lower, dtype=int), np.asarray(upper, dtype=int)
        if (low < 0).any() or (high > self.shape).any():
            raise GeometryError(f"a crop must lie inside the grid {self.shape}, got {low.tolist()} to {high.tolist()}")
        x, y, z = self.to_world(low)
        nz, ny, nx = high - low
        return replace(self, shape=(int(nz), int(ny), int(nx)), origin=(float(x), float(y), float(z)))

    def matches(self, other: Geometry, tolerance_mm: float = POSITION_TOLERANCE_MM) -> bool:
        """Whether two grids have the same shape and the same corners to within a tolerance [mm]."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1).T
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tolerance_mm)


def canonical(
    array: NDArray[np.generic], spacing: ArrayLike, origin: ArrayLike, direction: ArrayLike
) -> tuple[NDArray[np.generic], Geometry]:
    """Turn an array to feet-to-head, front-to-back, right-to-left order without resampling.

    Files store the same voxels in many orders (radiological NIfTI is left-handed, for one). Axes are swapped and
    flipped, and the geometry with them, until each index grows along its own world axis. No voxel moves in the world.

    Parameters
    ----------
    array : (nz, ny, nx) array
        As stored.
    spacing : (3,) array-like
        Along the array's (z, y, x) [mm].
    origin : (3,) array-like
        World position of the first voxel, (x, y, z) [mm].
    direction : (3, 3) array-like
        Columns: world direction of the array's x, y, z index. Left-handed is accepted here, sheared is not.

    Returns
    -------
    array : (nz, ny, nx) array
        A view of the input.
    geometry : Geometry
        Of the view.

    Raises
    ------
    GeometryError
        When the axes are sheared, or so oblique that no world axis can be named for each.
    """
    matrix = np.asarray(direction, dtype=float)
    steps = np.asarray(spacing, dtype=float)[::-1]  # in (x, y, z) index order from here
    start = np.asarray(origin, dtype=float)
    view = np.asarray(array).transpose(2, 1, 0)
    along = np.abs(matrix).argmax(axis=0)  # the world axis of each index axis
    if sorted(along.tolist()) != [0, 1, 2]:
        raise GeometryError(f"each array axis must run mainly along its own body axis, got direction {matrix.tolist()}")
    order = np.argsort(along)
    view, matrix, steps = view.transpose(order), matrix[:, order], steps[order]
    for axis in range(3):
        if matrix[axis, axis] < 0:
            start = start + matrix[:, axis] * steps[axis] * (view.shape[axis] - 1)
            matrix = matrix * np.where(np.arange(3) == axis, -1.0, 1.0)
            view = np.flip(view, axis)
    view = view.transpose(2, 1, 0)
    nz, ny, nx = view.shape
    rows = [(float(a), float(b), float(c)) for a, b, c in matrix]
    return view, Geometry(
        (nz, ny, nx),
        (float(steps[2]), float(steps[1]), float(steps[0])),
        (float(start[0]), float(start[1]), float(start[2])),
        tuple(rows),
    )


def _triple(values: ArrayLike, name: str, kind: type[int] | type[float]) -> tuple[int | float, ...]:
    array = np.asarray(values, dtype=float)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise GeometryError(f"{name} must be three finite numbers, got {values!r}")
    return tuple(kind(v) for v in array)
