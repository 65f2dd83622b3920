"""The body and its bones, found from the scan alone on a coarse copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_ml.heart.grid import block_means
from calcscore_ml.scan import Scan

COARSE_MM = 3.0
"""Pixel size the body and the bones are found at [mm]; our choice."""

BODY_HU = -300.0
"""Between air or lung and soft tissue [HU]."""

OPENING_MM = 16.0
"""Width of what is cut off the body: table tops, sheets and leads are thinner [mm]; as in `calcscore_ml.quality`."""

BONE_HU = 150.0
"""The mean over a coarse voxel of bone is at least this [HU]; as in `calcscore_ml.heart.roi`."""

BONE_MM3 = 3000.0
"""Smaller bright parts of the body are no bones [mm3]; half a vertebra is larger, calcium smaller; our choice."""

MARROW_MM = 9.0
"""Gaps in bone up to this width are marrow and joints, and belong to it [mm]; our choice."""

NEAR_BONE_MM = 3.0
"""A candidate this near to bone is a part of it: a spur, a piece of a thin cortex [mm]; our choice."""


def coarsen(scan: Scan) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Average the pixels of a slice to about `COARSE_MM`; slices stay as they are.

    Returns
    -------
    coarse : (nz, my, mx) array
        Means [HU].
    block : (3,) array of int
        Voxels averaged along (z, y, x).
    """
    spacing = np.asarray(scan.geometry.spacing)
    block = np.array([1, *np.maximum(1, np.rint(COARSE_MM / spacing[1:]))]).astype(np.intp)
    block = np.minimum(block, scan.hu.shape)
    return block_means(scan.hu, block), block


def body_mask(coarse: NDArray[np.float32], step_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the body: the largest soft part of each slice once thin things are cut off, with its lungs filled.

    Parameters
    ----------
    coarse : (nz, ny, nx) array
        Scan averaged to about `COARSE_MM` in the slice [HU].
    step_mm : (3,) array
        Its voxel size (z, y, x) [mm].
    """
    body = np.zeros(coarse.shape, dtype=bool)
    disc = _disc(OPENING_MM / 2, step_mm)
    for z, plane in enumerate(coarse):
        soft = plane > BODY_HU
        # What is closed first keeps the chest wall, thinner than the opening between lung and skin, on the body.
        filled = ndimage.binary_fill_holes(soft)
        opened = np.pad(filled, len(disc), mode="edge")
        inner = tuple(slice(len(disc), -len(disc)) for _ in range(2))
        opened = ndimage.binary_opening(opened, disc)[inner]
        labels, count = ndimage.label(opened)
        if count:
            sizes = np.bincount(labels.ravel())[1:]
            # Arms at the side are parts of the body: whatever is a tenth of the largest part stays.
            body[z] = np.isin(labels, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())) & filled
    return body


def bone_mask(coarse: NDArray[np.float32], body: NDArray[np.bool_], step_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the skeleton: large dense parts of the body, their marrow, and `NEAR_BONE_MM` around.

    Parameters
    ----------
    coarse, body : (nz, ny, nx) arrays
        Scan [HU] and the mask of the body.
    step_mm : (3,) array
        Their voxel size (z, y, x) [mm].
    """
    labels, _ = ndimage.label((coarse >= BONE_HU) & body, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel()) * float(np.prod(step_mm))
    sizes[0] = 0
    bone = (sizes >= BONE_MM3)[labels]
    disc = _disc(MARROW_MM / 2, step_mm)
    near = _disc(NEAR_BONE_MM, step_mm)
    for z in np.flatnonzero(bone.any(axis=(1, 2))):
        closed = ndimage.binary_fill_holes(ndimage.binary_closing(bone[z], disc))
        bone[z] = ndimage.binary_dilation(closed, near) & body[z]
    return np.asarray(bone, dtype=bool)


def _disc(radius_mm: float, step_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Draw a disc in the slice, (2 r + 1, 2 r + 1)."""
    r = max(1, int(np.ceil(radius_mm / step_mm[1])))
    y, x = np.ogrid[-r : r + 1, -r : r + 1]
    return np.asarray((y * step_mm[1]) ** 2 + (x * step_mm[2]) ** 2 <= max(radius_mm, step_mm[1]) ** 2)
