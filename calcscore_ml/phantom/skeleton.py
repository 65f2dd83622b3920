"""The flat bones: sternum, shoulder blades, and the heads of the arms' bones. Sizes are ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.phantom.arms import humerus_mm
from calcscore_ml.phantom.canvas import Ellipsoid, Grid, Shape, Tube, field, path, wobble, zyx
from calcscore_ml.phantom.painter import Layer
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.ribs import front_mm

JOINTS_MM = (88.0, 47.0, 10.0, -26.0)
"""Heights of the sternum's joint with its handle, of two old seams, and of the joint with the xiphoid process."""


def flat_bone_layers(patient: Patient, z_low: float, z_high: float, *, arms_hang: bool = False) -> list[Layer]:
    """Return the sternum, the shoulder blades and the heads of the humeri, of arms raised or beside the trunk."""
    rng = patient.stream("flat bones")
    layers = _sternum(patient, z_low, z_high, rng)
    for side in (-1, 1):
        layers += _shoulder(patient, side, z_low, z_high, arms_hang, rng)
    return layers


def _sternum(patient: Patient, z_low: float, z_high: float, rng: np.random.Generator) -> list[Layer]:
    hard, soft = patient.tissue.cortical_hu, patient.tissue.trabecular_hu
    heights = np.arange(-60.0, 131.0, 4.0)
    y_at = front_mm(patient, heights) - 7.0
    grid = Grid.box(
        (max(z_low, -62), float(y_at.min()) - 20, -45), (min(z_high, 145), float(y_at.max()) + 20, 45), 1.25
    )
    if len(grid.z) < 2:
        return []
    z, y, x = grid.mesh
    y0 = np.interp(z, heights, y_at)
    half = np.interp(z, [-58, -45, -28, -22, 0, 40, 60, 84, 92, 116, 130], [1, 4, 6, 13, 17, 15, 13, 13, 17, 29, 22])
    half = half * float(rng.normal(1, 0.07)) * (1.0 if patient.is_male else 0.88)
    # Notches where the ribs' cartilages join.
    half = half - 1.5 * np.cos(np.pi * z / 10) ** 8
    thick = np.interp(z, [-55, -28, -20, 90, 110, 130], [1.6, 2.6, 5.2, 5.0, 6.2, 7.0])
    plate = np.maximum(np.abs(x) - half, np.abs(y - y0) - thick)
    corner = np.hypot(np.maximum(np.abs(x) - half + 4, 0), np.maximum(np.abs(y - y0) - thick + 4, 0)) - 4
    plate = np.maximum(np.maximum(plate, corner), np.abs(z - 36) - 94) + wobble(rng, grid, 5.0, 0.6)
    for height, width, always in zip(JOINTS_MM, (1.6, 0.6, 0.6, 1.5), (0.8, 0.15, 0.2, 0.6), strict=True):
        if rng.random() < always:
            plate = np.maximum(plate, width - np.abs(z - height - wobble(rng, grid, 6.0, 0.8)))
    plate = plate.astype(np.float32)
    marrow = 0.45 * soft + 10 + wobble(rng, grid, 1.4, 0.15 * soft + 14) + wobble(rng, grid, 5.0, 15.0)
    cortex = np.float32(1.1) + wobble(rng, grid, 4.0, 0.25)
    return [Layer(grid, plate, hard * 0.7 + wobble(rng, grid, 4.0, 0.15 * hard), 1.0),
            Layer(grid, plate + cortex, marrow.astype(np.float32), 1.0)]  # fmt: skip


def _shoulder(
    patient: Patient, side: int, z_low: float, z_high: float, arms_hang: bool, rng: np.random.Generator
) -> list[Layer]:
    """Return a shoulder blade with its thick border, spine and socket, and the head of the humerus beside it."""
    hard, soft = patient.tissue.cortical_hu, patient.tissue.trabecular_hu
    turn = np.radians(28 + float(rng.normal(0, 4)))
    axes = np.array([[1.0, 0, 0], [0, -np.sin(turn), side * np.cos(turn)], [0, np.cos(turn), side * np.sin(turn)]])
    centre = zyx((side * 106, 44, 78)) + rng.normal(0, 3, 3)

    def at(up: float, out: float, front: float) -> NDArray[np.float64]:
        return np.asarray(centre + up * axes[0] + out * axes[1] - front * axes[2])

    blade = Ellipsoid(centre, np.array([66.0, 44.0, 2.0]), axes)
    border = path([at(-60, 4, 0), at(-25, 27, 1), at(15, 36, 1), at(45, 42, 0)], 6.0)
    inner = path([at(-58, 0, 0), at(-10, -38, 0), at(42, -34, 0)], 6.0)
    spine = path([at(34, -34, -4), at(42, 0, -14), at(56, 34, -22), at(66, 58, -14), at(68, 66, 2)], 6.0)
    coracoid = path([at(58, 40, 4), at(64, 42, 24), at(58, 52, 36)], 6.0)
    shapes: list[Shape] = [
        blade,
        Tube(border, np.linspace(3.6, 7.0, len(border))),
        Tube(inner, np.full(len(inner), 2.3)),
        Tube(spine, np.linspace(2.6, 6.0, len(spine))),
        Tube(coracoid, np.linspace(6.0, 5.0, len(coracoid))),
        Ellipsoid(at(56, 48, 2), np.array([17.0, 8.0, 12.0]), axes),
    ]
    head = at(66, 74, 6)
    shaft = path([head, head + zyx((side * 12, -12, 28)), head + zyx((side * 6, -25, 70))], 8.0)
    shapes.append(Ellipsoid(head, np.full(3, 22.5)))
    shapes.append(
        Tube(np.array([head, zyx(humerus_mm(patient, side)[0])]), np.array([15.0, 13.0]))
        if arms_hang
        else Tube(shaft, np.linspace(15, 11.5, len(shaft)))
    )
    low = np.min([s.bounds[0] for s in shapes], axis=0) - 4
    high = np.max([s.bounds[1] for s in shapes], axis=0) + 4
    low[0], high[0] = max(low[0], z_low), min(high[0], z_high)
    if high[0] - low[0] < 3:
        return []
    grid = Grid.box(low, high, 1.5)
    bone = field(grid, shapes, 5.0) + wobble(rng, grid, 4.0, 0.4)
    cortex = np.float32(1.5) + wobble(rng, grid, 6.0, 0.3)
    marrow = soft + 20 + wobble(rng, grid, 1.6, 0.3 * soft + 20) + wobble(rng, grid, 7.0, 0.2 * soft)
    return [Layer(grid, bone, hard * 0.8 + wobble(rng, grid, 5.0, 0.12 * hard), 1.0),
            Layer(grid, bone + cortex, np.maximum(marrow, -60).astype(np.float32), 1.0)]  # fmt: skip
