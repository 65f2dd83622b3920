"""How the heart moves while it is scanned: beats within a slice, phases along the table's travel, steps between beats.

A point of the heart swings along a line with a slight bow, once a beat. A slice averages over the part of the beat its
rotation takes. Without an ECG trigger the next slices see later phases, so a lesion is displaced from slice to slice;
with one, every beat stops at the same rest phase, but covers only a slab, and slabs do not quite meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.deposits import Path
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.protocols import Protocol

SWING_MM: dict[Label, float] = {
    Label.LM: 1.4, Label.LAD: 1.9, Label.LCX: 2.8, Label.RCA: 4.0, Label.AORTA: 1.0, Label.AORTIC_VALVE: 3.0,
    Label.MITRAL_VALVE: 3.6, Label.OTHER: 0.0,
}  # fmt: skip
"""Typical travel during one slice of a scan without ECG trigger (our choice); what lies outside the heart rests."""

GATED_SHARE = 0.18
"""Travel left in a triggered scan, as a share of `SWING_MM` (our choice)."""

WINDOW_RAD = 1.4
"""Part of a beat that one rotation takes: 0.2 s of 0.9 s (our choice)."""

TRAVEL_PER_BEAT_MM = (18.0, 60.0)
"""How far the table moves during a beat in a scan without trigger (our choice)."""

SLAB_MM = (28.0, 44.0)
"""Height covered by one beat of a triggered scan (our choice)."""

STEP_ODDS = 0.25
"""Share of triggered scans in which slabs are visibly displaced against each other (our choice)."""

STEP_SD_MM = (0.8, 1.2, 1.2)
"""SD of a visible displacement between slabs, (z, y, x) (our choice)."""

TRAVEL_PER_BREATH_MM = 110.0
"""How far the table moves during a breath (our choice)."""

BREATH_DIRECTION = (1.0, -0.3, 0.0)
"""The heart sinks and comes forward as the patient breathes in, (z, y, x) (our choice)."""

MAX_SWING_MM = 9.0
"""Largest travel during one slice."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Displacements of one scan.

    Parameters
    ----------
    swings : dict of Label to (3,) array
        Typical travel of something with this label during one slice, (z, y, x) [mm].
    phase : float
        Phase of the beat at height 0 [rad].
    travel_mm : float
        Table travel per beat; infinite in a triggered scan, whose slices share a phase.
    edges_mm : (n,) array
        Heights at which slabs of a triggered scan meet, ascending.
    steps_mm : (n + 1, 3) array
        Displacement of each slab, (z, y, x).
    breath_mm, breath_phase : float
        Half the way between breathing in and out, and its phase at height 0 [rad].
    """

    swings: dict[Label, NDArray[np.float64]]
    phase: float = 0.0
    travel_mm: float = np.inf
    edges_mm: tuple[float, ...] = ()
    steps_mm: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),)
    breath_mm: float = 0.0
    breath_phase: float = 0.0

    def step(self, height_mm: float) -> NDArray[np.float64]:
        """Return the displacement of the heart while a slice is taken, by slab and breath, (z, y, x) [mm]."""
        breath = self.breath_mm * np.sin(self.breath_phase + 2 * np.pi * height_mm / TRAVEL_PER_BREATH_MM)
        slab = self.steps_mm[int(np.searchsorted(self.edges_mm, height_mm))]
        return np.asarray(slab + breath * np.array(BREATH_DIRECTION), dtype=np.float64)

    def path_of(self, label: Label) -> Path:
        """Return the displacements of something with this label, by height of the slice."""
        swing = self.swings[label]
        rests = not swing.any()
        count = int(np.clip(np.ceil(float(np.linalg.norm(swing)) / 0.6), 1, 8))
        # A full beat's amplitude that makes the typical travel of a slice.
        reach = swing / (2 * np.sin(WINDOW_RAD / 2)) * np.pi / 2
        bow = np.roll(reach, 1) * 0.15
        window = np.linspace(-0.5, 0.5, count) * WINDOW_RAD if count > 1 else np.zeros(1)

        def path(height_mm: float) -> NDArray[np.float64]:
            if rests and label is Label.OTHER:
                return np.zeros((1, 3))
            angle = (self.phase + 2 * np.pi * height_mm / self.travel_mm + window)[:, None]
            return np.asarray(self.step(height_mm) + reach * np.sin(angle) + bow * np.cos(2 * angle))

        return path


def draw_motion(patient: Patient, protocol: Protocol, repeat: int = 0) -> Motion:
    """Draw the motion of one scan of a patient."""
    rng = patient.stream("motion", repeat)
    swings = {}
    for label, typical in SWING_MM.items():
        size = typical * float(rng.gamma(2.0, 0.5)) * (GATED_SHARE if protocol.gated else 1.0)
        direction = rng.normal(size=3) * [0.7, 1.0, 1.0]
        swings[label] = direction / max(float(np.linalg.norm(direction)), 1e-6) * min(size, MAX_SWING_MM)
    phase = float(rng.uniform(0, 2 * np.pi))
    travel, height, first = (float(rng.uniform(*r)) for r in (TRAVEL_PER_BEAT_MM, SLAB_MM, (0.0, 1.0)))
    low, high = protocol.z_range_mm
    edges = np.arange(low + first * height, high, height)
    visible = rng.random() < STEP_ODDS
    steps = rng.normal(0, STEP_SD_MM, (len(edges) + 1, 3))
    breath = 0.5 * protocol.breathing_mm
    breath_phase = float(patient.stream("breath", repeat).uniform(0, 2 * np.pi))
    if not protocol.gated:
        return Motion(swings, phase, travel, breath_mm=breath, breath_phase=breath_phase)
    if not visible:
        return Motion(swings, phase)
    moved = tuple((float(z), float(y), float(x)) for z, y, x in steps)
    return Motion(swings, phase, edges_mm=tuple(map(float, edges)), steps_mm=moved)
