"""The QRM cardiac calcification insert, digitised: nine rods of known mass, scanned as often as one likes.

The insert of the real scan in ``data/qrm-thorax-phantom`` is rebuilt around its nine hydroxyapatite rods: their places,
the insert's HU, the noise and the kernel were measured on that scan, the rods are closed shapes of known mass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from calcscore_ml.anatomy import Label
from calcscore_ml.geometry import Geometry
from calcscore_ml.phantom.acquisition import noise
from calcscore_ml.phantom.canvas import F32, Grid
from calcscore_ml.phantom.deposits import FINE_STEP_MM, SampledDeposit, excess
from calcscore_ml.phantom.protocols import Kernel, Protocol
from calcscore_ml.scan import Acquisition, Scan

QRM_PROTOCOL = Protocol(
    "qrm-3mm",
    fov_mm=(250.0, 250.0),
    kernel=Kernel("FC12-like", 0.64, noise_sigma_mm=0.49),
    noise_sd_hu=(21.0, 21.0),
    calcium_hu_per_mg_ml=1.0,
)
"""The real scan's: 120 kV, 3 mm, 0.488 mm pixels. Kernel width 0.64 +- 0.03 mm and no overshoot by a fit to the edge of
the 200 mg/ml calibration rod (20 mm), noise SD 21 HU between neighbouring slices of the insert, width of the noise from
its mean frequency, 0.37 per mm; all measured. The sampled rods are in HU above the insert, so the gain is 1."""

INSERT_HU = 76.0
"""The insert between the rods, measured."""

WATER_HU = 36.0
"""The scan's water rod, measured."""

HU_PER_MG_ML = 1.48
"""HU per mg/ml above water: the signal of the scan's three 5 mm rods, summed around them without a threshold, over
their mass (1.50, 1.48 and 1.47). The 20 mm calibration rod gives 1.374 (mass factor 0.728), 7 % less; docs/qrm.md."""

PIXEL_MM = 0.488
"""Pixel of the real scan."""

SPAN_MM = (33.0, 96.0, 92.0)
"""Size of the part of the insert that is scanned, (z, y, x)."""

REGION_MARGIN_MM, REGION_HEIGHT_MM = 1.5, 18.0
"""Around a rod, what counts as its own."""

LAYERS_BELOW = 1000
"""Layers of noise are counted from this far below the middle, so that no seed is negative."""

SUBSAMPLES = 15
"""Points along each side of a fine voxel, to find its share of a rod's disc."""


@dataclass(frozen=True, slots=True)
class Rod:
    """One rod.

    Parameters
    ----------
    diameter_mm : float
        Diameter and length.
    density_mg_per_ml : float
        Hydroxyapatite.
    label : Label
        Stands for the density in tables by artery: LAD 200, LCX 400, RCA 800 mg/ml.
    place_mm : tuple of float
        Centre (y, x) in the insert, y to the back and x to the patient's left.
    """

    diameter_mm: float
    density_mg_per_ml: float
    label: Label
    place_mm: tuple[float, float]

    @property
    def mass_mg(self) -> float:
        """True mass.

        >>> round(RODS[0].mass_mg, 1)
        19.6
        """
        return self.density_mg_per_ml / 1000 * np.pi / 4 * self.diameter_mm**3


RODS: tuple[Rod, ...] = (
    Rod(5, 200, Label.LAD, (31.37, 17.16)), Rod(3, 200, Label.LAD, (21.02, 10.57)),
    Rod(1, 200, Label.LAD, (10.68, 3.99)),
    Rod(5, 400, Label.LCX, (-32.51, 13.75)), Rod(3, 400, Label.LCX, (-21.43, 8.28)),
    Rod(1, 400, Label.LCX, (-10.36, 2.81)),
    Rod(5, 800, Label.RCA, (1.5, -40.67)), Rod(3, 800, Label.RCA, (1.65, -28.17)),
    Rod(1, 800, Label.RCA, (1.16, -15.97)),
)  # fmt: skip
"""The nine rods, where the real scan has them."""


@dataclass(frozen=True, slots=True, eq=False)
class RodScan:
    """A scan of the insert.

    Parameters
    ----------
    scan : Scan
        HU.
    rods : (nz, ny, nx) array of uint8
        Around each rod, 1 to 9 in the order of `RODS`: 1.5 mm wider than the rod and 18 mm high. Read-only.
    """

    scan: Scan
    rods: NDArray[np.uint8]


