"""Shape: the form of a lesion, from its surface mesh and from the spread of its voxels.

V and A are volume and area of the marching-cubes mesh; V_box and A_box those of the box around the voxels,
V_hull that of the mesh's convex hull. λ1 ≥ λ2 ≥ λ3 are the eigenvalues [mm2] of the covariance (N - 1) of the
voxel centres p_k, e the eigenvector of λ1. x_k is the HU value of voxel k.
"""

from __future__ import annotations

import numpy as np

from calcscore_features.feature import Feature
from calcscore_features.members import Floats, Members, ratio
from calcscore_features.mesh import area_and_volume, hulls

UNIQUE_AXIS = 1e-6
"""The major axis has a direction only if λ1 exceeds λ2 by more than this share of λ1; a ball or a cube has none."""

FLAT = 1e-12
"""An eigenvalue below this share of λ1 is rounding: the lesion is flat, and the eigenvalue is set to zero."""

_ONE = "NaN: one voxel"
_AXIS = "NaN: one voxel, or λ1 = λ2"

FEATURES: tuple[Feature, ...] = (
    Feature("mesh_volume_mm3", "shape", "mm3", "V", "IBSI RNU0", ibsi="RNU0"),
    Feature("surface_area_mm2", "shape", "mm2", "A", "IBSI C0JK", ibsi="C0JK"),
    Feature("surface_to_volume_per_mm", "shape", "1/mm", "A / V", "IBSI 2PR5", ibsi="2PR5"),
    Feature("sphericity", "shape", "1", "(36 π V²)^(1/3) / A", "IBSI QCFX", ibsi="QCFX"),
    Feature("max_diameter_mm", "shape", "mm", "largest distance of two mesh vertices", "IBSI L0JK", ibsi="L0JK"),
    Feature("major_axis_mm", "shape", "mm", "4 √λ1", "IBSI TDIC", _ONE, "TDIC"),
    Feature("minor_axis_mm", "shape", "mm", "4 √λ2", "IBSI P9VJ", _ONE, "P9VJ"),
    Feature("least_axis_mm", "shape", "mm", "4 √λ3", "IBSI 7J51", _ONE, "7J51"),
    Feature("elongation", "shape", "1", "√(λ2 / λ1), 1 for a ball", "IBSI Q3CK", _ONE, "Q3CK"),
    Feature("flatness", "shape", "1", "√(λ3 / λ1), 1 for a ball", "IBSI N17B", _ONE, "N17B"),
    Feature("volume_density_box", "shape", "1", "V / V_box", "IBSI PBX1", ibsi="PBX1"),
    Feature("area_density_box", "shape", "1", "A / A_box", "IBSI R59B", ibsi="R59B"),
    Feature(
        "volume_density_ellipsoid",
        "shape",
        "1",
        "3 V / (32 π √(λ1 λ2 λ3))",
        "IBSI 6BDE",
        "NaN: all voxels in one plane",
        "6BDE",
    ),
    Feature("volume_density_hull", "shape", "1", "V / V_hull", "IBSI R3ER", ibsi="R3ER"),
    Feature(
        "centre_of_mass_shift_mm",
        "shape",
        "mm",
        "|Σ p_k / n - Σ x_k p_k / Σ x_k|",
        "IBSI KLMA",
        "NaN: Σ x_k = 0",
        "KLMA",
    ),
    Feature("major_axis_cos_z", "shape", "1", "|e_z|", "this project", _AXIS),
    Feature("major_axis_cos_y", "shape", "1", "|e_y|", "this project", _AXIS),
    Feature("major_axis_cos_x", "shape", "1", "|e_x|", "this project", _AXIS),
)
"""The shape features in order."""


def compute(members: Members) -> dict[str, Floats]:
    """Measure the shape of every lesion.

    Parameters
    ----------
    members : Members
        Voxels of L lesions.

    Returns
    -------
    dict of str to (L,) array of float
        By feature name, in the order of `FEATURES`.

    References
    ----------
    Zwanenburg et al., Radiology 295:328 (2020); reference manual arXiv:1612.07003, section 3.1.
    """
    area, volume = area_and_volume(members)
    hull_volume, diameter = hulls(members)
    box = members.extent * members.spacing
    box_area = 2 * (box[:, 0] * box[:, 1] + box[:, 1] * box[:, 2] + box[:, 2] * box[:, 0])
    spread, axis = _principal_axes(members)
    major, minor, least = spread
    position = members.local_mm
    weight = members.total(members.hu)
    heavy = ratio(members.total(members.hu[:, None] * position), weight[:, None])
    values = (
        volume,
        area,
        area / volume,
        np.cbrt(36 * np.pi * volume**2) / area,
        diameter,
        4 * major,
        4 * minor,
        4 * least,
        ratio(minor, major),
        ratio(least, major),
        volume / box.prod(axis=1),
        area / box_area,
        ratio(3 * volume, 32 * np.pi * major * minor * least),
        volume / hull_volume,
        np.linalg.norm(members.mean(position) - heavy, axis=1),
        axis[:, 0],
        axis[:, 1],
        axis[:, 2],
    )
    return {f.name: v for f, v in zip(FEATURES, values, strict=True)}


def _principal_axes(members: Members) -> tuple[Floats, Floats]:
    """Standard deviations along the principal axes, (3, L) decreasing [mm], and |direction| of the first, (L, 3)."""
    position = members.local_mm
    centred = position - members.mean(position)[members.lesion]
    products = members.total(centred[:, :, None] * centred[:, None, :])
    several = members.count > 1
    covariance = products / np.maximum(members.count - 1, 1)[:, None, None]
    value, vector = np.linalg.eigh(covariance)
    value = np.where(value > FLAT * value[:, 2:], value, 0.0)
    direction = np.abs(vector[:, :, 2])
    direction[value[:, 2] - value[:, 1] <= UNIQUE_AXIS * value[:, 2]] = np.nan
    spread = np.sqrt(value[:, ::-1].T)
    spread[:, ~several] = np.nan
    return spread, direction
