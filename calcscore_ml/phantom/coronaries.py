"""The coronary arteries: paths in the grooves of the heart, with their usual variants.

A path starts from guessed points and is drawn into its groove: each point moves until it lies a vessel's width outside
both chambers that form the groove. The guesses and the frequencies of variants are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.heart.lines import arc_mm
from calcscore_ml.phantom.canvas import F32, Grid, Tube, path
from calcscore_ml.phantom.heart import Heart
from calcscore_ml.phantom.painter import paint_tube
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.segments import (
    BRANCH_SEGMENTS,
    Borders,
    find_segment,
    lad_borders,
    lcx_borders,
    rca_borders,
    segment_at,
)

STEP_MM = 1.5
"""Distance between the points of a centreline."""

CLEARANCE_MM = 1.8
"""Distance of an artery's centreline from the chambers it passes, at least."""

HANGS_MM = 5.0
"""The same from chambers and pulmonary trunk, at most; our choice."""

ATTRACTION = 0.06
"""Weight of a point's first place against its distance from the two chambers."""

LUMEN_MM: dict[str, tuple[float, ...]] = {
    "left main": (4.5, 4.3),
    "LAD": (3.7, 3.0, 2.3, 1.9),
    "LCX": (3.4, 2.8, 1.9),
    "RCA": (3.9, 3.5, 3.1, 2.8),
    "diagonal": (2.1, 1.2),
    "marginal": (2.3, 1.2),
    "ramus": (2.3, 1.2),
    "posterior descending": (2.1, 1.3),
    "posterolateral": (2.0, 1.2),
    "acute marginal": (1.7, 1.0),
    "conus": (1.5, 1.0),
}
"""Lumen diameter from origin to end, men with right dominance [mm].

Left main 4.5, proximal LAD 3.7, distal LAD 1.9, proximal RCA 3.9 and proximal LCX 3.4 from the abstract of Dodge 1992
(Circulation 86:232); the others are our choice.
"""

LEFT_DOMINANT_MM: dict[str, tuple[float, ...]] = {"LCX": (4.2, 3.5, 2.8), "RCA": (2.8, 2.2, 1.5)}
"""The same with left dominance: 4.2 and 2.8 at the origin from Dodge 1992, the rest our choice."""

WOMEN_LUMEN = 0.91
"""Women's diameters relative to men's (Dodge 1992: 9 % smaller)."""

LUMEN_SPREAD = 0.11
"""Spread of ln(diameter) between people: SD 0.4 to 0.5 of 3.7 to 4.5 mm (Dodge 1992)."""

WALL_MM = 0.5
"""Thickness of the wall of an artery (our choice)."""

BRIDGE_SHARE = 0.22
"""Share of people whose LAD runs through the myocardium for a while (our choice)."""

Distance = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Points of the tables of `heart.CHAMBERS`: (x, y, z) from the aortic valve.
FORK = (18, 9, 22)
LEFT_MAIN = ((3, 3, 17), (12, 6.5, 20), FORK)
LAD = (
    FORK,
    (28, 7.5, 23),
    (38, 0, 21.5),
    (44, -11, 19),
    (45, -23, 14),
    (47, -32, 7),
    (51, -38, -3),
    (55, -43, -13),
    (61, -42, -22),
    (69, -34, -31),
    (76, -26, -36),
)
LAD_FREE = 4
"""So many points after the fork lie in the fat beside the pulmonary trunk, in no groove."""