def sample_rod(rod: Rod, centre_mm: NDArray[np.float64]) -> SampledDeposit:
    """Sample a rod, its axis along z, on a fine grid; density is in HU above the insert it displaces."""
    half = rod.diameter_mm / 2
    grid = Grid.box(centre_mm - half - FINE_STEP_MM, centre_mm + half + FINE_STEP_MM, FINE_STEP_MM)
    inner = (np.arange(SUBSAMPLES) - SUBSAMPLES // 2) / SUBSAMPLES * FINE_STEP_MM
    along = _share(np.asarray(grid.z, dtype=float) - centre_mm[0], half)
    y = (np.asarray(grid.y, dtype=float)[:, None] + inner).ravel() - centre_mm[1]
    x = (np.asarray(grid.x, dtype=float)[:, None] + inner).ravel() - centre_mm[2]
    disc = (y[:, None] ** 2 + x[None, :] ** 2 <= half**2).astype(float)
    disc = disc.reshape(len(grid.y), SUBSAMPLES, len(grid.x), SUBSAMPLES).mean(axis=(1, 3))
    filled = along[:, None, None] * disc
    volume = float(filled.sum()) * FINE_STEP_MM**3
    hu = WATER_HU + HU_PER_MG_ML * rod.density_mg_per_ml - INSERT_HU
    mass = volume * rod.density_mg_per_ml / 1000
    return SampledDeposit(grid, (filled * hu).astype(np.float32), volume, mass, centre_mm)


def scan_rods(seed: int, protocol: Protocol = QRM_PROTOCOL) -> RodScan:
    """Scan the insert once: new noise, and a new place of the rods against voxels and slices.

    Parameters
    ----------
    seed : int
        Same seed, same bits.
    protocol : Protocol
        Thickness, spacing, kernel and noise.

    Returns
    -------
    RodScan
        Scan and regions of the rods.
    """
    rng = np.random.default_rng([seed, 0])
    spacing = np.array([protocol.slice_spacing_mm, PIXEL_MM, PIXEL_MM])
    shift = rng.uniform(-0.5, 0.5, 3) * spacing
    z, y, x = (((np.arange(round(span / s)) - (round(span / s) - 1) / 2) * s).astype(np.float32)
               for span, s in zip(SPAN_MM, spacing, strict=True))  # fmt: skip
    target = Grid(z, y, x)
    clean = np.full(target.shape, np.float32(INSERT_HU))
    for rod in RODS:
        centre = shift + np.array([0.0, *rod.place_mm])
        window, hu = excess(sample_rod(rod, centre), target, protocol)
        clean[window] += hu
    rods = rod_regions(*target.mesh, shift)
    body, grid = _thorax()
    sd = float(rng.uniform(*protocol.noise_sd_hu))

    def layer(number: int) -> np.random.Generator:
        return np.random.default_rng([seed, 1, LAYERS_BELOW + number])

    # One thread, as `generate` has: matrices this small only make others wait.
    with threadpool_limits(limits=1, user_api="blas"):
        clean += noise(layer, target, protocol, sd, body, grid, np.zeros(3))
    geometry = Geometry(target.shape, (float(spacing[0]), PIXEL_MM, PIXEL_MM), (float(x[0]), float(y[0]), float(z[0])))
    acquisition = Acquisition(kvp=protocol.kvp, slice_thickness_mm=protocol.slice_thickness_mm, ecg_gated=True)
    return RodScan(Scan(np.rint(clean).astype(np.int16), geometry, acquisition), rods)


def rod_regions(z: ArrayLike, y: ArrayLike, x: ArrayLike, centre_mm: ArrayLike) -> NDArray[np.uint8]:
    """Number of the rod, 1 to 9 in the order of `RODS`, that every voxel lies at; 0 elsewhere.

    Parameters
    ----------
    z, y, x : arrays that broadcast to (nz, ny, nx)
        Coordinates of the voxels [mm].
    centre_mm : (3,) array
        Where the insert's centre lies, (z, y, x).

    Returns
    -------
    (nz, ny, nx) array of uint8
        Discs `REGION_MARGIN_MM` wider than the rods and `REGION_HEIGHT_MM` high. Read-only.
    """
    zc, yc, xc = np.asarray(centre_mm, dtype=float)
    near = np.abs(np.asarray(z) - zc) <= REGION_HEIGHT_MM / 2
    regions = np.zeros(np.broadcast_shapes(np.shape(z), np.shape(y), np.shape(x)), dtype=np.uint8)
    for number, rod in enumerate(RODS, start=1):
        beside = np.hypot(np.asarray(y) - (yc + rod.place_mm[0]), np.asarray(x) - (xc + rod.place_mm[1]))
        regions[(beside <= rod.diameter_mm / 2 + REGION_MARGIN_MM) & near] = number
    regions.flags.writeable = False
    return regions


def _share(distance: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    """Share of each fine voxel within `half` of the middle, along one axis."""
    low = np.maximum(distance - FINE_STEP_MM / 2, -half)
    high = np.minimum(distance + FINE_STEP_MM / 2, half)
    return np.clip((high - low) / FINE_STEP_MM, 0, 1)


def _thorax() -> tuple[F32, Grid]:
    """What the beam passes through: an ellipse of water, 400 by 300 mm with its ring, as the large phantom is."""
    steps = np.arange(-216, 217, 6, dtype=np.float32)
    grid = Grid(np.array([-30, 0, 30], dtype=np.float32), steps, steps)
    _, y, x = grid.mesh
    body = np.where((x / 200) ** 2 + (y / 150) ** 2 < 1, 0.0, -1000.0)
    return np.broadcast_to(body, grid.shape).astype(np.float32), grid
