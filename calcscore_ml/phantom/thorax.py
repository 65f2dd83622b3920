"""The trunk around the heart: skin, fat, muscle, chest cavity, lungs, airways and what lies in the midline.

Sizes and places were measured by eye on real scans and are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calcscore_ml.phantom.canvas import (
    F32,
    Ellipsoid,
    Grid,
    Shape,
    Tube,
    field,
    path,
    smooth_union,
    tube,
    wobble,
    zyx,
)
from calcscore_ml.phantom.painter import AIR_HU, Layer
from calcscore_ml.phantom.patient import Patient

GRID_STEP_MM = 3.0
"""Sampling of the fields of the trunk."""

RIB_LAYER_MM = 11.0
"""Ribs and the muscles between them."""


EMPHYSEMA_SHARE = 0.2
"""Patients with holes in their lungs (our choice)."""

THYROID_SHARE = 0.45
"""Patients whose thyroid reaches into the top of a chest scan (our choice)."""


@dataclass(frozen=True, slots=True, eq=False)
class Thorax:
    """The trunk of one patient.

    Parameters
    ----------
    patient : Patient
        Whose trunk it is.
    grid : Grid
        Of the fields.
    cavity, dome : arrays of float32
        Signed distance to the inside of the rib cage, and to what lies below the diaphragm [mm].
    skin : array of float32
        Signed distance to the body [mm].
    airways : dict of str to Tube
        Trachea and bronchi.
    gullet : Tube
        Oesophagus.
    """

    patient: Patient
    grid: Grid
    cavity: F32
    dome: F32
    skin: F32
    airways: dict[str, Tube]
    gullet: Tube


def chest_section(patient: Patient, heights: ArrayLike) -> tuple[F32, F32, F32]:
    """Half-width, half-depth and centre's y of the inside of the rib cage at some heights, all in mm."""
    z = np.asarray(heights, dtype=np.float32)
    top = np.clip((z - 25) / 125, 0, 1) ** 1.7
    low = np.clip((-z - 20) / 120, 0, 1)
    width = patient.chest_half_width_mm * (1 - 0.48 * top + 0.05 * low)
    depth = patient.chest_half_depth_mm * (1 - 0.46 * top + 0.02 * low)
    back = 36.0 - 14 * top
    return width.astype(np.float32), depth.astype(np.float32), (back - depth).astype(np.float32)


def build_thorax(patient: Patient, z_low: float, z_high: float) -> Thorax:
    """Give a patient a trunk between two heights [mm]."""
    grid = Grid.box((z_low, -290.0, -270.0), (z_high, 120.0, 270.0), GRID_STEP_MM)
    z, y, x = grid.mesh
    rng = patient.stream("thorax")
    width, depth, centre = chest_section(patient, z)
    cavity = _section_distance(x, y - centre, width, depth, 2.25)
    apex = np.asarray(z - np.float32(148), dtype=np.float32)
    cavity = np.asarray(np.maximum(cavity, apex) + wobble(rng, grid, 25.0, 1.2), dtype=np.float32)
    muscle = _outer_muscle(patient, grid, 30.0) + wobble(rng, grid, 18.0, 1.2)
    fat = patient.fat_mm
    lean = muscle - fat * (1 + 0.25 * np.clip(-z / 120, -0.5, 1)) + wobble(rng, grid, 30.0, 1.5)
    skin = smooth_union(lean.astype(np.float32), field(grid, _breasts(patient, rng), 30.0), 20.0)
    # The back is flat where the patient lies on it.
    middle = skin[:, :, np.abs(grid.x) < 60]
    back = float(grid.y[np.flatnonzero((middle < 0).any(axis=(0, 2)))[-1]])
    skin = np.maximum(skin, y - np.float32(back - 5)).astype(np.float32)
    dome = _dome(patient, z, y, x) + wobble(rng, grid, 20.0, 1.2)
    return Thorax(patient, grid, cavity, dome.astype(np.float32), skin, _airways(patient), _gullet(patient))


