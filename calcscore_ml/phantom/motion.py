"""How the heart moves while it is scanned."""

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
    Label.MITRAL_VALVE: 3.6, Label.OTHER: 0.8,
}  # fmt: skip
"""Typical travel during one slice of a scan without ECG trigger (our choice)."""

GATED_SHARE = 0.18
"""Travel left in a triggered scan, as a share of `SWING_MM`."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Displacements of one scan.

    Parameters
    ----------
    swings : dict of Label to (3,) array
        How far something with this label travels while one slice is acquired, (z, y, x) [mm].
    """

    swings: dict[Label, NDArray[np.float64]]

    def path_of(self, label: Label) -> Path:
        """Return the displacements of something with this label, by height of the slice."""
        swing = self.swings[label]
        count = int(np.clip(np.ceil(float(np.linalg.norm(swing)) / 0.6), 1, 12))
        t = np.linspace(-0.5, 0.5, count)[:, None] if count > 1 else np.zeros((1, 1))
        moves = swing * t + np.roll(swing, 1) * 0.15 * (4 * t * t - 0.5)
        return lambda _height: moves


def draw_motion(patient: Patient, protocol: Protocol, repeat: int = 0) -> Motion:
    """Draw the motion of one scan of a patient."""
    rng = patient.stream("motion", repeat)
    swings = {}
    for label, typical in SWING_MM.items():
        size = typical * float(rng.gamma(2.0, 0.5)) * (GATED_SHARE if protocol.gated else 1.0)
        direction = rng.normal(size=3) * [0.7, 1.0, 1.0]
        swings[label] = direction / max(float(np.linalg.norm(direction)), 1e-6) * min(size, 9.0)
    return Motion(swings)
