"""Handcrafted features of all candidate lesions of one scan, computed together.

The package knows arrays and millimetres only: not what a patient is, nor what a label is. Arrays and spacing
are (z, y, x); intensities are HU. ``features/README.md`` is the catalogue.

Examples
--------
>>> import numpy as np
>>> hu = np.zeros((5, 9, 9), np.int16)
>>> hu[2, 4, 4:6] = 250, 310
>>> lesions = Lesions(hu, (3.0, 0.5, 0.5), np.array([[2, 4, 4], [2, 4, 5]]), np.array([0, 2]))
>>> table = compute(lesions, families=("size", "intensity"))
>>> table["volume_mm3"].tolist(), table["max_hu"].tolist()
([1.5], [310.0])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_features import (
    arteries,
    atlas,
    border,
    crowd,
    gaussian,
    intensity,
    location,
    neighbourhood,
    shape,
    size,
    texture,
)
from calcscore_features.feature import Feature, Lesions, Settings
from calcscore_features.members import Members
from calcscore_features.place import Place

__all__ = ["ALL", "FAMILIES", "LOCATED", "Feature", "Lesions", "Place", "Settings", "compute", "registry"]

FAMILIES: tuple[str, ...] = (
    "size", "shape", "intensity", "texture", "gaussian", "neighbourhood", "crowd", "border", "location", "atlas",
    "arteries",
)  # fmt: skip
"""The families of features in the order of the table's columns."""

LOCATED: tuple[str, ...] = FAMILIES[-3:]
"""Families that say where a lesion lies: in the heart's box, relative to organs and the nearest artery, and relative to
every artery."""


def registry(settings: Settings | None = None) -> tuple[Feature, ...]:
    """List every feature in the order of the table's columns.

    Parameters
    ----------
    settings : Settings or None
        The Gaussian scales and the radii of the crowd decide which such features there are; None means the defaults.

    Returns
    -------
    tuple of Feature
        Definitions, families together.

    >>> len({f.name for f in registry()}) == len(registry())
    True
    """
    chosen = settings or Settings()
    return (
        *size.FEATURES,
        *shape.FEATURES,
        *intensity.FEATURES,
        *texture.FEATURES,
        *gaussian.features(chosen),
        *neighbourhood.FEATURES,
        *crowd.features(chosen),
        *border.FEATURES,
        *location.FEATURES,
        *atlas.FEATURES,
        *arteries.FEATURES,
    )


ALL: tuple[Feature, ...] = registry()
"""Every feature at default settings, in the order of the table's columns."""


def compute(
    lesions: Lesions,
    *,
    settings: Settings | None = None,
    heart_box_mm: ArrayLike | None = None,
    place: Place | None = None,
    families: Sequence[str] = FAMILIES,
) -> dict[str, NDArray[np.float64]]:
    """Compute the features of all lesions of a scan at once.

    Parameters
    ----------
    lesions : Lesions
        L lesions; none is fine.
    settings : Settings or None
        What can be chosen; None means the defaults.
    heart_box_mm : (2, 3) array-like or None
        Lower and upper corner of the heart, (z, y, x), index times spacing [mm]. Without it the location is
        NaN.
    place : Place or None
        What was measured about the lesions' places. Without it the atlas and artery features are NaN.
    families : sequence of str
        Which of `FAMILIES` to compute. The order of the columns stays that of `FAMILIES`.

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `registry`. Values are finite, or NaN where the catalogue says so.

    Raises
    ------
    ValueError
        When a family is unknown or the heart box is not a box.
    """
    unknown = sorted(set(families) - set(FAMILIES))
    if unknown:
        raise ValueError(f"feature families must be among {', '.join(FAMILIES)}, got {', '.join(unknown)}")
    if heart_box_mm is not None:
        location.checked_box(heart_box_mm)
    chosen = settings or Settings()
    if not len(lesions):
        return {f.name: np.empty(0) for f in registry(chosen) if f.family in families}
    members = Members.of(lesions)
    steps: dict[str, Callable[[], dict[str, NDArray[np.float64]]]] = {
        "size": lambda: size.compute(members),
        "shape": lambda: shape.compute(members),
        "intensity": lambda: intensity.compute(members, chosen),
        "texture": lambda: texture.compute(members, chosen),
        "gaussian": lambda: gaussian.compute(members, chosen),
        "neighbourhood": lambda: neighbourhood.compute(members, chosen),
        "crowd": lambda: crowd.compute(members, chosen),
        "border": lambda: border.compute(members, chosen),
        "location": lambda: location.compute(members, heart_box_mm),
        "atlas": lambda: atlas.compute(len(members), place),
        "arteries": lambda: arteries.compute(len(members), place),
    }
    table: dict[str, NDArray[np.float64]] = {}
    for family in FAMILIES:
        if family in families:
            table.update(steps[family]())
    return table