def wall_layers(thorax: Thorax) -> list[Layer]:
    """Return the layers of skin, fat and muscle."""
    patient, grid = thorax.patient, thorax.grid
    tissue = patient.tissue
    rng = patient.stream("wall texture")
    muscle = _outer_muscle(patient, grid, 12.0) + wobble(rng, grid, 8.0, 1.2)
    strands = np.abs(wobble(rng, grid, 3.5, 1.0))
    fat = tissue.fat_hu + 10 * np.clip(strands - 1.2, 0, 2)
    # Fat between the bundles of muscle; none between the ribs.
    bundles = np.clip(np.abs(wobble(rng, grid, 4.0, 1.0)) - 0.9, 0, 1.5)
    lean = (tissue.muscle_hu - (32 + 38 * patient.adiposity) * bundles).astype(np.float32)
    inner = thorax.cavity - np.float32(RIB_LAYER_MM)
    return [
        Layer(grid, thorax.skin - np.float32(1.8), 5.0, 1.0),
        Layer(grid, thorax.skin, fat.astype(np.float32), 1.5),
        Layer(grid, np.maximum(muscle, thorax.skin + 3), lean, 1.5),
        Layer(grid, np.maximum(inner, thorax.skin + 5), lean - 14, 1.5),
        Layer(
            grid,
            np.maximum(inner - 1, thorax.skin + 5),
            fat.astype(np.float32),
            1.0,
            shell_mm=1.6,
            opacity=0.25 + 0.65 * patient.adiposity,
        ),
        Layer(grid, thorax.cavity - np.float32(1.2), fat.astype(np.float32), 1.2),
    ]


def lung_layers(thorax: Thorax, between: F32) -> list[Layer]:
    """Return the lungs: inside the ribs, above the diaphragm, outside the mediastinum (`between`, same grid)."""
    patient, grid = thorax.patient, thorax.grid
    rng = patient.stream("lung texture")
    z, y, _ = grid.mesh
    lung = np.maximum(np.maximum(thorax.cavity, -between), -thorax.dome)
    slope = np.clip((y + 60) / 100, -1.2, 1.2) * 35
    hu = patient.tissue.lung_hu + slope + wobble(rng, grid, 4.0, 14.0) + wobble(rng, grid, 15.0, 12.0)
    holes = wobble(rng, grid, 6.0, 1.0)
    if rng.random() < EMPHYSEMA_SHARE:
        hu = np.where(holes > rng.uniform(0.2, 1.4), np.float32(-965), hu)
    # Where the patient lies, the lung is denser.
    hu = hu + np.float32(rng.uniform(30, 220)) * np.exp(-np.maximum(np.float32(26) - y, 0) / np.float32(9))
    layers = [Layer(grid, lung.astype(np.float32), hu.astype(np.float32), 1.5)]
    bend = wobble(rng, grid, 25.0, 3.0)
    fissure = (z - 18 + np.float32(1.05) * (y + 45)) * np.float32(0.69) + bend
    layers.append(Layer(grid, np.where(lung < -3, fissure, np.float32(20)).astype(np.float32), -500.0, 1.0,
                        shell_mm=1.0, opacity=0.7))  # fmt: skip
    nodules: list[Shape] = []
    for _ in range(rng.poisson(1.0)):
        side = rng.choice([-1, 1])
        at = zyx((side * rng.uniform(45, 105), rng.uniform(-110, 15), rng.uniform(grid.z[0], grid.z[-1])))
        nodules.append(Ellipsoid(at, rng.uniform(1.5, 5.5, 3)))
    if nodules:
        layers.append(Layer(grid, np.maximum(field(grid, nodules, 6.0), lung + 4), float(rng.uniform(-60, 45)), 1.5))
    return layers


