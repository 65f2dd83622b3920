"""Arteries: where a lesion lies relative to each coronary artery, not the nearest only.

d_a is the distance from the lesion's centroid to an artery's centreline by atlas a, e_a the RMS distance at which the
arteries of single patients pass from it there. All arteries together absorb what registration leaves open, after the
idea of J. M. Wolterink et al., Med. Image Anal. 26:1-10 (2015), whose own features are not published in full.
"""

from __future__ import annotations

import numpy as np

from calcscore_features.feature import Feature
from calcscore_features.members import Floats
from calcscore_features.place import ARTERIES, Place

SOFTEN_MM = 3.0
"""Error of a registration where its atlases agree: softens the nearness of an artery [mm]; our choice."""

_KINDS = (
    ("distance_mm", "mm", "mean d_a over the atlases"),
    ("distance_sd_mm", "mm", "standard deviation of d_a over the atlases (divided by their number)"),
    ("nearness", "1", "mean over the atlases of exp(-d_a^2 / (2 (e_a^2 + s^2))), s = 3 mm"),
    ("probability", "1", "mean probability over the atlases that the artery passes at the centroid"),
    ("along", "1", "mean share of the artery's length at its nearest point: 0 at its origin, 1 at its end"),
)

FEATURES: tuple[Feature, ...] = tuple(
    Feature(f"{artery}_{kind}", "arteries", unit, formula, "this project", "NaN: no atlas")
    for artery in ARTERIES
    for kind, unit, formula in _KINDS
)
"""The artery features in order."""


def compute(count: int, place: Place | None) -> dict[str, Floats]:
    """Make the features of what was measured about `count` lesions.

    Returns
    -------
    dict of str to (count,) array of float
        By feature name, in the order of `FEATURES`.
    """
    if place is None or place.atlases == 0:
        return {f.name: np.full(count, np.nan) for f in FEATURES}
    distance = place.artery_mm
    width = place.artery_spread_mm**2 + SOFTEN_MM**2
    kinds = (
        distance.mean(axis=0),
        distance.std(axis=0),
        np.exp(-0.5 * distance**2 / width).mean(axis=0),
        place.artery_probability.mean(axis=0),
        place.artery_along.mean(axis=0),
    )
    columns = [kind[:, k] for k in range(len(ARTERIES)) for kind in kinds]
    return {f.name: np.array(v, dtype=np.float64) for f, v in zip(FEATURES, columns, strict=True)}
