"""Regular grids in the millimetres of a scan: coarse copies, soft masks and maps live on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from calcscore_ml.scan import OUTSIDE_HU, Scan

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Voxel centres at ``lower_mm + index * step_mm``, along (z, y, x).

    Parameters
    ----------
    lower_mm : (3,) array
        Centre of the first voxel, index x spacing of the scan [mm].
    step_mm : float
        Distance between voxels, the same along all axes.
    shape : tuple of int
        Voxels along (z, y, x).
    """

    lower_mm: NDArray[np.float64]
    step_mm: float
    shape: tuple[int, int, int]

    @classmethod
    def cover(cls, low_mm: ArrayLike, high_mm: ArrayLike, step_mm: float) -> Grid:
        """Cover a box, (z, y, x) [mm]; at least two voxels along every axis."""
        low, high = np.asarray(low_mm, dtype=np.float64), np.asarray(high_mm, dtype=np.float64)
        nz, ny, nx = np.maximum(2, np.floor((high - low) / step_mm + 0.5).astype(int) + 1)
        return cls(low, step_mm, (int(nz), int(ny), int(nx)))

    @property
    def upper_mm(self) -> NDArray[np.float64]:
        """Centre of the last voxel, (3,) [mm]."""
        return np.asarray(self.lower_mm + (np.array(self.shape) - 1) * self.step_mm)

    def points(self) -> NDArray[np.float64]:
        """Return all voxel centres, (n, 3), the last axis of the grid running fastest [mm]."""
        index = np.indices(self.shape).reshape(3, -1).T
        return np.asarray(self.lower_mm + index * self.step_mm)

    def index(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return (..., 3) indices of (..., 3) points, not rounded."""
        return np.asarray((np.asarray(points_mm, dtype=np.float64) - self.lower_mm) / self.step_mm)

    def sample(self, values: NDArray[np.generic], points_mm: ArrayLike, outside: float | None = None) -> F32:
        """Interpolate values of the grid linearly.

        Parameters
        ----------
        values : (nz, ny, nx) array
            On this grid.
        points_mm : (n, 3) array-like
            Where [mm].
        outside : float or None
            Value beyond the grid; None holds the value at its border.

        Returns
        -------
        (n,) array of float32
        """
        at = self.index(points_mm).T
        mode, fill = ("nearest", 0.0) if outside is None else ("constant", outside)
        return np.asarray(ndimage.map_coordinates(values, at, np.float32, order=1, mode=mode, cval=fill))

    def nearest(self, values: NDArray[np.generic], spacing_mm: ArrayLike) -> NDArray[Any]:
        """Take the nearest voxel of a volume with the scan's own spacing, at every voxel of the grid."""
        at = np.rint(self.points() / np.asarray(spacing_mm)).astype(int)
        return np.asarray(values[tuple(np.clip(at, 0, np.array(values.shape) - 1).T)].reshape(self.shape))

    def pad(self, voxels: int) -> Grid:
        """Return the grid grown by some voxels on every side."""
        nz, ny, nx = (n + 2 * voxels for n in self.shape)
        return Grid(self.lower_mm - voxels * self.step_mm, self.step_mm, (nz, ny, nx))


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """A coarse copy of a part of a scan.

    Parameters
    ----------
    grid : Grid
        Where it is.
    hu : array of float32
        Clipped to soft tissue [HU].
    known : array of bool
        Where the scan has voxels.
    """

    grid: Grid
    hu: F32
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, scan: Scan, grid: Grid, window_hu: tuple[float, float]) -> Copy:
        """Copy a scan, see `resample`."""
        return cls(grid, *resample(scan, grid, window_hu))


def within(points_mm: NDArray[np.float64], low_mm: ArrayLike, high_mm: ArrayLike) -> NDArray[np.bool_]:
    """Whether (n, 3) points lie in a box, its faces included, (n,)."""
    return np.asarray(((points_mm >= np.asarray(low_mm)) & (points_mm <= np.asarray(high_mm))).all(axis=1))


