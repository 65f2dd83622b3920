"""The liver under the heart, told from blood by its HU where the two differ: registration mixes them up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_ml.heart.grid import F32, Copy, largest_part

SMOOTHING = 1.0
"""Standard deviation of the Gaussian that quiets noise before HU are compared [voxels of the copy]; our choice."""

INNER = 3
"""Blood is measured so many voxels inside the heart, in the middle third of its height; our choice."""

FEWEST = 100
"""Blood and liver are measured on so many voxels at least, 6 cm3; our choice."""

LEAST_CONTRAST = 1.5
"""Liver is told from blood when its median lies this many standard deviations of the noisier of the two above it;
a fatty liver and a scan with contrast agent say nothing. Our choice."""

LEAST_HU = 8.0
"""... and at least this far [HU], as blood and heart muscle differ too; our choice."""

MOST_ABOVE = 4.0
"""So many standard deviations above its median liver still is [-]: above are calcium and bone; our choice."""

SOFT_HU = (0.0, 200.0)
"""Smoothed HU of liver and blood lie between these."""

FULL_SHARE = 0.25
"""The heart ends where liver fills this share of what was taken for it in a slice. Our choice, on the two real scans
that have any (0.17 in the last slice of the heart, 0.29 in the next); in 24 digital patients liver never got there."""


def take_off_liver(share: F32, copy: Copy) -> F32:
    """Take off the heart what is liver, and all below the height where liver fills it.

    Parameters
    ----------
    share : (nz, ny, nx) array of float32
        Votes for the heart, on the copy's grid.
    copy : Copy
        Of the scan.

    Returns
    -------
    (nz, ny, nx) array of float32
        The same where nothing tells liver from blood.
    """
    heart = share >= 0.5
    liver = liver_below(heart, copy)
    taken = (heart & liver).sum(axis=(1, 2))
    full = np.flatnonzero(taken > FULL_SHARE * np.maximum(heart.sum(axis=(1, 2)), 1))
    kept = heart & ~liver
    for plane in kept:  # liver lies beside the heart in a slice, not in it
        plane[:] = ndimage.binary_fill_holes(plane)
    rest = np.where(liver & ~kept, np.float32(0), share)
    if len(full):
        rest[: full[-1] + 1] = 0
    return rest


def liver_below(heart: NDArray[np.bool_], copy: Copy) -> NDArray[np.bool_]:
    """Find liver in the lower half of the heart's height and below it.

    Blood is measured in the heart's own middle, liver in the largest soft tissue to the right of the heart's lower
    third; what is nearer to the liver's HU than to those of blood and hangs together with that tissue is liver.

    Parameters
    ----------
    heart : (nz, ny, nx) array of bool
        What was taken for the heart.
    copy : Copy
        Of the scan, on the same grid.

    Returns
    -------
    (nz, ny, nx) array of bool
        Nowhere true where there is too little of either, or they are too alike.
    """
    nothing = np.zeros(heart.shape, dtype=bool)
    levels = np.flatnonzero(heart.any(axis=(1, 2)))
    if len(levels) < 2 * INNER:
        return nothing
    third, half, two_thirds = (int(levels[0]) + len(levels) * n // 6 for n in (2, 3, 4))
    smooth = ndimage.gaussian_filter(copy.hu, SMOOTHING)
    soft = (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1]) & copy.known
    middle = ndimage.binary_erosion(heart, iterations=INNER) & soft
    middle[:third] = middle[two_thirds:] = False
    right = soft.copy()
    right[third:] = False
    right[:, :, int(np.flatnonzero(heart.any(axis=(0, 1)))[0]) :] = False
    side = largest_part(ndimage.binary_erosion(right, iterations=2))
    if min(middle.sum(), side.sum()) < FEWEST:
        return nothing
    (blood, own), (liver, other) = _median_and_sd(smooth[middle]), _median_and_sd(smooth[side])
    if liver - blood < max(LEAST_HU, LEAST_CONTRAST * max(own, other)):
        return nothing
    alike = soft & (smooth > (blood + liver) / 2) & (smooth < liver + MOST_ABOVE * max(own, other))
    alike = ndimage.binary_opening(alike)
    alike[half:] = False
    return np.asarray(ndimage.binary_propagation(side & alike, mask=alike), dtype=bool)


def _median_and_sd(values: F32) -> tuple[float, float]:
    """Median, and the standard deviation by the median deviation from it, of a normal distribution."""
    median = float(np.median(values))
    return median, 1.4826 * float(np.median(np.abs(values - median)))
