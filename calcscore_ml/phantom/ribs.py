"""Ribs, costal cartilage with its calcium, and collar bones, painted onto the fine grid. Sizes are ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.phantom.canvas import F32, Grid, Tube, path, zyx
from calcscore_ml.phantom.painter import paint_tube
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.spine import FIRST_RIB_MM, levels
from calcscore_ml.phantom.thorax import chest_section

DROP_MM = (30.0, 46.0, 60.0, 72.0, 83.0, 93.0, 101.0, 106.0, 106.0, 98.0, 74.0, 46.0)
"""How far a rib's front end lies below its head, first rib to twelfth."""

JOIN_MM = (118.0, 88.0, 67.0, 47.0, 28.0, 10.0, -7.0)
"""Heights at which cartilages join the sternum, first rib to seventh."""

STEP_MM = 6.0
"""Length of a link of a rib; cortex and marrow vary from link to link."""


def paint_ribs(volume: F32, grid: Grid, patient: Patient) -> None:
    """Paint ribs, costal cartilage with its calcium, and collar bones onto the fine grid."""
    rng = patient.stream("ribs")
    tissue = patient.tissue
    period, phase = levels(patient)
    calcified = float(np.clip((patient.age_years - 36) / 45 + rng.normal(0, 0.25), 0, 1))
    rim = rng.random() < (0.65 if patient.is_male else 0.25)
    first_root = phase + period * round((FIRST_RIB_MM - phase) / period)
    bones: list[tuple[Tube, float]] = []
    above: dict[int, Tube] = {}
    for number in range(1, 13):
        for side in (-1, 1):
            bone, cartilage = _rib(patient, number, first_root - period * (number - 1), side, rng)
            bones.append((bone, 0.58))
            if cartilage is None and number <= 10:  # the costal margin: joins the cartilage above
                end = above[side].points[len(above[side].points) // 3]
                line = path([bone.points[-1], 0.5 * (bone.points[-1] + end) + [-2.0, -2.0, 0.0], end], 6.0)
                cartilage = Tube(line, np.full(len(line), 5.0))
            if cartilage is not None:
                above[side] = cartilage
                paint_tube(volume, grid, cartilage, tissue.cartilage_hu, squash_z=0.6)
                _calcify(volume, grid, cartilage, calcified, rim, rng)
    for side in (-1, 1):
        collar = path([zyx((side * 16, front_mm(patient, [126.0])[0] - 2, 126)), zyx((side * 45, -118, 134)),
                       zyx((side * 90, -82, 144)), zyx((side * 132, -44, 150))], STEP_MM)  # fmt: skip
        ends = np.interp(np.linspace(0, 1, len(collar)), [0, 0.15, 0.5, 1], [9.5, 6.5, 5.5, 6.5])
        bones.append((Tube(collar, ends), 1.0))
    for bone, squash in bones:
        _paint_bone(volume, grid, patient, bone, squash, rng)


def front_mm(patient: Patient, z: ArrayLike) -> NDArray[np.float32]:
    """Return the y of the front of the rib cage's inside at some heights [mm]."""
    _, depth, centre = chest_section(patient, z)
    return np.asarray(centre - depth)


def _paint_bone(volume: F32, grid: Grid, patient: Patient, bone: Tube, squash: float, rng: np.random.Generator) -> None:
    """Paint a cortex and the marrow in it; both vary along the bone, and thin cortex breaks in thick slices."""
    hard, soft = patient.tissue.cortical_hu, patient.tissue.trabecular_hu
    links = bone.segments()
    low = bone.bounds[0] - bone.radii.max() / squash
    high = bone.bounds[1] + bone.radii.max() / squash
    beyond = (grid.z[0] > high[0]) or (grid.z[-1] < low[0]) or (grid.x[0] > high[2]) or (grid.x[-1] < low[2])
    compact = hard * (0.85 + 0.3 * rng.random(len(links)))
    cortex = np.clip(rng.normal(1.15, 0.25, len(links)), 0.6, 1.9)
    marrow = np.maximum(0.75 * soft + rng.normal(10, 28, len(links)), -30)
    if beyond:
        return
    for link, hu in zip(links, compact, strict=True):
        paint_tube(volume, grid, link, float(hu), squash_z=squash)
    for link, hu, thin in zip(links, marrow, cortex, strict=True):
        paint_tube(volume, grid, link, float(hu), squash_z=squash, grow_mm=-float(thin))


def _rib(patient: Patient, number: int, z_root: float, side: int, rng: np.random.Generator) -> tuple[Tube, Tube | None]:
    drop = DROP_MM[number - 1] * float(rng.normal(1, 0.04))
    share = np.linspace(0, 1, 34)
    angle = np.radians(22 + (124 if number > 2 else 116) * share)
    end = 1.0 if number <= 9 else (0.92, 0.72, 0.45)[number - 10]
    height = z_root - 4 - drop * share**1.1
    width, depth, centre = chest_section(patient, height)
    ca, sa = np.cos(angle), np.sin(angle)
    scale = (np.abs(sa) ** 2.5 + np.abs(ca) ** 2.5) ** (-1 / 2.5)
    around = np.stack([height, centre + (depth + 4.5) * scale * ca, side * (width + 4.5) * scale * sa], axis=1)
    root = np.array([zyx((side * 19, 11, z_root)), zyx((side * 33, 27, z_root - 1))])
    count = int(len(around) * end)
    line = path(np.vstack([root, around[2:count]]), STEP_MM)
    radii = np.interp(np.linspace(0, 1, len(line)), [0, 0.05, 0.12, 0.7, 1], [4.0, 3.2, 3.6, 3.5, 4.3])
    radii = radii * rng.normal(1, 0.05, len(radii))
    bone = Tube(line, radii * (1.0 if patient.is_male else 0.88))
    if number > 7:
        return bone, None
    target_z = JOIN_MM[number - 1]
    join = zyx((side * 17, front_mm(patient, [target_z])[0] - 6, target_z))
    last = line[-1]
    middle = 0.5 * (last + join)
    middle[1] = front_mm(patient, [middle[0]])[0] - 4
    middle[0] -= 0.5 + 0.8 * number
    gristle = path([last, middle, join], 6.0)
    return bone, Tube(gristle, np.full(len(gristle), 6.0 if patient.is_male else 5.2))


def _calcify(volume: F32, grid: Grid, cartilage: Tube, calcified: float, rim: bool, rng: np.random.Generator) -> None:
    """Calcium of cartilage: along its rim, or in lumps in its middle."""
    count = rng.poisson(12 * calcified**1.4)
    last = len(cartilage.points) - 1
    for _ in range(count):
        k = int(np.clip(rng.beta(0.6, 0.8) * last, 0, last - 1))
        turn = rng.uniform(0, 2 * np.pi)
        share = (0.95 if rim else 0.35) * float(rng.uniform(0.8, 1.05))
        off = share * cartilage.radii[k] * np.array([1.4 * np.sin(turn), np.cos(turn), 0.0])
        along = cartilage.points[k + 1] - cartilage.points[k]
        a = cartilage.points[k] + off
        b = a + along * float(rng.uniform(0.1, 1.4))
        middle = 0.5 * (a + b) + rng.normal(0, 0.6, 3)
        size = float(rng.uniform(0.4, 1.2) if rim else rng.uniform(0.7, 2.2))
        paint_tube(volume, grid, Tube(np.array([a, middle, b]), np.full(3, size)), float(rng.uniform(170, 560)))
