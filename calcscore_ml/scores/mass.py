"""The mass score and its calibration: how much hydroxyapatite calcium holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calcscore_ml.errors import ScanError
from calcscore_ml.scan import Acquisition, Scan

DEFAULT_FACTOR_MG_PER_ML_HU = 0.7625
"""Mean of four scanners at 120 kVp, Fujioka 2012 Table 1 (0.70, 0.71, 0.83, 0.81): up to 9 % off for any of them."""

ROD_RADIUS_MM = 6.9
"""Radius of the region a calibration rod is read in: 1.5 cm2, as FQM CACscore does [mm]."""


@dataclass(frozen=True, slots=True)
class MassCalibration:
    """A factor from HU to mass, and where it came from.

    Parameters
    ----------
    factor_mg_per_ml_hu : float
        Mass of hydroxyapatite in mg per cm3 and HU.
    origin : str
        One sentence for reports: the rod, the DICOM attribute, the user or the default.
    """

    factor_mg_per_ml_hu: float
    origin: str

    def mass_mg(self, volume_mm3: ArrayLike, mean_hu: ArrayLike) -> np.ndarray:
        """Compute mass from volume [mm3] and mean value [HU]: factor times volume in cm3 times mean, in mg.

        >>> float(MassCalibration(0.75, "given").mass_mg(100.0, 400.0))
        30.0
        """
        product = np.asarray(volume_mm3, dtype=float) * np.asarray(mean_hu, dtype=float)
        return np.asarray(self.factor_mg_per_ml_hu * product / 1000.0)


def rod_calibration(
    scan: Scan,
    *,
    rod_index: tuple[float, float, float],
    water_index: tuple[float, float, float],
    density_mg_per_ml: float = 200.0,
    radius_mm: float = ROD_RADIUS_MM,
    slices: int = 1,
) -> MassCalibration:
    """Calibrate by a rod of known density in the scan.

    Parameters
    ----------
    scan : Scan
        With a hydroxyapatite rod and a water rod in it.
    rod_index, water_index : tuple of float
        Centres of the rods, (z, y, x) voxel indices.
    density_mg_per_ml : float
        Hydroxyapatite in the rod [mg/cm3].
    radius_mm : float
        Radius of the circles read [mm].
    slices : int
        Slices read, centred on each index.

    Returns
    -------
    MassCalibration
        ``density / (HU of rod - HU of water)``.

    Raises
    ------
    ScanError
        When a circle leaves the scan, or the rod is not brighter than water.

    References
    ----------
    McCollough 2007, Radiology 243:527-538; formula as restated by Fujioka 2012.
    """
    rod, water = (_mean_in_circle(scan, centre, radius_mm, slices) for centre in (rod_index, water_index))
    if rod <= water:
        raise ScanError(
            f"a calibration rod must be brighter than water, got {rod:.1f} and {water:.1f} HU; check the centres"
        )
    factor = density_mg_per_ml / (rod - water)
    return MassCalibration(
        factor, f"{density_mg_per_ml:g} mg/cm3 rod of this scan ({rod:.1f} HU against water {water:.1f} HU)"
    )


def find_calibration(acquisition: Acquisition, given_mg_per_ml_hu: float | None = None) -> MassCalibration:
    """Choose the best factor known without a rod: given, from DICOM (0018,9352), or the default.

    Parameters
    ----------
    acquisition : Acquisition
        Of the scan.
    given_mg_per_ml_hu : float or None
        The user's factor [mg/cm3 per HU].
    """
    if given_mg_per_ml_hu is not None:
        return MassCalibration(given_mg_per_ml_hu, "given by the user")
    if acquisition.mass_factors_mg_per_ml_hu is not None:
        return MassCalibration(
            acquisition.mass_factors_mg_per_ml_hu[1],
            "DICOM (0018,9352), the device's factor for a medium patient",
        )
    voltage = "" if acquisition.kvp in (None, 120.0) else f"; wrong at {acquisition.kvp:g} kV"
    return MassCalibration(
        DEFAULT_FACTOR_MG_PER_ML_HU,
        f"mean of four scanners at 120 kV (Fujioka 2012), not of this scanner{voltage}",
    )


def _mean_in_circle(scan: Scan, centre: tuple[float, float, float], radius_mm: float, slices: int) -> float:
    z, y, x = centre
    spacing = scan.geometry.spacing
    first = round(z - (slices - 1) / 2)
    rows, columns = np.ogrid[: scan.hu.shape[1], : scan.hu.shape[2]]
    distance = np.hypot((rows - y) * spacing[1], (columns - x) * spacing[2])
    inside = distance <= radius_mm
    reach = (radius_mm / spacing[1], radius_mm / spacing[2])
    fits = first >= 0 and first + slices <= scan.hu.shape[0]
    fits &= reach[0] <= y <= scan.hu.shape[1] - 1 - reach[0] and reach[1] <= x <= scan.hu.shape[2] - 1 - reach[1]
    if not fits or not inside.any():
        raise ScanError(
            f"a calibration circle must lie inside the scan {scan.hu.shape}, got centre {centre} radius {radius_mm} mm"
        )
    return float(scan.hu[first : first + slices][:, inside].mean())
