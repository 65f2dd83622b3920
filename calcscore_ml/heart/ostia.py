"""How far lesions lie from where the coronary arteries begin: the place that atlases tell least from the aorta."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from calcscore_ml.anatomy import Label
from calcscore_ml.candidates import Candidates
from calcscore_ml.heart.locate import Location

OSTIA = ("left ostium", "right ostium")
"""The landmarks at which the left main and the RCA begin."""

FARTHEST_MM = 60.0
"""Lesions farther away are not near, however far [mm]: they are given infinity."""


def ostia_distance_mm(location: Location, candidates: Candidates) -> NDArray[np.float64]:
    """Return the distance of each lesion's nearest voxel to an ostium or to the course of the left main, (L,) [mm].

    Parameters
    ----------
    location : Location
        Of the scan. Ostia and left main are the means over its atlases.
    candidates : Candidates
        L lesions.

    Returns
    -------
    (L,) array of float
        Infinity beyond `FARTHEST_MM`; NaN for all when the location is not trusted.
    """
    if not location.trusted:
        return np.full(len(candidates), np.nan)
    marks = np.stack([location.landmarks[name].mean(axis=0) for name in OSTIA])
    points = np.vstack([marks, location.arteries[Label.LM].mean(axis=0)])
    voxels_mm = candidates.voxels * np.asarray(candidates.geometry.spacing)
    away, _ = cKDTree(points).query(voxels_mm, distance_upper_bound=FARTHEST_MM)
    starts = candidates.offsets[:-1]
    return np.asarray(np.minimum.reduceat(away, starts), dtype=np.float64) if len(starts) else np.zeros(0)
