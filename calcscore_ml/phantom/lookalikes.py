"""What is bright but not coronary: calcium of the aorta, valves, pericardium, nodes and lungs, and metal.

Frequencies, sizes and places are ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.calcification import wall_frame
from calcscore_ml.phantom.canvas import F32, Ellipsoid, Grid, Tube, path, zyx
from calcscore_ml.phantom.coronaries import ostia
from calcscore_ml.phantom.deposits import Deposit
from calcscore_ml.phantom.heart import LONG_AXIS, Heart
from calcscore_ml.phantom.painter import paint_tube
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.spine import levels
from calcscore_ml.phantom.thorax import chest_section

MITRAL_CENTRE = (22, 23, -8)
"""Centre of the mitral annulus in the tables of `heart.CHAMBERS` [mm]."""

OSTIAL_ODDS = 0.35
"""Share of coronary origins with calcium of the aortic wall in severe atheroma."""

NODE_ODDS = 0.25
"""Share of patients with calcified nodes at the hila or below the carina (our choice)."""

BRONCHIAL_ODDS = 0.2
"""Share of those over 65 with calcium in the walls of the large bronchi (our choice)."""

SPINAL_RODS_SHARE = 0.015
"""Patients with rods along the spine (our choice)."""

MITRAL_RADIUS_MM = 17.0
"""Radius of the mitral annulus."""


def draw_lookalikes(heart: Heart) -> list[Deposit]:
    """Draw a patient's calcium outside the coronary arteries."""
    patient = heart.patient
    deposits = _aorta(heart, patient.stream("aortic calcium"))
    deposits += _aortic_valve(heart, patient.stream("aortic valve calcium"))
    deposits += _mitral_annulus(heart, patient.stream("mitral calcium"))
    deposits += _elsewhere(heart, patient.stream("other calcium"))
    return deposits


def aortic_valve_odds(age_years: float, *, male: bool) -> float:
    """Share of people with calcium of the aortic valve.

    Ours, fitted to 13.4 % of MESA (abstract), and to 55 % of men and 37 % of women of 80 in ARIC (Boakye 2022,
    abstract).

    >>> round(aortic_valve_odds(80, male=True), 2), round(aortic_valve_odds(80, male=False), 2)
    (0.55, 0.37)
    """
    age = age_years if male else age_years - 5.5
    return float(0.02 + 0.83 / (1 + np.exp(-(age - 76.5) / 6.2)))


def mitral_annulus_odds(age_years: float, *, male: bool) -> float:
    """Share of people with calcium of the mitral annulus.

    Ours, fitted to 8.0 % of men and 10.7 % of women in MESA (abstract).

    >>> round(mitral_annulus_odds(62, male=True), 2), round(mitral_annulus_odds(62, male=False), 2)
    (0.05, 0.08)
    """
    return float((0.023 if male else 0.046) + 0.35 / (1 + np.exp(-(age_years - 76) / 6)))


def has_spinal_rods(patient: Patient) -> bool:
    """Whether the patient's spine was operated on."""
    return bool(_metal_draws(patient.stream("metal"))[2] < SPINAL_RODS_SHARE)