LCX = (FORK, (20, 20, 18), (22, 26, 12), (25, 30, 4), (28, 33, -5), (29, 37, -15), (26, 34, -24))
LCX_END = ((20, 28, -31), (12, 22, -33), (4, 17, -32))
RCA = (
    (-4, -12, 7),
    (-9, -22, 7),
    (-15, -31, 2),
    (-22, -37, -6),
    (-29, -38, -18),
    (-30, -24, -29),
    (-19, -4, -34),
    (-4, 13, -34),
)
PDA = ((4, 13, -34), (22, 3, -42), (40, -11, -47), (56, -22, -49))
DIAGONALS = (
    (LAD[3], (57, -10, 13), (69, -12, 2), (79, -13, -11)),
    (LAD[5], (62, -29, -1), (74, -26, -13)),
    (LAD[7], (67, -36, -18), (77, -29, -26)),
)
MARGINALS = (
    (LCX[2], (42, 26, 9), (62, 19, 1), (76, 8, -11)),
    (LCX[4], (48, 33, -10), (65, 24, -20), (76, 12, -28)),
)
POSTEROLATERAL_RIGHT = ((-4, 13, -34), (10, 20, -36), (26, 23, -39), (44, 18, -43))
POSTEROLATERAL_LEFT = (LCX[5], (46, 33, -26), (64, 18, -35))
ACUTE = ((-30, -29, -19), (-13, -50, -25), (7, -55, -34))
RAMUS = (FORK, (38, 8, 17), (58, 3, 9), (74, -3, -5))
CONUS = ((-10, -22, 8), (-2, -44, 6), (10, -52, 2))

