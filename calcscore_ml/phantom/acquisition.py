"""The scanner: slice profile, point spread, noise that follows the patient's shape, streaks, padding.

Noise is built as filtered backprojection makes it. The Fourier plane of a slice is cut into sectors of direction; by
the projection-slice theorem a sector holds what the views of that direction contribute, so its noise at a voxel is
scaled by the attenuation along that direction through the voxel. Shoulders and heart get their streaks, the centre its
extra noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter, map_coordinates

from calcscore_ml.phantom.canvas import F32, Grid, lerp_matrix
from calcscore_ml.phantom.deposits import PROFILE_SOFTNESS, gaussian, slice_profile
from calcscore_ml.phantom.doubling import Doubling
from calcscore_ml.phantom.motion import Step, front_share
from calcscore_ml.phantom.protocols import Protocol

SECTORS = 8
"""Directions the noise is built from."""

WATER_PER_MM = 0.0195
"""Attenuation of water at 120 kVp's effective energy of about 65 keV [1/mm]."""

BOWTIE = 0.3
"""Share of the differences between the paths of a slice that the beam's shaped filter makes up for (our choice)."""

ITERATIVE_CORNER = 0.35
"""Frequency [1/mm] at which iterative reconstruction of strength 1 halves the noise's amplitude (our choice)."""

CELL_MM = 0.5
"""Noise is drawn in layers of this height, and a slice gathers those its profile sees: slices of any thickness and
spacing made of one exposure share their noise, and neighbours share some."""


def blur(
    fine: F32,
    source: Grid,
    target: Grid,
    protocol: Protocol,
    steps: Step | None = None,
    doubling: Doubling | None = None,
) -> F32:
    """See painted anatomy through the slice profile and the point spread.

    Parameters
    ----------
    fine : (mz, my, mx) array of float32
        HU on `source`, finer along z and about as fine in-plane as the scan.
    source, target : Grid
        Of the anatomy and of the scan.
    protocol : Protocol
        Thickness and kernel.
    steps : callable, optional
        Displacement (z, y, x) [mm] of everything in front of the spine, by height of the slice.
    doubling : Doubling, optional
        Where the heart's border is seen a second time.

    Returns
    -------
    (nz, ny, nx) array of float32
        HU without noise.
    """
    out = np.empty(target.shape, dtype=np.float32)
    front = front_share(target.y)[:, None].astype(np.float32)
    resting = _matrices(source, target, protocol, (0.0, 0.0))
    twice = None if doubling is None or not doubling.motion.wall_share else doubling.weight(target)

    def displaced(z: float, by: NDArray[np.float64]) -> F32:
        return _plane(fine, source, z - float(by[0]), protocol, _matrices(source, target, protocol, tuple(by[1:])))

    for k, z in enumerate(target.z.tolist()):
        step = np.zeros(3) if steps is None else steps(z)
        out[k] = _plane(fine, source, z, protocol, resting)
        if step.any():
            out[k] += front * (displaced(z, step) - out[k])
        if doubling is not None and twice is not None:
            shift = doubling.shift(z)
            if shift.any():
                out[k] += twice * (displaced(z, step + shift) - out[k])
    return out


def _matrices(
    source: Grid, target: Grid, protocol: Protocol, shift: tuple[float, ...]
) -> list[tuple[np.float32, F32, F32]]:
    pixel = float(source.x[1] - source.x[0])
    matrices = []
    for share, sigma in protocol.kernel.lobes:
        # The painter's soft edge already blurs by a pixel's box.
        left = float(np.sqrt(max(sigma**2 - pixel**2 / 12, (0.32 * pixel) ** 2)))
        wy, wx = gaussian(target.y - shift[0], source.y, left), gaussian(target.x - shift[1], source.x, left)
        matrices.append((np.float32(share), wy / wy.sum(axis=1, keepdims=True), (wx / wx.sum(axis=1, keepdims=True)).T))
    return matrices


