"""What lies around the patient: the couch, its rails and cushion, cables, electrodes and cloth.

Real scans show dozens of bright components outside the body; all of them come from here. Sizes and brightness are ours,
set by comparison with real scans.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from calcscore_ml.phantom.canvas import F32, Grid, Tube, lerp_matrix, path
from calcscore_ml.phantom.painter import AIR_HU, paint_tube
from calcscore_ml.phantom.thorax import Thorax

EMPTY_HU = -700.0
"""Only voxels darker than this, away from the body, can be filled by couch and cloth."""

COUCH_HALF_WIDTH_MM = 215.0
"""Half the width of the couch."""

ACROSS_SHARE = 0.5
"""How much the couch's brightness changes from slice to slice, relative to how much it changes from side to side."""

SEEN_SIGMA_MM = 0.66
"""Width of the point spread that thin things are seen through: those of `protocols.KERNELS` for chests."""

NEAR_THRESHOLD = 0.5
"""Share of carbon skins whose line lies about 115 HU, as those of two real couches do; noise breaks it into specks."""

ELECTRODES_MM = ((-110.0, 95.0), (105.0, 92.0), (100.0, -70.0), (-95.0, -75.0))
"""Where the electrodes of the heart's rhythm stick: x and height [mm]."""


def paint_couch(volume: F32, grid: Grid, thorax: Thorax, *, foam: bool = False) -> None:
    """Paint the couch below the patient onto the fine grid: skins, core, lower sides, rails, cushion.

    A couch of `foam` under thin carbon, as in radiotherapy, has nothing bright.
    """
    rng = thorax.patient.stream("table")
    curve = float(rng.choice([0.0, 0.0004, 0.0008, 0.0012]))
    x = grid.x[None, :]
    top = _lowest(thorax, curve) + float(rng.uniform(1, 14))
    surface = np.float32(top) - np.float32(curve) * x**2
    inside = np.abs(x) < COUCH_HALF_WIDTH_MM
    y = grid.y[:, None]
    if rng.random() < 0.75:  # a cushion with a cover
        pad = float(rng.uniform(-940, -760))
        _sheet(volume, grid, np.where(inside, np.maximum(surface - y - 9, y - surface + 1), 9.0), pad, 6.0, rng)
        _sheet(volume, grid, np.where(inside, np.abs(y - surface + 9) - 0.6, 9.0), -350.0, 120.0, rng)
    half, skin_hu = (1.2, -500.0) if foam else _skin(rng)
    _sheet(volume, grid, np.where(inside, np.abs(y - surface) - half, 9.0), skin_hu, 40.0, rng)
    if foam:
        return
    depth = float(rng.uniform(16, 42))
    kind = rng.random()
    if kind < 0.45:  # sides that meet below
        side = np.abs(y - surface - (COUCH_HALF_WIDTH_MM - np.abs(x)) * 0.62 - 1)
        shown = inside & (np.abs(x) > COUCH_HALF_WIDTH_MM - 110)
        half, skin_hu = _skin(rng)
        _sheet(volume, grid, np.where(shown, side - half, 9.0), skin_hu, 40.0, rng)
    else:  # a second skin, parallel
        half, skin_hu = _skin(rng)
        low = np.abs(y - surface - depth * (1 - (x / COUCH_HALF_WIDTH_MM) ** 2)) - half
        _sheet(volume, grid, np.where(inside, low, 9.0), skin_hu, 40.0, rng)
    if kind > 0.8:  # bright ends
        edge = np.hypot(np.abs(x) - COUCH_HALF_WIDTH_MM + 3, y - surface - 4) - float(rng.uniform(3, 7))
        _sheet(volume, grid, edge, float(rng.uniform(250, 1100)), 60.0, rng)
    if rng.random() < 0.4:  # rails of the frame
        rail = np.maximum(np.abs(np.abs(x) - rng.uniform(20, 60)) - 17, np.abs(y - top - depth - 12) - 3.5)
        z_end = float(rng.uniform(-120, 120))
        shown = grid.z > z_end if rng.random() < 0.5 else grid.z < z_end
        _sheet(volume, grid, rail, float(rng.uniform(200, 2200)), 80.0, rng, shown)


