"""Coronary calcium: how much a patient has, in which artery, and the shape of each lesion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.coronaries import Branch
from calcscore_ml.phantom.deposits import Deposit
from calcscore_ml.phantom.patient import Patient

PREVALENCE_AGES: tuple[float, ...] = (45, 50, 55, 60, 65, 70, 75, 80, 84)
"""Ages at which `PREVALENCE` is given."""

PREVALENCE: dict[str, tuple[float, ...]] = {
    "M": (0.25, 0.41, 0.56, 0.68, 0.77, 0.83, 0.90, 0.96, 0.99),
    "F": (0.07, 0.16, 0.26, 0.36, 0.47, 0.59, 0.73, 0.87, 0.98),
}
"""Share of people with any coronary calcium: MESA's web tool, white men and women."""

LOG_SCORE_SD = 1.6
"""Spread of ln(Agatston) among those with calcium; with `_log_score` our fit to MESA (McClelland 2006)."""

AGATSTON_PER_MG = 6.5
"""Agatston points per mg of hydroxyapatite, for drawing only: 5 to 8 for the QRM phantom's rods of 3 and 5 mm.

Lesions of this cohort are smaller and lie in fat: they come out at about half, see ``docs/phantom.md``.
"""

ARTERY_SHARES: dict[Label, float] = {Label.LAD: 4.0, Label.LCX: 1.5, Label.RCA: 2.3, Label.LM: 0.55}
"""Dirichlet weights of the arteries' shares of lesions (our choice)."""

PLACE_SHAPES: dict[Label, tuple[float, float]] = {
    Label.LAD: (1.2, 2.8), Label.LCX: (1.15, 2.0), Label.RCA: (1.05, 1.5), Label.LM: (1.0, 0.9),
}  # fmt: skip
"""Beta parameters of a lesion's place along its artery, 0 at the origin: mostly proximal (our choice)."""


def draw_coronary_calcium(patient: Patient, branches: tuple[Branch, ...]) -> list[Deposit]:
    """Draw a patient's coronary calcium.

    Parameters
    ----------
    patient : Patient
        Age and sex decide the odds and the amount.
    branches : tuple of Branch
        Where calcium can be.

    Returns
    -------
    list of Deposit
        Possibly empty.
    """
    rng = patient.stream("coronary calcium")
    odds = float(np.interp(patient.age_years, PREVALENCE_AGES, PREVALENCE[patient.sex]))
    wanted = 0.0
    if rng.random() < odds:
        wanted = float(np.exp(np.clip(rng.normal(_log_score(patient), LOG_SCORE_SD), -0.7, 8.3))) / AGATSTON_PER_MG
    labels = list(ARTERY_SHARES)
    shares = rng.dirichlet(np.array([ARTERY_SHARES[label] for label in labels]))
    typical = 1.3 * max(wanted, 0.1) ** 0.35
    deposits: list[Deposit] = []
    left = wanted
    while left > 0.12:
        mass = float(np.clip(rng.lognormal(np.log(typical), 0.95), 0.12, 90.0))
        mass = min(mass, left)
        left -= mass
        label = labels[int(rng.choice(len(labels), p=shares))]
        deposits.append(_lesion(rng, _choose(rng, branches, label), mass))
    # Specks too faint to reach the threshold, in old arteries.
    for _ in range(rng.poisson(0.5 if wanted else 0.15)):
        label = labels[int(rng.choice(len(labels), p=shares))]
        deposits.append(_lesion(rng, _choose(rng, branches, label), float(rng.uniform(0.05, 0.4))))
    return deposits


def wall_frame(tangent: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two unit vectors across a tangent, (z, y, x)."""
    guide = np.array([1.0, 0, 0]) if abs(tangent[0]) < 0.8 else np.array([0, 1.0, 0])
    u = np.cross(tangent, guide)
    u /= np.linalg.norm(u)
    return u, np.cross(tangent, u)


def _log_score(patient: Patient) -> float:
    if patient.is_male:
        return 3.4 + 0.0975 * (patient.age_years - 50)
    return 3.7 + 0.075 * (patient.age_years - 60)


def _choose(rng: np.random.Generator, branches: tuple[Branch, ...], label: Label) -> Branch:
    own = [b for b in branches if b.label is label]
    weights = np.array([1.0] + [0.11] * (len(own) - 1))
    return own[int(rng.choice(len(own), p=weights / weights.sum()))]


def _lesion(rng: np.random.Generator, branch: Branch, mass_mg: float) -> Deposit:
    density = float(np.clip(rng.lognormal(np.log(300 * max(mass_mg, 0.3) ** 0.14), 0.38), 130, 1300))
    volume = mass_mg / density * 1000
    a, b = PLACE_SHAPES[branch.label] if branch.radii[0] > 1.4 else (1.0, 2.0)
    s = float(rng.beta(a, b)) * branch.length_mm
    vessel = branch.at(s)[2]
    length = float(np.clip(1.5 * volume ** (1 / 3) * rng.lognormal(0, 0.3), 0.4, 30))
    radius = float(np.clip(np.sqrt(volume / (np.pi * (length + 1e-3))), 0.3, 0.75 * vessel))
    length = max(volume / (np.pi * radius**2) - 4 / 3 * radius, 0.0)
    count = max(1, int(np.ceil(length / (0.75 * radius))) + 1)
    turn, twist = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.25)
    centres, radii = [], []
    for k in range(count):
        share = 0.0 if count == 1 else k / (count - 1) - 0.5
        point, tangent, wall = branch.at(float(np.clip(s + share * length, 0, branch.length_mm)))
        u, v = wall_frame(tangent)
        angle = turn + twist * share * length + rng.normal(0, 0.12)
        r = radius * float(np.clip(rng.normal(1, 0.16), 0.6, 1.4)) if count > 1 else radius * 0.91
        out = max(wall - 0.55 * r, 0.0)
        # A lesion longer than what is left of the artery grows in depth instead.
        spill = rng.normal(0, 0.15 * radius, 3)
        centres.append(point + out * (np.cos(angle) * u + np.sin(angle) * v) + spill)
        radii.append(r)
    return Deposit(branch.label, branch.name, np.asarray(centres), np.asarray(radii), density)
