"""How the heart moves while it is scanned: beats within a slice, phases along the table's travel, steps between beats.

A beat is a curve: out to end-systole, a short rest, back in rapid filling, a longer rest (diastasis) that fast rates
lose, and the atrial kick. A point of the heart swings along a line with a slight bow. A slice averages over the part of
the beat its data take. Without an ECG trigger the next slices see later phases, so a lesion is displaced from slice to
slice; with one, every slice is taken about the same rest, but a beat covers only a slab, and slabs do not quite meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.deposits import Path
from calcscore_ml.phantom.patient import Patient
from calcscore_ml.phantom.protocols import Protocol

Step = Callable[[float], NDArray[np.float64]]
"""Height of a slice [mm] -> displacement of everything in front of the spine, (z, y, x) [mm]."""

SWING_MM: dict[Label, float] = {
    Label.LM: 5.5, Label.LAD: 5.0, Label.LCX: 8.5, Label.RCA: 12.0, Label.AORTA: 3.0, Label.AORTIC_VALVE: 8.0,
    Label.MITRAL_VALVE: 10.0, Label.OTHER: 0.0,
}  # fmt: skip
"""Typical way from end-diastole to end-systole; what lies outside the heart rests. Sizes are our choice; their order is
that of the arteries' velocities, RCA > LCX > LM > LAD, and peak velocities stay within the 22 to 109 mm/s found there
(Mao 2000, abstract)."""

RATE_PER_MIN = (67.0, 10.0)
"""Mean and SD of the heart's rate (our choice)."""

SYSTOLE_S, SYSTOLIC_REST_S, FILLING_S, KICK_S = 0.34, 0.06, 0.16, 0.12
"""Length of systole at 60 beats per minute, which goes with the root of the beat's; of the rest after it; of rapid
filling; of the atrial kick (our choice)."""

DIASTASIS = (0.20, 0.12)
"""What is left of the way when rapid filling ends, and when the atria contract (our choice)."""

DIASTOLIC_TRIGGER, FAST_PER_MIN = 0.75, 80.0
"""Part of the beat at which a triggered slice is taken; above this rate the rest of end-systole is taken instead."""

TRIGGER_SD = 0.03
"""SD of the part of the beat that a trigger hits (our choice)."""

WINDOW_S = {True: 0.15, False: 0.22}
"""Time a slice's data take, with a trigger (half a rotation) and without (our choice)."""

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

RESTLESS_ODDS, RESTLESS_MM = 0.12, (2.0, 6.0)
"""Share of scans without trigger in which a held breath is not held, and the heart's travel then (our choice)."""

DOUBLED_ODDS, WALL_MM, WALL_SHARE = 0.4, (3.0, 8.0), (0.35, 0.6)
"""Share of scans without trigger whose left border may be seen twice; the free wall's way from end-diastole to
end-systole, of which a slice sees a part; weight of the second position (our choice)."""

MAX_SWING_MM = 24.0
"""Longest way from end-diastole to end-systole."""

SAMPLE_MM = 0.6
"""Distance between the places a moving thing is seen at during a slice, at most `MAX_SAMPLES` places."""

MAX_SAMPLES = 8

SPINE_FRONT_MM, FADE_MM = -22.0, 12.0
"""Steps and breath move what lies in front of this, fading over the second."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Displacements of one scan.

    Parameters
    ----------
    swings : dict of Label to (3,) array
        Way of something with this label from end-diastole to end-systole, (z, y, x) [mm].
    rate_per_min : float
        Beats.
    window_s : float
        Time a slice's data take.
    phase : float
        Part of the beat, 0 to 1, at height 0; in a triggered scan, of every slice.
    travel_mm : float
        Table travel per beat; infinite in a triggered scan, whose slices share a phase.
    edges_mm : (n,) array
        Heights at which slabs of a triggered scan meet, ascending.
    steps_mm : (n + 1, 3) array
        Displacement of each slab, (z, y, x).
    breath_mm, breath_phase : float
        Half the way between breathing in and out, and its phase at height 0 [rad].
    wall_mm, wall_share : float
        Way of the left ventricle's free wall in a beat, and the weight of the second of two positions that a slice
        sees of it; 0 where its border is seen once.
    """

    swings: dict[Label, NDArray[np.float64]]
    rate_per_min: float = 60.0
    window_s: float = WINDOW_S[True]
    phase: float = DIASTOLIC_TRIGGER
    travel_mm: float = np.inf
    edges_mm: tuple[float, ...] = ()
    steps_mm: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),)
    breath_mm: float = 0.0
    breath_phase: float = 0.0
    wall_mm: float = 0.0
    wall_share: float = 0.0

    def wall_travel(self, height_mm: float) -> float:
        """Return how far the free wall moves while a slice is taken [mm]."""
        window = self.window_s * self.rate_per_min / 60
        seen = self.phase + height_mm / self.travel_mm + np.linspace(-0.5, 0.5, MAX_SAMPLES + 1) * window
        return self.wall_mm * float(np.ptp(np.interp(seen, *beat_curve(self.rate_per_min), period=1)))

    def step(self, height_mm: float) -> NDArray[np.float64]:
        """Return the displacement of the heart while a slice is taken, by slab and breath, (z, y, x) [mm]."""
        breath = self.breath_mm * np.sin(self.breath_phase + 2 * np.pi * height_mm / TRAVEL_PER_BREATH_MM)
        slab = self.steps_mm[int(np.searchsorted(self.edges_mm, height_mm))]
        return np.asarray(slab + breath * np.array(BREATH_DIRECTION), dtype=np.float64)

    def path_of(self, label: Label, y_mm: float = 2 * SPINE_FRONT_MM) -> Path:
        """Return the displacements of something that moves as this label does, by height of the slice.

        Parameters
        ----------
        label : Label
            Whose beat it shares.
        y_mm : float
            Where it lies, front to back: steps and breath fade towards the spine.
        """
        swing, share = self.swings[label], float(front_share(y_mm))
        curve, length = beat_curve(self.rate_per_min), float(np.linalg.norm(swing))
        bow = np.roll(swing, 1) * 0.15
        window = self.window_s * self.rate_per_min / 60
        # The anatomy is painted where the heart is on average while it is scanned.
        mean = float(np.interp(self.phase, *curve, period=1)) if np.isinf(self.travel_mm) else float(curve[1].mean())

        def path(height_mm: float) -> NDArray[np.float64]:
            seen = self.phase + height_mm / self.travel_mm + np.linspace(-0.5, 0.5, MAX_SAMPLES + 1) * window
            way = np.interp(seen, *curve, period=1)
            count = int(np.clip(np.ceil(length * float(np.ptp(way)) / SAMPLE_MM), 1, MAX_SAMPLES))
            middles = (np.arange(count) + 0.5) / count * MAX_SAMPLES
            way = np.interp(middles, np.arange(MAX_SAMPLES + 1), way)[:, None]
            return np.asarray(share * self.step(height_mm) + swing * (way - mean) + bow * way * (1 - way))

        return path