def midline_layers(thorax: Thorax, grid: Grid) -> list[Layer]:
    """Return azygos vein, lymph nodes, thyroid, oesophagus and airways, on the heart's grid."""
    tissue = thorax.patient.tissue
    layers = [Layer(grid, field(grid, [_azygos(thorax.patient)], 4.0), tissue.right_blood_hu, 1.0)]
    layers += _soft_midline(thorax, grid)
    layers.append(Layer(grid, field(grid, [thorax.gullet], 4.0), 36.0, 1.2))
    rng = thorax.patient.stream("gullet")
    if rng.random() < 0.5:
        count = len(thorax.gullet.radii)
        first = int(rng.integers(0, count - 4))
        part = slice(first, first + int(rng.integers(3, 9)))
        wide = thorax.gullet.radii[part] * rng.uniform(0.15, 0.5, len(thorax.gullet.radii[part]))
        gas = Tube(thorax.gullet.points[part] + [0, -1.5, 1.0], wide)
        layers.append(Layer(grid, field(grid, [gas], 4.0), AIR_HU + 100, 1.2))
    pipes = field(grid, list(thorax.airways.values()), 6.0)
    layers += [Layer(grid, pipes - np.float32(1.6), 30.0, 1.0), Layer(grid, pipes, AIR_HU, 1.0)]
    return layers


def _azygos(patient: Patient) -> Tube:
    vx, vy = patient.valve_mm[2], patient.valve_mm[1]
    line = [(-1, -22, -170), (-4, -23, -60), (-7, -23, 20), (-10, -21, 46), (-20, vy + 34, 58), (vx - 34, vy + 16, 58)]
    return tube([zyx(p) for p in line], [3.2, 3.6, 4.0, 4.4, 4.8, 5.0])