def paint_metal(volume: F32, grid: Grid, heart: Heart, *, gated: bool) -> list[tuple[NDArray[np.float64], float]]:
    """Paint wires, clips, leads and electrodes when the patient has them.

    Returns
    -------
    list of (centre, strength)
        Where streaks start, (z, y, x) [mm], and how strong they are [HU].
    """
    patient = heart.patient
    rng = patient.stream("metal")
    sources: list[tuple[NDArray[np.float64], float]] = []

    def wire(points: NDArray[np.float64], radius: float, hu: float, strength: float) -> None:
        line = path(points, 3.0)
        paint_tube(volume, grid, Tube(line, np.full(len(line), radius)), hu)
        sources.extend((p, strength) for p in line[:: max(1, len(line) // 6)])

    draws = _metal_draws(rng)
    if draws[0] < 0.04:  # after open-heart surgery: sternal wires and clips along the mammary artery
        for z in np.arange(-5.0, 115.0, 21.0) + rng.normal(0, 2, 6):
            _, depth, centre = chest_section(patient, [z])
            y = float(centre[0] - depth[0]) - 7
            ring = [
                zyx((15 * np.sin(t), y - 8 * np.cos(t), z + 2 * np.sin(2 * t))) for t in np.linspace(0, 2 * np.pi, 9)
            ]
            wire(np.asarray(ring), 0.5, 2200.0, 26.0)
        for _ in range(int(rng.integers(3, 9))):
            at = heart.place(np.array([rng.normal(30, 8), rng.normal(-40, 6), rng.uniform(-20, 60)]))
            wire(np.array([at, at + rng.normal(0, 2.5, 3)]), 0.6, 2400.0, 30.0)
    if draws[1] < 0.03:  # pacemaker lead to the right ventricle
        lead = heart.place([(-27, 0, 130), (-31, 8, 60), (-32, 8, 10), (-30, -2, -16), (-5, -18, -26), (30, -30, -33)])
        wire(lead, 1.0, 2600.0, 45.0)
    if draws[2] < SPINAL_RODS_SHARE:  # rods of spinal surgery, and screws through the pedicles
        top = float(rng.uniform(10, 60))
        period, phase = levels(patient)
        bodies = phase + period * (np.arange(-8, 6) + 0.5)
        for side in (-1, 1):
            wire(np.array([zyx((side * 14, 34, z)) for z in (-120.0, -60.0, 0.0, top)]), 3.0, 3000.0, 90.0)
            for z in bodies[(bodies > -125) & (bodies < top + 5)]:
                wire(np.array([zyx((side * 13.5, 34, z + 2)), zyx((side * 8, -8, z + 3))]), 2.6, 3000.0, 90.0)
    if gated and draws[3] < 0.6:  # electrodes of the ECG lie on the skin
        for _ in range(3):
            z, x = rng.uniform(-90, 60), rng.uniform(-90, 110)
            _, depth, centre = chest_section(patient, [z])
            y = float(centre[0] - depth[0]) - 16 - patient.muscle_mm * 0.6 - patient.fat_mm + 0.003 * x * x
            wire(np.array([zyx((x - 3, y, z)), zyx((x + 3, y, z))]), 1.3, 1500.0, 6.0)
    return sources


def _metal_draws(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the odds of wires, leads, rods and electrodes."""
    return rng.random(4)


def _patch(
    rng: np.random.Generator, vessel: Tube, index: int, turn: float, long_mm: float, wide_mm: float, thick_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Balls over a patch of a vessel's wall."""
    r = thick_mm / 2
    step = 1.2 * r
    centres, radii = [], []
    tangent = vessel.points[min(index + 1, len(vessel.points) - 1)] - vessel.points[max(index - 1, 0)]
    tangent = tangent / np.linalg.norm(tangent)
    u, v = wall_frame(tangent)
    wall = float(vessel.radii[index]) - 0.3
    for a in np.arange(-long_mm / 2, long_mm / 2 + step, step):
        for b in np.arange(-wide_mm / 2, wide_mm / 2 + step, step):
            if (a / long_mm) ** 2 + (b / wide_mm) ** 2 > 0.26 * rng.uniform(0.5, 1.2):
                continue
            angle = turn + b / wall
            at = vessel.points[index] + a * tangent + wall * (np.cos(angle) * u + np.sin(angle) * v)
            centres.append(at + rng.normal(0, 0.3 * r, 3))
            radii.append(r * float(np.clip(rng.normal(1, 0.2), 0.5, 1.5)))
    if not centres:
        centres, radii = [vessel.points[index] + wall * (np.cos(turn) * u + np.sin(turn) * v)], [r]
    return np.asarray(centres), np.asarray(radii)


def _density(rng: np.random.Generator) -> float:
    return float(np.clip(rng.lognormal(np.log(380), 0.4), 140, 1200))


def _aorta(heart: Heart, rng: np.random.Generator) -> list[Deposit]:
    age = heart.patient.age_years
    atheroma = float(np.clip((age - 48) / 35 + rng.normal(0, 0.22), 0.02, 1.1))
    mean = {
        "ascending aorta": 0.5 * atheroma**1.5,
        "arch": 4.0 * atheroma**1.5,
        "descending aorta": 4.5 * atheroma**1.7,
    }
    deposits = []
    for name, expected in mean.items():
        vessel = heart.vessels[name]
        for _ in range(min(int(rng.poisson(expected * rng.gamma(1.2, 0.8))), 22)):
            index = int(rng.integers(0, len(vessel.points)))
            if name == "ascending aorta" and rng.random() < 0.55:
                index = int(rng.integers(2, min(6, len(vessel.points))))  # the root, near the ostia
            size = rng.lognormal(np.log(2.6), 0.55, 2)
            long_mm, wide_mm = (float(np.clip(v, 0.8, 14)) for v in size)
            thick = float(np.clip(rng.lognormal(np.log(1.25), 0.3), 0.6, 2.6))
            centres, radii = _patch(rng, vessel, index, float(rng.uniform(0, 2 * np.pi)), long_mm, wide_mm, thick)
            deposits.append(Deposit(Label.AORTA, name, centres, radii, _density(rng)))
    for origin in ostia(heart):
        if rng.random() < OSTIAL_ODDS * atheroma:
            # Calcium of the wall at a coronary origin: where readers disagree.
            count = int(rng.integers(2, 8))
            walk = np.cumsum(rng.normal(0, 0.7, (count, 3)) * [1, 1, 1.6], axis=0)
            radii = rng.uniform(0.5, 1.2, count)
            centres = origin + walk - walk[count // 2]
            deposits.append(Deposit(Label.AORTA, "coronary ostium", centres, radii, _density(rng)))
    return deposits


def _aortic_valve(heart: Heart, rng: np.random.Generator) -> list[Deposit]:
    patient = heart.patient
    if rng.random() > aortic_valve_odds(patient.age_years, male=patient.is_male):
        return []
    burden = float(np.clip(rng.lognormal(np.log(2.5), 0.9), 1, 26))
    ring = patient.aorta_radius_mm * 0.85
    deposits = []
    for _ in range(int(np.ceil(burden))):
        angle = rng.choice([0.4, 2.5, 4.6]) + rng.normal(0, 0.45)
        out = ring * float(rng.beta(3, 1.6))
        first = np.array([out * np.cos(angle), out * np.sin(angle), rng.uniform(-2.5, 7)])
        count = int(rng.integers(1, 7))
        walk = np.cumsum(rng.normal(0, 0.9, (count, 3)) * [1, 1, 1.2], axis=0)
        radii = np.clip(rng.lognormal(np.log(0.85), 0.35, count), 0.4, 2.4)
        centres = heart.place(first + walk - walk[0])
        deposits.append(Deposit(Label.AORTIC_VALVE, "aortic valve", centres, radii, _density(rng)))
    return deposits


def _mitral_annulus(heart: Heart, rng: np.random.Generator) -> list[Deposit]:
    patient = heart.patient
    if rng.random() > mitral_annulus_odds(patient.age_years, male=patient.is_male):
        return []
    axis = np.asarray(LONG_AXIS) / np.linalg.norm(LONG_AXIS)
    u = np.array([0, 0, 1.0]) - axis * axis[2]
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    middle = float(np.arctan2(v @ [0.35, 0.9, -0.2], u @ [0.35, 0.9, -0.2]))  # the posterior leaflet's side
    deposits = []
    for _ in range(int(rng.integers(1, 5))):
        start = middle + rng.normal(0, 0.8)
        arc = float(np.clip(rng.lognormal(np.log(7), 0.8), 1, 45))
        thick = float(np.clip(rng.lognormal(np.log(1.3), 0.4), 0.5, 3.6))
        count = max(1, int(arc / thick / 1.1))
        angles = start + np.linspace(0, arc / MITRAL_RADIUS_MM, count)
        ring = MITRAL_RADIUS_MM + rng.normal(0, 0.6, count)
        points = np.asarray(MITRAL_CENTRE) + ring[:, None] * (np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v)
        centres = heart.place(points + rng.normal(0, 0.5, points.shape))
        radii = np.clip(thick * rng.normal(1, 0.25, count), 0.4, 4.5)
        deposits.append(Deposit(Label.MITRAL_VALVE, "mitral annulus", centres, radii, _density(rng)))
    return deposits


def _elsewhere(heart: Heart, rng: np.random.Generator) -> list[Deposit]:
    patient, place = heart.patient, heart.place
    deposits: list[Deposit] = []

    def add(where: str, centres: NDArray[np.float64], radii: NDArray[np.float64]) -> None:
        deposits.append(Deposit(Label.OTHER, where, centres, radii, _density(rng)))

    if rng.random() < NODE_ODDS:  # healed infection: hilar and subcarinal nodes
        sites = [(-48, 42, 30), (48, 50, 34), (4, 50, 44), (-18, 44, 58), (-52, 46, 8), (52, 60, 12), (48, 44, 20)]
        for k in rng.choice(len(sites), int(rng.integers(1, 4)), replace=False):
            count = int(rng.integers(2, 14))
            walk = rng.normal(0, 2.4, (count, 3))
            if rng.random() < 0.3:  # an eggshell
                count = int(rng.integers(12, 40))
                walk = rng.normal(size=(count, 3))
                walk *= float(rng.uniform(2.5, 5.0)) / np.linalg.norm(walk, axis=1, keepdims=True)
            add("lymph node", place(np.asarray(sites[k]) + rng.normal(0, 3, 3) + walk), rng.uniform(0.6, 2.0, count))
    if patient.age_years > 65 and rng.random() < BRONCHIAL_ODDS:  # rings of cartilage of the large airways
        for _ in range(int(rng.integers(3, 12))):
            turn = np.cumsum(rng.uniform(0.15, 0.3, int(rng.integers(3, 9)))) + rng.uniform(0, 2 * np.pi)
            side, along = rng.choice([-1.0, 1.0]), rng.uniform(0, 1)
            ring = np.stack([side * (12 + 30 * along) + 0 * turn, 48 + 7.5 * np.cos(turn),
                             40 - 9 * along + 7.5 * np.sin(turn)], axis=1)  # fmt: skip
            add("bronchus", place(ring), np.full(len(turn), float(rng.uniform(0.4, 0.8))))
    for _ in range(rng.poisson(0.25)):  # granulomas of the lung
        side = rng.choice([-1, 1])
        at = zyx((side * rng.uniform(62, 100), rng.uniform(-120, 10), rng.uniform(-40, 110)))
        add("lung", at[None], np.array([rng.uniform(0.9, 2.6)]))
    if rng.random() < 0.025:  # pericardium
        shape = heart.chambers[str(rng.choice(["right ventricle", "left ventricle", "right atrium"]))]
        assert isinstance(shape, Ellipsoid)
        count = int(rng.integers(5, 60))
        walk = np.cumsum(rng.normal(0, 0.28, (count, 3)), axis=0) + rng.normal(size=3)
        unit = walk / np.linalg.norm(walk, axis=1, keepdims=True)
        axes = np.eye(3) if shape.axes is None else shape.axes
        add("pericardium", shape.centre + (unit * (shape.semi + 3.5)) @ axes, rng.uniform(0.6, 1.6, count))
    if rng.random() < 0.03:  # tip of a papillary muscle
        at = place(np.array([46, rng.choice([-2.0, 8.0]), -38]) + rng.normal(0, 3, 3))
        add("papillary muscle", at + rng.normal(0, 0.8, (2, 3)), rng.uniform(0.6, 1.4, 2))
    for _ in range(rng.poisson(0.12)):  # granulomas of liver and spleen
        x = rng.choice([-70.0, 80.0])
        at = zyx((x + rng.normal(0, 15), rng.normal(-50, 20), patient.dome_mm - rng.uniform(25, 60)))
        add("upper abdomen", at[None], np.array([rng.uniform(0.8, 2.2)]))
    return deposits
