"""The volume score: how much space calcium takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.scores.calcium import Calcium


def lesion_volumes_mm3(calcium: Calcium, lesions: NDArray[np.integer]) -> NDArray[np.float64]:
    """Compute the volume of lesions: voxels times pixel area times the distance between slices.

    Overlapping slices therefore count once, as in Fujioka 2012.

    Parameters
    ----------
    calcium : Calcium
        Voxels decided to be calcium.
    lesions : (k,) array of int
        Ids, ascending.

    Returns
    -------
    (k,) array of float
        Volumes [mm3].
    """
    return _per_lesion(calcium, lesions, np.ones(len(calcium.lesion))) * calcium.geometry.voxel_volume_mm3


def lesion_mean_hu(calcium: Calcium, lesions: NDArray[np.integer]) -> NDArray[np.float64]:
    """Compute the mean value of lesions, (k,) [HU]; ids must be present and ascending."""
    counts = _per_lesion(calcium, lesions, np.ones(len(calcium.lesion)))
    return _per_lesion(calcium, lesions, calcium.hu.astype(float)) / counts


def _per_lesion(calcium: Calcium, lesions: NDArray[np.integer], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    place = np.searchsorted(lesions, calcium.lesion)
    return np.bincount(place, weights=weights, minlength=len(lesions)).astype(float)
