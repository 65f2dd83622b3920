"""What a slice of a scan looks like from afar: tissues in coarse cells around a centre.

Cells that the scan does not show (outside the field of view, the reconstruction circle or the body) are unknown, NaN,
so that neither field of view nor padding says where the heart lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.heart.roi import LUNG_BELOW_HU, Chest

CELL_MM = 22.0
"""Edge of a cell across the slice [mm]; our choice."""

CELLS = 10
"""Cells along either edge of a slice's thumbnail; 220 mm hold a heart and what lies around it; our choice."""

SLAB_MM = 16.0
"""Thickness of a cell along the slice's normal [mm]; the slabs before and behind are features too; our choice."""

SLABS = (-1, 0, 1)
"""Slabs of a slice: before it, around it, behind it."""

KNOWN_SHARE = 0.25
"""A cell of which the scan shows less than this share is unknown; our choice."""

FAT_HU, SOFT_HU = -100.0, 0.0
"""Between these the share of soft tissue rises from none to one [HU]."""

SPONGY_HU, BONE_HU = 120.0, 320.0
"""Between these the share of bone rises from none to one [HU]; non-contrast blood lies below."""

TISSUES = ("lung", "soft tissue", "bone")
"""Shares that make a cell; what is left is fat."""


@dataclass(frozen=True, slots=True, eq=False)
class CoarseScan:
    """Shares of tissue in coarse voxels.

    Parameters
    ----------
    shares : (tissues, nz, ny, nx) array of float32
        One per entry of `TISSUES`; zero where unknown.
    known : (nz, ny, nx) array of float32
        One in the body, zero in the room, in gas and outside the reconstruction circle.
    step_mm : (3,) array of float
        Size of a voxel along (z, y, x) [mm].
    """

    shares: NDArray[np.float32]
    known: NDArray[np.float32]
    step_mm: NDArray[np.float64]

    @property
    def size_mm(self) -> NDArray[np.float64]:
        """Size of the volume along (z, y, x) [mm]."""
        return np.asarray(self.known.shape * self.step_mm)


def tissues_of(chest: Chest) -> CoarseScan:
    """Sort coarse voxels into tissues; with no lung at all when this is no chest."""
    coarse, lung = chest.hu, chest.lung
    known = (lung | (coarse >= LUNG_BELOW_HU)).astype(np.float32)
    soft = np.clip((coarse - FAT_HU) / (SOFT_HU - FAT_HU), 0, 1)
    bone = np.clip((coarse - SPONGY_HU) / (BONE_HU - SPONGY_HU), 0, 1)
    return CoarseScan(np.stack([lung, soft * known, bone * known]).astype(np.float32), known, chest.step_mm)


def middle_of_chest(chest: Chest) -> NDArray[np.float64] | None:
    """Centre of the tissue between the lungs, (z, y, x) from the volume's corner [mm]; None without any."""
    between = chest.between & (chest.hu > FAT_HU)
    if not between.any():
        return None
    return np.asarray((np.argwhere(between).mean(axis=0) + 0.5) * chest.step_mm)


def thumbnails(tissues: CoarseScan, axis: int, centre_mm: ArrayLike) -> NDArray[np.float32]:
    """Shares of tissue in the cells of every slice in one direction.

    Parameters
    ----------
    tissues : CoarseScan
        The scan.
    axis : int
        Direction of the slices' normal: 0 axial, 1 coronal, 2 sagittal.
    centre_mm : (3,) array-like
        Middle of the thumbnails, (z, y, x) from the volume's corner [mm]; the entry of `axis` is not used.

    Returns
    -------
    (slices, features) array of float32
        In [0, 1], NaN where unknown.
    """
    centre = np.asarray(centre_mm, dtype=float)
    both = np.concatenate([tissues.shares, tissues.known[None]])
    for across in sorted((2, 1, 0), key=lambda a: a == axis):  # the slabs, which only grow, last
        count, step = tissues.known.shape[across], float(tissues.step_mm[across])
        if across == axis:
            middles = np.add.outer((np.arange(count) + 0.5) * step, np.multiply(SLABS, SLAB_MM)).ravel()
            share = _overlap(middles, SLAB_MM, count, step)
        else:
            middles = centre[across] + (np.arange(CELLS) - (CELLS - 1) / 2) * CELL_MM
            share = _overlap(middles, CELL_MM, count, step)
        both = _mix(share, both, 1 + across)
    shown = both[-1]
    cells = np.where(shown >= KNOWN_SHARE, both[:-1] / np.maximum(shown, KNOWN_SHARE), np.nan)
    slices = np.moveaxis(cells, 1 + axis, 0)
    return np.ascontiguousarray(slices).reshape(tissues.known.shape[axis], -1).astype(np.float32)


def _mix(share: NDArray[np.float32], values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Replace the n voxels along an axis by m sums of them, weighed by an (m, n) share; nothing is moved in memory."""
    before, count, after = values.shape[:axis], values.shape[axis], values.shape[axis + 1 :]
    if not after:
        return np.asarray(values @ share.T)
    rows = values.reshape(-1, count, int(np.prod(after)))
    return np.asarray(np.matmul(share, rows)).reshape(*before, len(share), *after)


def _overlap(middles_mm: NDArray[np.float64], width_mm: float, count: int, step_mm: float) -> NDArray[np.float32]:
    """Share of each cell that each voxel fills: (cells, voxels), rows sum to one inside the volume."""
    edges = np.arange(count + 1) * step_mm
    low, high = middles_mm[:, None] - width_mm / 2, middles_mm[:, None] + width_mm / 2
    filled = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
    return np.asarray(np.clip(filled, 0, None) / width_mm, dtype=np.float32)
