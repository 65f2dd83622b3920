"""Spine, ribs, costal cartilage, sternum, shoulder blades and collar bones. Sizes are ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.phantom.canvas import F32, Ellipsoid, Grid, Shape, Tube, field, path, wobble, zyx
from calcscore_ml.phantom.painter import Layer, paint_tube
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.thorax import chest_section

CORTEX_MM = 1.3
"""Thickness of compact bone around a vertebra or a rib."""


def spine_layers(patient: Patient, z_low: float, z_high: float) -> list[Layer]:
    """Return the layers of the spine: bodies, discs, arches, processes, canal, spurs."""
    grid = Grid.box((z_low, -32.0, -48.0), (z_high, 84.0, 48.0), 1.5)
    rng = patient.stream("spine")
    z, y, x = grid.mesh
    period, phase = _levels(patient)
    u = np.mod(z - phase, period) - period / 2
    level = np.floor((z - phase) / period)
    grow = 1 - 0.0009 * z
    waist = 1.8 * np.cos(np.pi * u / period) ** 2
    size = 1.0 if patient.is_male else 0.9
    shift = float(rng.normal(0, 2.5)) * np.sin((z + float(rng.uniform(-60, 60))) / 60)
    a, b = 17.5 * size * grow - waist, 14.5 * size * grow - waist
    ring = (np.sqrt(((x - shift) / a) ** 2 + (y / b) ** 2) - 1) * b
    ring = np.maximum(ring, y - 12.5 * size)
    disc = 2.2 + 0.4 * np.sin(level * 7.3)
    body = np.maximum(ring, np.abs(u) - (period / 2 - disc)).astype(np.float32)
    arches = field(grid, _arches(patient, period, phase, z_low, z_high, rng), 5.0)
    canal = (np.sqrt((x - shift) ** 2 + (y - 22) ** 2) - 8.5).astype(np.float32)
    hard = patient.tissue.cortical_hu
    soft = patient.tissue.trabecular_hu
    marrow = (soft + wobble(rng, grid, 2.2, 0.22 * soft) + wobble(rng, grid, 12.0, 0.1 * soft)).astype(np.float32)
    layers = [
        Layer(grid, np.broadcast_to(ring, grid.shape).astype(np.float32) + 1.0, 92.0, 1.0),
        Layer(grid, body, hard * 0.62, 1.0),
        Layer(grid, body + np.float32(CORTEX_MM), marrow, 1.0),
        Layer(grid, arches, hard * 0.8, 1.0),
        Layer(grid, arches + np.float32(1.7), (soft * 1.4 + 60) + 0 * marrow, 1.0),
        Layer(grid, np.broadcast_to(canal, grid.shape).astype(np.float32), patient.tissue.fat_hu + 45, 1.0),
        Layer(grid, np.broadcast_to(canal, grid.shape).astype(np.float32) + 2.2, 28.0, 1.0),
    ]
    spurs = _spurs(patient, period, phase, z_low, z_high, rng)
    if spurs:
        layers.insert(3, Layer(grid, field(grid, spurs, 4.0), hard * 0.7, 1.0))
    return layers


def flat_bone_layers(patient: Patient, z_low: float, z_high: float) -> list[Layer]:
    """Return the sternum and the shoulder blades."""
    rng = patient.stream("flat bones")
    hard, soft = patient.tissue.cortical_hu, patient.tissue.trabecular_hu
    heights = np.arange(-30.0, 131.0, 4.0)
    y_at = _front(patient, heights) - 7.0
    grid = Grid.box((max(z_low, -55), float(y_at.min()) - 20, -45), (min(z_high, 145), float(y_at.max()) + 20, 45), 1.5)
    layers: list[Layer] = []
    if len(grid.z) > 1:
        z, y, x = grid.mesh
        y0 = np.interp(z, heights, y_at)
        half = np.interp(z, [-50, -28, -20, 0, 60, 84, 90, 120, 130], [3, 6, 16, 17, 13, 13, 15, 29, 24])
        plate = np.maximum(np.abs(x) - half, np.abs(y - y0) - np.interp(z, [-50, -28, -20], [2, 3, 5.5]))
        corner = np.hypot(np.maximum(np.abs(x) - half + 4, 0), np.maximum(np.abs(y - y0) - 1.5, 0)) - 4
        plate = np.maximum(np.maximum(np.minimum(plate, 9), corner - 1), np.abs(z - 42) - 90)
        gap = np.abs(z - 87 - float(rng.normal(0, 3))) - 1.5
        plate = (np.maximum(plate, -gap) + wobble(rng, grid, 6.0, 0.5)).astype(np.float32)
        layers += [Layer(grid, plate, hard * 0.75, 1.0),
                   Layer(grid, plate + np.float32(1.5), 0.35 * soft + wobble(rng, grid, 2.5, 28.0) + 20)]  # fmt: skip
    turn = np.radians(28)
    for side in (-1, 1):
        axes = np.array([[1.0, 0, 0], [0, -np.sin(turn), side * np.cos(turn)], [0, np.cos(turn), side * np.sin(turn)]])
        centre = zyx((side * 108, 46, 72))
        blade = Ellipsoid(centre, np.array([68.0, 42.0, 3.6]), axes)
        rim = Tube(np.array([centre + 38 * axes[1] + [z, 0, 0] for z in (-52.0, 0.0, 55.0)]), np.array([3.5, 5.0, 9.0]))
        low, high = np.minimum(blade.bounds[0], rim.bounds[0]) - 6, np.maximum(blade.bounds[1], rim.bounds[1]) + 6
        low[0], high[0] = max(low[0], z_low), min(high[0], z_high)
        if high[0] - low[0] < 3:
            continue
        grid = Grid.box(low, high, 1.5)
        shape = field(grid, [blade, rim], 5.0)
        layers += [Layer(grid, shape, hard * 0.8, 1.0), Layer(grid, shape + np.float32(1.6), soft + 30, 1.0)]
    return layers


def paint_ribs(volume: F32, grid: Grid, patient: Patient) -> None:
    """Paint ribs, costal cartilage with its calcium, and collar bones onto the fine grid."""
    rng = patient.stream("ribs")
    tissue = patient.tissue
    period, phase = _levels(patient)
    hard, soft = tissue.cortical_hu, tissue.trabecular_hu * 1.2 + 60
    calcified = float(np.clip((patient.age_years - 40) / 45 + rng.normal(0, 0.25), 0, 1))
    bones: list[tuple[Tube, float]] = []
    for number in range(1, 13):
        z_root = phase + period * (round((132 - phase) / period) - (number - 1)) + period * 0.35
        for side in (-1, 1):
            bone, cartilage = _rib(patient, number, z_root, side, rng)
            bones.append((bone, 0.58))
            if cartilage is not None:
                paint_tube(volume, grid, cartilage, tissue.cartilage_hu, squash_z=0.6)
                _calcify(volume, grid, cartilage, calcified, rng)
    for side in (-1, 1):
        collar = path([zyx((side * 18, _front(patient, [126.0])[0] - 4, 128)), zyx((side * 70, -110, 140)),
                       zyx((side * 130, -40, 150))])  # fmt: skip
        bones.append((Tube(collar, np.full(len(collar), 6.0)), 1.0))
    for bone, squash in bones:
        paint_tube(volume, grid, bone, hard, squash_z=squash)
    for bone, squash in bones:
        paint_tube(volume, grid, bone, soft, squash_z=squash, grow_mm=-1.4)


def _levels(patient: Patient) -> tuple[float, float]:
    rng = patient.stream("levels")
    period = (24.0 if patient.is_male else 22.5) + float(rng.normal(0, 0.8))
    return period, float(rng.uniform(0, period))


def _front(patient: Patient, z: ArrayLike) -> NDArray[np.float32]:
    _, depth, centre = chest_section(patient, z)
    return np.asarray(centre - depth)


def _arches(
    patient: Patient, period: float, phase: float, z_low: float, z_high: float, rng: np.random.Generator
) -> list[Shape]:
    parts: list[Shape] = []
    first, last = int((z_low - phase) // period) - 1, int((z_high - phase) // period) + 2
    for k in range(first, last):
        z = phase + period * (k + 0.5)
        lean = rng.normal(0, 1.5)
        tip = zyx((lean, 58, z - 24))
        parts.append(Tube(np.array([zyx((0, 36, z - 6)), tip]), np.array([3.4, 2.6])))
        for side in (-1, 1):
            parts.append(
                Tube(np.array([zyx((side * 11, 9, z + 4)), zyx((side * 12, 24, z + 2))]), np.array([4.2, 4.6]))
            )
            parts.append(Tube(np.array([zyx((side * 12, 25, z + 2)), zyx((0, 37, z - 5))]), np.array([4.0, 3.4])))
            parts.append(
                Tube(np.array([zyx((side * 12, 25, z + 3)), zyx((side * 34, 33, z + 6))]), np.array([4.6, 4.4]))
            )
    return parts


def _spurs(
    patient: Patient, period: float, phase: float, z_low: float, z_high: float, rng: np.random.Generator
) -> list[Shape]:
    severity = float(np.clip((patient.age_years - 45) / 45, 0, 1))
    spurs: list[Shape] = []
    for k in range(int((z_low - phase) // period), int((z_high - phase) // period) + 2):
        if rng.random() > severity:
            continue
        z = phase + period * k
        # Mostly on the right: the aorta's pulse keeps the left side free.
        angle = np.radians(rng.normal(-35, 30))
        at = np.array([np.sin(angle) * 17.0, -np.cos(angle) * 14.0])
        size = rng.uniform(1.2, 3.2)
        for dz in (-3.2, 3.2):
            spurs.append(Ellipsoid(zyx((at[0], at[1], z + dz)), np.array([2.2, size, size * 1.6])))
    return spurs


def _rib(patient: Patient, number: int, z_root: float, side: int, rng: np.random.Generator) -> tuple[Tube, Tube | None]:
    drop = (30 + 9 * min(number, 6)) + float(rng.normal(0, 3))
    share = np.linspace(0, 1, 26)
    angle = np.radians(22 + 128 * share)
    end = 1.0 if number <= 10 else (0.75 if number == 11 else 0.5)
    height = z_root - 4 - drop * share**1.15
    width, depth, centre = chest_section(patient, height)
    ca, sa = np.cos(angle), np.sin(angle)
    scale = (np.abs(sa) ** 2.5 + np.abs(ca) ** 2.5) ** (-1 / 2.5)
    around = np.stack([height, centre + (depth + 4.5) * scale * ca, side * (width + 4.5) * scale * sa], axis=1)
    root = np.array([zyx((side * 20, 12, z_root)), zyx((side * 33, 27, z_root - 1))])
    count = int(len(around) * end)
    line = path(np.vstack([root, around[2:count]]), 6.0)
    radii = np.interp(np.linspace(0, 1, len(line)), [0, 0.1, 0.7, 1], [3.6, 3.3, 3.6, 4.2])
    bone = Tube(line, radii * (1.0 if patient.is_male else 0.88))
    if number > 7:
        return bone, None
    target_z = float(np.clip(118 - (number - 1) * 21, -28, 118))
    join = zyx((side * 18, _front(patient, [target_z])[0] - 7, target_z))
    last = line[-1]
    middle = 0.5 * (last + join)
    middle[1] = _front(patient, [middle[0]])[0] - 4
    middle[0] -= 3 + 1.2 * number
    gristle = path([last, middle, join], 6.0)
    return bone, Tube(gristle, np.full(len(gristle), 6.0 if patient.is_male else 5.2))


def _calcify(volume: F32, grid: Grid, cartilage: Tube, calcified: float, rng: np.random.Generator) -> None:
    count = rng.poisson(7 * calcified**1.5)
    for _ in range(count):
        k = int(np.clip(rng.beta(0.6, 0.8) * len(cartilage.points), 0, len(cartilage.points) - 1))
        turn = rng.uniform(0, 2 * np.pi)
        off = cartilage.radii[k] * np.array([1.3 * np.sin(turn), 0.8 * np.cos(turn), 0.0])
        a = cartilage.points[k] + off
        b = a + (
            cartilage.points[min(k + 1, len(cartilage.points) - 1)] - cartilage.points[max(k - 1, 0)]
        ) * rng.uniform(0.1, 0.7)
        paint_tube(
            volume,
            grid,
            Tube(np.array([a, b]), np.array([1.0, 1.0]) * rng.uniform(0.6, 1.6)),
            float(rng.uniform(180, 520)),
        )
