"""Why a scan gets no score: no number where there is none.

A remark says what to bear in mind while a number is read; what is said here leaves no number to read. The limits are
wide: a scan that a person would score with a shrug keeps its score.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from calcscore_ml.heart.locate import Location
from calcscore_ml.quality import CONTRAST_BLOOD_HU
from calcscore_ml.scan import OUTSIDE_HU, Scan

LEAST_COVERAGE_MM = 60.0
"""A shorter scan holds no heart worth a score [mm]: hearts are 90 to 150 mm high, and their arteries run through the
upper two thirds; our choice."""

LEAST_HEART_SHARE = 0.6
"""Share of the located heart's height that has to lie in the scan. Digital scans that end 80 mm below and 40 mm above
the aortic valve hold 0.73, a real crop of 160 mm 0.88; our choice."""

MOST_NOISE_HU = 80.0
"""More noise than a model can have learnt from [HU]: digital patients' goes up to about 50, a real scan by a sharp
kernel has 47, and at 80 one voxel of blood in eight passes the threshold. Our choice."""

DARKEST_HU = (-1100.0, -600.0)
"""Where the darkest hundredth of a chest scan lies: air is -1000, lung -850; ten real and digital scans have -1021 to
-992 [HU]. Our choice, wide."""

TISSUE_HU = (-200.0, 200.0)
"""Fat and soft tissue [HU]."""

LEAST_TISSUE = 0.03
"""Share of a scan that is fat or soft tissue; ten scans have 0.11 to 0.60. Our choice, wide."""

SOFT_RANGE_HU = (-50.0, 300.0)
"""Where the commonest value of soft tissue is looked for: above fat [HU]."""

SOFT_HU = (-20.0, 120.0)
"""Where it has to lie: muscle is 40 to 60, liver after contrast agent 110; ten scans have 38 to 52, one phantom and one
scan after contrast agent 72 [HU]. Our choice, wide."""

SOFT_BIN_HU = 5.0
"""Width of a bin in which soft tissue is counted [HU]."""

STEP = (2, 4, 4)
"""HU are checked on every second slice, fourth row and column."""

SMOOTHED = (1, 5, 5)
"""Noise is averaged over so many voxels before soft tissue is looked for."""


def why_no_score(
    scan: Scan, location: Location, *, blood_hu: float | None, noise_hu: float, atlases: bool
) -> tuple[str, ...]:
    """Say why a scan has no score.

    Parameters
    ----------
    scan : Scan
        The scan.
    location : Location
        Where its heart lies.
    blood_hu : float or None
        Brightness of blood; None when unknown [HU].
    noise_hu : float
        SD in soft tissue; NaN when no patch of it is calm enough to be measured [HU].
    atlases : bool
        Whether the recipe locates heart and arteries by atlases. Where it does not, a heart's box is enough.

    Returns
    -------
    tuple of str
        A sentence for each reason; empty when there is a score.
    """
    found = [_values(scan), _heart(location, atlases), _coverage(scan, location)]
    if blood_hu is not None and blood_hu > CONTRAST_BLOOD_HU:
        found.append(f"Blood is {blood_hu:.0f} HU, as after contrast agent (without: 30 to 60 HU).")
    if not noise_hu <= MOST_NOISE_HU and not found[0]:
        much = f"{noise_hu:.0f} HU" if np.isfinite(noise_hu) else "too high to be measured"
        found.append(f"The noise is {much}, beyond what a model learns from ({MOST_NOISE_HU:.0f} HU).")
    return tuple(reason for reason in found if reason)


def _heart(location: Location, atlases: bool) -> str:
    if location.box is None:
        return f"No heart was found ({location.remark})."
    if atlases and not location.trusted:
        return f"Heart and arteries could not be located ({location.remark})."
    return ""


def _values(scan: Scan) -> str:
    """Say why values are no HU."""
    hu = scan.hu[tuple(slice(None, None, s) for s in STEP)]
    hu = hu[hu != OUTSIDE_HU]
    if not len(hu):
        return "The scan holds nothing but air."
    darkest = float(np.percentile(hu, 1))
    told = ""
    if not DARKEST_HU[0] <= darkest <= DARKEST_HU[1]:
        told = f"air and lung are near {darkest:.0f}, not near -1000 and -850"
    elif ((hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1])).mean() < LEAST_TISSUE:
        told = f"hardly any lie from {TISSUE_HU[0]:.0f} to {TISSUE_HU[1]:.0f}, where fat and soft tissue are"
    else:
        smooth = ndimage.uniform_filter(scan.hu[:: STEP[0]].astype(np.float32), SMOOTHED)[:, :: STEP[1], :: STEP[2]]
        low, high = SOFT_RANGE_HU
        counts, edges = np.histogram(smooth, bins=round((high - low) / SOFT_BIN_HU), range=SOFT_RANGE_HU)
        soft = float(edges[counts.argmax()] + SOFT_BIN_HU / 2)
        if not SOFT_HU[0] <= soft <= SOFT_HU[1]:
            told = f"soft tissue is near {soft:.0f}, not near 0 to 80"
    return f"The values of the scan are no HU: {told}." if told else ""


def _coverage(scan: Scan, location: Location) -> str:
    """Say why too little of the heart lies in the scan."""
    covered = scan.geometry.shape[0] * scan.geometry.spacing[0]
    if covered < LEAST_COVERAGE_MM:
        return f"The scan covers {covered:.0f} mm along the body, too little of a heart ({LEAST_COVERAGE_MM:.0f} mm)."
    share = location.height_share(scan)
    if location.trusted and share < LEAST_HEART_SHARE:
        return f"Only {share:.0%} of the heart's height lies in the scan."
    return ""