def extent_mm(scan: Scan) -> NDArray[np.float64]:
    """Return the centre of a scan's last voxel, (3,) [mm]; that of its first is 0."""
    return np.asarray((np.array(scan.hu.shape) - 1) * np.array(scan.geometry.spacing))


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest part that hangs together by faces, the first of equals; nothing stays nothing."""
    parts, count = ndimage.label(mask)
    return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])) if count else mask


def block_means(values: NDArray[np.generic], block: NDArray[np.integer]) -> F32:
    """Average blocks of (z, y, x) voxels; what fills no whole block at the far ends is left out."""
    nz, ny, nx = (int(n) for n in np.asarray(values.shape) // block)
    bz, by, bx = (int(b) for b in block)
    values = values[: nz * bz, : ny * by, : nx * bx]
    # One axis after the other: a single mean over three axes of a 6-D view reads memory out of order.
    out = values.reshape(nz * bz, ny * by, nx, bx).mean(axis=3, dtype=np.float32)
    out = out.reshape(nz * bz, ny, by, nx).mean(axis=2)
    return np.asarray(out.reshape(nz, bz, ny, nx).mean(axis=1), dtype=np.float32)


def resample(scan: Scan, grid: Grid, window_hu: tuple[float, float]) -> tuple[F32, NDArray[np.bool_]]:
    """Make a coarse copy of a scan: blocks of voxels averaged, then interpolated linearly.

    Parameters
    ----------
    scan : Scan
        The scan.
    grid : Grid
        Where it is wanted; beyond the scan its border is repeated.
    window_hu : tuple of float
        HU are clipped to it before they are averaged.

    Returns
    -------
    hu : array of float32
        On the grid [HU].
    known : array of bool
        False where the scan has no voxel or no reconstruction.
    """
    spacing = np.asarray(scan.geometry.spacing)
    block = np.maximum(1, np.floor(grid.step_mm / spacing + 0.25)).astype(int)
    block = np.minimum(block, scan.hu.shape)
    first = np.floor((grid.lower_mm - grid.step_mm) / spacing / block).astype(int) * block
    last = np.ceil((grid.upper_mm + grid.step_mm) / spacing).astype(int) + block
    # Whole blocks counted from the first voxel, so that a copy does not depend on the region asked for.
    whole = np.asarray(scan.hu.shape) // block * block
    first = np.clip(first, 0, whole - block)
    last = np.clip((last + block - 1) // block * block, first + block, whole)
    cut = scan.hu[tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))]
    means = block_means(np.clip(cut, *window_hu), block)
    outside = cut == OUTSIDE_HU
    axes = [
        (grid.lower_mm[i] + np.arange(grid.shape[i]) * grid.step_mm - (first[i] + (block[i] - 1) / 2) * spacing[i])
        / (block[i] * spacing[i])
        for i in range(3)
    ]
    hu = _lerp(means, axes)
    edge = [(grid.lower_mm[i] + np.arange(grid.shape[i]) * grid.step_mm) / spacing[i] for i in range(3)]
    inside = [(e >= -0.5) & (e <= n - 0.5) for e, n in zip(edge, scan.hu.shape, strict=True)]
    known = inside[0][:, None, None] & inside[1][:, None] & inside[2]
    if outside.any():
        known &= _lerp(block_means(outside.astype(np.float32), block), axes) < 0.5
    return hu, known


def _lerp(values: F32, axes: list[NDArray[np.float64]]) -> F32:
    """Interpolate linearly at the product of three index axes, held at the border."""
    for axis, at in enumerate(axes):
        count = values.shape[axis]
        at = np.clip(at, 0, count - 1)
        low = np.minimum(at.astype(int), max(count - 2, 0))
        share = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        upper = np.minimum(low + 1, count - 1)
        values = np.take(values, low, axis) * (1 - share) + np.take(values, upper, axis) * share
    return values
