"""The lower end of the heart, which no registration sees: heart and liver are alike, and fat between them is thin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from calcscore_ml.heart.grid import F32, Grid, extent_mm, largest_part
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.scan import Scan

WHOLE_CHEST_MM = 300.0
"""A scan at least this wide shows the liver's dome whole, and the anatomical box's lower face means something [mm]."""

BELOW_LIVER_MM = 12.0
"""The heart ends no farther below the lower face of the anatomical box [mm]: within 6 mm in seven of eight digital
chests it was set on, 20 mm too high in the other."""

BELOW_SLICES_MM = 10.0
"""... nor below that of the box of classified slices [mm]: 3 mm below to 12 mm above the true one in fifteen digital
patients it was set on."""

AGREE_MM = 30.0
"""The liver is heard only when its box and that of the slices end within this of each other [mm]: in free breathing and
where lungs are cut off, its dome is taken for something else; our choice."""

OPENING_MM = 8.0
"""Radius of the ball that has to fit into the heart: tongues between stomach and liver are thinner [mm]."""


def floor_mm(scan: Scan, starts: Mapping[str, HeartBox | None]) -> float:
    """Height below which no heart is, along z, index x spacing; minus infinity when nothing tells it [mm]."""
    lungs, slices = starts.get("lungs"), starts.get("slices")
    if slices is None or not slices.trusted:
        return -np.inf
    floor = slices.lower_mm[0] - BELOW_SLICES_MM
    if lungs is None or not lungs.on_liver or extent_mm(scan)[2] < WHOLE_CHEST_MM:
        return floor
    agree = abs(lungs.lower_mm[0] - slices.lower_mm[0]) <= AGREE_MM
    return max(floor, lungs.lower_mm[0] - BELOW_LIVER_MM) if agree else floor


def trim_heart(share: F32, grid: Grid, lowest_mm: float) -> F32:
    """Take off the heart what lies below a height, and tongues a ball of `OPENING_MM` does not fit into.

    Parameters
    ----------
    share : array of float32
        Votes for the heart, on `grid`.
    grid : Grid
        Its grid.
    lowest_mm : float
        From `floor_mm`.
    """
    height = grid.lower_mm[0] + np.arange(grid.shape[0]) * grid.step_mm
    above = np.clip((height - lowest_mm) / grid.step_mm + 0.5, 0, 1).astype(np.float32)
    cut: F32 = np.minimum(share, above[:, None, None])
    reach = int(np.ceil(OPENING_MM / grid.step_mm))
    index = np.indices((2 * reach + 1,) * 3) - reach
    ball = np.sqrt((index**2).sum(axis=0)) * grid.step_mm <= OPENING_MM
    padded = np.pad(cut >= 0.5, reach + 1, mode="edge")
    inner = (slice(reach + 1, -reach - 1),) * 3
    core = largest_part(ndimage.binary_opening(padded, ball)[inner])
    if not core.any():
        return cut
    return np.where(ndimage.binary_dilation(core) | (cut < 0.5), cut, np.float32(0))
