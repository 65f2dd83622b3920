"""A digital patient: everything that varies from person to person, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

AGE_RANGE_YEARS = (42.0, 86.0)
"""Ages of those whose coronary calcium is measured (our choice)."""


HEART_DEPTH_MM = 124.0
"""Front of the right ventricle to back of the left atrium, in a heart of scale 1; every chest has room for it."""


@dataclass(frozen=True, slots=True)
class Tissue:
    """HU of the tissues of one patient.

    `blood_hu` is blood without contrast agent. `left_blood_hu` is the blood of the left heart, the aorta and the
    coronary arteries, `right_blood_hu` that of the right heart, the pulmonary arteries and the caval veins; both are
    `blood_hu` until a contrast agent is given.
    """

    fat_hu: float
    muscle_hu: float
    blood_hu: float
    left_blood_hu: float
    right_blood_hu: float
    myocardium_hu: float
    lung_hu: float
    liver_hu: float
    spleen_hu: float
    trabecular_hu: float
    cortical_hu: float
    cartilage_hu: float


@dataclass(frozen=True, slots=True)
class Patient:
    """What is drawn once for a patient.

    Parameters
    ----------
    seed : int
        Where everything comes from.
    age_years : float
        Age.
    sex : {'F', 'M'}
        Sex.
    chest_half_width_mm, chest_half_depth_mm : float
        Inside of the rib cage at the height of the heart.
    fat_mm, muscle_mm : float
        Thickness of the subcutaneous fat and of the muscle of the chest wall.
    adiposity : float
        0 lean, 1 obese: fat around the heart and in the mediastinum.
    heart_scale : float
        Size of the heart relative to our average.
    heart_turn_deg, heart_tilt_deg : float
        Rotation about the body's axis and in the frontal plane.
    valve_mm : tuple of float
        Centre of the aortic valve, (z, y, x); z is 0.
    dome_mm : float
        Height of the right diaphragm above the aortic valve, negative.
    aorta_radius_mm : float
        Of the ascending aorta.
    unfolding : float
        How far the aorta's arch and descending part have lengthened with age, 0 to 1.
    dominance : {'right', 'left', 'balanced'}
        Which artery gives the posterior descending branch.
    tissue : Tissue
        HU.
    """

    seed: int
    age_years: float
    sex: str
    chest_half_width_mm: float
    chest_half_depth_mm: float
    fat_mm: float
    muscle_mm: float
    adiposity: float
    heart_scale: float
    heart_turn_deg: float
    heart_tilt_deg: float
    valve_mm: tuple[float, float, float]
    dome_mm: float
    aorta_radius_mm: float
    unfolding: float
    dominance: str
    tissue: Tissue

    def stream(self, purpose: str, repeat: int = 0) -> np.random.Generator:
        """Return the patient's own random numbers for one purpose, unaffected by what other purposes draw.

        `repeat` counts scans of the same patient: what belongs to the scan, not to the patient, is drawn with it.
        """
        return np.random.default_rng([self.seed, crc32(purpose.encode()), *([repeat] if repeat else [])])

    @property
    def is_male(self) -> bool:
        """Whether the sex is 'M'."""
        return self.sex == "M"


def draw_patient(seed: int) -> Patient:
    """Draw a patient.

    Parameters
    ----------
    seed : int
        Not negative; same seed, same patient.

    Returns
    -------
    Patient
        Drawn parameters.

    >>> draw_patient(3) == draw_patient(3)
    True
    """
    rng = np.random.default_rng([seed, crc32(b"patient")])
    age = float(np.clip(rng.normal(62, 10), *AGE_RANGE_YEARS))
    male = bool(rng.random() < 0.56)
    size = float(np.clip(rng.normal(0.0, 1.0), -2, 2.2))
    adiposity = float(np.clip(rng.beta(2.2, 2.4) + 0.06 * size, 0.03, 1.0))
    scale = (1.08 if male else 1.0) * float(np.exp(rng.normal(0.0, 0.055))) + 0.012 * size
    unfolding = float(np.clip((age - 45) / 55 + rng.normal(0, 0.18), 0, 1))
    half_depth = (99 if male else 94) + 3.0 * size + float(rng.normal(0, 5))
    half_depth = max(half_depth, HEART_DEPTH_MM * scale / 2 + 31 + float(rng.uniform(0, 3)))
    # The right ventricle lies close behind the sternum.
    valve = (0.0, 36 - 2 * half_depth + 64 * scale + float(rng.normal(1, 3)), float(rng.normal(9, 6)))
    return Patient(
        seed=seed,
        age_years=round(age, 1),
        sex="M" if male else "F",
        chest_half_width_mm=(122 if male else 111) + 6.0 * size + float(rng.normal(0, 5)),
        chest_half_depth_mm=half_depth,
        fat_mm=float(np.clip((6 if male else 9) + 32 * adiposity**1.5 + rng.normal(0, 2), 4, 48)),
        muscle_mm=float(np.clip((11 if male else 8) + rng.normal(0, 2), 4, 18)),
        adiposity=adiposity,
        heart_scale=scale,
        heart_turn_deg=float(rng.normal(0, 10)),
        heart_tilt_deg=float(rng.normal(0, 9) + 10 * (adiposity - 0.5)),
        valve_mm=valve,
        dome_mm=float(np.clip(rng.normal(-32, 14), -65, -4)),
        aorta_radius_mm=float((15.2 if male else 13.8) + 0.06 * (age - 60) + rng.normal(0, 1.3)),
        unfolding=unfolding,
        dominance=str(rng.choice(["right", "left", "balanced"], p=[0.83, 0.09, 0.08])),
        tissue=_draw_tissue(rng, age, male),
    )


def _draw_tissue(rng: np.random.Generator, age: float, male: bool) -> Tissue:
    anaemia = rng.random() < 0.12
    blood = float(rng.normal(44 if male else 41, 3.0) - (8 if anaemia else 0))
    fatty_liver = rng.random() < 0.2
    return Tissue(
        fat_hu=float(rng.normal(-103, 4)),
        muscle_hu=float(rng.normal(50, 4)),
        blood_hu=blood,
        left_blood_hu=blood,
        right_blood_hu=blood,
        myocardium_hu=float(max(blood, 40) + rng.normal(5, 2)),
        lung_hu=float(rng.normal(-862, 22)),
        liver_hu=float(rng.normal(30, 10) if fatty_liver else rng.normal(58, 5)),
        spleen_hu=float(rng.normal(47, 3)),
        trabecular_hu=float(np.clip(190 - 2.0 * (age - 45) + rng.normal(0, 26), 50, 280)),
        cortical_hu=float(rng.normal(800, 90)),
        cartilage_hu=float(rng.normal(106, 11)),
    )
