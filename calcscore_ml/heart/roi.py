"""The heart box: found from lungs, air and soft tissue on a coarse copy of the scan.

The heart is the wide soft tissue that has lung on both sides, in front of the spine, above the liver's dome and below
the narrow upper mediastinum. That holds for whole chests and for small fields of view that cut the lungs off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from calcscore_ml.heart.grid import block_means, largest_part
from calcscore_ml.scan import OUTSIDE_HU, Scan

COARSE_MM = 4.0
"""Voxel size the search runs at [mm]; box edges are no finer than this."""

LUNG_BELOW_HU = -400.0
"""A coarse voxel below this is lung or air [HU]."""

GAS_HU = -965.0
"""The median of gas is below this; inflated lung stays above, even in emphysema [HU]."""

MIN_LUNG_PART_ML = 20.0
"""Smaller airy regions are airways, bowel or noise [cm3]."""

BONE_HU = 150.0
"""A coarse voxel at or above this is bone [HU]."""

MIN_LUNG_ML = 60.0
"""Less lung than this on either side of the heart, and the box is not trusted [cm3]."""

RIGHT_EXTENT_MM = 70.0
"""Soft tissue farther to the right of the middle than this is liver, not heart [mm]."""

LIVER_SHARE = 0.12
"""A slice with more liver than this share of what lies to the right is below the heart."""

BELOW_DOME_MM = 18.0
"""The heart rests on the diaphragm beside the dome of the liver and reaches about this far below its top [mm]."""

LEVEL_MM = 60.0
"""Width and depth of the heart are measured this far up from the liver [mm]."""

HEIGHT_SHARE = 0.8
"""Height of the box over the mean of its width and depth, up to where the pulmonary trunk divides; set on three chest
scans. Where the liver is not in the scan, the heart ends upwards where the mediastinum narrows."""

LUNG_SHARE = 0.25
"""A slice with less lung than this share of the fullest is above or below the heart."""

LOWEST_PART_MM = 30.0
"""The lowest part of the heart, whose area is what the upper part is compared with [mm]."""

TOP_AREA_SHARE = 0.7
"""The mediastinum is narrow where the area between the lungs falls below this share of its lowest part's."""

TALLEST_MM = 150.0
"""No heart box is taller [mm]."""

SPINE_SEARCH_MM = 30.0
"""The spine is looked for this far to both sides of the middle [mm]."""

SPINE_WIDTH_MM = 16.0
"""Bone at least this wide in a row is a vertebral body [mm]."""


@dataclass(frozen=True, slots=True)
class HeartBox:
    """A box around the heart.

    Parameters
    ----------
    lower_mm, upper_mm : tuple of float
        Corners in the array's own millimetres, index times spacing, (z, y, x) [mm].
    trusted : bool
        Whether every step that makes the box found what it looks for.
    remark : str
        What was missing when it is not trusted.
    quality : float
        How clearly the box stands out, in [0, 1]; one where the method does not say.
    on_liver : bool
        Whether the dome of the liver tells its lower face.
    """

    lower_mm: tuple[float, float, float]
    upper_mm: tuple[float, float, float]
    trusted: bool = True
    remark: str = ""
    quality: float = 1.0
    on_liver: bool = False

    def as_array(self) -> NDArray[np.float64]:
        """Return the corners as a (2, 3) array [mm]."""
        return np.array([self.lower_mm, self.upper_mm])

    def moved(self, by_mm: NDArray[np.float64]) -> HeartBox:
        """Return the box moved by (3,) millimetres."""
        (z, y, x), (zz, yy, xx) = (self.as_array() + by_mm).tolist()
        return replace(self, lower_mm=(z, y, x), upper_mm=(zz, yy, xx))


