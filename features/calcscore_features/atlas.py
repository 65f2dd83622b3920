"""Atlas: where a lesion lies relative to organs, landmarks and the nearest coronary artery.

c is the lesion's centroid; means and standard deviations are over the atlases that were registered to the scan. What
could not be measured is NaN: without atlases everything but the lungs, the body and the tissues.
"""

from __future__ import annotations

import numpy as np

from calcscore_features.feature import Feature
from calcscore_features.members import Floats
from calcscore_features.place import LANDMARKS, SURFACES, TISSUES, Place

_NONE = "NaN: no atlas"


def _feature(name: str, unit: str, formula: str, degenerate: str = _NONE) -> Feature:
    return Feature(name, "atlas", unit, formula, "this project", degenerate)


FEATURES: tuple[Feature, ...] = (
    *(
        _feature(
            f"{organ}_surface_mm",
            "mm",
            f"distance from c to the surface of the {organ}, negative inside",
            f"NaN: no {organ} in the scan",
        )
        for organ in SURFACES
    ),
    *(
        _feature(f"near_{tissue}_fraction", "1", f"share of {tissue} within 10 mm of c", "NaN: not measured")
        for tissue in TISSUES
    ),
    _feature("atlas_z_mm", "mm", "mean z of c in the atlases, from the aortic root: above it"),
    _feature("atlas_y_mm", "mm", "mean y of c in the atlases, from the aortic root: behind it"),
    _feature("atlas_x_mm", "mm", "mean x of c in the atlases, from the aortic root: to its left"),
    _feature("atlas_spread_mm", "mm", "root of the summed variances of c's z, y and x over the atlases"),
    _feature("root_offset_z_mm", "mm", "c_z minus the z of the aortic root, in the scan"),
    _feature("root_offset_y_mm", "mm", "c_y minus the y of the aortic root, in the scan"),
    _feature("root_offset_x_mm", "mm", "c_x minus the x of the aortic root, in the scan"),
    *(_feature(f"{mark}_distance_mm", "mm", f"distance from c to the {mark.replace('_', ' ')}") for mark in LANDMARKS),
    _feature("nearest_artery_mm", "mm", "smallest of the mean distances from c to the arteries' centrelines"),
    _feature("artery_probability", "1", "largest of the arteries' mean probabilities to pass at c"),
    _feature("calcium_probability", "1", "mean probability that a patient has coronary calcium at c"),
)
"""The atlas features in order."""


def compute(count: int, place: Place | None) -> dict[str, Floats]:
    """Make the features of what was measured about `count` lesions.

    Returns
    -------
    dict of str to (count,) array of float
        By feature name, in the order of `FEATURES`.
    """
    nothing = np.full(count, np.nan)
    if place is None:
        return {f.name: nothing.copy() for f in FEATURES}
    values = [np.asarray(place.surface_mm.get(organ, nothing)) for organ in SURFACES]
    values += [np.asarray(place.tissue.get(tissue, nothing)) for tissue in TISSUES]
    if place.atlases == 0:
        values += [nothing] * (len(FEATURES) - len(values))
        return {f.name: np.array(v, dtype=np.float64) for f, v in zip(FEATURES, values, strict=True)}
    offset = place.landmark_mm["aortic_root"]
    values += [
        *place.atlas_mm.mean(axis=0).T,
        np.sqrt(place.atlas_mm.var(axis=0).sum(axis=1)),
        *offset.T,
        *(np.linalg.norm(place.landmark_mm[mark], axis=1) for mark in LANDMARKS),
        place.artery_mm.mean(axis=0).min(axis=1),
        place.artery_probability.mean(axis=0).max(axis=1),
        place.calcium_probability.mean(axis=0),
    ]
    return {f.name: np.array(v, dtype=np.float64) for f, v in zip(FEATURES, values, strict=True)}
