"""Arms beside the trunk, as in those who cannot raise them. Sizes are ours."""

from __future__ import annotations

import numpy as np

from calcscore_ml.phantom.canvas import Grid, field, tube, wobble, zyx
from calcscore_ml.phantom.painter import Layer
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.thorax import RIB_LAYER_MM

ARMS_DOWN_SHARE = 0.12
"""Patients whose arms lie beside the trunk in scans without gating (our choice)."""


def arms_down(patient: Patient, *, gated: bool) -> bool:
    """Whether the arms lie beside the trunk: never in gated scans."""
    return bool(not gated and patient.stream("arms").random() < ARMS_DOWN_SHARE)


def humerus_mm(patient: Patient, side: int) -> list[tuple[float, float, float]]:
    """Return points along the humerus of an arm that hangs, shoulder to elbow, (x, y, z) [mm]."""
    out = patient.chest_half_width_mm + RIB_LAYER_MM + 0.55 * patient.muscle_mm + 1.1 * patient.fat_mm + 46
    return [
        (side * (0.5 * out + 80), 10, 128),
        (side * out, 12, 70),
        (side * (out + 6), 14, -60),
        (side * out, 20, -165),
    ]


def arm_layers(patient: Patient, z_low: float, z_high: float) -> list[Layer]:
    """Return skin, fat, muscle and bone of both arms, to be painted before the trunk."""
    rng = patient.stream("arm texture")
    tissue = patient.tissue
    layers: list[Layer] = []
    for side in (-1, 1):
        line = [zyx(p) for p in humerus_mm(patient, side)]
        flesh = tube(line, np.array([34.0, 33.0, 30.0, 27.0]) + patient.muscle_mm * 0.4)
        bone = tube(line, [13.0, 11.5, 10.5, 14.0])
        fat_mm = np.float32(4 + 0.35 * patient.fat_mm)
        low, high = flesh.bounds
        low, high = low - 8 - fat_mm, high + 8 + fat_mm
        low[0], high[0] = max(low[0], z_low), min(high[0], z_high)
        if high[0] - low[0] < 3:
            continue
        grid = Grid.box(low, high, 2.0)
        muscle = field(grid, [flesh], 22.0) + wobble(rng, grid, 14.0, 1.2)
        shaft = field(grid, [bone], 5.0) + wobble(rng, grid, 6.0, 0.3)
        bundles = np.clip(np.abs(wobble(rng, grid, 5.0, 1.0)) - 1.0, 0, 1.2)
        layers += [
            Layer(grid, muscle - fat_mm - np.float32(1.8), 5.0, 1.0),
            Layer(grid, muscle - fat_mm, tissue.fat_hu, 1.5),
            Layer(grid, muscle, (tissue.muscle_hu - 45 * bundles).astype(np.float32), 1.5),
            Layer(grid, shaft, 1.25 * tissue.cortical_hu + wobble(rng, grid, 6.0, 60.0), 1.0),
            Layer(grid, shaft + np.float32(3.8), tissue.fat_hu + 60 + wobble(rng, grid, 3.0, 30.0), 1.0),
        ]
    return layers
