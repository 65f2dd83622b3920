"""The aorta: what the atlases say, refined by a circular search in the slice.

Ascending and descending aorta are nearly round in axial slices. Around the disc the atlases propose, the circle is
looked for whose inside is soft and whose rim is darker; the arch, which is not round there, stays as fused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_ml.anatomy import Organ
from calcscore_ml.heart.grid import F32, Grid

SEARCH_MM = 10.0
"""How far a circle's centre may lie from the proposed one [mm]."""

COARSE_MM = 2.0
"""Step of the search for a path of circles; around it the search is finer [mm]."""

GROW_MM = (-2.0, 3.0)
"""How much smaller or larger than proposed its radius may be [mm]."""

STEP_MM = 1.0
"""Step of the search [mm]."""

RADII_MM = (7.0, 32.0)
"""Thoracic aortas have radii between these [mm]."""

IN_MM, OUT_MM = 2.0, 2.0
"""The rim is the difference between this far inside and this far outside the circle [mm]."""

ANGLES = 32
"""Places on the circle where the rim is looked at."""

RIM_HU = (-20.0, 120.0)
"""A difference across the rim counts within these: what touches the aorta neither helps nor harms [HU]; our choice."""

AWAY_HU_PER_MM2 = 0.2
"""Price of leaving the proposed circle [HU/mm2]; our choice."""

JUMP_HU_PER_MM2 = 1.0
"""Price of moving from slice to slice [HU/mm2]; our choice."""

EVEN_MM = 2.0
"""The descending aorta hardly changes its width: a circle of a radius farther above the median than this has taken in
what lies beside the aorta [mm]; our choice."""

SOFT_HU = 2.0
"""Circles whose rims differ by this from the best one count still [HU]; our choice."""

SMOOTH_SLICES = 1.0
"""Standard deviation of the Gaussian over slices that smooths the circles [voxels]."""

ROUND = (Organ.ASCENDING_AORTA, Organ.DESCENDING_AORTA)
"""Parts searched by circles."""


def refine_aorta(hu: F32, grid: Grid, organs: dict[Organ, F32]) -> dict[Organ, F32]:
    """Replace ascending and descending aorta by circles found in the slices.

    Parameters
    ----------
    hu : array of float32
        Coarse copy of the scan, clipped to soft tissue, where rims are looked at [HU].
    grid : Grid
        Of `hu` and `organs`.
    organs : dict of Organ to array of float32
        Shares of the atlases' votes.

    Returns
    -------
    dict of Organ to array of float32
        The same with the round parts refined; what they gain, the others lose.
    """
    out = dict(organs)
    for organ in ROUND:
        circles = propose(organs[organ], grid)
        if len(circles) == 0:
            continue
        disc = draw(_search(hu, grid, circles, even=organ == Organ.DESCENDING_AORTA), grid)
        new = organs[organ].copy()
        rows = circles[:, 0].astype(int)
        arch = organs[Organ.AORTIC_ARCH][rows] > organs[organ][rows]
        new[rows] = np.where(arch, organs[organ][rows], disc[rows])
        for other in out:
            if other != organ:
                out[other] = np.minimum(out[other], 1 - new).astype(np.float32)
        out[organ] = new
    return out


def propose(share: F32, grid: Grid) -> NDArray[np.float64]:
    """Circle of each slice with the area and the centre of a share: (k, 4) slice, y, x, radius [mm]."""
    rows = []
    for z, plane in enumerate(share):
        inside = plane >= 0.5
        area = float(plane[plane > 0.1].sum()) * grid.step_mm**2
        radius = np.sqrt(area / np.pi)
        if inside.sum() < 3 or not RADII_MM[0] <= radius <= RADII_MM[1]:
            continue
        y, x = ndimage.center_of_mass(np.where(plane > 0.1, plane, 0))
        rows.append((z, grid.lower_mm[1] + y * grid.step_mm, grid.lower_mm[2] + x * grid.step_mm, radius))
    return np.array(rows).reshape(-1, 4)


