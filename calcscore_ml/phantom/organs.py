"""Where the organs of a digital patient lie in a scan: labels of voxels, and centrelines of the coronary arteries.

Organs rest where they are at the middle of the heart's rest; displacements of slabs and beats are those of the scan.
Spine and sternum are smooth hulls of the bones that are painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.anatomy import Organ
from calcscore_ml.geometry import Geometry
from calcscore_ml.io.centrelines import CENTRELINE_COLUMNS
from calcscore_ml.phantom.canvas import F32, Grid, field, onto
from calcscore_ml.phantom.coronaries import Branch, build_coronaries
from calcscore_ml.phantom.heart import build_heart, heart_grid, mediastinum, pericardium
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.ribs import front_mm
from calcscore_ml.phantom.thorax import Thorax, build_thorax

VESSELS = {
    Organ.ASCENDING_AORTA: "ascending aorta",
    Organ.AORTIC_ARCH: "arch",
    Organ.DESCENDING_AORTA: "descending aorta",
}
"""Which vessel of the heart makes a part of the aorta."""


@dataclass(frozen=True, slots=True, eq=False)
class OrganTruth:
    """What lies where in a digital scan.

    Parameters
    ----------
    organs : (nz, ny, nx) array of uint8
        `Organ` of every voxel. Read-only.
    centrelines : pandas.DataFrame
        Coronary arteries, `CENTRELINE_COLUMNS`.
    geometry : Geometry
        The scan's grid, on which the organs lie.
    """

    organs: NDArray[np.uint8]
    centrelines: pd.DataFrame
    geometry: Geometry


def draw_organs(patient: Patient, target: Grid, world: Geometry, thickness_mm: float) -> OrganTruth:
    """Label the organs of a patient on the grid of a scan.

    Parameters
    ----------
    patient : Patient
        Whose organs.
    target : Grid
        Voxel centres of the scan in the patient's (z, y, x) [mm].
    world : Geometry
        The same grid in the world.
    thickness_mm : float
        Of a slice; with it the surfaces are those that are painted, down to their waves.
    """
    heart = build_heart(patient)
    low, high = float(target.z[0]) - thickness_mm, float(target.z[-1]) + thickness_mm
    grid = heart_grid(patient, low - 4, high + 4)
    thorax = build_thorax(patient, low - 6, high + 6)
    sac = pericardium(heart, grid)
    between = mediastinum(heart, sac, grid, (thorax.gullet, *thorax.airways.values()))
    cavity = onto(thorax.cavity, thorax.grid, grid)
    organs = np.zeros(target.shape, dtype=np.uint8)

    def label(organ: Organ, distance: F32, source: Grid) -> None:
        inside = onto(distance, source, target) < 0
        organs[inside] = organ

    lung = _lung(thorax, onto(between, grid, thorax.grid))
    middle = np.float32(patient.valve_mm[2])
    x = thorax.grid.mesh[2]
    label(Organ.RIGHT_LUNG, np.maximum(lung, x - middle), thorax.grid)
    label(Organ.LEFT_LUNG, np.maximum(lung, middle - x), thorax.grid)
    label(Organ.STERNUM, _sternum(patient, thorax.grid), thorax.grid)
    label(Organ.SPINE, _spine(patient, thorax.grid), thorax.grid)
    label(Organ.HEART, np.maximum(sac, cavity + 1).astype(np.float32), grid)
    for organ, name in VESSELS.items():
        label(organ, field(grid, [heart.vessels[name]], 6.0), grid)
    organs.flags.writeable = False
    return OrganTruth(organs, _centrelines(build_coronaries(heart), target, world), world)


def _lung(thorax: Thorax, between: F32) -> F32:
    return np.asarray(np.maximum(np.maximum(thorax.cavity, -between), -thorax.dome), dtype=np.float32)


def _spine(patient: Patient, grid: Grid) -> F32:
    """Signed distance to bodies, discs and arches, taken as one column."""
    z, y, x = grid.mesh
    size = 1.0 if patient.is_male else 0.9
    grow = 1.04 - 0.0012 * z
    a, b = 16.5 * size * grow, 13.5 * size * grow
    body = (np.sqrt((x / a) ** 2 + (y / b) ** 2) - 1) * b
    arch = np.maximum(np.abs(x) - 15.0, np.abs(y - 24.0) - 14.0)
    return np.broadcast_to(np.minimum(body, arch), grid.shape).astype(np.float32)


def _sternum(patient: Patient, grid: Grid) -> F32:
    """Signed distance to the sternum, taken as a plate."""
    z, y, x = grid.mesh
    heights = np.arange(-60.0, 131.0, 4.0)
    y0 = np.interp(z, heights, front_mm(patient, heights) - 7.0)
    half = np.interp(z, [-28, 0, 60, 92, 116, 130], [7, 16, 13, 17, 27, 21])
    plate = np.maximum(np.maximum(np.abs(x) - half, np.abs(y - y0) - 5.5), np.abs(z - 51) - 79)
    return np.broadcast_to(plate, grid.shape).astype(np.float32)


def _centrelines(branches: tuple[Branch, ...], target: Grid, world: Geometry) -> pd.DataFrame:
    origin = np.array([target.z[0], target.y[0], target.x[0]], dtype=np.float64)
    parts = []
    for branch in branches:
        place = np.asarray(world.to_world((branch.points - origin) / np.asarray(world.spacing)))
        parts.append(
            pd.DataFrame(
                {
                    "artery": branch.label.name,
                    "branch": branch.name,
                    "point": np.arange(len(place)),
                    "x_mm": place[:, 0],
                    "y_mm": place[:, 1],
                    "z_mm": place[:, 2],
                    "radius_mm": branch.radii,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)[list(CENTRELINE_COLUMNS)]
