"""Border: how a lesion lies to the lung beside it, and whether it is no more than the rim of an edge.

Edge-enhancing kernels brighten soft tissue along its border with the lung: a rim that touches lung on one side only, is
stretched along the border, and rises above the tissue behind it by a share of the step in HU. Lung is every voxel below
-500 HU, as in the family `neighbourhood`. r is `Settings.shell_mm`; the shell of radius s is every voxel at most s from
some voxel of the lesion, without the lesion. u_k is the unit vector from the lesion's centre, the mean of its voxels'
centres, to voxel k of the shell of radius r, x_k its HU; m is the mean u_k of lung. The lung's side is u_k m ≥ |m| / 2,
the other side u_k m ≤ -|m| / 2. V is the covariance of the lesion's voxels within the slices, with that of a voxel's
own area; n is m without its part along z, of length 1.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from calcscore_features.feature import Feature, Settings
from calcscore_features.members import Floats, Ints, Members, ratio
from calcscore_features.neighbourhood import DENSE_FROM_HU, FAT_FROM_HU, LUNG_BELOW_HU, shells

NEAR = 0.4
"""Radius of the inner shell, as a share of r: 2 mm of 5 mm (our choice)."""

FAR = 4.0
"""Lung farther than this many r is not looked for: 20 mm of 5 mm (our choice)."""

SIDE_COS = 0.5
"""What lies within 60 degrees of a direction is on its side (our choice)."""

BALANCED = 1e-6
"""A mean direction shorter than this is none: lung lies evenly around."""

LEAST_STEP_HU = 100.0
"""A smaller step across the lesion is no border of lung [HU] (our choice)."""

_FILLED = "NaN: the lesion fills the scan"
_NO_LUNG = "NaN: no lung in the shell"
_NO_SIDE = "NaN: no lung in the shell, or evenly around"
_NO_STEP = "NaN: no lung in the shell, or nothing on one of the sides"


def _feature(name: str, unit: str, formula: str, degenerate: str = "") -> Feature:
    return Feature(f"border_{name}", "border", unit, formula, "this project", degenerate)


FEATURES: tuple[Feature, ...] = (
    _feature("lung_distance_mm", "mm", "least distance of a lesion's voxel to a voxel of lung, at most 4 r"),
    _feature("near_lung_fraction", "1", "share of lung in the shell of radius 0.4 r", _FILLED),
    _feature("lung_z", "1", "sum of u_k of lung / voxels of the shell, along z", _FILLED),
    _feature("lung_y", "1", "the same along y", _FILLED),
    _feature("lung_x", "1", "the same along x", _FILLED),
    _feature("one_sidedness", "1", "|m|", _NO_LUNG),
    _feature("across_fraction", "1", "n V n / trace V", f"{_NO_SIDE}, or along z"),
    _feature("step_hu", "HU", "mean x_k on the other side - mean x_k on the lung's side", _NO_STEP),
    _feature("rise_hu", "HU", "largest HU of the lesion - mean x_k on the other side", _NO_STEP),
    _feature("overshoot", "1", "rise_hu / step_hu", f"{_NO_STEP}, or a step below 100 HU"),
    _feature("peak_to_noise", "1", "(largest HU of the lesion - mean) / SD of x_k in -150 ≤ x_k < 130",
             "NaN: no such voxel in the shell, or all alike"),
)  # fmt: skip
"""The features of the border in order."""


def compute(members: Members, settings: Settings) -> dict[str, Floats]:
    """Describe how every lesion lies to the lung.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.
    settings : Settings
        Holds the radius.

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `FEATURES`.
    """
    columns = {f.name.removeprefix("border_"): np.full(len(members), np.nan) for f in FEATURES}
    columns["lung_distance_mm"] = _distance(members, FAR * settings.shell_mm)
    hu = members.hu_volume.reshape(-1)
    for owner, voxel in shells(members, NEAR * settings.shell_mm):
        lesion, start, count = _groups(owner)
        columns["near_lung_fraction"][lesion] = np.add.reduceat(hu[voxel] < LUNG_BELOW_HU, start, dtype=float) / count
    for owner, voxel in shells(members, settings.shell_mm):
        _describe(members, owner, voxel, columns)
    return {f"border_{name}": values for name, values in columns.items()}


def _distance(members: Members, most_mm: float) -> Floats:
    """Least distance from each lesion to lung, cut at the most, (L,)."""
    lung = members.hu_volume < LUNG_BELOW_HU
    inner = lung.copy()
    for axis in range(3):  # only lung's own border can be nearest
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        inner[tuple(behind)] &= lung[tuple(ahead)]
        inner[tuple(ahead)] &= lung[tuple(behind)]
    rim = np.argwhere(lung & ~inner)
    own = members.hu < LUNG_BELOW_HU
    if not len(rim):
        return np.minimum.reduceat(np.where(own, 0.0, most_mm), members.start)
    outer = ~np.logical_and.reduce([members.owns(int(s)) for step in members.stride for s in (step, -step)])
    found = np.full(len(members.voxel), most_mm)
    tree = KDTree(rim * members.spacing, balanced_tree=False, compact_nodes=False)
    near, _ = tree.query(members.voxel[outer] * members.spacing, distance_upper_bound=most_mm)
    found[outer] = np.minimum(near, most_mm)
    found[own] = 0.0
    return np.asarray(np.minimum.reduceat(found, members.start))


def _groups(owner: Ints) -> tuple[Ints, Ints, Ints]:
    start = np.flatnonzero(np.append(True, np.diff(owner) != 0))
    return owner[start], start, np.diff(np.append(start, len(owner)))


def _describe(members: Members, owner: Ints, voxel: Ints, columns: dict[str, Floats]) -> None:
    """Fill in what is seen in a block of shells; sides are asked for only where there is lung."""
    lesion, start, count = _groups(owner)
    x = members.hu_volume.reshape(-1)[voxel].astype(np.float64)
    soft = (x >= FAT_FROM_HU) & (x < DENSE_FROM_HU)
    number = np.add.reduceat(soft, start, dtype=np.float64)
    level = ratio(np.add.reduceat(np.where(soft, x, 0.0), start), number)
    spread = np.add.reduceat(np.where(soft, (x - np.repeat(level, count)) ** 2, 0.0), start)
    peak = np.maximum.reduceat(members.hu, members.start)
    columns["peak_to_noise"][lesion] = ratio(peak[lesion] - level, np.sqrt(ratio(spread, number)))
    for name in "zyx":
        columns[f"lung_{name}"][lesion] = 0.0
    beside = np.add.reduceat(x < LUNG_BELOW_HU, start, dtype=np.intp) > 0
    if beside.any():
        keep = np.repeat(beside, count)
        _sides(members, owner[keep], voxel[keep], x[keep], peak, columns)


def _sides(members: Members, owner: Ints, voxel: Ints, x: Floats, peak: Floats, columns: dict[str, Floats]) -> None:
    """Fill in on which side lung lies, and how HU and the lesion lie to that, for lesions with lung in their shell."""
    lesion, start, count = _groups(owner)
    row = np.repeat(np.arange(len(lesion)), count)

    def total(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, start, axis=0, dtype=np.float64))

    centre = members.mean(members.local_mm)
    place = np.stack(np.unravel_index(voxel, members.hu_volume.shape), axis=1)
    away = (place - members.lower[owner]) * members.spacing - centre[owner]
    length = np.linalg.norm(away, axis=1)
    unit = ratio(away, length[:, None])
    unit[length == 0] = 0.0
    lung = x < LUNG_BELOW_HU
    pull = total(unit * lung[:, None])
    for axis, name in enumerate("zyx"):
        columns[f"lung_{name}"][lesion] = pull[:, axis] / count
    mean = pull / total(lung.astype(np.float64))[:, None]
    size = np.linalg.norm(mean, axis=1)
    columns["one_sidedness"][lesion] = size
    toward = np.where(size > BALANCED, 1.0, np.nan)[:, None] * ratio(mean, size[:, None])
    cos = (unit * toward[row]).sum(axis=1)
    front, back = (
        ratio(total(np.where(side, x, 0.0)), total(side.astype(np.float64)))
        for side in (cos >= SIDE_COS, cos <= -SIDE_COS)
    )
    step, rise = back - front, np.where(np.isnan(front), np.nan, peak[lesion] - back)
    columns["step_hu"][lesion], columns["rise_hu"][lesion] = step, rise
    columns["overshoot"][lesion] = np.where(step >= LEAST_STEP_HU, ratio(rise, step), np.nan)
    columns["across_fraction"][lesion] = _across(members, centre, lesion, toward)


def _across(members: Members, centre: Floats, lesion: Ints, toward: Floats) -> Floats:
    """Share of the spread within slices of some lesions that lies across the border, one each."""
    away = (members.local_mm - centre[members.lesion])[:, 1:]
    spread = (members.mean(away**2) + members.spacing[1:] ** 2 / 12)[lesion]
    mixed = members.mean(away[:, 0] * away[:, 1])[lesion]
    size = np.linalg.norm(toward[:, 1:], axis=1)
    normal = np.where(size > BALANCED, 1.0, np.nan)[:, None] * ratio(toward[:, 1:], size[:, None])
    along = (normal**2 * spread).sum(axis=1) + 2 * normal[:, 0] * normal[:, 1] * mixed
    return np.asarray(along / spread.sum(axis=1))