OSTIUM_SD_MM = 3.0
"""Spread between people of the height of an ostium above the annulus (Tops 2008: 2.9 and 3.3 mm)."""


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One coronary artery or branch.

    Parameters
    ----------
    name : str
        As cardiologists call it.
    label : Label
        The artery its calcium counts for.
    points : (n, 3) array
        Centreline from its origin, (z, y, x) [mm], about `STEP_MM` apart.
    radii : (n,) array
        Outer radius [mm].
    borders : tuple of (float, int)
        Arc lengths [mm] at which its segments begin, and their numbers in `segments.SEGMENTS`.
    bridge_mm : tuple of float
        Arc lengths between which it runs through the myocardium; equal when it does not.
    """

    name: str
    label: Label
    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    borders: Borders
    bridge_mm: tuple[float, float] = (0.0, 0.0)

    @property
    def length_mm(self) -> float:
        """Length of the centreline."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def segment_at(self, s_mm: float) -> int:
        """Return the number of the coronary segment at arc length `s_mm`."""
        return segment_at(self.borders, s_mm)

    def at(self, s_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return point, unit tangent and radius at arc length `s_mm`, held at the ends."""
        steps = arc_mm(self.points)
        s = float(np.clip(s_mm, 0, steps[-1]))
        point = np.array([np.interp(s, steps, self.points[:, i]) for i in range(3)])
        k = int(np.clip(np.searchsorted(steps, s), 1, len(steps) - 1))
        tangent = self.points[k] - self.points[k - 1]
        return point, tangent / max(float(np.linalg.norm(tangent)), 1e-9), float(np.interp(s, steps, self.radii))


def ostia(heart: Heart) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the left main and the RCA leave the outside of the aorta: two points, (z, y, x) [mm]."""
    higher = heart.patient.stream("ostia").normal(0, OSTIUM_SD_MM, 2)
    ways = np.asarray([LEFT_MAIN[:2], RCA[:2]], dtype=float)
    ways[:, :, 2] += higher[:, None]
    left, right = (_leave(heart, start, end) for start, end in ways)
    return left, right


def build_coronaries(heart: Heart) -> tuple[Branch, ...]:
    """Give a heart its arteries.

    Returns
    -------
    tuple of Branch
        LM, LAD, LCX, RCA first, then branches.
    """
    patient = heart.patient
    rng = patient.stream("coronaries")
    width = float(np.exp(rng.normal(0, LUMEN_SPREAD))) * (1.0 if patient.is_male else WOMEN_LUMEN)
    bend = rng.normal(0, 1.3, 3)

    def draw(points: tuple[tuple[float, float, float], ...], at_root: int = 0) -> NDArray[np.float64]:
        """Place a table: it follows the chambers, its first points less, which lie at the root."""
        table = np.asarray(points, dtype=float)
        follows = np.ones(len(table)) if not at_root else np.clip(np.arange(len(table)) / at_root, 0, 1)
        table = table + follows[:, None] * heart.away
        table = table + bend * np.sin(np.arange(len(table)) * 1.1)[:, None]
        return heart.place(table + rng.normal(0, 1.2, table.shape))

    lv, rv = (_distance_of(heart, name) for name in ("left ventricle", "right ventricle"))
    la, ra = (_distance_of(heart, name) for name in ("left atrium", "right atrium"))
    left, right = ostia(heart)
    # Left mains measure 10.5 +- 5.3 mm (Medrano-Gracia 2016); the fork lies nearer or farther.
    short = float(np.clip(rng.normal(0, 4.5), -6, 9))
    higher = float((left - heart.place(LEFT_MAIN[1]))[0]) / patient.heart_scale
    fork = heart.place(np.asarray(LEFT_MAIN[2]) + np.array([short, 0.15 * short, 0.7 * higher + rng.normal(0, 1.5)]))
    left_main = _onto_heart(np.array([left, 0.5 * (left + fork) + rng.normal(0, 0.5, 3), fork]), heart)
    fork = left_main[-1]
    outflow = _distance_of(heart, "outflow")

    def front(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.minimum(rv(p), outflow(p))

    free, sulcus = np.split(draw(LAD, LAD_FREE)[1:], [LAD_FREE])
    lad = np.vstack([fork, free, _into_groove(sulcus, lv, front, 2.6)])
    far = patient.dominance != "right"
    lcx_table = LCX + LCX_END[: 3 if patient.dominance == "left" else 1] if far else LCX
    lcx = np.vstack([fork, _into_groove(draw(lcx_table, 2)[1:], lv, la, 2.6)])
    rca_table = RCA[:6] if patient.dominance == "left" else RCA
    rca = np.vstack([right, _into_groove(draw(rca_table, 2)[1:], ra, rv, 2.8)])
    lad, lcx, rca = (_wind(_onto_heart(line, heart), heart, rng) for line in (lad, lcx, rca))
    lad, bridge = _bridge(lad, lv, patient)

    def on_surface(table: tuple[tuple[float, float, float], ...], giver: NDArray[np.float64]) -> NDArray[np.float64]:
        points = draw(table)
        first = giver if giver.ndim == 1 else _nearest(giver, points[0])
        return np.vstack([first, _into_groove(points[1:], lv, lv, 1.6)])

    found: list[tuple[str, str, NDArray[np.float64]]] = []
    for i, table in enumerate(DIAGONALS[: int(rng.choice([1, 2, 3], p=[0.3, 0.5, 0.2]))]):
        found.append((f"diagonal {i + 1}", "diagonal", on_surface(table, lad)))
    for i, table in enumerate(MARGINALS[: int(rng.choice([1, 2], p=[0.4, 0.6]))]):
        found.append((f"marginal {i + 1}", "marginal", on_surface(table, lcx)))
    if rng.random() < 0.2:
        found.append(("ramus", "ramus", on_surface(RAMUS, fork)))
    side, giver = ("left", lcx) if patient.dominance == "left" else ("right", rca)
    pda = np.vstack([giver[-1], _into_groove(draw(PDA)[1:], lv, rv, 2.0)])
    found.append((f"{side} posterior descending", "posterior descending", pda))
    if patient.dominance != "left":
        found.append(("right posterolateral", "posterolateral", on_surface(POSTEROLATERAL_RIGHT, rca[-1])))
    if far:
        found.append(("left posterolateral", "posterolateral", on_surface(POSTEROLATERAL_LEFT, lcx)))
    acute = np.vstack([_nearest(rca, draw(ACUTE)[0]), _into_groove(draw(ACUTE)[1:], front, front, 1.5)])
    found.append(("acute marginal", "acute marginal", acute))
    conus = np.vstack([_nearest(rca, draw(CONUS)[0]), _into_groove(draw(CONUS)[1:], front, front, 1.5)])
    found.append(("conus", "conus", conus))

    starts = {name: line[0] for name, _, line in found}
    stems = {"left main": left_main, "LAD": lad, "LCX": lcx, "RCA": rca}
    length = float(np.linalg.norm(np.diff(lad, axis=0), axis=1).sum())
    borders = {
        "LAD": lad_borders(length, _along(lad, starts["diagonal 1"])),
        "LCX": lcx_borders(_along(lcx, starts["marginal 1"])),
        "RCA": rca_borders(_along(rca, starts["acute marginal"])),
    }
    lumen = _lumens(patient.dominance)
    whole = [(name, name, line) for name, line in stems.items()] + found
    branches = []
    for name, kind, line in whole:
        fine = path(line, STEP_MM) if name in ("left main", *starts) else line
        own = borders[name] if name in borders else ((0.0, BRANCH_SEGMENTS[name]),)
        spread = np.interp(np.linspace(0, 1, len(fine)), np.linspace(0, 1, len(lumen[kind])), lumen[kind])
        label = find_segment(own[0][1]).label
        sunk = bridge if name == "LAD" else (0.0, 0.0)
        branches.append(Branch(name, label, fine, 0.5 * spread * width + WALL_MM, own, sunk))
    return tuple(branches)


def paint_coronaries(volume: F32, grid: Grid, heart: Heart, branches: tuple[Branch, ...], edge_mm: float) -> None:
    """Paint arteries and the great cardiac veins onto the fine grid."""
    tissue = heart.patient.tissue
    venous = 0.5 * (tissue.right_blood_hu + tissue.blood_hu)
    for branch in branches:
        paint_tube(volume, grid, Tube(branch.points[::2], branch.radii[::2]), tissue.left_blood_hu + 3, edge_mm=edge_mm)
    lad, lcx = branches[1], branches[2]
    aside = np.array([2.5, 1.5, 3.0])
    vein = path(np.vstack([lad.points[::-12][:5] + aside, lcx.points[4::12] + aside]), 5.0)
    paint_tube(volume, grid, Tube(vein, np.linspace(1.0, 2.6, len(vein))), venous, edge_mm=edge_mm)
    sinus = path(heart.place([(30, 39, -13), (24, 36, -23), (10, 27, -29), (-14, 19, -28)]), 4.0)
    paint_tube(volume, grid, Tube(sinus, np.linspace(3.0, 5.0, len(sinus))), venous, edge_mm=edge_mm)


def _lumens(dominance: str) -> dict[str, tuple[float, ...]]:
    """`LUMEN_MM` of a dominance; balanced hearts lie in the middle."""
    share = {"right": 0.0, "balanced": 0.5, "left": 1.0}[dominance]
    changed = dict(LUMEN_MM)
    for name, diameters in LEFT_DOMINANT_MM.items():
        own = np.linspace(0, 1, len(LUMEN_MM[name]))
        other = np.interp(own, np.linspace(0, 1, len(diameters)), diameters)
        changed[name] = tuple((1 - share) * np.asarray(LUMEN_MM[name]) + share * other)
    return changed


def _leave(heart: Heart, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """First point outside the aorta on the way from `start` to twice as far as `end`, tables' (x, y, z)."""
    a, b = heart.place(start), heart.place(end)
    way = a + np.linspace(0, 2, 61)[:, None] * (b - a)
    depth = heart.vessels["ascending aorta"].distance(way[:, 0], way[:, 1], way[:, 2])
    return np.asarray(way[int(np.argmax(depth > 0))])


def _along(line: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    """Arc length of the point of a line nearest to `point` [mm]."""
    steps = arc_mm(line)
    return float(steps[int(np.linalg.norm(line - point, axis=1).argmin())])


def _depth(heart: Heart) -> Distance:
    """Distance to the nearest chamber or the pulmonary trunk, negative inside."""
    chambers = [*heart.chambers.values(), heart.vessels["pulmonary trunk"]]
    return lambda p: np.asarray(np.min([c.distance(p[:, 0], p[:, 1], p[:, 2]) for c in chambers], axis=0), np.float64)


def _slope(points: NDArray[np.float64], distance: Distance) -> NDArray[np.float64]:
    """Gradient of a distance at some points, (n, 3): all asked for at once, an artery has few points."""
    steps = 0.5 * np.vstack([np.eye(3), -np.eye(3)])
    found = distance((points + steps[:, None]).reshape(-1, 3)).reshape(2, 3, -1)
    return np.ascontiguousarray((found[0] - found[1]).T)


def _outward(points: NDArray[np.float64], depth: Distance) -> NDArray[np.float64]:
    slope = _slope(points, depth)
    return np.asarray(slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 0.2))


def _wind(line: NDArray[np.float64], heart: Heart, rng: np.random.Generator) -> NDArray[np.float64]:
    """Let an artery wind along the surface, more in the old (our choice: about 0.5 mm at 45, 1.5 mm at 85)."""
    fine = path(line, STEP_MM)
    s = arc_mm(fine)
    size = (0.5 + 0.025 * (heart.patient.age_years - 45)) * float(rng.gamma(4.0, 0.25))
    wave = np.zeros(len(s))
    for _ in range(3):
        wave += np.sin(2 * np.pi * s / rng.uniform(14, 32) + rng.uniform(0, 2 * np.pi)) / np.sqrt(3)
    tangent = np.gradient(fine, axis=0)
    sideways = np.cross(tangent, _outward(fine, _depth(heart)))
    sideways /= np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-6)
    taper = np.clip(s / 12, 0, 1) * np.clip((s[-1] - s) / 12, 0, 1)
    return np.asarray(fine + (size * wave * taper)[:, None] * sideways)


def _bridge(
    lad: NDArray[np.float64], left_ventricle: Distance, patient: Patient
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Sink a part of the middle of the LAD into the myocardium of some patients."""
    rng = patient.stream("bridge")
    if rng.random() > BRIDGE_SHARE:
        return lad, (0.0, 0.0)
    s = arc_mm(lad)
    middle, half = float(rng.uniform(0.42, 0.62)) * s[-1], float(rng.uniform(5, 14))
    goal = float(rng.uniform(1.0, 3.0))
    half += max(float(left_ventricle(lad)[np.abs(s - middle).argmin()]), 0.0)
    share = np.clip(1.4 * np.cos(np.clip((s - middle) / half, -1, 1) * np.pi / 2), 0, 1)
    sunk = lad
    for _ in range(8):
        too_high = np.clip(left_ventricle(sunk) + goal, 0, 7)
        sunk = sunk - _outward(sunk, left_ventricle) * too_high[:, None]
    moved = lad + (sunk - lad) * share[:, None]
    low, high = np.interp([middle - half, middle + half], s, arc_mm(moved))
    return moved, (float(low), float(high))


def _distance_of(heart: Heart, name: str) -> Distance:
    shape = heart.chambers[name]
    return lambda p: np.asarray(shape.distance(p[:, 0], p[:, 1], p[:, 2]), dtype=np.float64)


def _nearest(line: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    fine = path(line, STEP_MM)
    return np.asarray(fine[int(np.linalg.norm(fine - point, axis=1).argmin())])


def _onto_heart(line: NDArray[np.float64], heart: Heart) -> NDArray[np.float64]:
    """Move a path, its origin excepted, out of all chambers and near to them, where arteries run."""
    moved = path(line, 2 * STEP_MM)
    depth = _depth(heart)
    share = np.clip((np.arange(len(moved)) - 1) / 3, 0, 1)[:, None]
    for _ in range(10):
        slope, now = _outward(moved, depth), depth(moved)
        move = np.clip(CLEARANCE_MM - now, 0, 2) - np.clip(now - HANGS_MM, 0, 2)
        moved = moved + share * slope * move[:, None]
        moved[1:-1] = 0.25 * moved[:-2] + 0.5 * moved[1:-1] + 0.25 * moved[2:]
    return moved


def _into_groove(points: NDArray[np.float64], first: Distance, second: Distance, gap_mm: float) -> NDArray[np.float64]:
    """Move points until both distances are `gap_mm`, or as near as they get without leaving their place by far."""
    start, moved = points.copy(), points.copy()
    for _ in range(12):
        system = np.repeat(ATTRACTION * np.eye(3)[None], len(moved), axis=0)
        right = ATTRACTION * (start - moved)
        for distance in (first, second):
            value = distance(moved)
            slope = _slope(moved, distance)
            system += slope[:, :, None] * slope[:, None, :]
            right += slope * (gap_mm - value)[:, None]
        step = np.linalg.solve(system, right[:, :, None])[:, :, 0]
        moved += np.clip(step, -4, 4)
    return moved
