"""Surfaces of soft masks, and how far points lie from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from calcscore_ml.heart.grid import F32, Grid


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Where a soft mask crosses a half, found between voxels.

    Parameters
    ----------
    grid : Grid
        Of the mask.
    mask : array of float32
        0 outside to 1 inside.
    tree : scipy.spatial.cKDTree or None
        Over the crossings; None when there are none.
    """

    grid: Grid
    mask: F32
    tree: cKDTree | None

    @classmethod
    def of(cls, mask: F32, grid: Grid, known: NDArray[np.bool_] | None = None) -> Surface:
        """Find the surface of a mask; where the scan ends there is none, `known` tells where it does not."""
        points = crossings(mask, known) * grid.step_mm + grid.lower_mm
        return cls(grid, mask, cKDTree(points) if len(points) else None)

    def distance(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Measure the distance of (n, 3) points, negative inside, NaN when there is no surface [mm]."""
        points = np.asarray(points_mm, dtype=np.float64)
        if self.tree is None:
            return np.full(len(points), np.nan)
        away, _ = self.tree.query(points)
        inside = self.grid.sample(self.mask, points, 0.0) >= 0.5
        return np.asarray(np.where(inside, -away, away), dtype=np.float64)


def crossings(mask: F32, known: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Find where a mask crosses a half on the lines between neighbouring voxels: (n, 3) indices, not whole.

    Voxels that are not `known` have no surface.

    >>> crossings(np.array([[[0.0, 0.25, 1.0]]], dtype=np.float32)).round(2).tolist()
    [[0.0, 0.0, 1.33]]
    """
    found = []
    for axis in range(3):
        before = np.take(mask, range(mask.shape[axis] - 1), axis)
        after = np.take(mask, range(1, mask.shape[axis]), axis)
        hit = (before >= 0.5) != (after >= 0.5)
        if known is not None:
            hit &= np.take(known, range(mask.shape[axis] - 1), axis) & np.take(known, range(1, mask.shape[axis]), axis)
        index = np.argwhere(hit).astype(np.float64)
        index[:, axis] += (0.5 - before[hit]) / (after[hit] - before[hit])
        found.append(index)
    return np.concatenate(found)
