"""What was measured about the place of every lesion, before features are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from calcscore_features.members import Floats

ARTERIES: tuple[str, ...] = ("lm", "lad", "lcx", "rca")
"""The coronary arteries, in the order of all arrays over arteries."""

SURFACES: tuple[str, ...] = ("heart", "aorta", "lung", "spine", "sternum", "body")
"""Organs to whose surface a lesion's distance is measured."""

LANDMARKS: tuple[str, ...] = ("left_ostium", "right_ostium", "fork", "apex", "crux", "aortic_root")
"""Places every atlas knows: where the left main and the RCA begin, where the left main forks, where LAD and RCA end,
and the lowest part of the ascending aorta."""

TISSUES: tuple[str, ...] = ("fat", "lung", "bone")
"""Tissues that are counted around a lesion."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Measurements at the centroids of L lesions, by A atlases. What is not known is left out, or NaN.

    Parameters
    ----------
    surface_mm : mapping of str to (L,) array
        Distance to the surface of each of `SURFACES`, negative inside [mm].
    tissue : mapping of str to (L,) array
        Share of each of `TISSUES` near the lesion.
    atlas_mm : (A, L, 3) array
        Place in each atlas, (z, y, x) from its aortic root [mm].
    landmark_mm : mapping of str to (L, 3) array
        From each of `LANDMARKS` to the lesion in the scan, (z, y, x) [mm].
    artery_mm : (A, L, 4) array
        Distance to each artery's centreline, `ARTERIES` [mm].
    artery_along : (A, L, 4) array
        Share of the artery's length, from its origin, at its nearest point.
    artery_spread_mm : (A, L, 4) array
        How far from the centreline the artery of one patient passes there, RMS [mm].
    artery_probability : (A, L, 4) array
        That the artery passes at the lesion.
    calcium_probability : (A, L) array
        That a patient has coronary calcium at the place.
    """

    surface_mm: Mapping[str, Floats] = field(default_factory=dict)
    tissue: Mapping[str, Floats] = field(default_factory=dict)
    atlas_mm: Floats = field(default_factory=lambda: np.empty((0, 0, 3)))
    landmark_mm: Mapping[str, Floats] = field(default_factory=dict)
    artery_mm: Floats = field(default_factory=lambda: np.empty((0, 0, 4)))
    artery_along: Floats = field(default_factory=lambda: np.empty((0, 0, 4)))
    artery_spread_mm: Floats = field(default_factory=lambda: np.empty((0, 0, 4)))
    artery_probability: Floats = field(default_factory=lambda: np.empty((0, 0, 4)))
    calcium_probability: Floats = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def atlases(self) -> int:
        """Number of atlases, 0 when none could be used."""
        return len(self.atlas_mm)
