"""The marching-cubes surface of every lesion at once.

The surface of a binary mask at 0.5 depends, in each cell of 2 x 2 x 2 voxels, only on which of the eight
corners are inside: 256 cases. Each case contributes a fixed area, and by Gauss's theorem a fixed volume once
its area vector is known, so the meshes of all lesions are three table lookups and a sum. The table comes from
scikit-image and is the one of Lorensen and Cline (1987); it is closed across cells and the same under every
turn and mirror of the cube (both tested).
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from calcscore_features.members import Floats, Ints, Members

CORNERS: NDArray[np.intp] = np.array(list(product((0, 1), repeat=3)), dtype=np.intp)
"""The corners (z, y, x) of a cell; corner k sets bit k of the case."""


def area_and_volume(members: Members) -> tuple[Floats, Floats]:
    """Measure the mesh of every lesion.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.

    Returns
    -------
    area_mm2, volume_mm3 : (L,) arrays of float
        Of the mesh at 0.5 of the zero-padded mask.

    References
    ----------
    Zwanenburg et al., Image Biomarker Standardisation Initiative, arXiv:1612.07003, RNU0 and C0JK.
    """
    case_of_voxel = np.concatenate([members.key - int(corner @ members.stride) for corner in CORNERS])
    cell, which = np.unique(case_of_voxel, return_inverse=True)
    bits = np.repeat(1 << np.arange(8), len(members.key))
    case = np.bincount(which, weights=bits, minlength=len(cell)).astype(np.intp)
    grid = members.stride[0] * (members.hu_volume.shape[0] + 2)
    # The lowest cell of a lesion at the volume's first voxel still has a key of at least 0: the grid is padded.
    owner, linear = np.divmod(cell, grid)
    z, rest = np.divmod(linear, members.stride[0])
    y, x = np.divmod(rest, members.stride[1])
    centre = (np.stack([z, y, x], axis=1) - 1 - members.lower[owner] + 0.5) * members.spacing
    area, vector, volume = _case_table(tuple(members.spacing.tolist()))
    flux = volume[case] + (centre * vector[case]).sum(axis=1) / 3
    count = len(members)
    return _sums(owner, area[case], count), _sums(owner, flux, count)


def vertices(members: Members) -> tuple[Ints, Ints]:
    """List the mesh vertices of every lesion that can be corners of its convex hull.

    A vertex of the mesh lies half-way between a voxel inside and a neighbour outside. On any straight line of
    the grid only the two outermost can be corners of the hull; the others are left out.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.

    Returns
    -------
    owner : (m,) array of int
        Lesion of each vertex, increasing.
    point : (m, 3) array of int
        Position in half voxels relative to the lesion's lowest corner voxel.
    """
    local = members.voxel - members.lower[members.lesion]
    owners, points = [], []
    for axis in range(3):
        for side in (-1, 1):
            outside = ~members.owns(side * int(members.stride[axis]))
            owners.append(members.lesion[outside])
            points.append(2 * local[outside] + side * np.eye(3, dtype=np.intp)[axis])
    owner, point = np.concatenate(owners), np.concatenate(points)
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        order = np.lexsort((point[:, axis], point[:, others[0]], point[:, others[1]], owner))
        owner, point = owner[order], point[order]
        line = np.column_stack([owner, point[:, others]])
        change = np.ones(len(line) + 1, dtype=bool)
        change[1:-1] = (np.diff(line, axis=0) != 0).any(axis=1)
        keep = change[1:] | change[:-1]
        owner, point = owner[keep], point[keep]
    order = np.argsort(owner, kind="stable")
    return owner[order], point[order]


def hulls(members: Members) -> tuple[Floats, Floats]:
    """Measure the convex hull of every lesion's mesh.

    Most lesions of a scan share a few small shapes, so each distinct set of vertices is worked out once.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.

    Returns
    -------
    volume_mm3, diameter_mm : (L,) arrays of float
        Volume of the hull and largest distance of two vertices.
    """
    owner, point = vertices(members)
    first = np.searchsorted(owner, np.arange(len(members) + 1)).tolist()
    compact = point.astype(np.int32)
    half_voxel = members.spacing / 2
    known: dict[bytes, tuple[float, float]] = {}
    found = np.empty((len(members), 2))
    for lesion in range(len(members)):
        corners = compact[first[lesion] : first[lesion + 1]]
        shape = corners.tobytes()
        if shape not in known:
            hull = ConvexHull(corners)
            known[shape] = float(hull.volume), float(pdist(corners[hull.vertices] * half_voxel).max())
        found[lesion] = known[shape]
    return found[:, 0] * half_voxel.prod(), found[:, 1]


@cache
def _case_table(spacing: tuple[float, float, float]) -> tuple[Floats, Floats, Floats]:
    """Area, area vector and volume term (about the cell's centre) of the 256 cases at a spacing."""
    triangle, case = _triangles()
    mm = (triangle - 0.5) * np.array(spacing)
    vector = np.cross(mm[:, 2] - mm[:, 0], mm[:, 1] - mm[:, 0]) / 2  # outwards: z, y, x is a left-handed order
    area = _sums(case, np.linalg.norm(vector, axis=1), 256)
    vectors = np.stack([_sums(case, vector[:, axis], 256) for axis in range(3)], axis=1)
    volume = _sums(case, (vector * mm.mean(axis=1)).sum(axis=1) / 3, 256)
    return area, vectors, volume


@cache
def _triangles() -> tuple[Floats, Ints]:
    """Corners of every triangle of the 256 cases in cell units, (t, 3, 3), and their case, (t,)."""
    from skimage.measure import marching_cubes  # only here: nothing else in the package needs scikit-image

    triangles, cases = [], []
    for case in range(1, 255):
        cell = ((case >> np.arange(8)) & 1).reshape(2, 2, 2).astype(np.float32)
        vertex, face, _, _ = marching_cubes(cell, 0.5, method="lorensen")  # type: ignore[no-untyped-call]
        triangles.append(vertex[face].astype(np.float64))
        cases.append(np.full(len(face), case))
    return np.concatenate(triangles), np.concatenate(cases)


def _sums(group: Ints, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(group, weights=values, minlength=count), dtype=np.float64)
