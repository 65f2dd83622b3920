"""Where a candidate lies: outside the body, in bone, in the heart, in the abdomen or elsewhere.

One rule for real and for digital scans, told from the scan alone, so that candidates of the two can be counted and
compared place by place. It is no segmentation: a candidate at a border may fall on either side of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.candidates import Candidates
from calcscore_ml.heart.body import body_mask, bone_mask, coarsen
from calcscore_ml.heart.roi import HeartBox
from calcscore_ml.scan import Scan

PLACES: Final = ("outside", "bone", "heart", "abdomen", "elsewhere")
"""In the order they are asked for: the first that holds half of a candidate's voxels is its place."""

OUTSIDE: Final = PLACES[0]
"""Not of the patient: the couch, clothes and cables."""


def place_candidates(scan: Scan, candidates: Candidates, box: HeartBox | None) -> NDArray[np.str_]:
    """Tell where each candidate lies.

    Parameters
    ----------
    scan : Scan
        Where they were found.
    candidates : Candidates
        L candidates.
    box : HeartBox or None
        Without one, no candidate lies in the heart or the abdomen.

    Returns
    -------
    (L,) array of str
        One of `PLACES`. "outside" is air, clothes and the table; "heart" is the heart box; "abdomen" is what lies
        below the box and in front of its back; "elsewhere" is the rest: lungs, upper mediastinum, soft tissue behind.
    """
    count = len(candidates)
    if count == 0:
        return np.zeros(0, dtype=f"<U{max(map(len, PLACES))}")
    coarse, block = coarsen(scan)
    step = np.asarray(scan.geometry.spacing, dtype=np.float64) * block.astype(np.float64)
    body = body_mask(coarse, step)
    bone = bone_mask(coarse, body, step)
    where = np.minimum(candidates.voxels // block, np.array(coarse.shape) - 1)
    at = (where[:, 0], where[:, 1], where[:, 2])
    in_heart, in_abdomen = _regions(candidates, box)
    owner, sizes = candidates.owner, candidates.sizes
    out = np.full(count, PLACES[-1], dtype=f"<U{max(map(len, PLACES))}")
    for name, mask in reversed(
        (("outside", ~body[at]), ("bone", bone[at]), ("heart", in_heart), ("abdomen", in_abdomen))
    ):
        out[2 * np.bincount(owner, weights=mask, minlength=count) >= sizes] = name
    return out


def _regions(candidates: Candidates, box: HeartBox | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which voxels lie in the heart box, and which below it and not behind it."""
    if box is None:
        nowhere = np.zeros(len(candidates.voxels), dtype=bool)
        return nowhere, nowhere
    at = candidates.voxels * np.asarray(candidates.geometry.spacing)
    low, high = box.as_array()
    inside = ((at >= low) & (at <= high)).all(axis=1)
    return np.asarray(inside), np.asarray((at[:, 0] < low[0]) & (at[:, 1] < high[1]))
