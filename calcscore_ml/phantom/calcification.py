"""Coronary calcium: how much a patient has, in which artery, and the shape of each lesion."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.burden import draw_score, reference_score
from calcscore_ml.phantom.coronaries import Branch
from calcscore_ml.phantom.deposits import Deposit
from calcscore_ml.phantom.patient import Patient

ALONE: dict[Label, float] = {Label.LAD: 0.75, Label.RCA: 0.12, Label.LCX: 0.10, Label.LM: 0.03}
"""Which artery it is when one alone is calcified: MESA, 33 % of 3,290 people with calcium (abstract; docs/phantom.md).
A set of several arteries is as likely as the product of their odds (our choice)."""

LEFT_MAIN_AMONG_SEVERAL = 0.5
"""The left main's odds in a set of several, relative to `ALONE`: 22 % of all with calcium have it there, as Lahti 2019
(abstract) found."""

VESSELS_SLOPE, VESSELS_FROM = 0.90, (3.0, 4.6, 6.75)
"""Odds of more than 1, 2 and 3 calcified arteries: exp(slope ln(score) - from). Fitted to MESA's 33, 25, 30, 12 % with
one to four arteries (the same abstract), to 28 % with more than one in new calcium of a median score of 7.1 (Alluri
2015), and to a mean of 3.5 arteries above a score of 1,000 (Peng 2020)."""

AMOUNT: dict[Label, float] = {Label.LAD: 1.7, Label.RCA: 1.2, Label.LCX: 0.6, Label.LM: 0.35}
"""Dirichlet weights of the score among the calcified arteries (our choice)."""

POINTS_PER_MG = 4.5
"""Agatston points per mg of hydroxyapatite, to guess the typical size of a patient's lesions (our choice)."""

CALCIUM_STREAM = "coronary calcium"
"""Of the patient's random numbers, those that begin with the score."""

MOST_LESIONS = 150
"""No patient has more."""

DIFFUSE_FROM_MM3, DIFFUSE_ODDS = 8.0, 0.3
"""Lesions above this volume are stretched along the artery at these odds (our choice)."""

RING_FROM_MM3, RING_ODDS = 25.0, 0.35
"""Lesions above this volume surround the lumen, half or wholly, at these odds (our choice)."""

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
    rng = patient.stream(CALCIUM_STREAM)
    wanted = draw_score(patient, rng)
    labels = _calcified(rng, wanted) if wanted else []
    shares = rng.dirichlet([AMOUNT[label] for label in labels]) if labels else np.zeros(0)
    typical = 1.3 * max(wanted / POINTS_PER_MG, 0.1) ** 0.35
    deposits: list[Deposit] = []
    for label, share in zip(labels, shares, strict=True):
        own: list[Deposit] = []
        left = share * wanted
        while not own or (left > max(0.1 * share * wanted, 0.4) and len(deposits) + len(own) < MOST_LESIONS):
            mass = float(np.clip(rng.lognormal(np.log(typical), 0.95), 0.12, 110.0))
            lesion, score = _fitting(rng, _choose(rng, branches, label), mass, left)
            own.append(lesion)
            left -= score
        deposits += own
    # Specks too faint to reach the threshold, in old arteries.
    where = labels or list(ALONE)
    for _ in range(rng.poisson(0.5 if wanted else 0.15)):
        branch = _choose(rng, branches, where[int(rng.integers(len(where)))])
        deposits.append(_lesion(rng, branch, float(rng.uniform(0.05, 0.25))))
    return deposits


def _calcified(rng: np.random.Generator, score: float) -> list[Label]:
    """Draw which arteries hold calcium."""
    more = 1 / (1 + np.exp(np.array(VESSELS_FROM) - VESSELS_SLOPE * np.log(score)))
    count = 1 + int((rng.random() < more).sum())
    sets = list(combinations(ALONE, count))
    odds = np.array([np.prod([ALONE[label] for label in one]) for one in sets])
    if count > 1:
        odds[[Label.LM in one for one in sets]] *= LEFT_MAIN_AMONG_SEVERAL
    return list(sets[int(rng.choice(len(sets), p=odds / odds.sum()))])


def _fitting(rng: np.random.Generator, branch: Branch, mass_mg: float, left: float) -> tuple[Deposit, float]:
    """Draw a lesion whose score does not exceed what is left by much: made smaller, or larger, a few times."""
    lesion = _lesion(rng, branch, mass_mg)
    score = reference_score(lesion)
    for _ in range(6):
        if 0 < score <= 1.25 * left + 1:
            break
        mass_mg *= 1.6 if score == 0 else max(left / score, 0.15) ** 0.8
        lesion = _lesion(rng, branch, mass_mg)
        score = reference_score(lesion)
    return lesion, score


def wall_frame(tangent: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two unit vectors across a tangent, (z, y, x)."""
    guide = np.array([1.0, 0, 0]) if abs(tangent[0]) < 0.8 else np.array([0, 1.0, 0])
    u = np.cross(tangent, guide)
    u /= np.linalg.norm(u)
    return u, np.cross(tangent, u)


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
    stretch, around = _pattern(rng, volume)
    length = float(np.clip(1.5 * stretch * volume ** (1 / 3) * rng.lognormal(0, 0.3), 0.4, 45))
    radius = float(np.clip(np.sqrt(volume / (np.pi * (length + 1e-3))), 0.3, 0.75 * vessel))
    length = max(volume / (np.pi * radius**2) - 4 / 3 * radius, 0.0)
    count = max(1, int(np.ceil(length / (0.75 * radius))) + 1)
    turn, twist = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.25)
    centres, radii = [], []
    for k in range(count):
        share = 0.0 if count == 1 else k / (count - 1) - 0.5
        point, tangent, wall = branch.at(float(np.clip(s + share * length, 0, branch.length_mm)))
        u, v = wall_frame(tangent)
        angle = turn + twist * share * length + rng.normal(0, 0.12) + around * rng.uniform(-0.5, 0.5)
        r = radius * float(np.clip(rng.normal(1, 0.16), 0.6, 1.4)) if count > 1 else radius * 0.91
        out = max(wall - 0.55 * r, 0.0)
        # A lesion longer than what is left of the artery grows in depth instead.
        spill = rng.normal(0, 0.15 * radius, 3)
        centres.append(point + out * (np.cos(angle) * u + np.sin(angle) * v) + spill)
        radii.append(r)
    where = (np.asarray(centres), np.asarray(radii))
    return Deposit(branch.label, branch.name, *where, density, segment=branch.segment_at(s))


def _pattern(rng: np.random.Generator, volume_mm3: float) -> tuple[float, float]:
    """Draw how much longer than round a lesion is, and over what angle of the wall it is scattered [rad]."""
    odds = rng.random(2)
    diffuse = volume_mm3 > DIFFUSE_FROM_MM3 and odds[0] < DIFFUSE_ODDS
    ring = volume_mm3 > RING_FROM_MM3 and odds[1] < RING_ODDS
    return (float(rng.uniform(1.8, 3.2)) if diffuse else 1.0), (float(rng.uniform(np.pi, 2 * np.pi)) if ring else 0.0)
