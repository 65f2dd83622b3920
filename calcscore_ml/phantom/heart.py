"""The heart and the great vessels: chambers, pericardium and fat, aorta, pulmonary arteries, large veins.

The tables below are (x, y, z) in mm from the centre of the aortic valve of an average heart at end-diastole: x to the
left, y to the back, z to the head. They were measured by eye on real scans and are ours; every patient scales, turns
and tilts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
from calcscore_ml.phantom.painter import Layer
from calcscore_ml.phantom.patient import Patient

LONG_AXIS = (0.74, -0.58, -0.35)
"""From the base of the left ventricle to its apex: 20 degrees below the horizontal, 10 to 30 in five real scans."""

TOWARDS_RIGHT_VENTRICLE = (-0.62, -0.70, 0.15)
"""Roughly across the septum; made orthogonal to the long axis."""

CHAMBERS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], bool]] = {
    "left ventricle": ((44, 0, -14), (47, 32, 30), True),
    "right ventricle": ((8, -29, -21), (43, 26, 27), True),
    "right atrium": ((-30, -3, -12), (23, 26, 29), False),
    "left atrium": ((-2, 36, 2), (33, 21, 26), False),
    "roof of the left atrium": ((-3, 35, 15), (29, 19, 16), False),
    "left appendage": ((23, 27, 21), (15, 10, 11), False),
    "right appendage": ((-28, -13, 11), (12, 20, 15), False),
}
"""Centre, half-lengths, and whether the half-lengths run along the heart's own axes (else x, y, z)."""

CHAMBER_SD_MM = 2.0
"""Spread of the centres of chambers between people, along each axis, beyond size, turn and tilt; our choice."""

BASE_SD_MM = 4.0
"""Spread between people of where all chambers lie from the valve and the great vessels, along each axis: registered to
digital hearts without it, the ostia of five real ones were 5 mm off, those of digital ones 2; our choice."""

ROOT = ((7, 5, -9), (0, 0, 1), (-1, 0, 13), (-6, -2, 24))
"""Axis of the aortic root from the outflow of the left ventricle to the sinotubular junction."""

ROOT_SD_MM = (2.0, 2.0, 2.0)
"""Spread between people of where the root's upper end lies, (x, y, z); our choice."""

RIGHT_SIDE = (
    "pulmonary trunk", "right pulmonary artery", "left pulmonary artery", "superior vena cava", "inferior vena cava",
    "innominate vein",
)  # fmt: skip
"""Vessels that carry the blood of the right heart."""

WALL_MM = 9.5
"""Thickness of the wall of the left ventricle."""

GRID_STEP_MM = 2.0
"""Sampling of the fields of the heart."""


@dataclass(frozen=True, slots=True, eq=False)
class Heart:
    """Shapes of the heart and the great vessels, in the patient's (z, y, x) [mm].

    Parameters
    ----------
    patient : Patient
        Whose heart it is.
    frame : (3, 3) array
        Turns (x, y, z) offsets of the tables into (z, y, x) of the patient, scale included.
    chambers : dict of str to Shape
        By the names in `CHAMBERS`, plus "outflow" of the right ventricle.
    vessels : dict of str to Tube
        Great vessels.
    away : (3,) array
        How far all chambers lie from where the tables have them, (x, y, z) of the tables.
    """

    patient: Patient
    frame: NDArray[np.float64]
    chambers: dict[str, Shape]
    vessels: dict[str, Tube]
    away: NDArray[np.float64]

    def place(self, points: ArrayLike) -> NDArray[np.float64]:
        """Place (..., 3) points of the tables in the patient."""
        return np.asarray(np.asarray(points, dtype=float) @ self.frame.T + self.patient.valve_mm)

    @property
    def box(self) -> NDArray[np.float64]:
        """Corners of the box around the chambers, the aortic root included: (2, 3), (z, y, x) [mm]."""
        lows, highs = zip(*(s.bounds for s in self.chambers.values()), strict=True)
        return np.array([np.min(lows, axis=0), np.max(highs, axis=0)])


