"""How much coronary calcium people have: prevalence and score by age and sex, and the score a lesion adds.

Amounts are drawn as Agatston scores and realised by lesions whose noise-free score on a reference protocol adds up to
them, so that a scanner of that protocol measures what the population table says.
"""

from __future__ import annotations

import numpy as np

from calcscore_ml.phantom.canvas import Grid
from calcscore_ml.phantom.deposits import Deposit, excess, sample
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.protocols import Protocol, find_protocol

PREVALENCE_AGES: tuple[float, ...] = (45, 50, 55, 60, 65, 70, 75, 80, 84)
"""Ages at which `PREVALENCE` is given [years]."""

PREVALENCE: dict[str, tuple[float, ...]] = {
    "M": (0.25, 0.41, 0.56, 0.68, 0.77, 0.83, 0.90, 0.96, 0.99),
    "F": (0.07, 0.16, 0.26, 0.36, 0.47, 0.59, 0.73, 0.87, 0.98),
}
"""Share of people with any coronary calcium: MESA's web tool, white men and women, as read off by a third party."""

MESA_QUANTILES = (0.25, 0.5, 0.75, 0.9)
"""Quantiles of `MESA_SCORES`."""

MESA_SCORES: dict[str, dict[float, tuple[float, ...]]] = {
    "M": {50: (0, 0, 22, 110), 60: (0, 28, 155, 452), 70: (21, 145, 540, 1345), 80: (103, 385, 1200, 2933)},
    "F": {50: (0, 0, 0, 8), 60: (0, 0, 16, 102), 70: (0, 13, 119, 391), 80: (20, 106, 370, 921)},
}
"""Agatston scores at `MESA_QUANTILES` by sex and age, white men and women: McClelland 2006, Table 2."""

LOG_SCORE: dict[str, tuple[float, float, float]] = {"M": (4.465, 0.0788, 1.684), "F": (3.684, 0.0633, 1.705)}
"""Of people with calcium: mean ln(Agatston) at 60 years, its rise per year, SD. Fitted by least squares to the positive
entries of `MESA_SCORES` as percentiles; a test fits again."""

LARGEST_SCORE = 4000.0
"""Nobody here has more (our choice)."""

REFERENCE: Protocol = find_protocol("gated-3mm")
"""Protocol whose noise-free score is meant: 120 kV, 3 mm, kernel of calcium scoring."""

REFERENCE_PIXEL_MM = 0.45
"""Pixel of the reference protocol."""

BACKGROUND_HU = 0.0
"""What a lesion lies in: half fat, half blood and wall (our choice)."""


def prevalence(age_years: float, sex: str) -> float:
    """Share of people of this age and sex with coronary calcium."""
    return float(np.interp(age_years, PREVALENCE_AGES, PREVALENCE[sex]))


def draw_score(patient: Patient, rng: np.random.Generator) -> float:
    """Draw the Agatston score a patient should have; 0 without calcium."""
    calcified = rng.random() < prevalence(patient.age_years, patient.sex)
    middle, rise, spread = LOG_SCORE[patient.sex]
    drawn = float(np.exp(rng.normal(middle + rise * (patient.age_years - 60), spread)))
    return float(np.clip(drawn, 0.5, LARGEST_SCORE)) if calcified else 0.0


def reference_score(deposit: Deposit) -> float:
    """Return the noise-free Agatston score of a deposit on the reference protocol.

    A slice adds the area at or above 130 HU times the weight of its peak: 1 below 200 HU, 2, 3, and 4 from 400 HU.
    """
    sampled = sample(deposit)
    spacing = REFERENCE.slice_spacing_mm
    axes = []
    for axis, step, margin in ((sampled.grid.z, spacing, 2 * spacing), (sampled.grid.y, REFERENCE_PIXEL_MM, 4.0),
                               (sampled.grid.x, REFERENCE_PIXEL_MM, 4.0)):  # fmt: skip
        first, last = np.floor((axis[0] - margin) / step), np.ceil((axis[-1] + margin) / step)
        axes.append(np.arange(first * step, last * step, step, dtype=np.float32))
    _, hu = excess(sampled, Grid(*axes), REFERENCE)
    seen = hu + np.float32(BACKGROUND_HU)
    area = (seen >= 130).sum(axis=(1, 2)) * REFERENCE_PIXEL_MM**2
    weight = np.clip(np.floor(seen.max(axis=(1, 2), initial=0.0) / 100), 1, 4)
    return float((area * (area >= 1.0) * weight).sum()) * spacing / 3.0
