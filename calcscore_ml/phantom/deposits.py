"""A deposit of calcium: its shape on a fine grid, and how a scanner sees it.

A deposit is a cluster of balls of hydroxyapatite. It is sampled every `FINE_STEP_MM`, and each voxel of the scan then
gathers it through the scanner's point spread and slice profile, so partial volume is right and no mass is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.canvas import F32, Grid
from calcscore_ml.phantom.protocols import Protocol

FINE_STEP_MM = 0.3
"""Sampling of a deposit; balls of 0.5 mm radius still hold their volume within 1 % thanks to soft edges."""

PROFILE_SOFTNESS = 0.18
"""SD of the rounding of the slice profile's corners, relative to its width (our choice)."""


@dataclass(frozen=True, slots=True, eq=False)
class Deposit:
    """One calcified lesion.

    Parameters
    ----------
    label : Label
        What it counts as.
    place : str
        Where it lies: a branch, "arch", "mitral annulus" ...
    centres : (n, 3) array
        Centres of the balls, (z, y, x) [mm].
    radii : (n,) array
        Radii of the balls [mm].
    density_mg_per_ml : float
        Hydroxyapatite within the balls.
    swing_mm : (3,) array
        How far it travels while a slice is acquired, (z, y, x).
    """

    label: Label
    place: str
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    density_mg_per_ml: float
    swing_mm: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SampledDeposit:
    """A deposit on its fine grid.

    Parameters
    ----------
    grid : Grid
        Fine grid, motion included.
    density : (nz, ny, nx) array of float32
        mg/ml of hydroxyapatite, averaged over the motion.
    volume_mm3, mass_mg : float
        Of the deposit at rest.
    centre_mm : (3,) array
        Centre of mass, (z, y, x).
    """

    grid: Grid
    density: F32
    volume_mm3: float
    mass_mg: float
    centre_mm: NDArray[np.float64]


def sample(deposit: Deposit) -> SampledDeposit:
    """Sample a deposit and its motion on a fine grid."""
    step = FINE_STEP_MM
    reach = np.abs(deposit.swing_mm) / 2 + 2 * step
    low = (deposit.centres - deposit.radii[:, None]).min(axis=0) - reach
    high = (deposit.centres + deposit.radii[:, None]).max(axis=0) + reach
    grid = Grid.box(low, high, step)
    rest = np.zeros(grid.shape, dtype=np.float32)
    for centre, radius in zip(deposit.centres, deposit.radii, strict=True):
        # A soft edge adds r w^2 / 4 to r^3; a slightly smaller ball makes up for it.
        soft = radius * (1 - step**2 / (12 * radius**2 + 0.5 * step**2))
        window = grid.window(centre - radius - step, centre + radius + step)
        z, y, x = grid.crop(window).mesh
        d = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) - soft
        np.maximum(rest[window], np.clip(0.5 - d / step, 0, 1), out=rest[window])
    volume = float(rest.sum(dtype=np.float64)) * step**3
    weight = rest.sum(dtype=np.float64)
    middle = [float((rest.sum(axis=o, dtype=np.float64) * axis).sum() / weight)
              for o, axis in (((1, 2), grid.z), ((0, 2), grid.y), ((0, 1), grid.x))]  # fmt: skip
    moved = _smear(rest, deposit.swing_mm)
    density = deposit.density_mg_per_ml
    return SampledDeposit(grid, moved * np.float32(density), volume, volume * density / 1000, np.asarray(middle))


def excess(sampled: SampledDeposit, grid: Grid, protocol: Protocol) -> tuple[tuple[slice, slice, slice], F32]:
    """HU a deposit adds to a scan without noise.

    Parameters
    ----------
    sampled : SampledDeposit
        From `sample`.
    grid : Grid
        Voxel centres of the scan.
    protocol : Protocol
        Point spread, slice profile, HU per mg/ml.

    Returns
    -------
    window : tuple of slices
        Where in the scan.
    hu : array of float32
        Excess there. Its integral is mass x `calcium_hu_per_mg_ml`.
    """
    spread = 4.0 * protocol.kernel.sigma_mm * (2.0 if protocol.kernel.edge else 1.0)
    along = protocol.slice_thickness_mm * (0.5 + 3.5 * PROFILE_SOFTNESS)
    margin = np.array([along, spread, spread])
    source = sampled.grid
    low = np.array([source.z[0], source.y[0], source.x[0]])
    high = np.array([source.z[-1], source.y[-1], source.x[-1]])
    window = grid.window(low - margin, high + margin)
    cut = grid.crop(window)
    shape = cut.shape
    if min(shape) == 0:
        return window, np.zeros(shape, dtype=np.float32)
    step = FINE_STEP_MM
    through = slice_profile(cut.z, source.z, protocol.slice_thickness_mm) * np.float32(step)
    stack = np.tensordot(through, sampled.density, axes=(1, 0))
    out = np.zeros(shape, dtype=np.float32)
    for share, sigma in lobes(protocol):
        wy = gaussian(cut.y, source.y, sigma) * np.float32(step)
        wx = gaussian(cut.x, source.x, sigma) * np.float32(step)
        out += np.float32(share) * (wy @ stack @ wx.T)
    return window, out * np.float32(protocol.calcium_hu_per_mg_ml)


def lobes(protocol: Protocol) -> tuple[tuple[float, float], ...]:
    """Weights and widths [mm] of the Gaussians that add up to the in-plane point spread."""
    edge, sigma = protocol.kernel.edge, protocol.kernel.sigma_mm
    return ((1.0, sigma),) if edge == 0 else ((1 + edge, sigma), (-edge, 2 * sigma))


def gaussian(at: NDArray[np.floating], source: NDArray[np.floating], sigma_mm: float) -> F32:
    """Density [1/mm] at positions `at` of Gaussians centred on `source`: (len(at), len(source))."""
    d = (np.asarray(at, dtype=np.float64)[:, None] - np.asarray(source, dtype=np.float64)[None, :]) / sigma_mm
    return np.asarray(np.exp(-0.5 * d * d) / (sigma_mm * np.sqrt(2 * np.pi)), dtype=np.float32)


def slice_profile(at: NDArray[np.floating], source: NDArray[np.floating], width_mm: float) -> F32:
    """Sensitivity [1/mm] of slices at `at` to what lies at `source`: a box with rounded corners, of unit area."""
    d = np.asarray(at, dtype=np.float64)[:, None] - np.asarray(source, dtype=np.float64)[None, :]
    soft = np.sqrt(2) * PROFILE_SOFTNESS * width_mm
    return np.asarray(
        (erf((d + width_mm / 2) / soft) - erf((d - width_mm / 2) / soft)) / (2 * width_mm), dtype=np.float32
    )


def _smear(rest: F32, swing_mm: NDArray[np.float64]) -> F32:
    """Average the deposit over a short curved path; the sum is kept."""
    travel = float(np.linalg.norm(swing_mm))
    if travel < FINE_STEP_MM:
        return rest
    count = int(np.clip(np.ceil(travel / 0.6), 2, 12))
    out = np.zeros_like(rest)
    aside = np.roll(swing_mm, 1) * 0.15
    for t in np.linspace(-0.5, 0.5, count):
        offset = swing_mm * t + aside * (4 * t * t - 0.5)
        shift = [int(v) for v in np.rint(offset / FINE_STEP_MM)]
        out += np.roll(rest, shift, axis=(0, 1, 2))
    return out / np.float32(count)
