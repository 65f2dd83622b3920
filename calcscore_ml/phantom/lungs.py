"""Vessels of the lungs: trees that fork from the hila towards the pleura. Sizes are ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.phantom.canvas import F32, Grid, Tube
from calcscore_ml.phantom.heart import Heart
from calcscore_ml.phantom.painter import paint_tube

HILA: tuple[tuple[float, float, float], ...] = (
    (-50, 38, 26),
    (-56, 46, -2),
    (-54, 60, -14),
    (52, 46, 36),
    (57, 60, 4),
    (58, 68, -12),
)
"""Where the trees start: right upper, middle, lower, left the same; offsets from the aortic valve, (x, y, z) [mm]."""

TREES = 12
"""Trees per hilum; artery, vein and their segmental branches are not told apart."""

GENERATIONS = 6
"""Forks between the hilum and the finest vessel painted."""


def paint_lung_vessels(volume: F32, grid: Grid, heart: Heart) -> None:
    """Paint the trees onto the fine grid."""
    rng = heart.patient.stream("lung vessels")
    hu = 0.5 * (heart.patient.tissue.left_blood_hu + heart.patient.tissue.right_blood_hu) - 5
    half = heart.patient.chest_half_width_mm
    for hilum in HILA:
        side = np.sign(hilum[0])
        start = heart.place(hilum)
        for _ in range(TREES):
            aim = np.array([rng.normal(0, 0.9), rng.normal(0.1, 0.8), side * abs(rng.normal(0.7, 0.5))])
            for shape in _grow(rng, start + rng.normal(0, 3, 3), aim, float(rng.uniform(2.6, 4.6)), GENERATIONS):
                if (
                    abs(shape.points[:, 2]).max() < half - 10
                    and shape.points[:, 1].max() < 18
                    and _in_lung(volume, grid, shape)
                ):
                    paint_tube(volume, grid, shape, hu, edge_mm=1.2)


def _grow(
    rng: np.random.Generator, start: NDArray[np.float64], aim: NDArray[np.float64], radius: float, left: int
) -> list[Tube]:
    aim = aim / max(float(np.linalg.norm(aim)), 1e-6)
    length = float(rng.uniform(9, 20)) * (radius / 2.5) ** 0.35
    bend = start + 0.5 * length * aim + rng.normal(0, 1.2, 3)
    end = start + length * aim + rng.normal(0, 1.5, 3)
    shapes = [Tube(np.array([start, bend, end]), np.array([radius, 0.94 * radius, 0.86 * radius]))]
    if left <= 1 or radius < 0.7:
        return shapes
    for share in (0.84, 0.68):
        shapes += _grow(rng, end, aim + rng.normal(0, 0.5, 3), radius * share, left - 1)
    return shapes


def _in_lung(volume: F32, grid: Grid, shape: Tube) -> bool:
    """Whether the tube's middle and end lie in painted lung: no vessel runs through a rib."""
    for point in shape.points[1:]:
        k, i, j = (int(np.searchsorted(axis, v)) for axis, v in zip((grid.z, grid.y, grid.x), point, strict=True))
        if k >= len(grid.z) or i >= len(grid.y) or j >= len(grid.x) or min(k, i, j) < 1:
            return False
        if volume[k, i, j] > -500:
            return False
    return True