def draw(circles: NDArray[np.float64], grid: Grid) -> F32:
    """Draw discs with edges of one voxel on a grid."""
    out = np.zeros(grid.shape, dtype=np.float32)
    y = grid.lower_mm[1] + np.arange(grid.shape[1])[:, None] * grid.step_mm
    x = grid.lower_mm[2] + np.arange(grid.shape[2]) * grid.step_mm
    for z, cy, cx, radius in circles:
        inside = 0.5 + (radius - np.hypot(y - cy, x - cx)) / grid.step_mm
        out[int(z)] = np.maximum(out[int(z)], np.clip(inside, 0, 1))
    return out


def _search(hu: F32, grid: Grid, circles: NDArray[np.float64], *, even: bool) -> NDArray[np.float64]:
    """Best circle of each slice: a path of circles through the slices, then a finer look around each."""
    steps = np.arange(-SEARCH_MM, SEARCH_MM + COARSE_MM / 2, COARSE_MM)
    grow = np.arange(GROW_MM[0], GROW_MM[1] + STEP_MM / 2, STEP_MM)
    dy, dx, dr = (v.ravel() for v in np.meshgrid(steps, steps, grow, indexing="ij"))
    places = len(steps) ** 2
    gain = np.stack([_rim(hu, grid, circle, dy, dx, dr) for circle in circles])
    gain -= AWAY_HU_PER_MM2 * (dy**2 + dx**2 + dr**2)
    gain = gain.reshape(len(circles), places, len(grow))
    path = _best_path(gain.max(axis=2), np.stack([dy, dx], axis=1)[:: len(grow)])
    size = gain[np.arange(len(circles)), path].argmax(axis=1)
    found = circles.copy()
    found[:, 1] += dy[:: len(grow)][path]
    found[:, 2] += dx[:: len(grow)][path]
    found[:, 3] += grow[size]
    fine = np.arange(-COARSE_MM, COARSE_MM + STEP_MM / 2, STEP_MM)
    dy, dx, dr = (v.ravel() for v in np.meshgrid(fine, fine, fine, indexing="ij"))
    for row, circle in enumerate(found.copy()):
        score = _rim(hu, grid, circle, dy, dx, dr)
        # A mean over the good circles is steadier than the best one.
        weight = np.exp((score - score.max()) / SOFT_HU)
        weight /= weight.sum()
        found[row, 1:] += weight @ dy, weight @ dx, weight @ dr
    if even:
        found[:, 3] = np.minimum(found[:, 3], np.median(found[:, 3]) + EVEN_MM)
    for column in (1, 2, 3):
        moved = found[:, column] - circles[:, column]
        found[:, column] = circles[:, column] + ndimage.gaussian_filter1d(moved, SMOOTH_SLICES, mode="nearest")
    return found


def _rim(
    hu: F32,
    grid: Grid,
    circle: NDArray[np.float64],
    dy: NDArray[np.float64],
    dx: NDArray[np.float64],
    dr: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean difference across the rim of a circle moved by (dy, dx) and grown by dr [HU]."""
    z, cy, cx, radius = circle
    angle = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    rims = []
    for reach in (-IN_MM, OUT_MM):
        r = np.maximum(radius + dr + reach, 1.0)
        y = (cy + dy)[:, None] + r[:, None] * np.sin(angle)
        x = (cx + dx)[:, None] + r[:, None] * np.cos(angle)
        at = np.stack([(y - grid.lower_mm[1]) / grid.step_mm, (x - grid.lower_mm[2]) / grid.step_mm])
        rims.append(ndimage.map_coordinates(hu[int(z)], at, np.float32, order=1, mode="nearest"))
    return np.asarray(np.clip(rims[0] - rims[1], *RIM_HU).mean(axis=1), dtype=np.float64)


def _best_path(gain: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.intp]:
    """State of each slice on the path with the largest sum of gains less jumps between slices (Viterbi)."""
    jump = JUMP_HU_PER_MM2 * ((offsets[:, None] - offsets[None]) ** 2).sum(axis=2)
    total, came = gain[0], []
    for row in gain[1:]:
        every = total[None] - jump
        came.append(every.argmax(axis=1))
        total = every.max(axis=1) + row
    path = [int(total.argmax())]
    for back in reversed(came):
        path.append(int(back[path[-1]]))
    return np.array(path[::-1], dtype=np.intp)
