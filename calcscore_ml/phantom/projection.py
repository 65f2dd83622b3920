"""Beam hardening and photon starvation around metal, by projecting a slice coarsely and reconstructing the error.

A beam of several energies loses its soft part in dense matter, so the log attenuation behind metal is less than the sum
of what lies in the way. Reconstruction corrects this for water only. The difference, filtered and backprojected, gives
the dark bands between dense objects and the bright ones beside them. Few photons get through much metal: their noise
makes streaks.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d

from calcscore_ml.phantom.canvas import F32, Grid, lerp_matrix
from calcscore_ml.phantom.deposits import gaussian

ENERGIES: tuple[tuple[float, float, float], ...] = ((45.0, 0.24, 0.0247), (60.0, 0.42, 0.0206), (85.0, 0.34, 0.0180))
"""Energy [keV], share of the detected signal, and attenuation of water [1/mm] of the beam's parts; our choice."""

WATER = float(sum(share * mu for _, share, mu in ENERGIES))
"""Attenuation of water for the unfiltered beam [1/mm]."""

LONGEST_MM = 3000.0
"""Longest path of water the water correction knows."""

HARDNESS = 2.6
"""Attenuation beyond that of water falls with this power of the energy (our choice)."""

DENSE_HU = 300.0
"""What exceeds this is dense matter on top of water."""

METAL_HU = 1500.0
"""Beyond this it is metal, and really several times denser than painted."""

METAL_GAIN = 3.0
"""How many times (our choice)."""

STARVATION = 0.003
"""SD of the log attenuation per root of exp(attenuation) in a scan of `STARVATION_SD_HU`: 110,000 photons a ray without
a patient (our choice)."""

STARVATION_SD_HU = 12.0
"""Noise SD of the scan to which `STARVATION` belongs; it goes in proportion."""

ANGLES = 160
"""Directions of the coarse projection."""

STEP_MM = 2.5
"""Pixel of the coarse projection."""

SHOULDERS_MM = 95.0
"""Shoulders begin at this height above the aortic valve."""

LEAST_STRENGTH = 25.0
"""Metal with weaker streaks [HU] than this, such as electrodes, is too thin to harden the beam."""


def harden(
    rng: np.random.Generator,
    clean: F32,
    target: Grid,
    sources: list[tuple[NDArray[np.float64], float]],
    *,
    shoulders: bool = False,
    sd_hu: float = STARVATION_SD_HU,
) -> NDArray[np.int_]:
    """Add the artefacts of metal to the slices that hold some, and those of the shoulders.

    Parameters
    ----------
    rng : Generator
        Random numbers, for the noise of starved rays.
    clean : (nz, ny, nx) array of float32
        HU without noise; changed in place.
    target : Grid
        Of the scan.
    sources : list of (centre, strength)
        Where metal lies, (z, y, x) [mm], and how strong its streaks are [HU].
    shoulders : bool
        Whether slices above `SHOULDERS_MM` are projected too.
    sd_hu : float
        Noise SD of the scan [HU]: fewer photons, noisier starved rays.

    Returns
    -------
    (n,) array of int
        Which slices were changed.
    """
    step = float(target.z[1] - target.z[0])
    heights = np.array([centre[0] for centre, strength in sources if strength >= LEAST_STRENGTH])
    chosen = target.z > (SHOULDERS_MM if shoulders else np.inf)
    if len(heights):
        within = (target.z > heights.min() - step) & (target.z < heights.max() + step)
        holds = np.abs(target.z[:, None] - heights[None, :]).min(axis=1) < step
        chosen = chosen | holds | (within & (clean.max(axis=(1, 2)) > METAL_HU))
    near = np.flatnonzero(chosen)
    for k in near:
        clean[k] += artefact(rng, clean[k], target, STARVATION * sd_hu / STARVATION_SD_HU)
    return near


def artefact(rng: np.random.Generator, plane: F32, target: Grid, starvation: float = STARVATION) -> F32:
    """Return what beam hardening and starvation add to one slice.

    Parameters
    ----------
    rng : Generator
        Random numbers.
    plane : (ny, nx) array of float32
        HU without noise.
    target : Grid
        Of the scan; its `y` and `x`.
    starvation : float
        SD of the log attenuation per root of exp(attenuation).

    Returns
    -------
    (ny, nx) array of float32
        HU to add; zero when nothing is dense.
    """
    y, x = (np.arange(float(a[0]), float(a[-1]) + STEP_MM, STEP_MM, dtype=np.float32) for a in (target.y, target.x))
    dense = np.clip(plane - DENSE_HU, 0, None)
    dense += (METAL_GAIN - 1) * np.clip(plane - METAL_HU, 0, None)
    if not dense.any():
        return np.zeros_like(plane)
    shrink_y, shrink_x = _shrink(y, target.y), _shrink(x, target.x)
    water = shrink_y @ np.clip(plane / 1000 + 1, 0, 1 + DENSE_HU / 1000) @ shrink_x.T
    rest = shrink_y @ (dense / np.float32(1000)) @ shrink_x.T
    offsets = _offsets(len(y), len(x))
    error = _log_error(rng, _project(water, offsets), _project(rest, offsets), starvation)
    coarse = _backproject(error, offsets, water.shape)
    return np.asarray(lerp_matrix(target.y, y) @ coarse @ lerp_matrix(target.x, x).T, dtype=np.float32)


