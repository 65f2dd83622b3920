"""Neighbourhood: what lies in the shell around a lesion.

The shell is every voxel of the scan whose centre is at most r mm (`Settings.shell_mm`) from the centre of
some voxel of the lesion, without the lesion itself. Other lesions in the shell count like any tissue. x_k are
the HU values in the shell.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from calcscore_features.feature import Feature, Settings
from calcscore_features.members import Floats, Ints, Members

LUNG_BELOW_HU = -500
"""Voxels below are mostly air: lung, airway or the outside [HU]. Voxels between air and fat are counted as neither."""

FAT_FROM_HU = -150
"""Lower end of fat [HU]."""

SOFT_FROM_HU = -30
"""Lower end of soft tissue and blood, upper end of fat [HU]."""

DENSE_FROM_HU = 130
"""Lower end of what may be calcium, upper end of soft tissue [HU]."""

VERY_DENSE_FROM_HU = 400
"""Lower end of the highest Agatston weight: dense calcium, cortical bone, metal [HU]."""

SHELL_TOLERANCE = 1e-9
"""Relative tolerance on the shell's radius, so that rounding does not decide about a voxel exactly on it."""

MAX_SHELL_VOXELS = 1 << 22
"""Upper bound of shell voxels held in memory at a time, where lesions allow (a single lesion is never split)."""

_EMPTY = "NaN: the lesion fills the scan"


def _feature(name: str, unit: str, formula: str, degenerate: str = _EMPTY) -> Feature:
    return Feature(f"shell_{name}", "neighbourhood", unit, formula, "this project", degenerate)


FEATURES: tuple[Feature, ...] = (
    _feature("mean_hu", "HU", "mean x_k"),
    _feature("sd_hu", "HU", "standard deviation of x_k (divided by their number)"),
    _feature("min_hu", "HU", "min x_k"),
    _feature("max_hu", "HU", "max x_k"),
    _feature("lung_fraction", "1", "share of x_k < -500"),
    _feature("fat_fraction", "1", "share of -150 ≤ x_k < -30"),
    _feature("soft_fraction", "1", "share of -30 ≤ x_k < 130"),
    _feature("dense_fraction", "1", "share of x_k ≥ 130"),
    _feature("very_dense_fraction", "1", "share of x_k ≥ 400"),
    _feature("other_lesions_mm3", "mm3", "v times the number of shell voxels in any other lesion", ""),
)
"""The neighbourhood features in order."""