@dataclass(frozen=True, eq=False)
class Chest:
    """A scan from afar: coarse voxels, and which of them are lung.

    Parameters
    ----------
    hu : (nz, ny, nx) array of float32
        Means over blocks of voxels [HU].
    step_mm : (3,) array of float
        Size of a block along (z, y, x) [mm].
    """

    hu: NDArray[np.float32]
    step_mm: NDArray[np.float64]

    @classmethod
    def of(cls, scan: Scan) -> Chest:
        """Average blocks of voxels to about `COARSE_MM`."""
        spacing = np.asarray(scan.geometry.spacing)
        block = np.maximum(1, np.rint(COARSE_MM / spacing)).astype(int)
        block = np.where(np.asarray(scan.hu.shape) < block, 1, block)
        return cls(block_means(scan.hu, block), spacing * block)

    @cached_property
    def lung(self) -> NDArray[np.bool_]:
        """Where lung is, see `lung_mask`."""
        return lung_mask(self.hu, self.step_mm)

    @cached_property
    def between(self) -> NDArray[np.bool_]:
        """What is not lung and lies in the convex hull of its slice's lungs."""
        return between_lungs(self.lung)


def find_heart_box(scan: Scan, chest: Chest | None = None) -> HeartBox | None:
    """Find a box around the heart.

    Parameters
    ----------
    scan : Scan
        A chest or cardiac CT; a crop around the heart will do while some lung is left on both sides.
    chest : Chest, optional
        Of the scan, when it is at hand.

    Returns
    -------
    HeartBox or None
        None when there is no soft tissue with lung on both sides: this is no chest.
    """
    chest = chest or Chest.of(scan)
    coarse, step_mm, lung = chest.hu, chest.step_mm, chest.lung
    soft = chest.between & (coarse > -250.0)
    if not soft.any():
        return None
    missing: list[str] = []

    on_liver, first, last = _extent_z(soft, lung, step_mm, missing)
    level = slice(first, min(last + 1, first + max(1, round(LEVEL_MM / step_mm[0]))))
    if not soft[level].any():
        return None
    soft[:, _spine_front(coarse[level], soft[level], step_mm, missing) :] = False
    if not soft[level].any():
        return None
    core = ndimage.binary_opening(soft[level], np.ones((1, 5, 5)))
    if not core.any():
        core = soft[level]
    core = largest_part(core)
    lower_y, upper_y = _spread(core.sum(axis=(0, 2)))
    lower_x, upper_x = _spread(core.sum(axis=(0, 1)))
    bottom = first
    if on_liver:
        bottom = max(0, first - round(BELOW_DOME_MM / step_mm[0]))
        across_mm = ((upper_y - lower_y + 1) * step_mm[1] + (upper_x - lower_x + 1) * step_mm[2]) / 2
        last = min(len(soft) - 1, bottom + round(HEIGHT_SHARE * across_mm / step_mm[0]))

    sides = (lung[level, :, :lower_x].sum(), lung[level, :, upper_x + 1 :].sum())
    if min(sides) * float(np.prod(step_mm)) / 1000.0 < MIN_LUNG_ML:
        missing.append("little lung beside the heart")
    low = np.array([bottom, lower_y, lower_x]) * step_mm
    high = (np.array([last, upper_y, upper_x]) + 1) * step_mm
    half_voxel = np.asarray(scan.geometry.spacing) / 2
    z0, y0, x0 = (float(v) for v in low - half_voxel)
    z1, y1, x1 = (float(v) for v in high - half_voxel)
    return HeartBox((z0, y0, x0), (z1, y1, x1), not missing, "; ".join(missing), on_liver=on_liver)