def hardened(water_mm: NDArray[np.float64], dense_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Water-corrected log attenuation less what a beam of one energy would have.

    Parameters
    ----------
    water_mm, dense_mm : arrays of one shape
        Path lengths: water, and dense matter counted in units of water at the mean energy.

    Returns
    -------
    array of that shape
        Error; zero without dense matter, negative with much of it.

    >>> float(hardened(np.array([200.0]), np.array([0.0]))[0])
    0.0
    """
    alone = _parts(water_mm, np.zeros_like(dense_mm))
    water_slope, dense_slope = _slopes(alone)
    seen = _water_corrected(_parts(water_mm, dense_mm)) - _water_corrected(alone)
    # A little dense matter behind the patient is seen as it should be: that is how its HU are defined.
    return np.asarray(seen - WATER * dense_mm * dense_slope / water_slope)


def _water_corrected(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linspace(0, LONGEST_MM, 3001)
    known = -np.log(_parts(lengths, np.zeros_like(lengths)).sum(axis=0))
    return np.asarray(WATER * np.interp(-np.log(parts.sum(axis=0)), known, lengths))


def _dense_mu() -> NDArray[np.float64]:
    energy, share, _ = np.array(ENERGIES).T
    falling = energy**-HARDNESS
    return np.asarray(WATER * falling / (share * falling).sum())


def _parts(water_mm: NDArray[np.float64], dense_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    _, share, mu = (v.reshape(-1, *[1] * np.ndim(water_mm)) for v in np.array(ENERGIES).T)
    dense = _dense_mu().reshape(mu.shape)
    return np.asarray(share * np.exp(-mu * water_mm - dense * dense_mm))


def _slopes(parts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Attenuation per mm of further water and of dense matter, behind what `parts` went through."""
    shape = (-1, *[1] * (parts.ndim - 1))
    mu, dense = np.array(ENERGIES)[:, 2].reshape(shape), _dense_mu().reshape(shape)
    total = parts.sum(axis=0)
    return (parts * mu).sum(axis=0) / total, (parts * dense).sum(axis=0) / total


def _log_error(
    rng: np.random.Generator, water: NDArray[np.float64], dense: NDArray[np.float64], starvation: float
) -> NDArray[np.float64]:
    error = hardened(water, dense)
    through = _parts(water, dense).sum(axis=0)
    alone = _parts(water, np.zeros_like(dense)).sum(axis=0)
    # Only what metal adds: the noise of the patient alone is drawn elsewhere.
    sd = starvation * np.sqrt(np.clip(1 / through - 1 / alone, 0, 1e6))
    return np.asarray(error + sd * rng.standard_normal(error.shape))


def _shrink(coarse: F32, fine: F32) -> F32:
    weights = gaussian(coarse, fine, STEP_MM / 2)
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12), dtype=np.float32)


@lru_cache(maxsize=1)
def _offsets(rows: int, columns: int) -> NDArray[np.float64]:
    """Position of every pixel on the detector, in pixels, per direction: (ANGLES, rows * columns)."""
    angles = np.pi * np.arange(ANGLES)[:, None, None] / ANGLES
    i, j = (np.arange(n) - (n - 1) / 2 for n in (rows, columns))
    across = j[None, None, :] * np.cos(angles) + i[None, :, None] * np.sin(angles)
    return np.asarray(across.reshape(ANGLES, -1) + _detector(rows, columns) / 2)


def _detector(rows: int, columns: int) -> int:
    return int(np.hypot(rows, columns)) + 4


def _project(plane: F32, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Path lengths [mm] of what a plane holds: (ANGLES, detector)."""
    values = plane.ravel().astype(np.float64)
    used = np.flatnonzero(np.abs(values) > 1e-4)
    size = _detector(*plane.shape)
    out = np.zeros((ANGLES, size))
    for k in range(ANGLES):
        at = offsets[k, used]
        cell = at.astype(int)
        part = at - cell
        out[k] = np.bincount(cell, values[used] * (1 - part), size) + np.bincount(cell + 1, values[used] * part, size)
    # Pixels of equal offset fall on one cell: smooth over neighbours.
    return np.asarray(gaussian_filter1d(out, 0.7, axis=1) * STEP_MM)


def _backproject(error: NDArray[np.float64], offsets: NDArray[np.float64], shape: tuple[int, ...]) -> F32:
    """Filtered backprojection of an error of log attenuation, in HU."""
    size = error.shape[1]
    padded = fft.next_fast_len(2 * size, real=True)
    ramp = np.abs(fft.rfftfreq(padded, STEP_MM))
    filtered = fft.irfft(fft.rfft(error, padded, axis=1) * ramp, padded, axis=1)[:, :size]
    cells = np.arange(size)
    out = np.zeros(offsets.shape[1])
    for k in range(ANGLES):
        out += np.interp(offsets[k], cells, filtered[k])
    return np.asarray(out.reshape(shape) * np.pi / ANGLES * 1000 / WATER, dtype=np.float32)