def build_heart(patient: Patient) -> Heart:
    """Give a patient a heart."""
    turn, tilt = np.radians([patient.heart_turn_deg, patient.heart_tilt_deg])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]])
    frame = (about_y @ about_z)[::-1] * patient.heart_scale
    rng = patient.stream("heart")
    heart = Heart(patient, frame, {}, {}, patient.stream("base").normal(0, BASE_SD_MM, 3))
    e1 = np.asarray(LONG_AXIS) / np.linalg.norm(LONG_AXIS)
    e2 = np.asarray(TOWARDS_RIGHT_VENTRICLE) - e1 * float(np.dot(TOWARDS_RIGHT_VENTRICLE, e1))
    e2 /= np.linalg.norm(e2)
    own = np.array([e1, e2, np.cross(e1, e2)])
    for name, (centre, semi, along_axis) in CHAMBERS.items():
        size = np.asarray(semi) * rng.normal(1.0, 0.05, 3) * float(np.exp(rng.normal(0, 0.04)))
        axes = (own if along_axis else np.eye(3)) @ frame.T / patient.heart_scale
        heart.chambers[name] = Ellipsoid(
            heart.place(np.asarray(centre) + heart.away + rng.normal(0, CHAMBER_SD_MM, 3)),
            size * patient.heart_scale,
            axes,
        )
    outflow = [(4, -38, -13), (12, -34, 1), (16, -27, 15)]
    heart.chambers["outflow"] = tube(heart.place(outflow), np.array([18, 16.5, 14.5]) * patient.heart_scale)
    heart.vessels.update(_build_vessels(heart, rng))
    return heart


def heart_grid(patient: Patient, z_low: float, z_high: float) -> Grid:
    """Return the grid for the fields of the heart and the mediastinum between two heights [mm]."""
    return Grid.box((z_low, -175.0, -95.0), (z_high, 45.0, 125.0), GRID_STEP_MM)


def pericardium(heart: Heart, grid: Grid) -> F32:
    """Signed distance to the sac: a smooth hull of the chambers, filled with fat in its grooves."""
    chambers = [field(grid, [shape], 24.0) for shape in heart.chambers.values()]
    z_top = heart.place((0, 0, 30))[0]
    roots = [field(grid, [heart.vessels[name]], 24.0) for name in ("ascending aorta", "pulmonary trunk")]
    chambers += [np.maximum(root, grid.mesh[0] - np.float32(z_top)) for root in roots]
    hull = reduce(lambda a, b: smooth_union(a, b, 25.0), chambers)
    rng = heart.patient.stream("pericardium")
    fat = 0.3 + 3.8 * heart.patient.adiposity
    return np.asarray(hull - np.float32(fat) + wobble(rng, grid, 14.0, 0.6), dtype=np.float32)


def mediastinum(heart: Heart, sac: F32, grid: Grid, others: tuple[Shape, ...]) -> F32:
    """Signed distance to everything between the lungs around the heart: sac, vessels, airways, fat between them."""
    adiposity = heart.patient.adiposity
    vessels = field(grid, [*heart.vessels.values(), *others], 24.0)
    hull = smooth_union(vessels, sac, 26.0)
    z, y, x = grid.mesh
    # The great vessels above the heart share one sheath.
    upper = Ellipsoid(zyx((2, heart.patient.valve_mm[1] + 30, 116)), zyx((30 + 6 * adiposity, 42, 58)))
    hull = smooth_union(hull, field(grid, [upper], 24.0), 22.0)
    # Fat behind the sternum: a wedge that narrows towards the heart.
    front = heart.patient.valve_mm[1] - 42
    depth = np.clip((y - front + 40) / 70, 0, 1)
    half = 1.0 + (4.0 + 22.0 * adiposity) * (0.25 + depth) + np.clip((-z - 5) / 8, 0, 10)
    wedge = np.maximum((np.abs(x - np.float32(6)) - half) * np.float32(0.9), y - np.float32(front + 30))
    wedge = np.maximum(wedge, z - 95)
    # Fat on the diaphragm beside the apex and beside the right atrium.
    pads: list[Shape] = []
    # ... and behind the crux, around the lower caval vein.
    for at, semi in (((76, -44, -34), (26, 22, 15)), ((-34, -30, -33), (20, 22, 15)), ((2, 26, -30), (34, 22, 20))):
        pads.append(Ellipsoid(heart.place(at), zyx(semi) * (0.55 + 0.7 * adiposity)))
    hull = smooth_union(hull, field(grid, pads, 20.0), 14.0)
    hull = smooth_union(hull, wedge.astype(np.float32), 20.0)
    # Behind the heart: oesophagus, aorta and the fat before the spine.
    behind = np.maximum(np.abs(x - np.float32(8)) - 15, np.abs(y + np.float32(28)) - 26)
    hull = smooth_union(hull, behind.astype(np.float32), 22.0)
    rng = heart.patient.stream("mediastinum")
    return np.asarray(hull - np.float32(0.3 + 3.0 * adiposity) + wobble(rng, grid, 10.0, 0.9), dtype=np.float32)


