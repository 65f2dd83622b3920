"""The spine: bodies, discs, arches, joints, spurs, and the soft tissue that holds it. Sizes are ours."""

from __future__ import annotations

import numpy as np

from calcscore_ml.phantom.canvas import F32, Ellipsoid, Grid, Shape, Tube, field, wobble, zyx
from calcscore_ml.phantom.painter import Layer
from calcscore_ml.phantom.patient import Patient

CORTEX_MM = 1.2
"""Thickness of the compact shell of a vertebra."""

GRID_STEP_MM = 1.25
"""Sampling of the spine: as fine as its coarse trabeculae (our choice)."""

FIRST_RIB_MM = 150.0
"""Height of the first thoracic vertebra above the aortic valve, which lies at the seventh (our choice)."""


def levels(patient: Patient) -> tuple[float, float]:
    """Return the distance between vertebrae and the height of a disc [mm]."""
    rng = patient.stream("levels")
    period = (24.0 if patient.is_male else 22.5) + float(rng.normal(0, 0.8))
    return period, float(rng.uniform(0, period))


def spine_layers(patient: Patient, z_low: float, z_high: float) -> list[Layer]:
    """Return the layers of the spine between two heights [mm]."""
    grid = Grid.box((z_low, -32.0, -50.0), (z_high, 84.0, 50.0), GRID_STEP_MM)
    rng = patient.stream("spine")
    z, y, x = grid.mesh
    period, phase = levels(patient)
    u = np.mod(z - phase, period) - period / 2
    size = 1.0 if patient.is_male else 0.9
    grow = 1.04 - 0.0012 * z
    waist = 1.8 * np.cos(np.pi * u / period) ** 2
    shift = float(rng.normal(0, 2.5)) * np.sin((z + float(rng.uniform(-60, 60))) / 60)
    a, b = 17.5 * size * grow - waist, 14.5 * size * grow - waist
    ring = (np.sqrt(((x - shift) / a) ** 2 + (y / b) ** 2) - 1) * b
    ring = np.maximum(ring, y - 12.5 * size) + wobble(rng, grid, 5.0, 0.35)
    # Discs lose height unevenly, and endplates are dented.
    first = int(np.floor((z_low - phase) / period)) - 1
    count = int(np.ceil((z_high - z_low) / period)) + 4
    height = np.clip(rng.normal(2.4, 0.35, count) - 0.6 * _wear(patient) * rng.random(count), 1.0, 3.2)
    near = np.clip(np.rint((z - phase) / period).astype(int) - first, 0, count - 1)
    disc = height[near] + wobble(rng, grid, 5.0, 0.4)
    body = np.maximum(ring, np.abs(u) - (period / 2 - disc)).astype(np.float32)
    arches = field(grid, _arches(period, phase, z_low, z_high, rng), 5.0) + wobble(rng, grid, 3.0, 0.3)
    joints = _joint_gaps(grid, period, phase)
    canal = (np.sqrt((x - shift) ** 2 + (y - 22) ** 2) - 8.5).astype(np.float32)
    hard = patient.tissue.cortical_hu
    per_level = rng.normal(1, 0.08, count)[near]
    marrow = _marrow(patient, rng, grid) * per_level.astype(np.float32)
    vein = np.abs(u) + 0.5 * np.abs(x - shift) + 0.25 * np.maximum(10 - y, 0) - 4.2
    spongy = (1.1 * marrow + 50).astype(np.float32)
    layers = [
        *paraspinal_layers(patient, z_low, z_high),
        Layer(grid, np.broadcast_to(ring, grid.shape).astype(np.float32) + 1.0, 88.0, 1.0),
        Layer(grid, body, hard * 0.55 + wobble(rng, grid, 4.0, 0.12 * hard), 1.0),
        Layer(grid, body + np.float32(CORTEX_MM), marrow, 1.0),
        Layer(grid, np.maximum(vein, body + 2).astype(np.float32), 70.0, 1.5, opacity=0.8),
        Layer(grid, arches, hard * 0.72 + wobble(rng, grid, 4.0, 0.15 * hard), 1.0),
        Layer(grid, arches + np.float32(1.7), spongy, 1.0),
        Layer(grid, np.maximum(joints, arches - 1).astype(np.float32), 70.0, 0.9),
        Layer(grid, np.broadcast_to(canal, grid.shape).astype(np.float32), patient.tissue.fat_hu + 45, 1.0),
        Layer(grid, np.broadcast_to(canal, grid.shape).astype(np.float32) + 2.2, 28.0, 1.0),
    ]
    spurs = _spurs(patient, period, phase, z_low, z_high, rng)
    if spurs:
        spur = field(grid, spurs, 4.0) + wobble(rng, grid, 2.5, 0.5)
        layers.insert(2, Layer(grid, spur, hard * 0.62 + wobble(rng, grid, 3.0, 0.2 * hard), 1.0))
    islands = _islands(patient, z_low, z_high, rng)
    if islands:
        island = np.maximum(field(grid, islands, 4.0), body + np.float32(1.0))
        layers.append(Layer(grid, island, float(rng.uniform(450, 900)), 1.0))
    return layers