def paint_clutter(volume: F32, grid: Grid, thorax: Thorax, *, gated: bool) -> None:
    """Paint cables, electrodes and folds of cloth around the body onto the fine grid."""
    rng = thorax.patient.stream("clutter")
    low, high = float(thorax.grid.z[0]), float(thorax.grid.z[-1])
    wired = gated or rng.random() < 0.2
    for x0, z0 in ELECTRODES_MM:
        at = np.array([z0, 0.0, x0]) + rng.normal(0, 8, 3) * [1, 0, 1]
        if not wired or not low < at[0] < high:
            continue
        at[1] = _front(thorax, at[0], at[2]) - 1.5
        plate = at + np.array([[0, -0.3, -4.0], [0, 0.3, 4.0]])
        _paint_outside(volume, grid, Tube(plate, np.full(2, 1.6)), float(rng.uniform(-50, 350)))
        _paint_outside(volume, grid, Tube(plate - [0, 3, 0], np.full(2, 1.8)), float(rng.uniform(900, 2800)))
        _cable(volume, grid, thorax, at, rng)
    for _ in range(rng.poisson(0.8)):
        at = np.array([rng.uniform(low, high), 0.0, rng.uniform(-170, 170)])
        at[1] = _front(thorax, at[0], at[2]) - rng.uniform(2, 40)
        _cable(volume, grid, thorax, at, rng)
    for _ in range(rng.poisson(2)):
        z0, x0, offset = rng.uniform(low, high), rng.uniform(-150, 150), rng.uniform(1.5, 9)
        xs = x0 + np.linspace(0, rng.uniform(-60, 60), 6)
        zs = z0 + np.linspace(0, rng.uniform(-30, 30), 6)
        fold = np.array(
            [[z, _front(thorax, z, x) - offset - rng.uniform(0, 2), x] for z, x in zip(zs, xs, strict=True)]
        )
        _paint_outside(volume, grid, Tube(fold, np.full(6, rng.uniform(0.5, 1.4))), float(rng.uniform(-400, 320)))


def _skin(rng: np.random.Generator) -> tuple[float, float]:
    """Draw half the thickness [mm] and the HU of a carbon skin.

    Its line through a slice is so bright as drawn; a thin skin holds more, and where it runs aslant to the pixels its
    line breaks into dashes.
    """
    half = float(rng.uniform(0.7, 1.4))
    line_hu = float(rng.normal(115, 20) if rng.random() < NEAR_THRESHOLD else rng.uniform(-300, 480))
    return half, AIR_HU + (line_hu - AIR_HU) / float(erf(half / (np.sqrt(2) * SEEN_SIGMA_MM)))


def _cable(volume: F32, grid: Grid, thorax: Thorax, start: NDArray[np.float64], rng: np.random.Generator) -> None:
    points = [start - [0, 3, 0]]
    heading = float(rng.choice([-1, 1]))
    for _ in range(int(rng.integers(3, 7))):
        z = points[-1][0] + heading * rng.uniform(15, 45)
        x = points[-1][2] + rng.normal(0, 15)
        points.append(np.array([z, _front(thorax, z, x) - rng.uniform(2, 14), x]))
    line = path(points, 8.0)
    _paint_outside(volume, grid, Tube(line, np.full(len(line), rng.uniform(0.5, 1.1))), float(rng.uniform(300, 2600)))


def _paint_outside(volume: F32, grid: Grid, shape: Tube, hu: float) -> None:
    """Paint a tube where there was air."""
    low, high = shape.bounds
    window = grid.window(low - 2, high + 2)
    before = volume[window].copy()
    paint_tube(volume, grid, shape, hu)
    body = before > EMPTY_HU
    volume[window][body] = before[body]


def _front(thorax: Thorax, z: float, x: float) -> float:
    """Return the y of the skin in front, at a height and a side [mm]."""
    grid = thorax.grid
    k = int(np.clip(np.searchsorted(grid.z, z), 0, len(grid.z) - 1))
    j = int(np.clip(np.searchsorted(grid.x, x), 0, len(grid.x) - 1))
    body = np.flatnonzero(thorax.skin[k, :, j] < 0)
    return float(grid.y[body[0]]) if len(body) else -60.0


def _lowest(thorax: Thorax, curve: float) -> float:
    """Return the y of the couch's lowest line at which a couch of this curvature touches the body [mm]."""
    grid = thorax.grid
    body = (thorax.skin < 0).any(axis=0)
    back = np.where(body, grid.y[:, None], np.float32(-1e3)).max(axis=0)
    near = np.abs(grid.x) < COUCH_HALF_WIDTH_MM
    return float((back + np.float32(curve) * grid.x**2)[near].max())


def _sheet(
    volume: F32,
    grid: Grid,
    distance: F32,
    hu: float,
    texture_hu: float,
    rng: np.random.Generator,
    shown: NDArray[np.bool_] | None = None,
) -> None:
    """Fill the air inside a cross-section, (y, x) distance [mm], along the couch, with a woven texture."""
    heights = np.arange(grid.z[0], grid.z[-1] + 5.0, 5.0)
    sides = np.arange(grid.x[0], grid.x[-1] + 4.0, 4.0)
    # A couch is drawn in one piece: what is brighter runs along all slices.
    along = rng.standard_normal((1, len(sides))) + ACROSS_SHARE * rng.standard_normal((len(heights), len(sides)))
    weave = along.astype(np.float32) * np.float32(texture_hu)
    rows = np.flatnonzero((distance < 0.5).any(axis=1))
    if not len(rows):
        return
    fill = (lerp_matrix(grid.z, heights) @ weave @ lerp_matrix(grid.x, sides).T + np.float32(hu)).astype(np.float32)
    share = np.clip(0.5 - distance[rows[0] : rows[-1] + 1], 0, 1).astype(np.float32)
    for k in range(len(grid.z)) if shown is None else np.flatnonzero(shown):
        part = volume[k, rows[0] : rows[-1] + 1]
        part += share * (fill[k] - part) * (part < EMPTY_HU)