def _plane(fine: F32, source: Grid, z: float, protocol: Protocol, matrices: list[tuple[np.float32, F32, F32]]) -> F32:
    weights = slice_profile(np.array([z]), source.z, protocol.slice_thickness_mm)[0]
    weights /= weights.sum()
    used = np.flatnonzero(weights > 1e-4)
    plane = np.tensordot(weights[used], fine[used[0] : used[-1] + 1], axes=(0, 0))
    return np.asarray(sum(share * (wy @ plane @ wx) for share, wy, wx in matrices), dtype=np.float32)


def noise(
    draw: Callable[[int], np.random.Generator],
    target: Grid,
    protocol: Protocol,
    sd_hu: float,
    body: F32,
    body_grid: Grid,
    where: NDArray[np.float64],
    modulation: float = 0.45,
) -> F32:
    """Draw a scan's noise.

    Parameters
    ----------
    draw : callable
        Random numbers of the layer of a number, `CELL_MM` high, counted from height 0.
    target : Grid
        Of the scan.
    protocol : Protocol
        Kernel and slice profile.
    sd_hu : float
        SD at `where`.
    body : (mz, my, mx) array of float32
        HU of the whole body, coarse: what the beam passes through.
    body_grid : Grid
        Of `body`.
    where : (3,) array
        Reference point, (z, y, x) [mm].
    modulation : float
        Share of the attenuation's effect on noise that the tube current makes up for.

    Returns
    -------
    (nz, ny, nx) array of float32
        Noise in HU.
    """
    _, ny, nx = target.shape
    pixel = float(target.x[1] - target.x[0])
    filters = _sector_filters(ny, nx, pixel, protocol)
    paths = _path_lengths(body, body_grid)
    reference = _at(paths, body_grid, where)
    # The tube current follows the paths through the middle of each slice, in every direction; it cannot tell voxels.
    middle = _column(paths, body_grid, where)[:, :, None, None]
    seen = middle + np.float32(1 - BOWTIE) * (paths - middle) - np.float32(modulation) * (middle - reference.mean())
    level = np.exp(np.clip(np.float32(0.5 * WATER_PER_MM) * (seen - reference.mean()), -1.2, 1.6))
    level /= np.sqrt((_at(level, body_grid, where) ** 2).mean())
    wz = lerp_matrix(target.z, body_grid.z)
    wy = lerp_matrix(target.y, body_grid.y)
    wx = np.ascontiguousarray(lerp_matrix(target.x, body_grid.x).T)
    out = np.zeros(target.shape, dtype=np.float32)
    for k, white in enumerate(_white(draw, target, protocol.slice_thickness_mm)):
        spectrum = fft.rfft2(white)
        for j in range(SECTORS):
            field = fft.irfft2(spectrum * filters[j], s=(ny, nx))
            field *= wy @ np.tensordot(wz[k], level[j], axes=(0, 0)) @ wx
            out[k] += field
    return out * np.float32(sd_hu)


def streaks(rng: np.random.Generator, target: Grid, sources: list[tuple[NDArray[np.float64], float]]) -> F32 | None:
    """Dark and bright rays around metal; None when there is none within the slices."""
    out: F32 | None = None
    _, y, x = target.mesh
    step = float(target.z[1] - target.z[0])
    for centre, strength in sources:
        near = np.flatnonzero(np.abs(target.z - centre[0]) < 1.2 * step)
        if not len(near):
            continue
        if out is None:
            out = np.zeros(target.shape, dtype=np.float32)
        rays = gaussian_filter(rng.standard_normal(180), 1.6, mode="wrap")
        rays = np.asarray(rays / rays.std() - 0.3, dtype=np.float32)
        dy, dx = y[0] - np.float32(centre[1]), x[0] - np.float32(centre[2])
        angle = np.mod(np.arctan2(dy, dx), np.pi) * np.float32(180 / np.pi)
        far = np.sqrt(dy * dy + dx * dx)
        ray = map_coordinates(rays, [angle.ravel()], order=1, mode="grid-wrap").reshape(angle.shape)
        plane = ray * np.float32(strength) * np.exp(-far / np.float32(55)) * (far > 1.5)
        for k in near:
            out[k] += plane * np.float32(np.exp(-abs(float(target.z[k] - centre[0])) / step))
    return out


