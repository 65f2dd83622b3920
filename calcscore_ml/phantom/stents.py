"""Coronary stents: metal that looks like the calcium it treats."""

from __future__ import annotations

import numpy as np

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.burden import draw_score
from calcscore_ml.phantom.calcification import CALCIUM_STREAM, wall_frame
from calcscore_ml.phantom.coronaries import Branch
from calcscore_ml.phantom.deposits import Deposit
from calcscore_ml.phantom.patient import Patient

STENT_FROM, STENT_ODDS, STENT_ODDS_BELOW = 100.0, 0.15, 0.01
"""Share of patients over 50 with a stent, of those whose calcium scores at least this much and of the others (our
choice)."""

STENT_STREAM = "stents"
"""Of the patient's random numbers, those that begin with whether there is a stent."""

STRUT_MM = 0.3
"""Radius of a ball of the mesh: the sampling's least; real struts are thinner and denser (our choice)."""

STRUT_MG_PER_ML = 6000.0
"""Density of hydroxyapatite that looks like the mesh: rails of 300 to 900 HU in 3 mm slices (our choice)."""


def stent_odds(patient: Patient) -> float:
    """Odds of a stent: they are put into arteries with disease."""
    diseased = draw_score(patient, patient.stream(CALCIUM_STREAM)) >= STENT_FROM
    return STENT_ODDS if diseased else STENT_ODDS_BELOW


def has_stent(patient: Patient) -> bool:
    """Whether the patient has a stent."""
    return patient.age_years >= 50 and bool(patient.stream(STENT_STREAM).random() <= stent_odds(patient))


def draw_stents(patient: Patient, branches: tuple[Branch, ...]) -> list[Deposit]:
    """Draw a patient's stents: mesh tubes in the proximal or middle part of a large artery."""
    if not has_stent(patient):
        return []
    rng = patient.stream(STENT_STREAM)
    rng.random()  # said whether there is one
    deposits = []
    for _ in range(int(rng.choice([1, 2], p=[0.8, 0.2]))):
        branch = branches[int(rng.choice([1, 2, 3], p=[0.5, 0.2, 0.3]))]
        length = float(rng.uniform(12, 28))
        start = float(rng.uniform(4, max(0.55 * branch.length_mm - length, 6)))
        radius = float(rng.uniform(1.3, 1.7))
        centres = []
        for k, s in enumerate(np.arange(start, start + length, 1.1)):
            point, tangent, _ = branch.at(float(s))
            u, v = wall_frame(tangent)
            turns = np.linspace(0, 2 * np.pi, 9)[:-1] + 0.35 * (k % 2)
            centres.append(point + radius * (np.cos(turns)[:, None] * u + np.sin(turns)[:, None] * v))
        points = np.concatenate(centres)
        radii = np.full(len(points), STRUT_MM)
        deposits.append(Deposit(Label.OTHER, "stent", points, radii, STRUT_MG_PER_ML, moves_as=branch.label))
    return deposits
