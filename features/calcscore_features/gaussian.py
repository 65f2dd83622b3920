"""Gaussian derivatives: the surroundings of a lesion as seen through blurred eyes.

L is the scan smoothed by a Gaussian of standard deviation s [mm], taken at the lesion's brightest voxel;
where several are equally bright, at the one nearest the lesion's centroid, then the first in the order z, y,
x. Subscripts are derivatives along x (to the left), y (to the back) and z (to the head). |λ1| ≤ |λ2| ≤ |λ3|
are the eigenvalues of the Hessian of L.
"""

from __future__ import annotations

import numpy as np

from calcscore_features.feature import Feature, Settings
from calcscore_features.members import Floats, Ints, Members, ratio
from calcscore_features.pyramid import derivatives

FILTERS: tuple[str, ...] = ("l", "lx", "ly", "lz", "lxx", "lxy", "lxz", "lyy", "lyz", "lzz")
"""Names of the ten filters, in the order of `calcscore_features.pyramid.ORDERS`."""

UNITS: tuple[str, ...] = ("HU", "HU/mm", "HU/mm2")
"""Unit of a derivative of order 0, 1 and 2."""

HESSIAN_FLOOR_HU = 1e-3
"""An eigenvalue with s² |λ| below this is zero to single precision [HU]."""

TIE_MM = 1e-6
"""Distances from the centroid that differ by less are equal [mm]."""


def features(settings: Settings) -> tuple[Feature, ...]:
    """List the Gaussian features of the chosen scales in order.

    >>> [f.name for f in features(Settings(gaussian_scales_mm=(2,)))][:3]
    ['gauss_l_2mm_hu', 'gauss_lx_2mm_hu_per_mm', 'gauss_ly_2mm_hu_per_mm']
    """
    listed = []
    for scale in settings.gaussian_scales_mm:
        s = f"{scale:g}mm".replace(".", "p")
        for name in FILTERS:
            unit = UNITS[len(name) - 1]
            ending = unit.lower().replace("/", "_per_")
            formula = f"L{'_' + name[1:] if name[1:] else ''}, s = {scale:g} mm"
            listed.append(Feature(f"gauss_{name}_{s}_{ending}", "gaussian", unit, formula, "Shahzad 2013, Table 2"))
        blob, line = (f"|λ1| / √|λ2 λ3|, s = {scale:g} mm", f"|λ2| / |λ3|, s = {scale:g} mm")
        listed.append(Feature(f"gauss_blob_{s}", "gaussian", "1", blob, "Frangi 1998, R_B", "NaN: λ2 = 0"))
        listed.append(Feature(f"gauss_line_{s}", "gaussian", "1", line, "Frangi 1998, R_A", "NaN: λ3 = 0"))
    return tuple(listed)


def compute(members: Members, settings: Settings) -> dict[str, Floats]:
    """Filter the scan at the brightest voxel of every lesion.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.
    settings : Settings
        Holds the scales.

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `features`.

    References
    ----------
    Shahzad et al., Acad Radiol 20:1 (2013), Table 2: the ten filters, at five scales, at the brightest voxel. The
    paper's scales are not known to us: the default scales are this project's. Frangi et al., MICCAI 1998: the ratios.
    """
    scales = settings.gaussian_scales_mm
    values = derivatives(members.hu_volume, members.spacing, members.voxel[brightest(members)], scales)
    columns: list[Floats] = []
    for scale, filtered in zip(scales, values, strict=True):
        columns.extend(filtered)
        columns.extend(_hessian_ratios(filtered, scale))
    return {f.name: v for f, v in zip(features(settings), columns, strict=True)}


def brightest(members: Members) -> Ints:
    """Find the brightest voxel of every lesion: its position in the list of voxels, (L,)."""
    position = members.local_mm
    away = np.linalg.norm(position - members.mean(position)[members.lesion], axis=1)
    top = members.hu == np.maximum.reduceat(members.hu, members.start)[members.lesion]
    away = np.where(top, away, np.inf)
    nearest = away <= np.minimum.reduceat(away, members.start)[members.lesion] + TIE_MM
    chosen = np.where(nearest, np.arange(len(away)), len(away))
    return np.asarray(np.minimum.reduceat(chosen, members.start))


def _hessian_ratios(filtered: Floats, scale: float) -> tuple[Floats, Floats]:
    """Blobness and lineness from the ten filters at one scale."""
    xx, xy, xz, yy, yz, zz = filtered[4:]
    hessian = np.stack([np.stack(row, axis=-1) for row in ((xx, xy, xz), (xy, yy, yz), (xz, yz, zz))], axis=-2)
    size = np.sort(np.abs(np.linalg.eigvalsh(hessian)), axis=-1)
    small, middle, large = np.where(size * scale**2 < HESSIAN_FLOOR_HU, 0.0, size).T
    return ratio(small, np.sqrt(middle * large)), ratio(middle, large)