def _white(draw: Callable[[int], np.random.Generator], target: Grid, thickness_mm: float) -> Iterator[F32]:
    """White noise of SD 1 of one slice after the other: layers weighed by the slice's profile."""
    reach = thickness_mm * (0.5 + 3 * PROFILE_SOFTNESS)
    layers: dict[int, F32] = {}
    for z in target.z:
        cells = np.arange(int(np.floor((z - reach) / CELL_MM)), int(np.ceil((z + reach) / CELL_MM)))
        weights = slice_profile(np.array([z]), (cells + 0.5) * CELL_MM, thickness_mm)[0]
        weights /= np.sqrt((weights**2).sum())
        layers = {c: layer for c, layer in layers.items() if c >= cells[0]}
        white = np.zeros(target.shape[1:], dtype=np.float32)
        for cell, weight in zip(cells.tolist(), weights, strict=True):
            if cell not in layers:
                layers[cell] = draw(cell).standard_normal(target.shape[1:], dtype=np.float32)
            white += weight * layers[cell]
        yield white


def _sector_filters(ny: int, nx: int, pixel: float, protocol: Protocol) -> NDArray[np.float32]:
    fy, fx = fft.fftfreq(ny, pixel)[:, None], fft.rfftfreq(nx, pixel)[None, :]
    f = np.hypot(fy, fx)
    spared = 1 + protocol.iterative * (f / ITERATIVE_CORNER) ** 2
    amplitude = np.sqrt(f + 0.004) * protocol.kernel.noise_mtf(f) / spared
    angle = np.mod(np.arctan2(fy, fx), np.pi) / np.pi * SECTORS
    # The sectors' windows add up to one, so equal attenuation all around gives plain noise.
    windows = [np.clip(1 - np.abs((angle - j + SECTORS / 2) % SECTORS - SECTORS / 2), 0, 1) for j in range(SECTORS)]
    doubled = np.full(len(fx[0]), 2.0)
    doubled[0] = 1.0
    if nx % 2 == 0:
        doubled[-1] = 1.0
    power = float((amplitude**2 * doubled).sum()) / (ny * nx)
    return np.asarray(np.stack(windows) * amplitude / np.sqrt(power), dtype=np.float32)


def _path_lengths(body: F32, grid: Grid) -> F32:
    """Water-equivalent length [mm] of the ray through each voxel, per direction: (sectors, nz, ny, nx)."""
    water = np.clip(body / 1000 + 1, 0, 2.2)
    nz, ny, nx = grid.shape
    step = float(grid.x[1] - grid.x[0])
    size = int(np.ceil(np.hypot(ny, nx)))
    centre_y, centre_x = (ny - 1) / 2, (nx - 1) / 2
    along = np.arange(size) - (size - 1) / 2
    yy, xx = np.mgrid[0:ny, 0:nx]
    out = np.empty((SECTORS, nz, ny, nx), dtype=np.float32)
    for j in range(SECTORS):
        # Frequencies along angle a come from rays that run across it.
        a = np.pi * j / SECTORS
        c, s = np.cos(a), np.sin(a)
        t, r = np.meshgrid(along, along, indexing="ij")  # t across the rays, r along them
        rows, columns = centre_y + t * s + r * c, centre_x + t * c - r * s
        across = (yy - centre_y) * s + (xx - centre_x) * c + (size - 1) / 2
        for k in range(nz):
            line = map_coordinates(water[k], [rows, columns], order=1, mode="constant").sum(axis=1) * step
            out[j, k] = np.interp(across.ravel(), np.arange(size), line).reshape(ny, nx)
    return out


def _column(values: F32, grid: Grid, where: NDArray[np.float64]) -> F32:
    """Values above and below a place: (sectors, nz)."""
    i, j = (int(np.abs(axis - w).argmin()) for axis, w in zip((grid.y, grid.x), where[1:], strict=True))
    return values[:, :, i, j]


def _at(values: F32, grid: Grid, where: NDArray[np.float64]) -> F32:
    k, i, j = (int(np.abs(axis - w).argmin()) for axis, w in zip((grid.z, grid.y, grid.x), where, strict=True))
    return values[:, k, i, j]
