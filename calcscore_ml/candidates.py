"""Candidate lesions: connected components at or above a threshold.

A lesion that touches bone is one component with it, but for the wall of the aorta: where a component reaches from the
aorta into the spine, it is split at the aorta's boundary (Isgum 2010). The label volume is made by a labelling library,
read once, and kept as a list of voxels grouped by lesion: no step downstream ever asks for a mask the size of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Organ
from calcscore_ml.errors import RecipeError
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.grid import within
from calcscore_ml.heart.locate import Location
from calcscore_ml.scan import Scan

THRESHOLD_HU = 130
"""Calcium begins here at 120 kVp: "at least 130 HU" (Agatston 1990, and the review's definition)."""

KVP_THRESHOLD_HU: dict[int, int] = {70: 207, 80: 177, 100: 145, 120: 130, 135: 119}
"""Threshold by tube voltage [kV -> HU], as coded in CalciumScoring.jl 0.5 after Grani 2018 (EHJ-CVI 19:1362).

The 135 kV row is probably that program's own. Other voltages are refused rather than interpolated."""


AORTA_SHARE = 0.35
"""Of the atlases' votes: with at least this a voxel is in the aorta or its wall; our choice, a millimetre outside the
boundary at a half."""

SPINE_SHARE = 0.5
"""Of the atlases' votes: with at least this a voxel is in the spine."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The candidate lesions of a scan, as a list of voxels grouped by lesion.

    Parameters
    ----------
    geometry : Geometry
        Of the scan they were found in.
    voxels : (n, 3) array of int
        Indices (z, y, x), grouped by lesion, in raster order within each.
    hu : (n,) array of int16
        Their values [HU].
    offsets : (L + 1,) array of int
        Lesion i owns ``voxels[offsets[i]:offsets[i + 1]]``; its id is i + 1. Lesions are ordered by their first voxel.
    threshold_hu : float
        Threshold they were found at [HU].
    dropped_small, dropped_large : int
        Components left out by the limits on volume.
    """

    geometry: Geometry
    voxels: NDArray[np.intp]
    hu: NDArray[np.int16]
    offsets: NDArray[np.intp]
    threshold_hu: float
    dropped_small: int = 0
    dropped_large: int = 0

    def __post_init__(self) -> None:
        for array in (self.voxels, self.hu, self.offsets):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def ids(self) -> NDArray[np.intp]:
        """Ids of the lesions, (L,)."""
        return np.arange(1, len(self) + 1)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Voxels of each lesion, (L,)."""
        return np.diff(self.offsets)

    @property
    def volumes_mm3(self) -> NDArray[np.float64]:
        """Volume of each lesion, (L,) [mm3]."""
        return np.asarray(self.sizes * self.geometry.voxel_volume_mm3, dtype=float)

    @property
    def owner(self) -> NDArray[np.intp]:
        """Position (0-based) of the lesion each voxel belongs to, (n,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def centroids(self) -> NDArray[np.float64]:
        """Return the mean index (z, y, x) of each lesion, (L, 3)."""
        if len(self) == 0:
            return np.zeros((0, 3))
        return np.asarray(np.add.reduceat(self.voxels, self.offsets[:-1], axis=0) / self.sizes[:, None])

    def label_volume(self) -> NDArray[np.int32]:
        """Return a volume with each lesion's id in its voxels, 0 elsewhere."""
        volume = np.zeros(self.geometry.shape, dtype=np.int32)
        volume[tuple(self.voxels.T)] = self.owner + 1
        return volume


def find_candidates(
    scan: Scan,
    *,
    threshold_hu: float = THRESHOLD_HU,
    connectivity: Literal[6, 18, 26] = 26,
    min_volume_mm3: float = 0.0,
    max_volume_mm3: float = np.inf,
    location: Location | None = None,
) -> Candidates:
    """Find the connected components at or above a threshold.

    Parameters
    ----------
    scan : Scan
        Where to look.
    threshold_hu : float
        A voxel belongs to a candidate when its value is at least this [HU].
    connectivity : {6, 18, 26}
        Voxels are neighbours by face, by face or edge, or by face, edge or corner.
    min_volume_mm3, max_volume_mm3 : float
        Components smaller or larger are counted and left out [mm3].
    location : Location or None
        Where aorta and spine lie. Components that reach from one into the other are split, unless it is not trusted.

    Returns
    -------
    Candidates

    Raises
    ------
    RecipeError
        When connectivity is not 6, 18 or 26, or the limits are the wrong way round.
    """
    if connectivity not in (6, 18, 26):
        raise RecipeError(f"connectivity must be 6, 18 or 26, got {connectivity}")
    if not 0 <= min_volume_mm3 <= max_volume_mm3:
        raise RecipeError(f"volume limits must be 0 <= min <= max [mm3], got {min_volume_mm3} and {max_volume_mm3}")
    mask = scan.hu >= threshold_hu
    components = cc3d.connected_components(mask, connectivity=connectivity, binary_image=True)
    where = np.flatnonzero(mask)
    component = components.reshape(-1)[where].astype(np.int64)
    if location is not None and location.trusted:
        inner = _inside_aorta(scan, where, component, location)
        if inner.any():
            parts = mask.astype(np.uint8)
            parts.reshape(-1)[where[inner]] = 2
            components = cc3d.connected_components(parts, connectivity=connectivity)
            component = components.reshape(-1)[where].astype(np.int64)
    del components, mask

    sizes = np.bincount(component)
    volumes = sizes * scan.geometry.voxel_volume_mm3
    real = sizes > 0
    small, large = real & (volumes < min_volume_mm3), real & (volumes > max_volume_mm3)
    kept = (real & ~small & ~large)[component]
    where, component = where[kept], component[kept]

    # Number lesions by their first voxel in raster order, whatever order the library chose.
    _, first, component = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    component = rank[component]
    order = np.argsort(component, kind="stable")
    where = where[order]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(component, minlength=len(first)))]).astype(np.intp)
    return Candidates(
        geometry=scan.geometry,
        voxels=np.stack(np.unravel_index(where, scan.geometry.shape), axis=1).astype(np.intp),
        hu=scan.hu.reshape(-1)[where],
        offsets=offsets,
        threshold_hu=float(threshold_hu),
        dropped_small=int(small.sum()),
        dropped_large=int(large.sum()),
    )


