"""Crowd: how many other lesions lie about a lesion.

c_i is the centre of lesion i, the mean of its voxels' centres. Noise makes specks by the thousand, where plaques come a
few at a time: the number of lesions around tells noisy scans, and the noisy parts of a scan, from others.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from calcscore_features.feature import Feature, Settings
from calcscore_features.members import Floats, Members

RADIUS_TOLERANCE = 1e-9
"""Relative tolerance on a radius, so that rounding does not decide about a lesion exactly on it."""


def features(settings: Settings) -> tuple[Feature, ...]:
    """List the features of the chosen radii in order.

    >>> [f.name for f in features(Settings(crowd_mm=(10, 2.5)[::-1]))]
    ['crowd_2p5mm', 'crowd_10mm', 'crowd_nearest_mm']
    """
    counts = (
        Feature(
            f"crowd_{radius:g}mm".replace(".", "p"),
            "crowd",
            "1",
            f"number of j ≠ i with |c_j - c_i| ≤ {radius:g} mm",
            "this project",
        )
        for radius in settings.crowd_mm
    )
    alone = "NaN: there is no other lesion"
    return (*counts, Feature("crowd_nearest_mm", "crowd", "mm", "min |c_j - c_i|, j ≠ i", "this project", alone))


def compute(members: Members, settings: Settings) -> dict[str, Floats]:
    """Count the other lesions around every lesion, and find the nearest.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.
    settings : Settings
        Holds the radii.

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `features`.
    """
    centres = members.mean(members.voxel * members.spacing)
    tree = KDTree(centres)
    columns = [
        tree.query_ball_point(centres, radius * (1 + RADIUS_TOLERANCE), return_length=True) - 1.0
        for radius in settings.crowd_mm
    ]
    nearest = tree.query(centres, k=[2])[0][:, 0]
    columns.append(np.where(np.isfinite(nearest), nearest, np.nan))
    return {f.name: v for f, v in zip(features(settings), columns, strict=True)}
