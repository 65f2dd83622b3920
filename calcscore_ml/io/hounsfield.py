"""What every reader checks about HU values, whatever file they come from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import ScanError
from calcscore_ml.scan import OUTSIDE_HU

OUTSIDE_CIRCLE_HU = -1500
"""At or below, a voxel was never reconstructed [HU]. Scanners mark corners -2000, -2048 or -3024; air is -1000, and
noise of SD 100 HU stays above this value by five SD."""

LOWEST_TISSUE_HU = -50
"""A scan of a chest holds darker voxels than this [HU]: fat lies near -100 and lung near -850."""


def fill_outside(hu: NDArray[np.int16], padding: NDArray[np.bool_] | None = None) -> int:
    """Set voxels outside the reconstruction circle to air, in place.

    Parameters
    ----------
    hu : array of int16
        HU values.
    padding : array of bool, same shape, or None
        Voxels the header names as padding.

    Returns
    -------
    int
        How many voxels were set.

    >>> hu = np.array([-3024, -1024, 40], dtype=np.int16)
    >>> fill_outside(hu), hu.tolist()
    (1, [-1024, -1024, 40])
    """
    outside = hu <= OUTSIDE_CIRCLE_HU
    if padding is not None:
        outside |= padding
    count = int(np.count_nonzero(outside))
    if count:
        hu[outside] = OUTSIDE_HU
    return count


def outside_remark(count: int) -> str:
    """Return the remark for `count` voxels set to air."""
    return f"{count} voxels outside the reconstruction circle were set to air ({OUTSIDE_HU} HU)"


def refuse_stored_values(hu: NDArray[np.int16], where: str) -> None:
    """Refuse values that cannot be HU because nothing in them is as dark as fat.

    Parameters
    ----------
    hu : array of int16
        HU values.
    where : str
        File or folder named in the error.

    Raises
    ------
    ScanError
        When the lowest value is not below `LOWEST_TISSUE_HU`.
    """
    lowest = int(hu.min())
    if lowest >= LOWEST_TISSUE_HU:
        raise ScanError(
            f"a chest scan in HU holds values below {LOWEST_TISSUE_HU}, got a lowest value of {lowest} in {where}: "
            "these look like stored values, not HU; convert them, or say that they are HU (assume_hu)"
        )