def threshold_for_kvp(kvp: float | None) -> int:
    """Return the threshold for a tube voltage [kV] from `KVP_THRESHOLD_HU` [HU].

    Raises
    ------
    RecipeError
        When the scan does not say its voltage, or the table has no such row.

    >>> threshold_for_kvp(100)
    145
    """
    if kvp is None or round(kvp) not in KVP_THRESHOLD_HU:
        known = ", ".join(map(str, KVP_THRESHOLD_HU))
        raise RecipeError(
            f"a threshold by tube voltage needs one of {known} kV, got {kvp}; give threshold_hu as a number"
        )
    return KVP_THRESHOLD_HU[round(kvp)]


def _inside_aorta(
    scan: Scan, where: NDArray[np.intp], component: NDArray[np.int64], location: Location
) -> NDArray[np.bool_]:
    """Which bright voxels lie in the aorta, of the components that reach from it into the spine."""
    assert location.grid is not None
    at = np.stack(np.unravel_index(where, scan.hu.shape), axis=1) * np.asarray(scan.geometry.spacing)
    near = within(at, location.grid.lower_mm, location.grid.upper_mm)
    inner, spine = np.zeros((2, len(where)), dtype=bool)
    inner[near] = location.grid.sample(location.aorta, at[near], 0.0) >= AORTA_SHARE
    spine[near] = location.grid.sample(location.organs[Organ.SPINE], at[near], 0.0) >= SPINE_SHARE
    count = int(component.max(initial=0)) + 1
    both = np.bincount(component[inner], minlength=count).astype(bool)
    both &= np.bincount(component[spine], minlength=count).astype(bool)
    return np.asarray(inner & both[component])
