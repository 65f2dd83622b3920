"""Size: how much of the scan a lesion takes up, counted in voxels.

n is the number of voxels, v the volume of a voxel, a its area in the slice, h its edges. The volume here is
the clinical one, n v; the volume of the mesh, which is smaller, belongs to the shape.
"""

from __future__ import annotations

import numpy as np

from calcscore_features.feature import Feature
from calcscore_features.members import Floats, Members

FEATURES: tuple[Feature, ...] = (
    Feature("voxel_count", "size", "1", "n", "this project"),
    Feature("volume_mm3", "size", "mm3", "n v", "IBSI YEKZ", ibsi="YEKZ"),
    Feature("log_volume_ln_mm3", "size", "ln mm3", "ln(n v)", "this project"),
    Feature("slice_count", "size", "1", "number of slices with a voxel of the lesion", "this project"),
    Feature("extent_z_mm", "size", "mm", "(max z - min z + 1) h_z", "this project"),
    Feature("extent_y_mm", "size", "mm", "(max y - min y + 1) h_y", "this project"),
    Feature("extent_x_mm", "size", "mm", "(max x - min x + 1) h_x", "this project"),
    Feature("max_slice_area_mm2", "size", "mm2", "a max over slices of the voxels in the slice", "this project"),
)
"""The size features in order."""


def compute(members: Members) -> dict[str, Floats]:
    """Measure the size of every lesion.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `FEATURES`.
    """
    extent = members.extent
    volume = members.count * members.spacing.prod()
    new = np.ones(len(members.key), dtype=bool)
    new[1:] = (np.diff(members.lesion) != 0) | (np.diff(members.voxel[:, 0]) != 0)
    first = np.flatnonzero(new)
    in_slice = np.diff(np.append(first, len(members.key)))
    owner = members.lesion[first]
    lesion_start = np.searchsorted(owner, np.arange(len(members)))
    most = np.maximum.reduceat(in_slice, lesion_start)
    values = (
        members.count,
        volume,
        np.log(volume),
        np.bincount(owner, minlength=len(members)),
        extent[:, 0] * members.spacing[0],
        extent[:, 1] * members.spacing[1],
        extent[:, 2] * members.spacing[2],
        most * members.spacing[1] * members.spacing[2],
    )
    return {f.name: np.asarray(v, dtype=np.float64) for f, v in zip(FEATURES, values, strict=True)}
