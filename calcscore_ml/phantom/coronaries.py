"""The coronary arteries: paths in the grooves of the heart, with their usual variants.

A path starts from guessed points and is drawn into its groove: each point moves until it lies a vessel's width outside
both chambers that form the groove. The guesses, radii and frequencies of variants are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.canvas import F32, Grid, Tube, path
from calcscore_ml.phantom.heart import Heart
from calcscore_ml.phantom.painter import paint_tube

STEP_MM = 1.5
"""Distance between the points of a centreline."""

CLEARANCE_MM = 1.8
"""Distance of an artery's centreline from the chambers it passes."""

ATTRACTION = 0.06
"""Weight of a point's first place against its distance from the two chambers."""

Distance = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Points of the tables of `heart.CHAMBERS`: (x, y, z) from the aortic valve.
LEFT_MAIN = ((11, -4, 9), (18, -6, 10.5), (26, -7, 11))
LAD = ((26, -7, 11), (34, -19, 7), (43, -33, -7), (53, -47, -24), (63, -55, -42), (70, -56, -56), (71, -48, -66))
LCX = ((26, -7, 11), (35, 5, 9), (45, 17, 3), (54, 25, -10), (55, 29, -24), (46, 31, -38))
LCX_END = ((34, 27, -46), (18, 18, -50), (6, 12, -50))
RCA = (
    (-5, -13, 9),
    (-10, -23, 9),
    (-17, -32, 4),
    (-25, -36, -9),
    (-32, -32, -26),
    (-31, -20, -42),
    (-21, -4, -52),
    (-6, 8, -53),
)
PDA = ((2, 10, -52), (18, 2, -62), (34, -12, -70), (48, -26, -74))
DIAGONALS = (
    ((34, -19, 7), (50, -22, 0), (66, -25, -14), (78, -28, -30)),
    ((43, -33, -7), (60, -38, -16), (74, -42, -32)),
)
MARGINALS = (
    ((45, 17, 3), (60, 14, -8), (74, 5, -24), (82, -8, -40)),
    ((55, 27, -18), (66, 20, -34), (74, 8, -50)),
)
ACUTE = ((-31, -30, -28), (-14, -50, -40), (6, -54, -52))
RAMUS = ((26, -7, 11), (42, -3, 8), (60, -4, -4), (74, -10, -20))
CONUS = ((-10, -23, 9), (-2, -44, 6), (10, -52, 0))


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
    """

    name: str
    label: Label
    points: NDArray[np.float64]
    radii: NDArray[np.float64]

    @property
    def length_mm(self) -> float:
        """Length of the centreline."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def at(self, s_mm: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return point, unit tangent and radius at arc length `s_mm`, held at the ends."""
        steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.points, axis=0), axis=1))])
        s = float(np.clip(s_mm, 0, steps[-1]))
        point = np.array([np.interp(s, steps, self.points[:, i]) for i in range(3)])
        k = int(np.clip(np.searchsorted(steps, s), 1, len(steps) - 1))
        tangent = self.points[k] - self.points[k - 1]
        return point, tangent / max(float(np.linalg.norm(tangent)), 1e-9), float(np.interp(s, steps, self.radii))


