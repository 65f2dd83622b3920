"""The upper abdomen: liver, spleen, kidneys, stomach and bowel, with what is bright in them. Sizes are ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calcscore_ml.phantom.canvas import F32, Ellipsoid, Grid, Shape, Tube, field, tube, wobble, zyx
from calcscore_ml.phantom.painter import AIR_HU, Layer, compact
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.thorax import Thorax

BRIGHT_MEAL_SHARE = 0.15
"""Patients with positive contrast or dense food in stomach and bowel (our choice)."""

GALLSTONES_SHARE = 0.08
"""Patients with calcified gallstones (our choice)."""


def has_bright_meal(patient: Patient) -> bool:
    """Whether stomach and bowel hold something bright."""
    return bool(patient.stream("bright meal").random() < BRIGHT_MEAL_SHARE)


def abdomen_layers(thorax: Thorax) -> list[Layer]:
    """Return what lies below the diaphragm: muscle, fat, liver, spleen, kidneys, stomach, bowel and their contents."""
    patient, grid = thorax.patient, thorax.grid
    # Nothing of it lies above the diaphragm.
    count = int(np.searchsorted(grid.z, patient.dome_mm + 12))
    if count < 2:
        return []
    grid = Grid(grid.z[:count], grid.y, grid.x)
    thorax = replace(
        thorax, grid=grid, cavity=thorax.cavity[:count], dome=thorax.dome[:count], skin=thorax.skin[:count]
    )
    tissue = patient.tissue
    rng = patient.stream("abdomen")
    z, y, x = grid.mesh
    below = np.maximum(thorax.cavity, thorax.dome)
    inside = (below + np.float32(3.0)).astype(np.float32)
    fat = (tissue.fat_hu + 8 + np.abs(wobble(rng, grid, 3.5, 16.0))).astype(np.float32)
    lean = float(rng.normal(26, 10))
    border = lean - 0.35 * (y + 80) - 0.0035 * (y + 95) ** 2 + 0.3 * (z + 60) + 8 * np.sin((y + 2 * z) / 23)
    liver = np.maximum(inside - 1.0, x - border.astype(np.float32))
    spine_gap = np.sqrt((x - 2) ** 2 + (y - 0) ** 2) - 52
    liver = np.maximum(liver, -spine_gap) + wobble(rng, grid, 12.0, 1.2)
    veins = np.abs(wobble(rng, grid, 9.0, 1.0)) - 0.09
    liver_hu = tissue.liver_hu + wobble(rng, grid, 8.0, 2.0) + np.where(veins < 0, tissue.blood_hu - tissue.liver_hu, 0)
    spleen = np.maximum(inside + 2, Ellipsoid(zyx((88, -5, patient.dome_mm - 45)), zyx((24, 40, 38))).distance(z, y, x))
    layers = [
        Layer(grid, below.astype(np.float32), tissue.muscle_hu - 2, 1.5),
        Layer(grid, inside, fat, 1.5),
        Layer(grid, liver.astype(np.float32), liver_hu.astype(np.float32), 1.5),
        Layer(grid, spleen.astype(np.float32), tissue.spleen_hu, 1.5),
    ]
    layers = compact(layers)
    for organ in (_kidneys, _gallbladder, _colon, _stomach_and_loops):
        layers += compact(organ(thorax, inside))
    return layers


def _kidneys(thorax: Thorax, inside: F32) -> list[Layer]:
    patient, grid = thorax.patient, thorax.grid
    rng = patient.stream("kidneys")
    kidneys: list[Shape] = []
    sinuses: list[Shape] = []
    for side, drop in ((-1, 100.0), (1, 88.0)):
        at = zyx((side * 60, -2, patient.dome_mm - drop + float(rng.normal(0, 8))))
        kidneys.append(Ellipsoid(at, zyx((26, 23, 50))))
        sinuses.append(Ellipsoid(at + zyx((-side * 9, -4, 0)), zyx((13, 10, 24))))
    kidney = np.maximum(field(grid, kidneys, 14.0), inside + 3)
    sinus = np.maximum(field(grid, sinuses, 8.0), inside + 4)
    return [
        Layer(grid, kidney - np.float32(7), patient.tissue.fat_hu + 6, 1.5),
        Layer(grid, kidney, 33.0, 1.5),
        Layer(grid, sinus, patient.tissue.fat_hu + 30, 1.5),
    ]


def _gallbladder(thorax: Thorax, inside: F32) -> list[Layer]:
    patient = thorax.patient
    rng = patient.stream("gallbladder")
    centre = zyx((-46, -108, patient.dome_mm - 62)) + rng.normal(0, 5, 3)
    bladder = np.maximum(field(thorax.grid, [Ellipsoid(centre, zyx((13, 20, 20)))], 8.0), inside + 4)
    layers = [Layer(thorax.grid, bladder, 8.0, 1.5)]
    if rng.random() < GALLSTONES_SHARE:
        count = int(rng.integers(1, 8))
        stones = [
            Ellipsoid(centre + rng.normal(0, 5, 3) + [0, 8, 0], np.full(3, rng.uniform(1.5, 6))) for _ in range(count)
        ]
        layers += _lumps(thorax, stones, float(rng.uniform(160, 600)), 0.0)
        layers += _lumps(thorax, stones, float(rng.uniform(20, 160)), 1.6)
    return layers


def _colon(thorax: Thorax, inside: F32) -> list[Layer]:
    """Return the colon below the left diaphragm: pouches, faeces with gas, and bright specks."""
    patient, grid = thorax.patient, thorax.grid
    rng = patient.stream("colon")
    top = patient.dome_mm - 30 + float(rng.normal(0, 8))
    line = [(-14, -130, top - 50), (20, -132, top - 38), (66, -122, top - 14), (92, -84, top - 6), (100, -48, top - 30),
            (102, -40, top - 90)]  # fmt: skip
    whole = tube([zyx(p) for p in line], [17])
    pouches = Tube(whole.points, 15 * (1 + 0.22 * np.sin(np.arange(len(whole.points)) * 1.1)) * rng.uniform(0.75, 1.15))
    wall = np.maximum(field(grid, [pouches], 9.0), inside + 3) + wobble(rng, grid, 7.0, 0.8)
    lumen = (wall + np.float32(3.0)).astype(np.float32)
    gas = wobble(rng, grid, 4.0, 1.0) - float(rng.uniform(0.1, 1.1))
    filling = np.where(gas > 0, AIR_HU + 150, 25 + wobble(rng, grid, 3.5, 28.0))
    along = rng.integers(0, len(pouches.points), rng.poisson(5))
    specks = [Ellipsoid(pouches.points[k] + rng.normal(0, 5, 3), rng.uniform(0.7, 2.2, 3)) for k in along]
    return [
        Layer(grid, wall.astype(np.float32), 36.0, 1.5),
        Layer(grid, lumen, filling.astype(np.float32), 1.5),
        *_lumps(thorax, specks, float(rng.uniform(180, 900)), 0.0),
    ]


def _stomach_and_loops(thorax: Thorax, inside: F32) -> list[Layer]:
    """Return stomach and small bowel, each loop with its own level between gas and liquid."""
    patient, grid = thorax.patient, thorax.grid
    rng = patient.stream("bowel")
    z, y, x = grid.mesh
    low = patient.dome_mm - 46 + float(rng.normal(0, 5))
    stomach = Ellipsoid(zyx((60, -66, low)), zyx((42, 42, 36)) * float(rng.uniform(0.65, 1.05))).distance(z, y, x)
    stomach = np.maximum(stomach, inside + 3) + wobble(rng, grid, 10.0, 1.5)
    contents = (stomach + np.float32(5.0)).astype(np.float32)
    level = np.asarray(y + np.float32(62 + float(rng.uniform(-10, 25))), dtype=np.float32)
    bright = has_bright_meal(patient)
    dense = float(rng.uniform(150, 480))
    in_stomach = bright and rng.random() < 0.6
    food = (0.9 * dense if in_stomach else float(rng.uniform(10, 45))) + wobble(
        rng, grid, 5.0, 0.3 * dense if in_stomach else 14.0
    )
    layers = [
        Layer(grid, stomach.astype(np.float32), 40.0, 1.5),
        Layer(grid, contents, food.astype(np.float32), 1.5),
        Layer(grid, np.maximum(contents, level), AIR_HU + 20, 1.5),
    ]
    # Loops just below the diaphragm and the heart, and lower.
    nearest = np.full(grid.shape, np.float32(60))
    surface = np.full(grid.shape, np.float32(0))
    for _ in range(int(rng.integers(9, 15))):
        at = rng.normal((48, -95, patient.dome_mm - 62), (28, 24, 22))
        at[0] = np.clip(at[0], 14, 95)
        at[2] = min(at[2], patient.dome_mm - 26)
        radius = float(rng.uniform(8, 15))
        turn = rng.normal(0, 22, (2, 3))
        loop = tube([zyx(at - turn[0]), zyx(at), zyx(at + turn[1])], [radius, 0.9 * radius, radius], 6.0)
        distance = field(grid, [loop], 6.0)
        here = distance < nearest
        nearest[here] = distance[here]
        surface[here] = np.float32(at[1] - radius * rng.uniform(-0.2, 1.6))
    wall = np.maximum(nearest + wobble(rng, grid, 9.0, 0.8), inside + 3).astype(np.float32)
    lumen = (wall + np.float32(2.5)).astype(np.float32)
    liquid = (dense if bright else 25.0) + wobble(rng, grid, 8.0, 0.3 * dense if bright else 8.0)
    layers += [
        Layer(grid, wall, 38.0, 1.5),
        Layer(grid, lumen, liquid.astype(np.float32), 1.5),
        Layer(grid, np.maximum(lumen, y - surface).astype(np.float32), AIR_HU + 60, 1.5),
    ]
    pills = rng.poisson(0.5) + (rng.poisson(6) if bright else 0)
    lumps = [Ellipsoid(zyx((60, -50, low)) + rng.normal(0, 14, 3), rng.uniform(0.8, 3.5, 3)) for _ in range(pills)]
    return layers + _lumps(thorax, lumps, float(rng.uniform(170, 900)), 0.0)


def _lumps(thorax: Thorax, shapes: list[Ellipsoid], hu: float, shrink_mm: float) -> list[Layer]:
    """Paint small bright things on a finer grid."""
    layers = []
    for shape in shapes:
        low, high = shape.bounds
        if high[0] < thorax.grid.z[0] or low[0] > thorax.grid.z[-1]:
            continue
        grid = Grid.box(low - 2, high + 2, 0.8)
        layers.append(Layer(grid, field(grid, [shape], 3.0) + np.float32(shrink_mm), hu, 0.8))
    return layers