def compute(members: Members, settings: Settings) -> dict[str, Floats]:
    """Describe the shell around every lesion.

    Lesions are taken as runs of voxels along x. For each row of the ball of radius r, every run becomes a
    longer run in a shifted row; the union of these intervals is the lesion grown by r, without ever listing a
    voxel twice.

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
    hu = members.hu_volume.reshape(-1)
    _, ny, nx = members.hu_volume.shape
    linear = members.voxel @ np.array([ny * nx, nx, 1])
    anyone = np.zeros(hu.size, dtype=bool)
    anyone[linear] = True
    columns = np.full((len(FEATURES), len(members)), np.nan)
    columns[-1] = 0.0
    for owner, voxel in shells(members, settings.shell_mm):
        x = hu[voxel].astype(np.float64)
        start = np.flatnonzero(np.append(True, np.diff(owner) != 0))
        lesion, count = owner[start], np.diff(np.append(start, len(owner)))
        mean = np.add.reduceat(x, start) / count
        spread = np.sqrt(np.add.reduceat((x - np.repeat(mean, count)) ** 2, start) / count)
        shares = [
            np.add.reduceat(chosen, start, dtype=np.float64) / count
            for chosen in (
                x < LUNG_BELOW_HU,
                (x >= FAT_FROM_HU) & (x < SOFT_FROM_HU),
                (x >= SOFT_FROM_HU) & (x < DENSE_FROM_HU),
                x >= DENSE_FROM_HU,
                x >= VERY_DENSE_FROM_HU,
            )
        ]
        others = np.add.reduceat(anyone[voxel], start, dtype=np.float64) * members.spacing.prod()
        lowest, highest = np.minimum.reduceat(x, start), np.maximum.reduceat(x, start)
        columns[:, lesion] = np.stack([mean, spread, lowest, highest, *shares, others])
    return {f.name: v for f, v in zip(FEATURES, columns, strict=True)}


def shells(members: Members, radius_mm: float) -> Iterator[tuple[Ints, Ints]]:
    """Yield blocks of whole lesions: owner and linear index of every shell voxel, lesion after lesion."""
    _, ny, nx = members.hu_volume.shape
    linear = members.voxel @ np.array([ny * nx, nx, 1])
    size = members.hu_volume.size
    begin, end = _grown_runs(members, radius_mm)
    length = end - begin + 1
    before = np.append(0, np.cumsum(length))
    owner = begin // size
    own = members.lesion * size + linear
    first = np.searchsorted(owner, np.arange(len(members) + 1))  # runs of lesion i: first[i] to first[i + 1]
    done = before[first]
    low = 0
    while low < len(members):
        high = max(low + 1, int(np.searchsorted(done, done[low] + MAX_SHELL_VOXELS, side="right")) - 1)
        runs = slice(first[low], first[high])
        place = np.repeat(begin[runs] - before[runs.start : runs.stop], length[runs]) + np.arange(done[low], done[high])
        keep = np.ones(len(place), dtype=bool)
        mine = slice(members.start[low], members.start[high - 1] + members.count[high - 1])
        keep[np.searchsorted(place, own[mine])] = False
        lesion = np.repeat(owner[runs], length[runs])[keep]
        if len(lesion):
            yield lesion, place[keep] - lesion * size
        low = high


def _grown_runs(members: Members, radius_mm: float) -> tuple[Ints, Ints]:
    """Runs that make up each grown lesion, disjoint: first and last ``lesion * size + linear index``, sorted."""
    nz, ny, nx = members.hu_volume.shape
    first = np.flatnonzero(np.append(True, np.diff(members.key) != 1))
    last = np.append(first[1:], len(members.key)) - 1
    layers = []
    for dz, dy, half in _ball_rows(members.spacing, radius_mm):
        z = members.voxel[first, 0, None] + dz
        y = members.voxel[first, 1, None] + dy
        from_x = np.maximum(members.voxel[first, 2, None] - half, 0)
        to_x = np.minimum(members.voxel[last, 2, None] + half, nx - 1)
        inside = (z >= 0) & (z < nz) & (y >= 0) & (y < ny)
        begin = ((members.lesion[first, None] * nz + z) * ny + y)[inside] * nx + from_x[inside]
        layers.append(_union(begin, begin + (to_x - from_x)[inside], members.hu_volume.size))
    begins, ends = zip(*layers, strict=True)
    return _union(np.concatenate(begins), np.concatenate(ends), members.hu_volume.size)


def _union(begin: Ints, end: Ints, size: int) -> tuple[Ints, Ints]:
    """Join closed intervals that overlap or touch, but none of two lesions; `size` is the scan's voxel count."""
    if not len(begin):
        return begin, end
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], np.maximum.accumulate(end[order])
    opens = np.append(True, (begin[1:] > end[:-1] + 1) | (np.diff(begin // size) != 0))
    closes = np.append(np.flatnonzero(opens)[1:], len(begin)) - 1
    return begin[opens], end[closes]


def _ball_rows(spacing: Floats, radius_mm: float) -> Iterator[tuple[int, Ints, Ints]]:
    """Yield the layers dz of a ball: its rows dy and how many voxels each reaches to either side along x."""
    square = (radius_mm * (1 + SHELL_TOLERANCE)) ** 2
    reach_z, reach_y, _ = np.floor(np.sqrt(square) / spacing).astype(int).tolist()
    for dz in range(-reach_z, reach_z + 1):
        dy = np.arange(-reach_y, reach_y + 1)
        rest = square - (dz * spacing[0]) ** 2 - (dy * spacing[1]) ** 2
        yield dz, dy[rest >= 0], np.floor(np.sqrt(rest[rest >= 0]) / spacing[2]).astype(np.intp)