def build_coronaries(heart: Heart) -> tuple[Branch, ...]:
    """Give a heart its arteries.

    Returns
    -------
    tuple of Branch
        LM, LAD, LCX, RCA first, then branches.
    """
    patient = heart.patient
    rng = patient.stream("coronaries")
    wide = (1.0 if patient.is_male else 0.9) * heart.patient.heart_scale * float(np.exp(rng.normal(0, 0.1)))
    bend = rng.normal(0, 1.3, 3)

    def draw(points: tuple[tuple[float, float, float], ...], free: int = 0) -> NDArray[np.float64]:
        table = np.asarray(points, dtype=float)
        table = table + bend * np.sin(np.arange(len(table)) * 1.1)[:, None]
        table[free:] += rng.normal(0, 1.2, table[free:].shape)
        return heart.place(table)

    lv, rv = (_distance_of(heart, name) for name in ("left ventricle", "right ventricle"))
    la, ra = (_distance_of(heart, name) for name in ("left atrium", "right atrium"))
    short = float(rng.uniform(-4, 3))
    ostium = heart.place(LEFT_MAIN[0])
    fork = heart.place(np.asarray(LEFT_MAIN[2]) + np.array([short, 0.15 * short, rng.normal(0, 1.5)]))
    middle = 0.5 * (ostium + fork) + rng.normal(0, 0.6, 3)
    left_main = np.array([ostium, middle, fork])
    lad = np.vstack([fork, _into_groove(draw(LAD)[1:], lv, rv, 2.6)])
    far = patient.dominance != "right"
    lcx_table = LCX + LCX_END[: 3 if patient.dominance == "left" else 1] if far else LCX
    lcx = np.vstack([fork, _into_groove(draw(lcx_table)[1:], lv, la, 2.6)])
    rca_table = RCA[:6] if patient.dominance == "left" else RCA
    start = heart.place(RCA[0])
    rca = np.vstack([start, _into_groove(draw(rca_table)[1:], ra, rv, 2.8)])
    lad, lcx, rca = (_out_of_chambers(line, heart) for line in (lad, lcx, rca))
    found = [
        _branch("left main", Label.LM, left_main, (2.4, 2.2), wide),
        _branch("LAD", Label.LAD, lad, (2.0, 1.7, 1.2, 0.8), wide),
        _branch("LCX", Label.LCX, lcx, (1.9, 1.5, 1.0 if not far else 1.4), wide),
        _branch("RCA", Label.RCA, rca, (2.1, 1.9, 1.7, 1.2), wide),
    ]

    def on_surface(points: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.vstack([first, _into_groove(points[1:], lv, lv, 1.6)])

    for i, table in enumerate(DIAGONALS[: int(rng.choice([1, 2], p=[0.4, 0.6]))]):
        found.append(
            _branch(
                f"diagonal {i + 1}", Label.LAD, on_surface(draw(table), _nearest(lad, draw(table)[0])), (1.2, 0.7), wide
            )
        )
    for i, table in enumerate(MARGINALS[: int(rng.choice([1, 2], p=[0.45, 0.55]))]):
        found.append(
            _branch(
                f"marginal {i + 1}", Label.LCX, on_surface(draw(table), _nearest(lcx, draw(table)[0])), (1.3, 0.7), wide
            )
        )
    if rng.random() < 0.2:
        found.append(_branch("ramus", Label.LCX, on_surface(draw(RAMUS), fork), (1.3, 0.7), wide))
    giver, label = (lcx, Label.LCX) if patient.dominance == "left" else (rca, Label.RCA)
    pda = np.vstack([giver[-1], _into_groove(draw(PDA)[1:], lv, rv, 2.0)])
    found.append(_branch("posterior descending", label, pda, (1.2, 0.7), wide))
    acute = np.vstack([_nearest(rca, draw(ACUTE)[0]), _into_groove(draw(ACUTE)[1:], rv, rv, 1.5)])
    found.append(_branch("acute marginal", Label.RCA, acute, (1.0, 0.6), wide))
    conus = np.vstack(
        [_nearest(rca, draw(CONUS)[0]), _into_groove(draw(CONUS)[1:], rv, _distance_of(heart, "outflow"), 1.5)]
    )
    found.append(_branch("conus", Label.RCA, conus, (0.9, 0.6), wide))
    return tuple(found)


def paint_coronaries(volume: F32, grid: Grid, heart: Heart, branches: tuple[Branch, ...], edge_mm: float) -> None:
    """Paint arteries and the great cardiac veins onto the fine grid."""
    blood = heart.patient.tissue.blood_hu
    for branch in branches:
        paint_tube(volume, grid, Tube(branch.points[::2], branch.radii[::2]), blood + 3, edge_mm=edge_mm)
    lad, lcx = branches[1], branches[2]
    aside = np.array([2.5, 1.5, 3.0])
    vein = path(np.vstack([lad.points[::-12][:5] + aside, lcx.points[4::12] + aside]), 5.0)
    paint_tube(volume, grid, Tube(vein, np.linspace(1.0, 2.6, len(vein))), blood, edge_mm=edge_mm)
    sinus = path(heart.place([(48, 32, -34), (30, 32, -40), (10, 26, -42), (-14, 18, -38)]), 4.0)
    paint_tube(volume, grid, Tube(sinus, np.linspace(3.0, 5.0, len(sinus))), blood, edge_mm=edge_mm)


def _branch(name: str, label: Label, points: NDArray[np.float64], radii: tuple[float, ...], wide: float) -> Branch:
    line = path(points, STEP_MM)
    spread = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(radii)), radii)
    return Branch(name, label, line, spread * wide)


def _distance_of(heart: Heart, name: str) -> Distance:
    shape = heart.chambers[name]
    return lambda p: np.asarray(shape.distance(p[:, 0], p[:, 1], p[:, 2]), dtype=np.float64)


def _nearest(line: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    fine = path(line, STEP_MM)
    return np.asarray(fine[int(np.linalg.norm(fine - point, axis=1).argmin())])


def _out_of_chambers(line: NDArray[np.float64], heart: Heart) -> NDArray[np.float64]:
    """Move a path to the outside of all chambers, its origin excepted: arteries run in the fat."""
    moved = path(line, 2 * STEP_MM)
    chambers = [*heart.chambers.values(), heart.vessels["pulmonary trunk"]]

    def depth(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.min([c.distance(p[:, 0], p[:, 1], p[:, 2]) for c in chambers], axis=0), dtype=np.float64)

    share = np.clip((np.arange(len(moved)) - 1) / 3, 0, 1)[:, None]
    for _ in range(10):
        slope = np.stack([depth(moved + 0.5 * e) - depth(moved - 0.5 * e) for e in np.eye(3)], axis=1)
        slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 0.2)
        moved = moved + share * slope * np.clip(CLEARANCE_MM - depth(moved), 0, 2)[:, None]
        moved[1:-1] = 0.25 * moved[:-2] + 0.5 * moved[1:-1] + 0.25 * moved[2:]
    return moved


def _into_groove(points: NDArray[np.float64], first: Distance, second: Distance, gap_mm: float) -> NDArray[np.float64]:
    """Move points until both distances are `gap_mm`, or as near as they get without leaving their place by far."""
    start, moved = points.copy(), points.copy()
    eye = np.eye(3)
    for _ in range(12):
        system = np.repeat(ATTRACTION * eye[None], len(moved), axis=0)
        right = ATTRACTION * (start - moved)
        for distance in (first, second):
            value = distance(moved)
            slope = np.stack([(distance(moved + 0.5 * e) - distance(moved - 0.5 * e)) for e in eye], axis=1)
            system += slope[:, :, None] * slope[:, None, :]
            right += slope * (gap_mm - value)[:, None]
        step = np.linalg.solve(system, right[:, :, None])[:, :, 0]
        moved += np.clip(step, -4, 4)
    return moved