def heart_layers(heart: Heart, grid: Grid, sac: F32, cavity: F32, edge_mm: float) -> list[Layer]:
    """Return the layers of the heart and the great vessels, without calcium or coronary arteries.

    Parameters
    ----------
    heart : Heart
        Shapes.
    grid : Grid
        Of `sac`.
    sac : array of float32
        From `pericardium`.
    cavity : array of float32
        Signed distance to the inside of the ribs on the same grid: a large heart flattens against them.
    edge_mm : float
        Width of the edges of the beating parts.
    """
    tissue = heart.patient.tissue
    rng = heart.patient.stream("heart texture")
    fat = tissue.fat_hu + 8 + np.abs(wobble(rng, grid, 2.4, 12.0)) + wobble(rng, grid, 7.0, 5.0)
    layers = [
        Layer(grid, np.maximum(sac, cavity + 1), fat.astype(np.float32), edge_mm),
        Layer(
            grid,
            np.maximum(np.maximum(sac, cavity + 1), grid.mesh[0] - np.float32(8)),
            10.0,
            1.0,
            shell_mm=1.1,
            opacity=0.4,
        ),
    ]
    outflow = field(grid, [heart.chambers["outflow"]], 14.0)
    right = smooth_union(field(grid, [heart.chambers["right ventricle"]], 14.0), outflow, 6.0)
    left = field(grid, [heart.chambers["left ventricle"]], 14.0)
    room = cavity + np.float32(3.0)
    right, left = np.maximum(right, room), np.maximum(left, room)
    crinkled = wobble(rng, grid, 5.0, 2.2)
    bumps = wobble(rng, grid, 9.0, 0.8)
    mixing = wobble(rng, grid, 12.0, 1.5)
    left_blood, right_blood = tissue.left_blood_hu + mixing, tissue.right_blood_hu + mixing
    for side, blood in (("right", right_blood), ("left", left_blood)):
        atria = field(grid, [heart.chambers[n] for n in CHAMBERS if n.endswith("atrium") and side in n], 10.0)
        ears = field(grid, [heart.chambers[n] for n in CHAMBERS if n == f"{side} appendage"], 10.0)
        layers.append(Layer(grid, np.minimum(atria, ears + crinkled) + bumps, blood, edge_mm))
    layers += [
        Layer(grid, right + bumps, np.float32(0.4) * (tissue.myocardium_hu - right_blood) + right_blood, edge_mm),
        Layer(grid, left + bumps, tissue.myocardium_hu + wobble(rng, grid, 8.0, 2.0), edge_mm),
        Layer(grid, left + np.float32(WALL_MM), left_blood, 2.0 + edge_mm),
    ]
    for name, vessel in heart.vessels.items():
        beating = name in ("ascending aorta", "pulmonary trunk")
        distance = field(grid, [vessel], 6.0)
        wall = 6.0 if "aorta" in name or name == "arch" else 2.0
        width = edge_mm if beating else 1.0
        inside = tissue.right_blood_hu if name in RIGHT_SIDE else tissue.left_blood_hu
        # A wall is seen where blood is darker than it; contrast agent drowns it.
        layers.append(Layer(grid, distance, max(tissue.blood_hu + wall, min(inside, tissue.blood_hu + 60)), width))
        layers.append(Layer(grid, distance + np.float32(1.6), inside, width))
    return layers


