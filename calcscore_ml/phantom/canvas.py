"""Shapes as signed distances, and the painter that turns them into HU.

Every vector here is (z, y, x) in mm of the patient: z to the head, y to the back, x to the patient's left, with the
origin in the middle of the vertebral body, at the height of the aortic valve. A *shape* knows its signed distance
(negative inside). A *field* is that distance on a coarse `Grid`: smooth surfaces lose less than a tenth of a
millimetre there. A *layer* is a field with a HU, and layers are painted one over the other, anti-aliased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter

F32 = NDArray[np.float32]

FAR_MM = 60.0
"""Distance given to voxels beyond a shape's window: farther than any smoothing or shell reaches."""

PATH_STEP_MM = 4.0
"""Default distance between the points of a smoothed path; tubes between them bend by well under a voxel."""


def zyx(point: ArrayLike) -> NDArray[np.float64]:
    """Turn anatomical (x, y, z) tables, easier to write down, into (z, y, x).

    >>> zyx((1.0, 2.0, 3.0)).tolist()
    [3.0, 2.0, 1.0]
    """
    return np.asarray(point, dtype=np.float64)[..., ::-1]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Coordinates of a regular grid, float32, in mm.

    Parameters
    ----------
    z, y, x : (n,) arrays of float32
        Ascending coordinates of the voxel centres.
    """

    z: F32
    y: F32
    x: F32

    @classmethod
    def box(cls, low: ArrayLike, high: ArrayLike, step_mm: float) -> Grid:
        """Cover the box from `low` to `high`, both (z, y, x) [mm], in steps of `step_mm`."""
        ends = zip(np.asarray(low, dtype=float), np.asarray(high, dtype=float), strict=True)
        z, y, x = (np.arange(a, b + step_mm, step_mm, dtype=np.float32) for a, b in ends)
        return cls(z, y, x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        return len(self.z), len(self.y), len(self.x)

    @property
    def mesh(self) -> tuple[F32, F32, F32]:
        """Coordinates shaped to broadcast to the grid."""
        return self.z[:, None, None], self.y[None, :, None], self.x[None, None, :]

    def window(self, low: ArrayLike, high: ArrayLike) -> tuple[slice, slice, slice]:
        """Return the slices of the voxels between two corners (z, y, x) [mm]."""
        a, b = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        # Tens of thousands of windows a scan: the arrays' own method is several times as fast as NumPy's function.
        return (
            slice(int(self.z.searchsorted(a[0])), int(self.z.searchsorted(b[0], "right"))),
            slice(int(self.y.searchsorted(a[1])), int(self.y.searchsorted(b[1], "right"))),
            slice(int(self.x.searchsorted(a[2])), int(self.x.searchsorted(b[2], "right"))),
        )

    def crop(self, window: tuple[slice, slice, slice]) -> Grid:
        """Return the grid of a window."""
        return Grid(self.z[window[0]], self.y[window[1]], self.x[window[2]])


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoid:
    """An ellipsoid.

    Parameters
    ----------
    centre : (3,) array
        (z, y, x) [mm].
    semi : (3,) array
        Half-lengths along the rows of `axes` [mm].
    axes : (3, 3) array, optional
        Orthonormal rows, each a (z, y, x) direction.
    """

    centre: NDArray[np.float64]
    semi: NDArray[np.float64]
    axes: NDArray[np.float64] | None = None

    @property
    def reach(self) -> NDArray[np.float64]:
        """Half-lengths of the bounding box (z, y, x) [mm]."""
        if self.axes is None:
            return self.semi
        return np.asarray(np.sqrt(((self.axes * self.semi[:, None]) ** 2).sum(axis=0)))

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper corner (z, y, x) [mm]."""
        return self.centre - self.reach, self.centre + self.reach

    def distance(self, z: ArrayLike, y: ArrayLike, x: ArrayLike) -> F32:
        """Signed distance to first order, exact on the surface [mm]."""
        d = [np.asarray(v, dtype=np.float32) - np.float32(c) for v, c in zip((z, y, x), self.centre, strict=True)]
        axes = np.eye(3) if self.axes is None else self.axes
        zero = np.zeros((), dtype=np.float32)
        k0, k1 = zero, zero
        for axis, semi in zip(axes, self.semi, strict=True):
            q = sum(d[i] * np.float32(axis[i] / semi) for i in range(3) if axis[i] != 0)
            square = q * q
            k0 = k0 + square
            k1 = k1 + square * np.float32(1 / semi**2)
        k0 = np.sqrt(k0)
        return np.asarray(k0 * (k0 - 1) / np.sqrt(k1 + np.float32(1e-9)), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Tube:
    """A chain of round cones along a path.

    Parameters
    ----------
    points : (n, 3) array
        Path, (z, y, x) [mm].
    radii : (n,) array
        Radius at each point [mm].
    """

    points: NDArray[np.float64]
    radii: NDArray[np.float64]

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper corner (z, y, x) [mm]."""
        r = self.radii[:, None]
        return (self.points - r).min(axis=0), (self.points + r).max(axis=0)

    def segments(self) -> list[Tube]:
        """Return the links of the chain, each a tube of two points."""
        return [Tube(self.points[i : i + 2], self.radii[i : i + 2]) for i in range(len(self.points) - 1)]

    def distance(self, z: ArrayLike, y: ArrayLike, x: ArrayLike) -> F32:
        """Signed distance [mm]."""
        best: F32 | None = None
        for i in range(len(self.points) - 1):
            d = cone_distance(z, y, x, self.points[i], self.points[i + 1], self.radii[i], self.radii[i + 1])
            best = d if best is None else np.minimum(best, d)
        assert best is not None
        return best


Shape = Ellipsoid | Tube


def cone_distance(z: ArrayLike, y: ArrayLike, x: ArrayLike, a: ArrayLike, b: ArrayLike, ra: float, rb: float) -> F32:
    """Signed distance to the round cone from `a` (radius `ra`) to `b` (radius `rb`), all in mm.

    >>> float(cone_distance(0.0, 3.0, 5.0, (0, 0, 0), (0, 0, 10), 1.0, 1.0))
    2.0
    """
    start, end = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
    axis = end - start
    dz, dy, dx = (np.asarray(v, dtype=np.float32) - s for v, s in zip((z, y, x), start, strict=True))
    length2 = max(float(axis @ axis), 1e-6)
    along = dz * axis[0] + dy * axis[1] + dx * axis[2]
    h = np.clip(along / np.float32(length2), 0, 1)
    square = dz * dz + dy * dy + dx * dx - h * (2 * along - h * np.float32(length2))
    return np.asarray(np.sqrt(np.maximum(square, 0)) - (np.float32(ra) + np.float32(rb - ra) * h), dtype=np.float32)


def field(grid: Grid, shapes: Sequence[Shape], reach_mm: float = 12.0) -> F32:
    """Signed distance to the union of shapes on a grid, right to `reach_mm` beyond each and `FAR_MM` elsewhere."""
    out = np.full(grid.shape, np.float32(FAR_MM))
    for shape in shapes:
        for part in shape.segments() if isinstance(shape, Tube) else [shape]:
            low, high = part.bounds
            window = grid.window(low - reach_mm, high + reach_mm)
            if any(s.stop <= s.start for s in window):
                continue
            np.minimum(out[window], part.distance(*grid.crop(window).mesh), out=out[window])
    return out


def smooth_union(a: F32, b: F32, radius_mm: float) -> F32:
    """Union of two signed distances whose crease is filled by up to `radius_mm` / 4 (Quilez's polynomial)."""
    h = np.clip(0.5 + (b - a) * np.float32(0.5 / radius_mm), 0, 1)
    return np.asarray(b + (a - b) * h - np.float32(radius_mm) * h * (1 - h), dtype=np.float32)


def wobble(rng: np.random.Generator, grid: Grid, scale_mm: float, amplitude: float) -> F32:
    """Draw a smooth random field with a correlation length of `scale_mm`, mean 0 and SD `amplitude`.

    It is drawn on a grid of half the length and interpolated, so that slow fields cost little.
    """
    axes = [np.asarray(v, dtype=np.float64) for v in (grid.z, grid.y, grid.x)]
    step = max(scale_mm / 2, float(axes[1][1] - axes[1][0]))
    coarse = [np.arange(v[0], v[-1] + step, step) for v in axes]
    noise = rng.standard_normal([len(v) for v in coarse], dtype=np.float32)
    smooth = gaussian_filter(noise, scale_mm / step, mode="wrap", truncate=2.5)
    smooth *= np.float32(amplitude / max(float(smooth.std()), 1e-6))
    wz, wy, wx = (lerp_matrix(fine, v) for fine, v in zip(axes, coarse, strict=True))
    return np.asarray(np.tensordot(wz, wy @ smooth @ wx.T, axes=(1, 0)), dtype=np.float32)


def lerp_matrix(at: ArrayLike, samples: ArrayLike) -> NDArray[np.float32]:
    """Weights (len(at), len(samples)) that interpolate linearly on a regular axis; held constant outside it.

    >>> lerp_matrix([0.25], [0.0, 1.0]).tolist()
    [[0.75, 0.25]]
    """
    where, axis = np.asarray(at, dtype=float), np.asarray(samples, dtype=float)
    weights = np.zeros((len(where), len(axis)), dtype=np.float32)
    if len(axis) == 1:
        weights[:, 0] = 1
        return weights
    position = np.clip((where - axis[0]) / (axis[1] - axis[0]), 0, len(axis) - 1)
    low = np.minimum(position.astype(int), len(axis) - 2)
    rows = np.arange(len(where))
    weights[rows, low] = 1 - (position - low)
    weights[rows, low + 1] = position - low
    return weights


def onto(values: F32, source: Grid, target: Grid) -> F32:
    """Interpolate a field onto another grid, `FAR_MM` outside its own."""
    out = np.full(target.shape, np.float32(FAR_MM))
    window = target.window((source.z[0], source.y[0], source.x[0]), (source.z[-1], source.y[-1], source.x[-1]))
    cut = target.crop(window)
    stack = np.tensordot(lerp_matrix(cut.z, source.z), values, axes=(1, 0))
    out[window] = lerp_matrix(cut.y, source.y) @ stack @ lerp_matrix(cut.x, source.x).T
    return out


def path(points: ArrayLike, step_mm: float = PATH_STEP_MM) -> NDArray[np.float64]:
    """Draw a smooth path through control points, resampled at about `step_mm`.

    Parameters
    ----------
    points : (n, 3) array-like
        Control points, at least two.
    step_mm : float
        Distance between the points returned.

    Returns
    -------
    (m, 3) array of float
        The ends are kept.
    """
    control = np.asarray(points, dtype=float)
    chord = np.concatenate([[0.0], np.cumsum(np.maximum(np.linalg.norm(np.diff(control, axis=0), axis=1), 1e-6))])
    count = max(2, int(np.ceil(chord[-1] / step_mm)) + 1)
    at = np.linspace(0, chord[-1], count)
    if len(control) == 2:
        return np.asarray(control[0] + (control[1] - control[0]) * (at / chord[-1])[:, None])
    return np.asarray(CubicSpline(chord, control, bc_type="natural")(at))


def tube(points: ArrayLike, radii: ArrayLike, step_mm: float = PATH_STEP_MM) -> Tube:
    """Smooth a path through (n, 3) control points and spread radii (k,) evenly along it."""
    line = path(points, step_mm)
    given = np.atleast_1d(np.asarray(radii, dtype=float))
    return Tube(line, np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(given)), given))
