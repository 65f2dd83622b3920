"""What goes in and what comes out: lesions, settings, and the definition of a feature."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_SCALES = 16
"""More Gaussian scales, or radii, than this are surely a mistake."""


class Feature(NamedTuple):
    """The definition of one feature: a row of the catalogue in ``features/README.md``.

    Parameters
    ----------
    name : str
        Column name, lower snake case, ending in its unit where it has one.
    family : str
        One of `calcscore_features.FAMILIES`.
    unit : str
        ``"1"`` for a plain number, else mm, HU and their powers; ``"bit"`` for entropies.
    formula : str
        In the symbols that the catalogue defines.
    source : str
        Where the definition comes from.
    degenerate : str
        What the value is where the formula has none.
    ibsi : str
        Permanent code in the reference manual of the Image Biomarker Standardisation Initiative, or empty.
    """

    name: str
    family: str
    unit: str
    formula: str
    source: str
    degenerate: str = ""
    ibsi: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Lesions:
    """All candidate lesions of one scan, as a list of voxels.

    Parameters
    ----------
    hu : (nz, ny, nx) array of int16 or float32
        HU values of the scan. Not copied.
    spacing : tuple of float
        Distance between voxel centres along (z, y, x) [mm].
    voxels : (n, 3) array of int
        Indices (z, y, x), lesion after lesion; no voxel stands twice in one lesion.
    offsets : (L + 1,) array of int
        Lesion i owns ``voxels[offsets[i]:offsets[i + 1]]``, at least one voxel.

    Raises
    ------
    ValueError
        When a rule above is broken.

    Examples
    --------
    >>> hu = np.full((3, 4, 4), 200, np.int16)
    >>> lesions = Lesions(hu, (3.0, 0.5, 0.5), np.array([[0, 0, 0], [1, 2, 2], [1, 2, 3]]), np.array([0, 1, 3]))
    >>> len(lesions)
    2
    """

    hu: NDArray[np.int16] | NDArray[np.float32]
    spacing: tuple[float, float, float]
    voxels: NDArray[np.intp]
    offsets: NDArray[np.intp]

    def __post_init__(self) -> None:
        if self.hu.ndim != 3 or min(self.hu.shape) < 1:
            raise ValueError(f"HU must be a volume (nz, ny, nx) without empty axes, got shape {self.hu.shape}")
        if self.hu.dtype not in (np.int16, np.float32):
            raise ValueError(f"HU must be int16 or float32, got {self.hu.dtype}")
        spacing = np.asarray(self.spacing, dtype=float)
        if spacing.shape != (3,) or not np.isfinite(spacing).all() or spacing.min() <= 0:
            raise ValueError(f"spacing must be three positive lengths (z, y, x) [mm], got {self.spacing}")
        object.__setattr__(self, "spacing", tuple(float(s) for s in spacing))
        object.__setattr__(self, "voxels", _frozen(self.voxels))
        object.__setattr__(self, "offsets", _frozen(self.offsets))
        if self.voxels.ndim != 2 or self.voxels.shape[1] != 3:
            raise ValueError(f"voxels must be (n, 3) indices (z, y, x), got shape {self.voxels.shape}")
        offsets = self.offsets
        if offsets.ndim != 1 or len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(self.voxels):
            raise ValueError(f"offsets must run from 0 to the number of voxels, {len(self.voxels)}, got {offsets}")
        if (np.diff(offsets) < 1).any():
            lesion = int(np.argmax(np.diff(offsets) < 1))
            raise ValueError(f"every lesion needs at least one voxel, lesion {lesion} has none")
        if len(self.voxels) and ((self.voxels < 0).any() or (self.voxels >= self.hu.shape).any()):
            raise ValueError(f"voxels must lie inside the volume {self.hu.shape}, got one outside")
        if self.hu.dtype == np.float32 and not np.isfinite(self.hu).all():
            raise ValueError("HU must be finite, got NaN or infinite voxels; fill them with air (-1024) first")

    def __len__(self) -> int:
        """Count the lesions."""
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose about the features; everything else is fixed by the catalogue.

    Parameters
    ----------
    threshold_hu : float
        Lower bound of a lesion's HU: lower edge of the first grey-level bin, and where excess HU starts [HU].
    glcm_bin_width_hu : float
        Width of the grey-level bins of the co-occurrence matrix [HU]. The default is twice the noise (SD) of
        a noisy chest CT, about 24 HU, so that noise alone seldom moves a voxel by more than one bin.
    glcm_max_hu : float
        HU above fall into the bin of this value [HU]. The default is the top of the 12-bit range; only metal
        is above.
    gaussian_scales_mm : tuple of float
        Standard deviations of the Gaussian filters, increasing [mm].
    shell_mm : float
        Thickness of the shell in which the neighbourhood is described [mm].
    crowd_mm : tuple of float
        Radii within which other lesions are counted, increasing [mm]. The defaults are the surroundings of a plaque
        and most of a heart.

    Raises
    ------
    ValueError
        When a value is out of range.

    Examples
    --------
    >>> Settings(gaussian_scales_mm=(1, 3)).gaussian_scales_mm
    (1.0, 3.0)
    """

    threshold_hu: float = 130.0
    glcm_bin_width_hu: float = 50.0
    glcm_max_hu: float = 3071.0
    gaussian_scales_mm: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    shell_mm: float = 5.0
    crowd_mm: tuple[float, ...] = (20.0, 50.0)

    def __post_init__(self) -> None:
        for name in ("threshold_hu", "glcm_bin_width_hu", "glcm_max_hu", "shell_mm"):
            value = float(getattr(self, name))
            if not np.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}")
            object.__setattr__(self, name, value)
        if self.glcm_bin_width_hu <= 0:
            raise ValueError(f"glcm_bin_width_hu must be positive, got {self.glcm_bin_width_hu}")
        if self.glcm_max_hu <= self.threshold_hu:
            raise ValueError(f"glcm_max_hu must exceed threshold_hu, got {self.glcm_max_hu} and {self.threshold_hu}")
        if self.shell_mm <= 0:
            raise ValueError(f"shell_mm must be positive, got {self.shell_mm}")
        for name in ("gaussian_scales_mm", "crowd_mm"):
            lengths = tuple(float(s) for s in getattr(self, name))
            object.__setattr__(self, name, lengths)
            if not 0 < len(lengths) <= MAX_SCALES or not np.isfinite(lengths).all() or min(lengths) <= 0:
                raise ValueError(f"{name} must be 1 to {MAX_SCALES} positive lengths, got {lengths}")
            if any(b <= a for a, b in pairwise(lengths)):
                raise ValueError(f"{name} must increase, got {lengths}")


def _frozen(values: NDArray[np.intp]) -> NDArray[np.intp]:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer) and array.size:
        raise ValueError(f"voxels and offsets must be whole numbers, got {array.dtype}")
    view = array.astype(np.intp, copy=False).view()
    view.flags.writeable = False
    return view
