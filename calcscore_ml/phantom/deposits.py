"""A deposit of calcium: its shape on a fine grid, and how a scanner sees it.

A deposit is a cluster of balls of hydroxyapatite. It is sampled every `FINE_STEP_MM`, and each voxel of the scan then
gathers it through the scanner's point spread and slice profile, so partial volume is right and no mass is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from calcscore_ml.anatomy import Label
from calcscore_ml.phantom.canvas import F32, Grid
from calcscore_ml.phantom.protocols import Protocol

FINE_STEP_MM = 0.3
"""Sampling of a deposit; balls of 0.5 mm radius still hold their volume within 1 % thanks to soft edges."""

Path = Callable[[float], NDArray[np.float64]]
"""Height of a slice [mm] -> displacements during its acquisition, (m, 3) as (z, y, x) [mm]."""

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
    segment : int
        Coronary segment, numbered as in `segments.SEGMENTS`; 0 outside the coronary arteries.
    moves_as : Label or None
        Whose beat it shares; None: that of its own label.
    """

    label: Label
    place: str
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    density_mg_per_ml: float
    segment: int = 0
    moves_as: Label | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SampledDeposit:
    """A deposit on its fine grid.

    Parameters
    ----------
    grid : Grid
        Fine grid.
    density : (nz, ny, nx) array of float32
        mg/ml of hydroxyapatite.
    volume_mm3, mass_mg : float
        Of the deposit.
    centre_mm : (3,) array
        Centre of mass, (z, y, x).
    """

    grid: Grid
    density: F32
    volume_mm3: float
    mass_mg: float
    centre_mm: NDArray[np.float64]


def sample(deposit: Deposit) -> SampledDeposit:
    """Sample a deposit at rest on a fine grid."""
    step = FINE_STEP_MM
    reach = 2 * step
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
    density = deposit.density_mg_per_ml
    return SampledDeposit(grid, rest * np.float32(density), volume, volume * density / 1000, np.asarray(middle))


def excess(
    sampled: SampledDeposit, grid: Grid, protocol: Protocol, path: Path | None = None
) -> tuple[tuple[slice, slice, slice], F32]:
    """HU that a deposit adds to a scan.

    Parameters
    ----------
    sampled : SampledDeposit
        What is scanned.
    grid : Grid
        Of the scan.
    protocol : Protocol
        Point spread, slice profile, HU per mg/ml.
    path : callable, optional
        Displacements, (m, 3) as (z, y, x) [mm], that the deposit goes through while the slice at a height [mm] is
        acquired; at rest when None.

    Returns
    -------
    window : tuple of slices
        Where in the scan.
    hu : array of float32
        Excess there. Its integral is mass x `calcium_gain`.
    """
    spread = 4.0 * protocol.kernel.sigma_mm * (2.0 if protocol.kernel.edge else 1.0)
    along = protocol.slice_thickness_mm * (0.5 + 3.5 * PROFILE_SOFTNESS)
    margin = np.array([along, spread, spread])
    source = sampled.grid
    low = np.array([source.z[0], source.y[0], source.x[0]]) - margin
    high = np.array([source.z[-1], source.y[-1], source.x[-1]]) + margin
    places = [np.zeros((1, 3)) if path is None else path(float(z)) for z in grid.z]
    reach = np.abs(np.concatenate(places)).max(axis=0)
    window = grid.window(low - reach, high + reach)
    cut = grid.crop(window)
    out = np.zeros(cut.shape, dtype=np.float32)
    if min(cut.shape) == 0:
        return window, out
    volume = np.float32(FINE_STEP_MM**3 * protocol.calcium_gain)
    for k, z in enumerate(cut.z):
        moves = places[window[0].start + k]
        through = slice_profile(z - moves[:, 0], source.z, protocol.slice_thickness_mm)
        for weights, (_, dy, dx) in zip(through, moves, strict=True):
            used = np.flatnonzero(weights > weights.max(initial=0.0) * 1e-5)
            if not len(used):
                continue
            plane = np.tensordot(weights[used], sampled.density[used[0] : used[-1] + 1], axes=(0, 0))
            for share, sigma in protocol.kernel.lobes:
                wy, wx = gaussian(cut.y - dy, source.y, sigma), gaussian(cut.x - dx, source.x, sigma)
                out[k] += np.float32(share / len(moves)) * (wy @ plane @ wx.T)
    return window, out * volume


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
