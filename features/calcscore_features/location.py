"""Location: where a lesion lies relative to the heart.

c is the lesion's centroid, a and b the lower and upper corner of the heart's box, m = (a + b) / 2 its centre,
all in mm along the array's axes (index times spacing): z to the head, y to the back, x to the left. Without a
box all values are NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from calcscore_features.feature import Feature
from calcscore_features.members import Floats, Members, ratio

_BOX = "NaN: no heart box"


def _feature(name: str, unit: str, formula: str, degenerate: str = _BOX) -> Feature:
    return Feature(f"heart_{name}", "location", unit, formula, "this project", degenerate)


FEATURES: tuple[Feature, ...] = (
    _feature("z", "1", "(c_z - a_z) / (b_z - a_z): 0 at the feet's side of the box, 1 at the head's"),
    _feature("y", "1", "(c_y - a_y) / (b_y - a_y): 0 in front, 1 behind"),
    _feature("x", "1", "(c_x - a_x) / (b_x - a_x): 0 at the patient's right, 1 at the left"),
    _feature("offset_z_mm", "mm", "c_z - m_z"),
    _feature("offset_y_mm", "mm", "c_y - m_y"),
    _feature("offset_x_mm", "mm", "c_x - m_x"),
    _feature("depth_mm", "mm", "distance from c to the box's surface, negative outside the box"),
    _feature("distance_mm", "mm", "|c - m|"),
    _feature("axial_distance_mm", "mm", "r = distance of c from m in the axial plane"),
    _feature("angle_cos", "1", "(c_x - m_x) / r: 1 to the left", "NaN: no heart box, or r = 0"),
    _feature("angle_sin", "1", "(c_y - m_y) / r: 1 to the back", "NaN: no heart box, or r = 0"),
)
"""The location features in order."""


def compute(members: Members, heart_box_mm: ArrayLike | None) -> dict[str, Floats]:
    """Place every lesion in the heart's box.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.
    heart_box_mm : (2, 3) array-like or None
        Lower and upper corner, (z, y, x), index times spacing [mm].

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `FEATURES`.

    Raises
    ------
    ValueError
        When the box is not two corners, the lower one below the upper.
    """
    if heart_box_mm is None:
        return {f.name: np.full(len(members), np.nan) for f in FEATURES}
    low, high = checked_box(heart_box_mm)
    centroid = members.lower * members.spacing + members.mean(members.local_mm)
    share = (centroid - low) / (high - low)
    offset = centroid - (low + high) / 2
    beyond = np.maximum(low - centroid, centroid - high)
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
    depth = np.where(outside > 0, -outside, -beyond.max(axis=1))
    axial = np.hypot(offset[:, 1], offset[:, 2])
    values = (
        *share.T,
        *offset.T,
        depth,
        np.linalg.norm(offset, axis=1),
        axial,
        ratio(offset[:, 2], axial),
        ratio(offset[:, 1], axial),
    )
    return {f.name: v for f, v in zip(FEATURES, values, strict=True)}


def checked_box(heart_box_mm: ArrayLike) -> Floats:
    """Return the box as a (2, 3) array of float, or raise ValueError."""
    box = np.asarray(heart_box_mm, dtype=np.float64)
    if box.shape != (2, 3) or not np.isfinite(box).all() or (box[0] >= box[1]).any():
        raise ValueError(f"a heart box must be a lower and an upper corner (z, y, x) [mm], got {box.tolist()}")
    return box
