"""Registration of a scan to an atlas: affine, then demons, on coarse copies; points only are carried through.

A registration takes points of the scan to the atlas. It says how well the two agree, and whether it can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import SimpleITK
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.heart.grid import F32, Copy, Grid, extent_mm, within
from calcscore_ml.scan import Scan

INVERSE_STEPS = 40
"""Steps of the fixed-point iteration that inverts a registration at a point."""

INVERSE_DAMPING = 0.7
"""Share of the error taken off in a step; 1 does not converge where the field is steep."""

PAD_VOXELS = 4
"""The grid is grown by this, filled with the atlas, so that no force acts at its border."""

SAMPLING_SEED = 20
"""Of the affine metric's sample: SimpleITK jitters even a regular one, by the clock unless told otherwise."""

FOLDED_SHARE = 0.02
"""A registration that folds more than this share of space has failed (our choice)."""

SCALE_RANGE = (0.55, 1.8)
"""Linear size of an atlas relative to a scan that a registration may find (our choice)."""


@dataclass(frozen=True, slots=True)
class RegistrationSettings:
    """How scans are registered to an atlas; they ship with it.

    Parameters
    ----------
    step_mm : float
        Voxel size of the coarse copies.
    window_hu : tuple of float
        HU are clipped to it: fat, blood and the edge of the lung are seen, bone and metal are not.
    affine_shrink : tuple of int
        Levels of the affine part, in voxels of `step_mm`.
    affine_iterations : int
        Of every level, at most.
    affine_sampling : float
        Share of the voxels the affine metric looks at.
    demons_shrink, demons_iterations : tuple of int
        Levels of the deformable part.
    demons_smoothing : float
        Standard deviation of the Gaussian that smooths the field at every iteration [voxels of a level].
    below_mm, above_mm : tuple of float
        How far beyond the heart box, (z, y, x), the registered region reaches.
    least_similarity : float
        Correlation in the atlas's heart below which a registration has failed.
    """

    step_mm: float = 4.0
    window_hu: tuple[float, float] = (-200.0, 100.0)
    affine_shrink: tuple[int, ...] = (3, 2)
    affine_iterations: int = 80
    affine_sampling: float = 0.3
    demons_shrink: tuple[int, ...] = (4, 2, 1)
    demons_iterations: tuple[int, ...] = (60, 60, 30)
    demons_smoothing: float = 1.0
    below_mm: tuple[float, float, float] = (25.0, 15.0, 30.0)
    above_mm: tuple[float, float, float] = (70.0, 75.0, 30.0)
    least_similarity: float = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """Points p of a scan, (z, y, x) [mm], go to ``matrix @ p + offset_mm``."""

    matrix: NDArray[np.float64]
    offset_mm: NDArray[np.float64]

    @classmethod
    def between(cls, box_mm: ArrayLike, atlas_box_mm: ArrayLike) -> Affine:
        """Take the centre and the edges of one (2, 3) box to those of another."""
        own, other = np.asarray(box_mm, dtype=np.float64), np.asarray(atlas_box_mm, dtype=np.float64)
        scale = np.clip((other[1] - other[0]) / (own[1] - own[0]), 0.75, 1.33)
        return cls(np.diag(scale), other.mean(axis=0) - scale * own.mean(axis=0))

    def __call__(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Take (n, 3) points to the atlas."""
        return np.asarray(np.asarray(points_mm) @ self.matrix.T + self.offset_mm)

    def inverse(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Take (n, 3) points of the atlas to the scan."""
        return np.asarray((np.asarray(points_mm) - self.offset_mm) @ np.linalg.inv(self.matrix).T)


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """Points of a scan to points of an atlas.

    Parameters
    ----------
    affine : Affine
        Applied after the displacement.
    grid : Grid
        Of the displacement; beyond it the displacement at its border holds.
    displacement_mm : (3, nz, ny, nx) array of float32
        Along (z, y, x), in the scan.
    similarity : float
        Correlation of scan and atlas where the atlas's heart is, -1 to 1.
    failure : str
        What is wrong with it; empty when nothing is.
    """

    affine: Affine
    grid: Grid
    displacement_mm: F32
    similarity: float
    failure: str = ""

    def to_atlas(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Take (n, 3) points of the scan, (z, y, x) index x spacing, to the atlas [mm]."""
        points = np.asarray(points_mm, dtype=np.float64)
        moved = np.stack([self.grid.sample(axis, points) for axis in self.displacement_mm], axis=1)
        return self.affine(points + moved)

    def grid_to_atlas(self) -> NDArray[np.float64]:
        """Take all voxels of its own grid to the atlas, (n, 3) [mm]: as `to_atlas`, without interpolation."""
        return self.affine(self.grid.points() + self.displacement_mm.reshape(3, -1).T)

    def to_scan(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Take (n, 3) points of the atlas to the scan: the inverse of `to_atlas` [mm]."""
        goal = np.asarray(points_mm, dtype=np.float64)
        back = np.linalg.inv(self.affine.matrix).T
        found = self.affine.inverse(goal)
        for _ in range(INVERSE_STEPS):
            found = found + INVERSE_DAMPING * (goal - self.to_atlas(found)) @ back
        return found


class Target(Protocol):
    """What a scan can be registered to: an atlas, or the group."""

    @property
    def grid(self) -> Grid:
        """Of the template."""

    @property
    def hu(self) -> F32:
        """Template [HU]."""

    @property
    def box_mm(self) -> NDArray[np.float64]:
        """Around the heart, (2, 3)."""

    @property
    def settings(self) -> RegistrationSettings:
        """How a scan is registered."""


def region(scan: Scan, box_mm: NDArray[np.float64], settings: RegistrationSettings) -> Grid:
    """Grid of the part of a scan that is registered, around a (2, 3) heart box [mm]."""
    low = np.maximum(box_mm[0] - settings.below_mm, 0)
    high = np.minimum(box_mm[1] + settings.above_mm, extent_mm(scan))
    return Grid.cover(low, np.maximum(high, low + 2 * settings.step_mm), settings.step_mm)


def register(copy: Copy, atlas: Target, start: Affine) -> Registration:
    """Register a coarse copy of a scan to an atlas, as the atlas's settings say.

    Parameters
    ----------
    copy : Copy
        Of the scan, clipped as the atlas is.
    atlas : Target
        Where points are to be carried.
    start : Affine
        A first guess, usually from two heart boxes.

    Returns
    -------
    Registration
        With a failure when it went wrong, SimpleITK's own refusals included.
    """
    grid = copy.grid
    still = Registration(start, grid, np.zeros((3, *grid.shape), dtype=np.float32), 0.0)
    try:
        affine = fit_affine(copy, atlas, start)
        displacement = _demons(copy, atlas, affine)
        moved = replace(still, affine=affine, displacement_mm=displacement)
        moved = replace(moved, similarity=similarity_of(moved, copy, atlas))
        return replace(moved, failure=failure_of(moved, atlas.settings))
    except RuntimeError as error:  # what SimpleITK raises when two images do not overlap
        return replace(still, failure=f"SimpleITK: {str(error).strip().splitlines()[-1]}")
    except np.linalg.LinAlgError as error:
        return replace(still, failure=f"atlas scaled by nothing finite ({error})")


def fit_affine(copy: Copy, atlas: Target, start: Affine, settings: RegistrationSettings | None = None) -> Affine:
    """Find the affine map that correlates a coarse copy and an atlas best, from a first guess; see `register`.

    `settings` stand in for the atlas's own where they are given.

    Raises
    ------
    RuntimeError
        When SimpleITK finds nothing to compare.
    """
    grid, settings = copy.grid, settings or atlas.settings
    method = SimpleITK.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsCorrelation()
    method.SetMetricFixedMask(_image(copy.known.astype(np.uint8), grid))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(settings.affine_sampling, SAMPLING_SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        2.0, 0.02, settings.affine_iterations, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(settings.affine_shrink)
    method.SetSmoothingSigmasPerLevel([0.5 * s for s in settings.affine_shrink])
    transform = SimpleITK.AffineTransform(3)
    centre = (grid.lower_mm + grid.upper_mm) / 2
    transform.SetCenter(centre[::-1].tolist())
    transform.SetMatrix(start.matrix[::-1, ::-1].ravel().tolist())
    transform.SetTranslation((start(centre[None])[0] - centre)[::-1].tolist())
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(_image(copy.hu, grid), _image(atlas.hu, atlas.grid))
    matrix = np.array(transform.GetMatrix()).reshape(3, 3)[::-1, ::-1]
    moved = centre + np.array(transform.GetTranslation())[::-1]
    return Affine(matrix, moved - matrix @ centre)


def similarity_of(registration: Registration, copy: Copy, atlas: Target) -> float:
    """Correlate scan and atlas over the copy's voxels that come to lie in the atlas's heart box.

    0 when fewer than a hundred voxels do: there is nothing to compare.
    """
    at = registration.grid_to_atlas()
    inside = within(at, *atlas.box_mm) & copy.known.ravel()
    if inside.sum() < 100:
        return 0.0
    own, other = copy.hu.ravel()[inside], atlas.grid.sample(atlas.hu, at[inside])
    if min(own.std(), other.std()) < 1e-3:
        return 0.0
    return float(np.corrcoef(own, other)[0, 1])


def failure_of(found: Registration, settings: RegistrationSettings) -> str:
    """Say what is wrong with a registration; empty when nothing is."""
    scales = np.linalg.svd(found.affine.matrix, compute_uv=False)
    if not np.isfinite(scales).all() or scales.min() < SCALE_RANGE[0] or scales.max() > SCALE_RANGE[1]:
        return f"atlas scaled by {scales.min():.2f} to {scales.max():.2f}"
    if np.linalg.det(found.affine.matrix) <= 0:
        return "atlas mirrored"
    gradient = np.stack([np.stack(np.gradient(axis, found.grid.step_mm)) for axis in found.displacement_mm])
    jacobian = np.linalg.det(np.moveaxis(gradient, (0, 1), (3, 4)) + np.eye(3, dtype=np.float32))
    folded = float((jacobian <= 0).mean())
    if folded > FOLDED_SHARE:
        return f"{folded:.0%} of space folded"
    if found.similarity < settings.least_similarity:
        return f"correlation with the atlas {found.similarity:.2f}, below {settings.least_similarity:g}"
    return ""


def _demons(copy: Copy, atlas: Target, affine: Affine) -> F32:
    """Displacement on the copy's grid, (3, nz, ny, nx) along (z, y, x) [mm], to be followed by the affine map."""
    settings, wide = atlas.settings, copy.grid.pad(PAD_VOXELS)
    warped = atlas.grid.sample(atlas.hu, affine(wide.points()), settings.window_hu[0]).reshape(wide.shape)
    own = warped.copy()
    inner = (slice(PAD_VOXELS, -PAD_VOXELS),) * 3
    own[inner] = np.where(copy.known, copy.hu, warped[inner])
    fixed, moving = _image(own, wide), _image(warped, wide)
    field = None
    for shrink, count in zip(settings.demons_shrink, settings.demons_iterations, strict=True):
        pair = [_shrunk(image, shrink) for image in (fixed, moving)]
        demons = SimpleITK.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfThreads(1)  # sums of several threads differ from run to run
        demons.SetNumberOfIterations(count)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(settings.demons_smoothing)
        demons.SetIntensityDifferenceThreshold(1.0)
        field = demons.Execute(*pair) if field is None else demons.Execute(*pair, _onto(field, pair[0]))
    assert field is not None
    if field.GetSize() != fixed.GetSize():
        field = _onto(field, fixed)
    along_xyz = np.asarray(SimpleITK.GetArrayFromImage(field), dtype=np.float64)[inner]
    return np.ascontiguousarray(np.moveaxis(along_xyz[..., ::-1], 3, 0), dtype=np.float32)


def _shrunk(image: SimpleITK.Image, factor: int) -> SimpleITK.Image:
    if factor == 1:
        return image
    smooth = SimpleITK.SmoothingRecursiveGaussian(image, image.GetSpacing()[0] * factor / 2)
    return SimpleITK.Shrink(smooth, [factor] * 3)


def _onto(field: SimpleITK.Image, like: SimpleITK.Image) -> SimpleITK.Image:
    """Interpolate a displacement field on another image's grid."""
    still, linear = SimpleITK.Transform(), SimpleITK.sitkLinear
    return SimpleITK.Resample(field, like, still, linear, 0.0, SimpleITK.sitkVectorFloat64)


def _image(values: NDArray[np.generic], grid: Grid) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values))
    image.SetSpacing((grid.step_mm,) * 3)
    image.SetOrigin(grid.lower_mm[::-1].tolist())
    return image
