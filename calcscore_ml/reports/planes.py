"""Planes through a scan as pictures: which point of the patient every pixel is, and where a point is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_ml.scan import OUTSIDE_HU, Scan

SOFT_WINDOW_HU = (-160.0, 240.0)
"""Black and white of a plane: fat, muscle and blood are told apart [HU]."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A plane across an axis, seen between two corners; the patient's right is on the left.

    Front is up in an axial view and left in a sagittal one; the head is up in the others.

    Parameters
    ----------
    axis : int
        0 axial, 1 coronal, 2 sagittal.
    at_mm : float
        Where the plane crosses the axis, index x spacing [mm].
    low_mm, high_mm : (3,) array
        Corners of what is seen, (z, y, x) index x spacing [mm].
    pixels_per_mm : float
        Scale.
    """

    axis: int
    at_mm: float
    low_mm: NDArray[np.float64]
    high_mm: NDArray[np.float64]
    pixels_per_mm: float

    @property
    def along(self) -> list[int]:
        """Axes of the scan along columns and rows."""
        return [[2, 1], [2, 0], [1, 0]][self.axis]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [pixels]."""
        width, height = np.rint((self.high_mm - self.low_mm)[self.along] * self.pixels_per_mm).astype(int)
        return int(width), int(height)

    def pixels(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project (..., 3) points of the scan to (..., 2) columns and rows; the first pixel is from 0 to 1."""
        at = (points_mm - self.low_mm)[..., self.along] * self.pixels_per_mm
        if self.axis:
            at[..., 1] = self.size[1] - at[..., 1]
        return np.asarray(at)

    def points(self) -> NDArray[np.float64]:
        """Return the centre of every pixel, (rows, columns, 3) [mm]."""
        width, height = self.size
        rows, columns = np.indices((height, width)) + 0.5
        out = np.full((height, width, 3), self.at_mm)
        for axis, steps in zip(self.along, (columns, height - rows if self.axis else rows), strict=True):
            out[..., axis] = self.low_mm[axis] + steps / self.pixels_per_mm
        return out


def grey(scan: Scan, view: View) -> NDArray[np.uint8]:
    """Sample a scan in a plane: greys of `SOFT_WINDOW_HU`, (rows, columns), black beyond the scan."""
    index = np.moveaxis(view.points() / scan.geometry.spacing, -1, 0)
    hu = ndimage.map_coordinates(scan.hu, index, np.float32, order=1, mode="constant", cval=OUTSIDE_HU)
    low, high = SOFT_WINDOW_HU
    return np.asarray(np.clip((hu - low) * (255 / (high - low)), 0, 255), dtype=np.uint8)
