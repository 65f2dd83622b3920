"""The heart's free wall seen twice: a slice without a trigger gathers two positions of the beating left ventricle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.phantom.canvas import F32, Grid
from calcscore_ml.phantom.motion import Motion

INWARD = (0.1, -0.4, -0.9)
"""Where the free wall goes as the ventricle contracts, (z, y, x): to the right and forward (our choice)."""

LEAST_MM = 0.6
"""A wall that moves less while a slice is taken is seen once [mm] (our choice)."""

FADE_MM = 10.0
"""Over this the doubling fades towards the middle and the front of the heart [mm] (our choice)."""

OUTSIDE_MM = 4.0
"""The doubling ends this far outside the chambers: chest wall and spine rest [mm] (our choice)."""

FRONT_MM = 15.0
"""The foremost part of the heart lies on the chest wall and is not doubled [mm] (our choice)."""


@dataclass(frozen=True, slots=True, eq=False)
class Doubling:
    """Where and how far the wall is seen a second time.

    Parameters
    ----------
    motion : Motion
        Holds the wall's travel and the second position's share.
    box_mm : (2, 3) array
        Corners of the box around the chambers, (z, y, x) [mm].
    """

    motion: Motion
    box_mm: NDArray[np.float64]

    def shift(self, height_mm: float) -> NDArray[np.float64]:
        """Return how far the second position lies from the first in a slice, (z, y, x) [mm]; 0 where seen once."""
        low, high = self.box_mm[:, 0]
        travel = self.motion.wall_travel(height_mm) if low < height_mm < high else 0.0
        if travel < LEAST_MM:
            return np.zeros(3)
        return travel * np.array(INWARD) / float(np.linalg.norm(INWARD))

    def weight(self, target: Grid) -> F32:
        """Return the second position's share in each pixel, (ny, nx)."""
        (_, front, _), (_, back, left) = self.box_mm
        middle = float(self.box_mm[:, 2].mean())
        y = _ramp(target.y - front - FRONT_MM) * _ramp(back + OUTSIDE_MM - target.y)
        x = _ramp(target.x - middle) * _ramp((left + OUTSIDE_MM - target.x) * FADE_MM / OUTSIDE_MM)
        return np.asarray(self.motion.wall_share * y[:, None] * x[None, :], dtype=np.float32)


def _ramp(inside_mm: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.clip(inside_mm / FADE_MM, 0, 1), dtype=np.float32)