def front_share(y_mm: ArrayLike) -> NDArray[np.float64]:
    """Share of steps and breath that something takes part in: 1 in front of the spine, 0 in it.

    >>> front_share([-60.0, -22.0]).tolist()
    [1.0, 0.0]
    """
    return np.asarray(np.clip((SPINE_FRONT_MM - np.asarray(y_mm, dtype=float)) / FADE_MM, 0, 1))


@lru_cache(maxsize=256)
def beat_curve(rate_per_min: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample the way of a point of the heart during a beat.

    Parameters
    ----------
    rate_per_min : float
        Beats.

    Returns
    -------
    phase : (n,) array
        Parts of the beat from end-diastole, 0 to 1.
    way : (n,) array
        0 at end-diastole, 1 at end-systole.

    >>> phase, way = beat_curve(60.0)
    >>> float(way.min()), float(way.max())
    (0.0, 1.0)
    """
    beat = 60.0 / rate_per_min
    systole = _systole_s(beat)
    rest = systole + SYSTOLIC_REST_S
    # A fast heart has no diastasis: the atria contract while the ventricles still fill.
    kick = max(beat - KICK_S, rest + 0.6 * FILLING_S)
    filled = min(rest + FILLING_S, kick - 0.01)
    times = np.array([0.0, systole, rest, filled, kick, max(beat, kick + 0.05)])
    phase = np.linspace(0, 1, 256, endpoint=False)
    way = PchipInterpolator(times, [0.0, 1.0, 1.0, *DIASTASIS, 0.0])(phase * times[-1])
    return phase, np.asarray(way, dtype=np.float64)


def draw_motion(patient: Patient, protocol: Protocol, repeat: int = 0) -> Motion:
    """Draw the motion of one scan of a patient."""
    rng = patient.stream("motion", repeat)
    swings = {}
    for label, typical in SWING_MM.items():
        size = typical * float(rng.gamma(5.0, 0.2))
        direction = rng.normal(size=3) * [0.7, 1.0, 1.0]
        swings[label] = direction / max(float(np.linalg.norm(direction)), 1e-6) * min(size, MAX_SWING_MM)
    rate = round(float(np.clip(rng.normal(*RATE_PER_MIN), 45, 110)), 1)
    phase = float(rng.uniform(0, 1))
    travel, height, first = (float(rng.uniform(*r)) for r in (TRAVEL_PER_BEAT_MM, SLAB_MM, (0.0, 1.0)))
    low, high = protocol.z_range_mm
    edges = np.arange(low + first * height, high, height)
    visible = rng.random() < STEP_ODDS
    steps = rng.normal(0, STEP_SD_MM, (len(edges) + 1, 3))
    aim = float(rng.normal(0, TRIGGER_SD))
    breath = patient.stream("breath", repeat)
    breath_phase = float(breath.uniform(0, 2 * np.pi))
    restless = float(breath.uniform(*RESTLESS_MM)) if breath.random() < RESTLESS_ODDS else 0.0
    window = WINDOW_S[protocol.gated]
    if not protocol.gated:
        half = 0.5 * max(protocol.breathing_mm, restless)
        wall = patient.stream("doubling", repeat)
        doubled, way, share = wall.random() < DOUBLED_ODDS, float(wall.uniform(*WALL_MM)), wall.uniform(*WALL_SHARE)
        return Motion(swings, rate, window, phase, travel, breath_mm=half, breath_phase=breath_phase,
                      wall_mm=way * doubled, wall_share=float(share) * doubled)  # fmt: skip
    systolic = (_systole_s(60 / rate) + SYSTOLIC_REST_S / 2) * rate / 60
    trigger = float(systolic if rate > FAST_PER_MIN else DIASTOLIC_TRIGGER) + aim
    if not visible:
        return Motion(swings, rate, window, trigger)
    moved = tuple((float(z), float(y), float(x)) for z, y, x in steps)
    return Motion(swings, rate, window, trigger, edges_mm=tuple(map(float, edges)), steps_mm=moved)


def _systole_s(beat_s: float) -> float:
    """Length of systole in a beat of this length [s]."""
    return float(SYSTOLE_S * np.sqrt(beat_s))
