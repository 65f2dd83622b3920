"""The group template: the mean of a cohort's scans, to which a scan is registered once for all atlases.

What carries the group to each atlas is found when atlases are built, and stored beside them in the folder ``group``:
``mean.nii.gz`` (HU) and ``paths.npz`` (box around the heart, an affine map and a displacement for each atlas).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from calcscore_ml.errors import GeometryError, ScanError
from calcscore_ml.files import write_beside
from calcscore_ml.geometry import Geometry
from calcscore_ml.heart.grid import F32, Copy, Grid
from calcscore_ml.heart.registration import (
    Affine,
    Registration,
    RegistrationSettings,
    Target,
    failure_of,
    register,
    similarity_of,
)
from calcscore_ml.io.volumes import read_grid, write_grid

GROUP = "group"
"""Name of the folder beside those of the atlases."""

STEP_MM = 0.1
"""Displacements are stored in whole multiples of this [mm]."""

EVERY = 2
"""... and at every second voxel: they are smooth, and interpolated between."""

SPLAT_SIGMA = 0.5
"""Gaussian that closes the gaps between the voxels of the scans averaged [voxels]."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The mean scan of a cohort, and the way from it to each atlas, (z, y, x) [mm] from its first voxel.

    Parameters
    ----------
    grid : Grid
        Of `hu`.
    hu : array of float32
        Mean of the cohort's scans [HU].
    box_mm : (2, 3) array
        Around the heart.
    settings : RegistrationSettings
        How a scan is registered to it.
    paths : dict of str to Registration
        From the group to each atlas, by its name.
    """

    grid: Grid
    hu: F32
    box_mm: NDArray[np.float64]
    settings: RegistrationSettings
    paths: dict[str, Registration]

    def __post_init__(self) -> None:
        self.hu.flags.writeable = self.box_mm.flags.writeable = False
        for path in self.paths.values():
            path.displacement_mm.flags.writeable = False


def compose(first: Registration, path: Registration, copy: Copy, atlas: Target) -> Registration:
    """Go through the group: a scan's registration to it, then the group's to an atlas.

    Parameters
    ----------
    first : Registration
        Of a scan to the group.
    path : Registration
        Of the group to an atlas.
    copy : Copy
        Of the scan.
    atlas : Target
        Where `path` leads.

    Returns
    -------
    Registration
        Of the scan to the atlas.
    """
    affine = Affine(
        path.affine.matrix @ first.affine.matrix,
        path.affine.matrix @ first.affine.offset_mm + path.affine.offset_mm,
    )
    moved = affine.inverse(path.to_atlas(first.grid_to_atlas())) - first.grid.points()
    displacement = np.ascontiguousarray(moved.T.reshape(3, *first.grid.shape), dtype=np.float32)
    whole = replace(first, affine=affine, displacement_mm=displacement)
    whole = replace(whole, similarity=similarity_of(whole, copy, atlas))
    return replace(whole, failure=failure_of(whole, atlas.settings))


def spread(copy: Copy, found: Registration, grid: Grid) -> tuple[F32, F32]:
    """Carry a copy of a scan to the grid it was registered to: sums of HU and counts of voxels, to be added up."""
    at = np.rint(grid.index(found.grid_to_atlas())).astype(int)
    keep = ((at >= 0) & (at < grid.shape)).all(axis=1) & copy.known.ravel()
    flat = np.ravel_multi_index(tuple(at[keep].T), grid.shape)
    size = int(np.prod(grid.shape))
    total = np.bincount(flat, copy.hu.ravel()[keep], size).reshape(grid.shape)
    count = np.bincount(flat, minlength=size).reshape(grid.shape)
    return total.astype(np.float32), count.astype(np.float32)


def mean_template(total: F32, count: F32, instead: F32) -> F32:
    """Mean HU of what was carried to a grid; where too little was, that of `instead`."""
    total, count = (ndimage.gaussian_filter(a, SPLAT_SIGMA) for a in (total, count))
    return np.where(count > 1, total / np.maximum(count, 1e-6), instead).astype(np.float32)


def make_group(base: Target, hu: F32, atlases: Mapping[str, Target]) -> Group | None:
    """Make the group of some atlases; None when an atlas cannot be reached from it.

    Parameters
    ----------
    base : Target
        The template in whose millimetres the mean is.
    hu : array of float32
        From `mean_template`, on the base's grid [HU].
    atlases : mapping of str to Target
        All atlases by name.
    """
    copy = Copy(base.grid, hu, np.ones(base.grid.shape, dtype=bool))
    paths = {n: register(copy, a, Affine.between(base.box_mm, a.box_mm)) for n, a in atlases.items()}
    if any(path.failure for path in paths.values()):
        return None
    return Group(base.grid, hu, base.box_mm, base.settings, paths)


def write_group(group: Group, folder: Path) -> None:
    """Write a group into a new folder."""
    folder.mkdir()
    geometry = Geometry(group.grid.shape, (group.grid.step_mm,) * 3)
    write_grid(np.rint(group.hu).astype(np.int16), geometry, folder / "mean.nii.gz")
    paths = group.paths.values()
    kept = np.stack([path.displacement_mm[:, ::EVERY, ::EVERY, ::EVERY] for path in paths])
    with write_beside(folder / "paths.npz") as beside, beside.open("wb") as stream:
        np.savez_compressed(
            stream,
            box_mm=group.box_mm,
            names=np.array(list(group.paths), dtype=np.str_),
            matrices=np.stack([path.affine.matrix for path in paths]),
            offsets=np.stack([path.affine.offset_mm for path in paths]),
            displacements=np.rint(kept / STEP_MM).astype(np.int16),
        )


def read_group(folder: Path, settings: RegistrationSettings, names: tuple[str, ...]) -> Group | None:
    """Read the group of some atlases; None when the folder has none.

    Raises
    ------
    ScanError
        When a file is missing or does not fit the atlases.
    """
    if not folder.is_dir():
        return None
    try:
        raw, geometry = read_grid(folder / "mean.nii.gz")
        grid = Grid(np.zeros(3), float(geometry.spacing[0]), geometry.shape)
        with np.load(folder / "paths.npz", allow_pickle=False) as stored:
            box = stored["box_mm"].astype(np.float64)
            known, matrices, offsets, displacements = (
                stored[name] for name in ("names", "matrices", "offsets", "displacements")
            )
        nz, ny, nx = (-(-n // EVERY) for n in grid.shape)
        coarse = Grid(grid.lower_mm, EVERY * grid.step_mm, (nz, ny, nx))
        if displacements.shape[1:] != (3, nz, ny, nx) or not np.isfinite(matrices).all():
            raise ValueError(f"displacements of shape {displacements.shape}")
        moved = (displacements * np.float32(STEP_MM)).astype(np.float32)
        ways = {
            name: Registration(Affine(matrix, offset), coarse, way, 1.0)
            for name, matrix, offset, way in zip(known.tolist(), matrices, offsets, moved, strict=True)
        }
        paths = {name: ways[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, ScanError, GeometryError) as error:
        raise ScanError(
            f"a group of atlases must be what `calcscore atlas build` wrote for them, got {error} in {folder.name}; "
            "build them anew, or remove the folder: a scan is then registered to each atlas"
        ) from error
    return Group(grid, raw.astype(np.float32), box, settings, paths)