def _build_vessels(heart: Heart, rng: np.random.Generator) -> dict[str, Tube]:
    patient = heart.patient
    s, place, r = patient.heart_scale, heart.place, patient.aorta_radius_mm
    unfold = patient.unfolding
    valve = np.asarray(patient.valve_mm)
    leant = patient.stream("root").normal(0, ROOT_SD_MM)
    root = place(np.asarray(ROOT) + np.linspace(0, 1, len(ROOT))[:, None] ** 2 * leant)
    back = -27.0 - 4 * unfold + rng.normal(0, 2)
    top = 74 + 12 * unfold + rng.normal(0, 5)
    left = 25 + 10 * unfold + rng.normal(0, 3)
    vx, vy = valve[2], valve[1]
    ascending = [zyx((vx - 11 - 5 * unfold, vy - 5, 36)), zyx((vx - 12 - 4 * unfold, vy + 6, 58))]
    arch = [
        zyx((vx - 7, vy + 19, top - 6)),
        zyx((6 + left * 0.2, (vy + back) / 2 + 4, top)),
        zyx((left + 1, back - 10, top - 8)),
    ]
    descending = [
        zyx((left + 2, back, top - 32)),
        zyx((left + 3 + 5 * unfold, back, 15)),
        zyx((left, back - 2, -30)),
        zyx((left - 6, back - 4, -75)),
        zyx((left - 14, back - 6, -125)),
        zyx((left - 19, back - 8, -175)),
    ]
    whole = path([*root, *ascending, *arch, *descending], 4.0)
    low = whole[:, 0]
    first_arch = int(np.argmax(low > 52))
    last_arch = len(low) - int(np.argmax(low[::-1] > 45))
    bulge = r + np.array([-3.5, -3.0, -1.5, 0.8, 1.8, 1.8, 1.2, 0.2, -0.3])  # the annulus lies 10 mm along the path
    radius = np.concatenate([bulge, np.linspace(r + 0.3, r - 2.2, len(whole) - len(bulge))])
    radius[last_arch:] = np.maximum(radius[last_arch:] - 0.8, 9.5)
    parts = {
        "ascending aorta": slice(0, first_arch + 1),
        "arch": slice(first_arch, last_arch + 1),
        "descending aorta": slice(last_arch, len(whole)),
    }
    vessels = {name: Tube(whole[part], radius[part]) for name, part in parts.items()}
    wide = float(rng.normal(14.2, 1.0)) * s
    trunk = [(16, -27, 15), (17, -16, 27), (17, -3, 36), (16, 11, 42)]
    vessels["pulmonary trunk"] = tube(place(trunk), [wide, wide, wide, wide - 1])
    right = [(15, 12, 41), (1, 20, 40), (-24, 25, 39), (-44, 33, 36), (-54, 40, 18), (-57, 46, -8)]
    vessels["right pulmonary artery"] = tube(place(right), np.array([12, 11.5, 11, 10, 8, 6]) * s)
    left_artery = [(18, 17, 43), (30, 31, 47), (45, 46, 42), (53, 56, 22), (56, 62, -2)]
    vessels["left pulmonary artery"] = tube(place(left_artery), np.array([12, 12, 11, 8.5, 6.5]) * s)
    cava = [(-33, 8, 14), (-35, 12, 34), (-34, 10, 62), (-29, 2, 96)]
    vessels["superior vena cava"] = tube(place(cava), np.array([9.5, 9, 9, 8]) * s)
    lower = [(-28, 16, -24), (-28, 22, -46), (-26, 30, -85), (-22, 40, -130), (-18, 48, -180)]
    vessels["inferior vena cava"] = tube(place(lower), np.array([12, 12, 12, 11.5, 11]) * s)
    for name, line in {
        "right upper pulmonary vein": [(-22, 42, 12), (-44, 46, 18), (-58, 44, 30)],
        "right lower pulmonary vein": [(-20, 48, -4), (-42, 58, -10), (-58, 66, -18)],
        "left upper pulmonary vein": [(26, 40, 14), (44, 40, 25), (60, 34, 38)],
        "left lower pulmonary vein": [(26, 48, -2), (46, 61, -8), (62, 72, -16)],
    }.items():
        vessels[name] = tube(place(line), np.array([8, 6.5, 5]) * s)
    vessels["innominate vein"] = tube(
        [zyx((vx - 26, vy - 4, 92)), zyx((vx + 4, vy - 14, 100)), zyx((vx + 34, vy - 6, 116))], [7, 6, 6]
    )
    for name, start, end, size in (
        ("brachiocephalic", (-2, -6, top + 4), (-24, -12, 128), 6.5),
        ("left carotid", (6, -2, top + 6), (10, -4, 130), 4.2),
        ("left subclavian", (14, 8, top + 4), (24, 8, 132), 5.0),
    ):
        middle = (vy + back) / 2
        vessels[name] = tube(
            [zyx((start[0], middle + start[1], start[2])), zyx((end[0], middle + end[1], end[2]))], [size]
        )
    return vessels