def paraspinal_layers(patient: Patient, z_low: float, z_high: float) -> list[Layer]:
    """Return the soft tissue that keeps the lungs off the spine's sides and back, widest between the ribs' necks."""
    grid = Grid.box((z_low, -24.0, -78.0), (z_high, 46.0, 78.0), 2.5)
    rng = patient.stream("paraspinal")
    _, y, x = grid.mesh
    front = np.sqrt((np.abs(x) / 20) ** 2 + (np.minimum(y, 0) / 17.5) ** 2) * 18 - 18
    beside = (np.abs(x) - 19.5 - 0.022 * np.maximum(y, 0) ** 2) * 0.8
    hull = np.where(y < 0, front, beside) + wobble(rng, grid, 12.0, 0.8)
    lean = np.float32(patient.tissue.muscle_hu - 12) - np.float32(40) * np.clip(
        np.abs(wobble(rng, grid, 4.0, 1.0)) - 1.0, 0, 1.2
    )
    return [
        Layer(grid, np.broadcast_to(hull, grid.shape).astype(np.float32), patient.tissue.fat_hu + 30, 1.5),
        Layer(
            grid,
            np.broadcast_to(np.maximum(hull + 1.5, 8 - y), grid.shape).astype(np.float32),
            lean.astype(np.float32),
            1.5,
        ),
    ]


def _wear(patient: Patient) -> float:
    return float(np.clip((patient.age_years - 45) / 45, 0, 1))


def _marrow(patient: Patient, rng: np.random.Generator, grid: Grid) -> F32:
    """HU of trabecular bone: coarser and patchier as it thins with age."""
    soft = patient.tissue.trabecular_hu
    fine = wobble(rng, grid, 1.3, 0.24 * soft + 22)
    middle = wobble(rng, grid, 3.5, 0.1 * soft + 8)
    patches = wobble(rng, grid, 11.0, 0.1 * soft)
    return np.asarray(np.maximum(soft + fine + middle + patches, -40), dtype=np.float32)


def _arches(period: float, phase: float, z_low: float, z_high: float, rng: np.random.Generator) -> list[Shape]:
    """Pedicles, laminae, transverse processes, joints' columns and spinous processes: bone at nearly every height."""
    parts: list[Shape] = []

    def bar(a: tuple[float, float, float], b: tuple[float, float, float], ra: float, rb: float) -> None:
        parts.append(Tube(np.array([zyx(a), zyx(b)]), np.array([ra, rb])))

    first, last = int((z_low - phase) // period) - 1, int((z_high - phase) // period) + 2
    for k in range(first, last):
        z = phase + period * (k + 0.5)
        lean = float(rng.normal(0, 1.5))
        length = float(rng.normal(58, 2))
        bar((0, 36, z - 4), (lean, length, z - 22), 3.2, 2.8)
        bar((0, 36, z - 10), (lean, length - 5, z - 25), 2.6, 2.2)
        for side in (-1, 1):
            reach, back = float(rng.normal(33, 1.5)), float(rng.normal(34, 1.5))
            bar((side * 11, 9, z + 4), (side * 12, 24, z + 2), 3.8, 4.4)
            for dz in (-8.0, -3.0, 2.0):
                bar((side * 11, 28, z + dz + 3), (0, 37, z + dz - 4), 3.0, 2.8)
            bar((side * 12, 26, z + 3), (side * reach, back, z + 6), 4.4, 4.8)
            # Joint surfaces: the lower pair of one vertebra lies behind the upper pair of the next.
            bar((side * 12, 30.0, z), (side * 12, 31.0, z - 15), 4.4, 4.0)
            bar((side * 12.5, 26, z + 4), (side * 13, 25.0, z + 14), 4.2, 3.6)
    return parts


def _joint_gaps(grid: Grid, period: float, phase: float) -> F32:
    """Signed distance to the slits of the joints between arches."""
    z, y, x = grid.mesh
    u = np.mod(z - phase + period / 2, period) - period / 2
    slit = np.abs(y - 27.6 - 0.12 * u) - 0.8
    return np.asarray(np.maximum(np.maximum(slit, np.abs(u) - 6.0), np.abs(np.abs(x) - 12.5) - 5.5), dtype=np.float32)


def _spurs(
    patient: Patient, period: float, phase: float, z_low: float, z_high: float, rng: np.random.Generator
) -> list[Shape]:
    severity = _wear(patient)
    bridging = rng.random() < 0.25 * severity
    spurs: list[Shape] = []
    for k in range(int((z_low - phase) // period), int((z_high - phase) // period) + 2):
        for _ in range(rng.poisson(1.6 * severity)):
            z = phase + period * k
            # Mostly on the right: the aorta's pulse keeps the left side free.
            angle = np.radians(rng.normal(-35, 35))
            at = np.array([np.sin(angle) * 18.0, -np.cos(angle) * 15.0])
            size = float(rng.uniform(1.0, 3.4))
            ends = np.array([zyx((*(1.0 * at), z - 4)), zyx((*(1.12 * at), z)), zyx((*(1.0 * at), z + 4))])
            if bridging or rng.random() < 0.15:
                spurs.append(Tube(ends, np.array([0.8, 0.7, 0.8]) * size))
            else:
                for dz in (-3.2, 3.2):
                    spurs.append(Ellipsoid(zyx((at[0], at[1], z + dz)), np.array([2.0, size, size * 1.6])))
    return spurs


def _islands(patient: Patient, z_low: float, z_high: float, rng: np.random.Generator) -> list[Shape]:
    """Draw dense spots in the marrow."""
    return [
        Ellipsoid(zyx((rng.normal(0, 8), rng.normal(-2, 6), rng.uniform(z_low, z_high))), rng.uniform(0.8, 3.0, 3))
        for _ in range(rng.poisson((z_high - z_low) / 90))
    ]
