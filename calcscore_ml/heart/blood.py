"""How bright blood is: measured where blood is, in the aorta and in the chambers of the heart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_ml.anatomy import AORTA, Organ
from calcscore_ml.heart.grid import F32, resample
from calcscore_ml.heart.locate import Location
from calcscore_ml.quality import blood_hu
from calcscore_ml.scan import OUTSIDE_HU, Scan

AORTA_CORE_MM = 5.0
"""So far from its border, a located aorta holds blood and no wall [mm]: its radius is 11 to 18 mm, and an atlas is a
few mm wrong; our choice."""

HEART_CORE_MM = 8.0
"""So far from its border, a located heart holds chambers and muscle, and neither lung nor the fat around it [mm]; our
choice."""

CHAMBER_SHARE = 0.1
"""The brightest tenth of a heart's core, 60 ml of 600, is chamber: the right or the left side alone is more, and
valves, leads and plaques are less; our choice."""

MEDIAN_VOXELS = 5
"""Width of the local median that takes noise, plaques and leads out of the chambers [voxels of the grid]; our
choice."""

LEAST_VOXELS = 50
"""A core of fewer voxels of the grid, about 1 ml, says nothing; our choice."""

HU_WINDOW = (float(OUTSIDE_HU), 3071.0)
"""Everything a scanner stores: arterial blood is not clipped [HU]."""


def located_blood_hu(scan: Scan, location: Location) -> float | None:
    """Estimate how bright blood is: that of the aorta or of the chambers, whichever is brighter.

    Contrast agent that has reached the right heart alone, or the aorta alone, is seen.

    Parameters
    ----------
    scan : Scan
        The scan.
    location : Location
        Of this scan. Where its atlases are not trusted, the commonest value in the heart's box is taken.

    Returns
    -------
    float or None
        None where no heart was found or it holds no blood [HU].

    Notes
    -----
    Four chest scans gave 39 to 47 HU without contrast agent; another 127 in a late and one 409 in an arterial phase,
    where the commonest value in the heart said 78.
    """
    if location.trusted and location.grid is not None:
        hu, known = resample(scan, location.grid, HU_WINDOW)
        step = location.grid.step_mm
        # Voxels as they are: a mean over neighbours would spread a plaque over half of an aorta's core.
        plain = location.grid.nearest(scan.hu, scan.geometry.spacing).astype(np.float32)
        found = [_median(plain, _core(location.organs[o], known, step, AORTA_CORE_MM)) for o in AORTA]
        heart = _core(location.organs[Organ.HEART], known, step, HEART_CORE_MM)
        found.append(_median(ndimage.median_filter(hu, MEDIAN_VOXELS), heart, 1 - CHAMBER_SHARE))
        bright = [value for value in found if value is not None]
        if bright:
            return max(bright)
    if location.box is None:
        return None
    commonest = blood_hu(scan, location.box.as_array())
    return commonest if np.isfinite(commonest) else None


def _core(share: F32, known: NDArray[np.bool_], step_mm: float, depth_mm: float) -> NDArray[np.bool_]:
    """Voxels of an organ, in the scan, at least so deep below its border."""
    inside = (share >= 0.5) & known
    return np.asarray(ndimage.distance_transform_edt(inside) * step_mm > depth_mm)


def _median(hu: F32, core: NDArray[np.bool_], at: float = 0.5) -> float | None:
    """Median or another quantile of a core; None when it is too small."""
    return float(np.quantile(hu[core], at)) if np.count_nonzero(core) >= LEAST_VOXELS else None
