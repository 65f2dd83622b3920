"""The voxels of all lesions in one sorted list, and sums over each lesion.

A *key* is one number for a voxel of a lesion: ``lesion * volume + linear index``, with the linear index
counted in a grid padded by one voxel on every side. So a neighbour's key is the key plus a constant, rows
never run into each other, and whether the neighbour belongs to the lesion is one binary search in the sorted
keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_features.feature import Lesions

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """Voxels of all lesions, sorted by lesion, z, y, x.

    Parameters
    ----------
    hu_volume : (nz, ny, nx) array
        HU values of the whole scan.
    spacing : (3,) array of float
        (z, y, x) [mm].
    voxel : (n, 3) array of int
        Indices (z, y, x).
    hu : (n,) array of float
        HU value of each voxel.
    lesion : (n,) array of int
        Which lesion owns each voxel.
    start, count : (L,) arrays of int
        First voxel and number of voxels of each lesion.
    lower : (L, 3) array of int
        Lowest index of each lesion's bounding box.
    key : (n,) array of int
        Strictly increasing, see the module's docstring.
    stride : (3,) array of int
        Step of the key along z, y, x.
    """

    hu_volume: NDArray[np.int16] | NDArray[np.float32]
    spacing: Floats
    voxel: Ints
    hu: Floats
    lesion: Ints
    start: Ints
    count: Ints
    lower: Ints
    key: Ints
    stride: Ints

    @classmethod
    def of(cls, lesions: Lesions) -> Members:
        """Sort the voxels of at least one lesion."""
        _, ny, nx = lesions.hu.shape
        stride = np.array([(ny + 2) * (nx + 2), nx + 2, 1], dtype=np.intp)
        count = np.diff(lesions.offsets)
        lesion = np.repeat(np.arange(len(lesions)), count)
        key = lesion * (stride[0] * (lesions.hu.shape[0] + 2)) + (lesions.voxels + 1) @ stride
        voxel = lesions.voxels
        if (np.diff(key) <= 0).any():
            order = np.argsort(key, kind="stable")
            key, voxel = key[order], voxel[order]
            if (np.diff(key) == 0).any():
                twice = int(lesion[np.argmax(np.diff(key) == 0)])
                raise ValueError(f"a voxel may stand only once in a lesion, lesion {twice} repeats one")
        start = lesions.offsets[:-1]
        hu = lesions.hu[voxel[:, 0], voxel[:, 1], voxel[:, 2]].astype(np.float64)
        lower = np.minimum.reduceat(voxel, start, axis=0)
        return cls(lesions.hu, np.asarray(lesions.spacing), voxel, hu, lesion, start, count, lower, key, stride)

    def __len__(self) -> int:
        """Count the lesions."""
        return len(self.start)

    @property
    def extent(self) -> Ints:
        """Voxels spanned along z, y, x by each lesion, (L, 3)."""
        return np.asarray(np.maximum.reduceat(self.voxel, self.start, axis=0) - self.lower + 1)

    @property
    def local_mm(self) -> Floats:
        """Voxel centres relative to the lowest corner voxel of their lesion, (n, 3) [mm]: not moved by translation."""
        return np.asarray((self.voxel - self.lower[self.lesion]) * self.spacing)

    def total(self, values: Floats) -> Floats:
        """Sum (n, ...) values over each lesion, (L, ...)."""
        return np.asarray(np.add.reduceat(values, self.start, axis=0, dtype=np.float64))

    def mean(self, values: Floats) -> Floats:
        """Average (n, ...) values over each lesion, (L, ...)."""
        return np.asarray((self.total(values).T / self.count).T)

    def owns(self, shift: int) -> NDArray[np.bool_]:
        """Whether the voxel at a constant shift of the key belongs to the same lesion, (n,)."""
        return self.find(shift) >= 0

    def find(self, shift: int) -> Ints:
        """Where in the list the voxel at a constant shift of the key stands, -1 if the lesion does not own it, (n,)."""
        wanted = self.key + shift
        place = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        return np.where(self.key[place] == wanted, place, -1)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, NaN where the denominator is zero.

    >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    nothing = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=nothing, where=np.asarray(denominator) != 0))
