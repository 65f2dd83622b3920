"""A scan: HU values, where they lie, and how they were acquired."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import ScanError
from calcscore_ml.geometry import Geometry

OUTSIDE_HU = -1024
"""What voxels outside the reconstruction circle (pixel padding) are set to: air, so no threshold picks them [HU]."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How a scan was made, as far as its header says; `None` means the header is silent.

    No field identifies a patient.

    Parameters
    ----------
    kvp : float or None
        Tube voltage [kV].
    slice_thickness_mm : float or None
        Nominal width of the slice profile [mm]. Never used as the distance between slices.
    kernel, manufacturer, model : str or None
        Reconstruction kernel and scanner.
    contrast_agent : str or None
        What the header says of an injected contrast agent.
    ecg_gated : bool or None
        Whether the header mentions a cardiac phase or trigger.
    mass_factors_mg_per_ml_hu : tuple of float or None
        DICOM (0018,9352): calibration factor for small, medium and large patients [mg/cm3 per HU].
    gantry_tilt_deg : float
        Angle between the slice normal and the table's travel, from positions [degrees].
    reconstruction_diameter_mm : float or None
        Field of view [mm].
    age_years : float or None
        Patient's age.
    sex : {'F', 'M', 'O'} or None
        Patient's sex.
    """

    kvp: float | None = None
    slice_thickness_mm: float | None = None
    kernel: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    contrast_agent: str | None = None
    ecg_gated: bool | None = None
    mass_factors_mg_per_ml_hu: tuple[float, float, float] | None = None
    gantry_tilt_deg: float = 0.0
    reconstruction_diameter_mm: float | None = None
    age_years: float | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One CT scan.

    Parameters
    ----------
    hu : (nz, ny, nx) array of int16
        HU values, feet to head, front to back, right to left. Made read-only.
    geometry : Geometry
        Where they lie.
    acquisition : Acquisition
        How they were made.
    remarks : tuple of str
        What the reader noticed and repaired, for the quality report.

    Raises
    ------
    ScanError
        When `hu` is not int16 or does not fit the geometry.
    """

    hu: NDArray[np.int16]
    geometry: Geometry
    acquisition: Acquisition = field(default_factory=Acquisition)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.dtype != np.int16:
            raise ScanError(f"a scan's HU must be int16, got {self.hu.dtype}")
        if self.hu.shape != self.geometry.shape:
            raise ScanError(f"a scan's HU must fit its geometry {self.geometry.shape}, got {self.hu.shape}")
        hu = np.ascontiguousarray(self.hu)
        if hu is self.hu and hu.flags.writeable:
            hu = hu.view()
        hu.flags.writeable = False
        object.__setattr__(self, "hu", hu)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scan):
            return NotImplemented
        return (
            self.geometry.matches(other.geometry)
            and self.acquisition == other.acquisition
            and np.array_equal(self.hu, other.hu)
        )

    __hash__ = None  # type: ignore[assignment]

    def fingerprint(self) -> str:
        """Return a SHA-256 of HU values, shape and spacing: what a result came from, and nothing of the patient."""
        spacing = ",".join(f"{s:.4f}" for s in self.geometry.spacing)
        digest = sha256(f"{self.geometry.shape}|{spacing}|".encode())
        digest.update(np.ascontiguousarray(self.hu, dtype="<i2").data)
        return digest.hexdigest()


def to_int16(values: NDArray[np.generic], where: str) -> NDArray[np.int16]:
    """Round HU values to int16.

    Parameters
    ----------
    values : array of any number type
        HU values.
    where : str
        File named in errors.

    Returns
    -------
    array of int16
        Rounded half to even; values beyond int16 are clipped, as metal may reach them.

    Raises
    ------
    ScanError
        When a value is NaN or infinite.
    """
    if values.dtype == np.int16:
        return np.asarray(values, dtype=np.int16)
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ScanError(
            f"HU values must be finite, got {count} NaN or infinite voxels in {where}; mask them with air (-1024)"
        )
    limits = np.iinfo(np.int16)
    rounded = np.rint(values) if np.issubdtype(values.dtype, np.floating) else values
    return np.asarray(np.clip(rounded, limits.min, limits.max), dtype=np.int16)
