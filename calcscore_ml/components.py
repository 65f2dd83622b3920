"""Connected components of a sparse set of voxels, without a volume.

Scores ask for components of a few hundred voxels, once per rule. Looking neighbours up in a sorted list costs what the
voxels cost, not what the volume costs.
"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Connectivity = Literal[4, 6, 8, 18, 26]
"""Neighbours of a voxel: 4 or 8 in its slice, 6, 18 or 26 in space."""

_REACH: dict[int, tuple[int, int]] = {4: (0, 1), 8: (0, 2), 6: (1, 1), 18: (1, 2), 26: (1, 3)}
"""Connectivity: farthest neighbouring slice, and how many indices may change at once."""


def neighbour_steps(connectivity: Connectivity) -> NDArray[np.intp]:
    """Return one of each pair of opposite steps to a neighbour, (k, 3) in (z, y, x).

    >>> [len(neighbour_steps(c)) for c in (4, 8, 6, 18, 26)]
    [2, 4, 3, 9, 13]
    """
    slices, changes = _REACH[connectivity]
    steps = [
        step
        for step in itertools.product((0, 1, -1), repeat=3)
        if step > (0, 0, 0) and 1 <= sum(map(abs, step)) <= changes and abs(step[0]) <= slices
    ]
    return np.array(steps, dtype=np.intp)


def sparse_components(
    voxels: NDArray[np.integer], group: NDArray[np.integer], connectivity: Connectivity
) -> NDArray[np.intp]:
    """Number the connected components of a set of voxels.

    Parameters
    ----------
    voxels : (n, 3) array of int
        Distinct indices (z, y, x).
    group : (n,) array of int
        Voxels of different groups are never connected.
    connectivity : {4, 8, 6, 18, 26}
        4 and 8 stay within a slice.

    Returns
    -------
    (n,) array of int
        Component of each voxel, 0 to count - 1.

    >>> v = np.array([[0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 5, 5]])
    >>> [int(sparse_components(v, np.zeros(4, int), c).max()) + 1 for c in (4, 8, 6, 26)]
    [4, 3, 3, 2]
    """
    count = len(voxels)
    if count == 0:
        return np.zeros(0, dtype=np.intp)
    lower = voxels.min(axis=0)
    # One empty voxel behind each axis: a step over the edge lands on it and not in the next row.
    extent = voxels.max(axis=0) - lower + 2
    stride = np.array([extent[1] * extent[2], extent[2], 1], dtype=np.int64)
    # Padded by a whole slice in front, so that a step backwards over the edge stays distinct too.
    key = (voxels - lower + 1) @ stride
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    left: list[NDArray[np.intp]] = []
    right: list[NDArray[np.intp]] = []
    for step in neighbour_steps(connectivity):
        place = np.searchsorted(ordered, ordered + step @ stride)
        found = np.flatnonzero(place < count)
        found = found[ordered[place[found]] == ordered[found] + step @ stride]
        a, b = order[found], order[place[found]]
        same = group[a] == group[b]
        left.append(a[same])
        right.append(b[same])
    rows, columns = np.concatenate(left), np.concatenate(right)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)
