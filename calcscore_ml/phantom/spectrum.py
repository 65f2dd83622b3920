"""How HU depend on tube voltage, filter and contrast agent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from calcscore_ml.candidates import KVP_THRESHOLD_HU, THRESHOLD_HU
from calcscore_ml.phantom.patient import Tissue

CALCIUM_BY_KVP: dict[int, float] = {kvp: hu / THRESHOLD_HU for kvp, hu in KVP_THRESHOLD_HU.items()} | {140: 0.89}
"""HU of calcium relative to 120 kV: the thresholds that keep the score over the one at 120 kV; 140 kV is our choice.
Calibration factors at 80 kV (Fujioka 2012) give 1.37 to 1.45."""

TIN_FACTOR = 0.83
"""What a tin filter makes of the factor of its voltage: 0.93 of 120 kV at 100 kV (our choice; a median Agatston of 34.9
instead of 41.7 was found with unchanged thresholds, Apfaltrer)."""

IODINE_POWER = 1.45
"""HU of iodine relative to 120 kV, as a power of calcium's factor: 1.56 at 80 kV (our choice)."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """An injected contrast agent.

    Parameters
    ----------
    phase : {'arterial', 'venous'}
        Arterial: left heart, aorta and arteries bright, the right heart less. Venous: all blood alike, organs brighter.
    lumen_hu : tuple of float
        Least and greatest HU of the blood of the left heart at 120 kV; a patient draws one between.
    """

    phase: Literal["arterial", "venous"]
    lumen_hu: tuple[float, float]


def calcium_factor(kvp: float, tin: bool = False) -> float:
    """HU of calcium relative to 120 kV without filter.

    >>> calcium_factor(120.0)
    1.0
    >>> round(calcium_factor(80.0), 2), calcium_factor(100.0, tin=True) < 1
    (1.36, True)
    """
    kvps, factors = list(CALCIUM_BY_KVP), list(CALCIUM_BY_KVP.values())
    return float(np.exp(np.interp(kvp, kvps, np.log(factors)))) * (TIN_FACTOR if tin else 1.0)


def seen_at(tissue: Tissue, factor: float) -> Tissue:
    """Return tissues as another spectrum shows them.

    Parameters
    ----------
    tissue : Tissue
        At 120 kV.
    factor : float
        Of calcium, see `calcium_factor`. Bone holds calcium; fat grows darker where calcium grows brighter, by 0.4 of
        its change (our choice); water-like tissues stay.
    """
    return replace(
        tissue,
        fat_hu=tissue.fat_hu * (1 + 0.4 * (factor - 1)),
        trabecular_hu=20 + (tissue.trabecular_hu - 20) * factor,
        cortical_hu=50 + (tissue.cortical_hu - 50) * factor,
        cartilage_hu=60 + (tissue.cartilage_hu - 60) * factor,
    )


def enhance(tissue: Tissue, contrast: Contrast, rng: np.random.Generator, factor: float = 1.0) -> Tissue:
    """Return tissues with a contrast agent in them.

    Parameters
    ----------
    tissue : Tissue
        Without.
    contrast : Contrast
        Phase and brightness.
    rng : Generator
        Random numbers.
    factor : float
        Of calcium at this spectrum; iodine changes more.
    """
    gain = factor**IODINE_POWER
    added = (float(rng.uniform(*contrast.lumen_hu)) - tissue.blood_hu) * gain
    arterial = contrast.phase == "arterial"
    right = added * float(rng.uniform(0.25, 0.9) if arterial else rng.normal(1, 0.04))
    # Shares of the blood's enhancement that tissues take up are our choices, by eye on enhanced scans.
    muscle, organ, heart = (0.05, 0.12, 0.16) if arterial else (0.05, 0.35, 0.65)
    return replace(
        tissue,
        left_blood_hu=tissue.blood_hu + added,
        right_blood_hu=tissue.blood_hu + right,
        myocardium_hu=tissue.myocardium_hu + heart * added,
        muscle_hu=tissue.muscle_hu + muscle * added,
        liver_hu=tissue.liver_hu + organ * 0.9 * added,
        spleen_hu=tissue.spleen_hu + organ * added,
    )