def _soft_midline(thorax: Thorax, grid: Grid) -> list[Layer]:
    """Return lymph nodes without calcium, what is left of the thymus, and the lower poles of the thyroid."""
    patient = thorax.patient
    rng = patient.stream("soft midline")
    fork = thorax.airways["trachea"].points[-1]
    nodes: list[Shape] = []
    for _ in range(rng.poisson(7)):
        at = fork + rng.normal((8, -6, -2), (22, 9, 17))
        nodes.append(Ellipsoid(at, rng.uniform(2.0, 5.5, 3)))
    layers = [Layer(grid, field(grid, nodes, 4.0), 34.0, 1.2)] if nodes else []
    front = patient.valve_mm[1] - 32
    if rng.random() < np.clip((75 - patient.age_years) / 40, 0.05, 0.6):
        thymus = Ellipsoid(zyx((5, front, 66)), zyx((9, 5, 24)))
        layers.append(Layer(grid, field(grid, [thymus], 4.0), float(rng.uniform(-70, 30)), 1.5))
    if rng.random() < THYROID_SHARE:
        low = float(rng.uniform(112, 134))
        y0 = float(thorax.airways["trachea"].points[len(thorax.airways["trachea"].points) // 2][1]) - 3
        lobes = [Tube(np.array([zyx((side * 15, y0, low + rng.uniform(-6, 6))), zyx((side * 16, y0, 185))]),
                      np.array([6.5, 10.5])) for side in (-1, 1)]  # fmt: skip
        hu = float(rng.normal(108, 12)) + wobble(rng, grid, 4.0, 9.0)
        layers.append(Layer(grid, field(grid, lobes, 4.0), hu, 1.2))
    return layers


def _section_distance(x: F32, y: F32, a: F32 | float, b: F32 | float, power: float) -> F32:
    u, v = np.abs(x) / a, np.abs(y) / b
    level = (u**power + v**power) ** (1 / power)
    slope = np.sqrt((u ** (power - 1) / a) ** 2 + (v ** (power - 1) / b) ** 2) / np.maximum(level, 1e-3) ** (power - 1)
    return np.asarray((level - 1) / np.maximum(slope, 1e-4), dtype=np.float32)


def _outer_muscle(patient: Patient, grid: Grid, fillet_mm: float) -> F32:
    """Signed distance to the outside of the muscles of trunk and shoulders; creases filled with `fillet_mm`."""
    z, y, x = grid.mesh
    width, depth, centre = chest_section(patient, z)
    m = patient.muscle_mm / 11
    side, front = np.abs(x), np.clip((centre - y) / depth, 0, 1)
    rise = 1 / (1 + np.exp(-(z - 15) / 14))
    chest = 15 * m * rise * front * np.exp(-(((side - 62) / 46) ** 2)) - 4.5 * front * np.exp(-((x / 26) ** 2))
    flank = 8 * m * np.exp(-(((y + 5) / 50) ** 2)) * np.clip((side - 60) / 40, 0, 1)
    wall = RIB_LAYER_MM + 0.55 * patient.muscle_mm
    trunk = _section_distance(x, y - centre - 5, width + wall, depth + 0.6 * wall + 6, 2.3) - chest - flank
    return np.asarray(smooth_union(trunk.astype(np.float32), field(grid, _muscles(patient), 40.0), fillet_mm))


def _muscles(patient: Patient) -> list[Shape]:
    m = patient.muscle_mm / 11
    half = patient.chest_half_width_mm
    shapes: list[Shape] = []
    for side in (-1, 1):
        # Paraspinal, latissimus, muscles of the shoulder blade, shoulder.
        shapes.append(Tube(np.array([zyx((side * 26, 44, z)) for z in (-220.0, 200.0)]), np.array([19 + m, 16 + m])))
        shapes.append(Ellipsoid(zyx((side * (half + 2), 12, 10)), zyx((16 + 4 * m, 44, 110))))
        shapes.append(Ellipsoid(zyx((side * 106, 24, 88)), zyx((58, 32 + 5 * m, 70))))
        shapes.append(Ellipsoid(zyx((side * 146, -18, 150)), zyx((48, 55, 62))))
        shapes.append(Ellipsoid(zyx((side * 70, -75, 150)), zyx((80, 40, 34))))
    return shapes


def _breasts(patient: Patient, rng: np.random.Generator) -> list[Shape]:
    if patient.is_male:
        return [Ellipsoid(zyx((0, 0, -900)), zyx((1, 1, 1)))]
    section = chest_section(patient, [10.0])
    y = float(section[2][0] - section[1][0]) - 14
    size = float(rng.uniform(0.6, 1.2)) * (0.7 + 0.7 * patient.adiposity)
    return [Ellipsoid(zyx((side * 82, y + 10, -5)), zyx((50, 30, 52)) * size) for side in (-1, 1)]


def _dome(patient: Patient, z: F32, y: F32, x: F32) -> F32:
    """Height above the diaphragm: two flat-topped cupolas and the saddle the heart rests on."""

    def cupola(top: float, x0: float, y0: float, half: float) -> F32:
        front = np.where(y > y0, 112.0, 125.0)
        r2 = ((x - x0) / half) ** 2 + ((y - y0) / front) ** 2
        return np.asarray(top - 62 * r2**1.35, dtype=np.float32)

    top = patient.dome_mm
    heart_floor = -45 * patient.heart_scale
    right = cupola(top, -62, -78, 72)
    left = cupola(top - 13, 64, -80, 72)
    saddle = cupola(min(heart_floor, top) - 4, 18, -105, 95)
    height = np.maximum(np.maximum(right, left), saddle)
    return np.asarray((z - height) * np.float32(0.8), dtype=np.float32)


def _airways(patient: Patient) -> dict[str, Tube]:
    vz, vy, vx = patient.valve_mm
    back = vy + 46
    r = 9.0 if patient.is_male else 7.6
    fork = zyx((1, back + 2, 56 + vz))
    return {
        "trachea": tube([zyx((0, back - 8, 190)), zyx((0, back - 3, 95)), fork], [r, r, r]),
        "right bronchus": tube([fork, zyx((vx - 28, back + 8, 44)), zyx((vx - 46, back + 6, 32)),
                                zyx((vx - 52, back + 14, 4))], [r - 1.5, r - 2, r - 4, 2.5]),
        "left bronchus": tube([fork, zyx((vx + 18, back + 3, 42)), zyx((vx + 44, back + 8, 28)),
                               zyx((vx + 54, back + 20, 2))], [r - 2, r - 2.5, r - 4, 2.5]),
    }  # fmt: skip


def _gullet(patient: Patient) -> Tube:
    vy = patient.valve_mm[1]
    line = path([zyx((2, vy + 62, 170)), zyx((5, vy + 66, 80)), zyx((3, vy + 70, 20)), zyx((-1, vy + 58, -45)),
                 zyx((10, vy + 36, -95)), zyx((34, vy + 28, -130))])  # fmt: skip
    return Tube(line, np.interp(np.linspace(0, 1, len(line)), [0, 0.5, 1], [7.0, 7.5, 8.5]))