def lung_mask(coarse: NDArray[np.float32], step_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Keep airy regions that are neither the room, with blankets and mattress that touch it, nor gas in the bowel."""
    # Padding outside the reconstruction circle must not join the lung it cuts to the room.
    airy = (coarse < LUNG_BELOW_HU) & (coarse > OUTSIDE_HU)
    labels, count = ndimage.label(airy)
    if count == 0:
        return np.asarray(airy, dtype=bool)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = np.flatnonzero(sizes * float(np.prod(step_mm)) / 1000.0 > MIN_LUNG_PART_ML)
    large = large[large > 0]
    median = np.asarray(ndimage.median(coarse, labels, large)).reshape(-1)
    keep = np.zeros(count + 1, dtype=bool)
    keep[large[median > GAS_HU]] = True
    return np.asarray(keep[labels])


def between_lungs(lung: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels that are not lung and lie in the convex hull of the slice's lungs."""
    hull = np.zeros_like(lung)
    for z in np.flatnonzero(lung.any(axis=(1, 2))):
        hull[z] = convex_hull_image(lung[z])  # type: ignore[no-untyped-call]
    return hull & ~lung


def _spine_front(
    coarse: NDArray[np.float32], soft: NDArray[np.bool_], step_mm: NDArray[np.float64], missing: list[str]
) -> int:
    """Row at which the vertebral bodies begin: bone that stands, slice after slice, behind the middle."""
    rows, columns = soft.shape[1:]
    middle = int(np.average(np.arange(columns), weights=soft.sum(axis=(0, 1))))
    centre = int(np.average(np.arange(rows), weights=soft.sum(axis=(0, 2))))
    reach = round(SPINE_SEARCH_MM / step_mm[2])
    bone = (coarse >= BONE_HU).mean(axis=0)[:, max(0, middle - reach) : middle + reach + 1] > 0.5
    wide = bone.sum(axis=1) * step_mm[2] >= SPINE_WIDTH_MM
    behind = np.flatnonzero(wide & (np.arange(rows) > centre))
    if len(behind) == 0:
        missing.append("spine not found")
        return int(rows)
    return int(behind[0])


def _extent_z(
    soft: NDArray[np.bool_], lung: NDArray[np.bool_], step_mm: NDArray[np.float64], missing: list[str]
) -> tuple[bool, int, int]:
    """Whether liver lies below, the first slice above it, and the slice where the mediastinum narrows."""
    area = ndimage.uniform_filter1d(soft.sum(axis=(1, 2)).astype(float), 3)
    breath = lung.sum(axis=(1, 2)).astype(float)
    # Liver: soft tissue far to the right of the middle, where a slice through the heart has lung.
    middle = int(np.average(np.arange(lung.shape[2]), weights=lung.sum(axis=(0, 1))))
    far = max(0, middle - round(RIGHT_EXTENT_MM / step_mm[2]))
    liver = soft[:, :, :far].sum(axis=(1, 2)).astype(float)
    right_lung = lung[:, :, :far].sum(axis=(1, 2)).astype(float)
    share = np.divide(liver, liver + right_lung, out=np.zeros_like(liver), where=liver + right_lung > 0)
    heart = (share < LIVER_SHARE) & (breath > LUNG_SHARE * breath.max()) & (area > 0)
    runs, count = ndimage.label(heart)
    if count == 0:
        missing.append("no slice without liver")
        return False, 0, len(area) - 1
    longest = np.flatnonzero(runs == 1 + int(np.argmax(np.bincount(runs)[1:])))
    first, last = int(longest[0]), int(longest[-1])
    lowest = area[first : first + max(1, round(LOWEST_PART_MM / step_mm[0]))]
    narrow = np.flatnonzero(area[first : last + 1] < TOP_AREA_SHARE * np.median(lowest))
    if len(narrow):
        last = first + int(narrow[0])
    return bool(liver[:first].any()), first, min(last, first + round(TALLEST_MM / step_mm[0]))


def _spread(profile: NDArray[np.integer]) -> tuple[int, int]:
    """First and last index of the middle 97 % of a profile."""
    summed = np.cumsum(profile) / max(1, int(profile.sum()))
    low, high = np.searchsorted(summed, (0.015, 0.985))
    return int(low), min(int(high), len(profile) - 1)
