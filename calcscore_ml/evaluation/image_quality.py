"""Noise and sharpness of a scan: noise SD and power spectrum in homogeneous patches, transfer function of an edge.

The noise power spectrum of a patch n(y, x) of N_y x N_x pixels, detrended, is

    NPS(f_y, f_x) = dy dx / (N_y N_x) |DFT n|^2   [HU^2 mm^2]

so that its integral over the frequencies is the variance. The edge spread function e(r) is the mean HU at a distance r
from an edge; the line spread function is its derivative, and the modulus of the line spread function's Fourier
transform, 1 at zero frequency, is the modulation transfer function (MTF).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from calcscore_ml.errors import ResultError

PATCH_MM = 20.0
"""Side of a square patch: fits liver, heart and the larger muscles [mm]; our choice."""

LOWPASS_MM = 3.0
"""Gaussian SD of the mean in which structure shows and most noise does not [mm]; our choice."""

MAX_STRUCTURE_HU = 12.0
"""A patch whose low-passed HU spread more than this (SD) shows structure, not noise [HU]; our choice."""

MAX_PATCHES = 40
"""The patches with least structure are used, up to this many; our choice."""

TREND_ORDER = 2
"""Order of the polynomial taken off each patch: shading and slow anatomy."""

EDGE_BIN_SHARE = 0.2
"""Width of the bins of an edge spread function, in pixels; our choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Noise of homogeneous patches.

    Parameters
    ----------
    sd_hu : float
        Square root of the mean variance over the patches, each detrended; NaN without patches [HU].
    mean_hu : float
        Median HU of the patches [HU].
    patches : int
        How many were homogeneous.
    frequency_per_mm, nps_hu2_mm2 : (n,) arrays
        Radial frequencies and the mean noise power there [1/mm, HU^2 mm^2].
    """

    sd_hu: float
    mean_hu: float
    patches: int
    frequency_per_mm: NDArray[np.float64]
    nps_hu2_mm2: NDArray[np.float64]

    @property
    def mean_frequency_per_mm(self) -> float:
        """Mean frequency of the noise, weighted by its power in the plane [1/mm]."""
        weight = self.nps_hu2_mm2 * self.frequency_per_mm
        total = float(weight.sum())
        return float((weight * self.frequency_per_mm).sum()) / total if total > 0 else float("nan")


def measure_noise(
    hu: NDArray[np.generic],
    spacing_mm: tuple[float, float, float],
    region: NDArray[np.bool_],
    patch_mm: float = PATCH_MM,
) -> Noise:
    """Measure noise in the homogeneous patches of a region.

    Parameters
    ----------
    hu : (nz, ny, nx) array
        Scan [HU].
    spacing_mm : (dz, dy, dx)
        Voxel size [mm].
    region : (nz, ny, nx) array of bool
        Only patches wholly inside are looked at.
    patch_mm : float
        Side of a patch [mm].

    Returns
    -------
    Noise
        Of the `MAX_PATCHES` patches with least structure, told from their low-passed HU so that quiet noise is not
        preferred.
    """
    side = [max(8, round(patch_mm / s)) for s in spacing_mm[1:]]
    found: list[tuple[float, NDArray[np.float64]]] = []
    for plane, inside in zip(hu, region, strict=True):
        if inside.sum() < side[0] * side[1]:
            continue
        smooth = ndimage.gaussian_filter(plane.astype(np.float32), [LOWPASS_MM / s for s in spacing_mm[1:]])
        for y in range(0, plane.shape[0] - side[0] + 1, side[0] // 2):
            for x in range(0, plane.shape[1] - side[1] + 1, side[1] // 2):
                at = (slice(y, y + side[0]), slice(x, x + side[1]))
                if inside[at].all():
                    spread = float(smooth[at].std())
                    if spread < MAX_STRUCTURE_HU:
                        found.append((spread, plane[at].astype(np.float64)))
    found.sort(key=lambda one: one[0])
    return noise_of_patches([patch for _, patch in found[:MAX_PATCHES]], spacing_mm[1:])


def noise_of_patches(patches: list[NDArray[np.float64]], spacing_mm: tuple[float, float]) -> Noise:
    """Measure noise in patches of equal shape.

    Parameters
    ----------
    patches : list of (ny, nx) arrays
        HU; a polynomial of order `TREND_ORDER` is taken off each.
    spacing_mm : (dy, dx)
        Pixel size [mm].
    """
    if not patches:
        return Noise(float("nan"), float("nan"), 0, np.zeros(0), np.zeros(0))
    residuals, lost = _detrend(np.stack(patches))
    ny, nx = residuals.shape[1:]
    # The polynomial takes some of the noise with it: as many degrees of freedom as it has terms.
    kept = 1 - lost / (ny * nx)
    power = (np.abs(np.fft.fft2(residuals)) ** 2).mean(axis=0) * spacing_mm[0] * spacing_mm[1] / (ny * nx) / kept
    radius = np.hypot(np.fft.fftfreq(ny, spacing_mm[0])[:, None], np.fft.fftfreq(nx, spacing_mm[1])[None, :])
    step = 1 / (max(ny, nx) * max(spacing_mm))
    ring = np.rint(radius / step).astype(int)
    count = np.bincount(ring.ravel())
    rings = np.arange(len(count)) * step
    mean = np.bincount(ring.ravel(), weights=power.ravel()) / np.maximum(count, 1)
    shown = (rings <= 0.5 / max(spacing_mm)) & (rings > 0)
    sd = float(np.sqrt((residuals**2).mean() / kept))
    return Noise(sd, float(np.median([p.mean() for p in patches])), len(patches), rings[shown], mean[shown])


@dataclass(frozen=True, slots=True, eq=False)
class Sharpness:
    """Modulation transfer of an edge.

    Parameters
    ----------
    frequency_per_mm, mtf : (n,) arrays
        Frequencies and the transfer there, 1 at 0.
    step_hu : float
        Height of the edge, inside minus outside [HU].
    """

    frequency_per_mm: NDArray[np.float64]
    mtf: NDArray[np.float64]
    step_hu: float

    def frequency_at(self, transfer: float) -> float:
        """Return the lowest frequency at which the transfer falls to a value [1/mm]; NaN when it never does."""
        below = np.flatnonzero(self.mtf <= transfer)
        if len(below) == 0 or below[0] == 0:
            return float("nan")
        i = int(below[0])
        a, b = self.mtf[i - 1], self.mtf[i]
        share = (a - transfer) / (a - b)
        return float(self.frequency_per_mm[i - 1] + share * (self.frequency_per_mm[i] - self.frequency_per_mm[i - 1]))


def disc_sharpness(
    hu: NDArray[np.generic],
    spacing_mm: tuple[float, float],
    centre_mm: ArrayLike,
    radius_mm: float,
    reach_mm: float = 4.0,
) -> Sharpness:
    """Measure the transfer function at the edge of a disc.

    Parameters
    ----------
    hu : (ny, nx) or (n, ny, nx) array
        A slice, or several through the same cylinder [HU].
    spacing_mm : (dy, dx)
        Pixel size [mm].
    centre_mm : (2,) array-like
        Centre (y, x), index times spacing [mm].
    radius_mm : float
        Of the disc [mm].
    reach_mm : float
        How far to both sides of the edge is looked, at most the radius [mm].

    Returns
    -------
    Sharpness
        The disc's curvature blurs it by less than (point spread)^2 / (2 radius).
    """
    planes = np.asarray(hu, dtype=float)
    planes = planes.reshape(-1, *planes.shape[-2:])
    cy, cx = np.asarray(centre_mm, dtype=float)
    y, x = (np.arange(n) * s - c for n, s, c in zip(planes.shape[1:], spacing_mm, (cy, cx), strict=True))
    distance = np.hypot(y[:, None], x[None, :]) - radius_mm
    reach = min(reach_mm, radius_mm)
    near = np.abs(distance) < reach
    values = planes.mean(axis=0)[near]
    return edge_sharpness(distance[near], values, EDGE_BIN_SHARE * min(spacing_mm))


def edge_sharpness(distance_mm: NDArray[np.float64], hu: NDArray[np.float64], bin_mm: float) -> Sharpness:
    """Measure the transfer function of an edge from points at known distances from it.

    Parameters
    ----------
    distance_mm, hu : (n,) arrays
        Signed distance outwards and value of each point [mm, HU].
    bin_mm : float
        Width of the bins of the edge spread function [mm].

    Raises
    ------
    ResultError
        When fewer than eight bins hold points.
    """
    low = float(distance_mm.min())
    index = np.floor((distance_mm - low) / bin_mm).astype(int)
    count = np.bincount(index)
    held = np.flatnonzero(count)
    if len(held) < 8:
        raise ResultError(f"an edge needs at least 8 bins of points, got {len(held)}")
    mean = np.bincount(index, weights=hu)[held] / count[held]
    where = np.bincount(index, weights=distance_mm)[held] / count[held]
    grid = np.arange(where[0], where[-1], bin_mm)
    spread = np.interp(grid, where, mean)
    line = np.diff(spread)
    tail = max(2, len(spread) // 8)
    step = float(spread[:tail].mean() - spread[-tail:].mean())
    # A window, flat in its middle half and centred on the edge, keeps noise far from it out of the sum.
    middle = grid[:-1] + bin_mm / 2
    half = max(abs(middle[0]), abs(middle[-1]))
    line = line * 0.5 * (1 + np.cos(np.pi * np.clip(2 * np.abs(middle) / half - 1, 0, 1)))
    padded = np.zeros(4 * len(line))
    padded[: len(line)] = line
    transfer = np.abs(np.fft.rfft(padded))
    frequency = np.fft.rfftfreq(len(padded), bin_mm)
    # Binning and the finite difference are box means of the edge; their transfer is known and divided out.
    box = np.sinc(frequency * bin_mm) ** 2
    useful = box > 0.5
    return Sharpness(frequency[useful], (transfer / transfer[0] / np.where(useful, box, 1))[useful], step)


def outline_blur_mm(hu: NDArray[np.generic], spacing_mm: tuple[float, float, float]) -> float:
    """Measure the blur of the body's outline, to compare scans with.

    In every row of every slice the outermost place where -500 HU is passed for good, left and right, is aligned; the
    steepest slope of the median profile, relative to its step, gives the SD of a Gaussian blur. It holds the kernel,
    the pixel, and how oblique the skin is to rows and slices, so it is no kernel width by itself.

    Parameters
    ----------
    hu : (nz, ny, nx) array
        Scan [HU].
    spacing_mm : (dz, dy, dx)
        Voxel size [mm].

    Returns
    -------
    float
        SD [mm]; NaN when no outline is in the scan.
    """
    pixel = spacing_mm[2]
    before, after = round(6 / pixel), round(14 / pixel)
    at = np.linspace(-4, 4, 161)
    profiles = []
    for plane in hu:
        for image in (plane, plane[:, ::-1]):
            wide = (
                ndimage.uniform_filter1d((image > -500).astype(np.float32), after, axis=1, origin=-(after // 2)) > 0.95
            )
            for row, first in zip(image, wide.argmax(axis=1), strict=True):
                if wide.any() and before <= first < len(row) - after and wide[:, first].any():
                    near = row[first - before : first + after].astype(float)
                    cross = int(np.flatnonzero(near > -500)[0])
                    if cross > 0 and near[:3].max() < -900:
                        share = (-500 - near[cross - 1]) / (near[cross] - near[cross - 1])
                        x = (np.arange(len(near)) - (cross - 1 + share)) * pixel
                        profiles.append(np.interp(at, x, near))
    if len(profiles) < 50:
        return float("nan")
    edge = np.median(np.stack(profiles), axis=0)
    slope = float(np.gradient(edge, at).max())
    step = float(edge[at > 3].mean() - edge[at < -3].mean())
    return step / slope / float(np.sqrt(2 * np.pi))


def _detrend(patches: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Take a polynomial off each patch (n, ny, nx); returns the rest and how many terms the polynomial has."""
    ny, nx = patches.shape[1:]
    y, x = np.linspace(-1, 1, ny)[:, None], np.linspace(-1, 1, nx)[None, :]
    terms = [y**i * x**j for i in range(TREND_ORDER + 1) for j in range(TREND_ORDER + 1 - i)]
    basis, _ = np.linalg.qr(np.stack([np.broadcast_to(t, (ny, nx)).ravel() for t in terms], axis=1))
    flat = patches.reshape(len(patches), -1)
    return (flat - (flat @ basis) @ basis.T).reshape(patches.shape), len(terms)
