"""What is measured about the place of points of a scan, for features to be made of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from calcscore_features import Place
from calcscore_ml.anatomy import ARTERIES, Organ
from calcscore_ml.heart.atlas import SHARES
from calcscore_ml.heart.body import body_mask
from calcscore_ml.heart.grid import F32, Grid, extent_mm, resample
from calcscore_ml.heart.lines import refine_line
from calcscore_ml.heart.locate import Location
from calcscore_ml.heart.roi import LUNG_BELOW_HU, lung_mask
from calcscore_ml.heart.surfaces import Surface
from calcscore_ml.scan import OUTSIDE_HU, Scan

STEP_MM = 4.0
"""Voxel size of the coarse copy in which lungs, body and tissues are seen [mm]."""

NEAR_MM = 10.0
"""Tissues are counted this far around a point [mm]."""

TISSUE_HU = {"fat": (-150.0, -30.0), "lung": (-2000.0, -500.0), "bone": (200.0, 5000.0)}
"""HU of the tissues counted, lower end included; as in the features of the neighbourhood, whose bone is denser than
calcium."""

SEEN = 0.99
"""A place is seen when this share of it lies in the scan: next to its end, HU are those of padding too."""


def measure_place(scan: Scan, location: Location, points_mm: ArrayLike) -> Place:
    """Measure the place of points: distances to organs and arteries, tissues around, and what atlases know.

    Parameters
    ----------
    scan : Scan
        The scan.
    location : Location
        Of this scan. Atlases that are not trusted are not used.
    points_mm : (L, 3) array-like
        (z, y, x) index x spacing [mm], usually centroids of lesions.

    Returns
    -------
    Place
        Over L points, and as many atlases as could be trusted.
    """
    return measure_places(scan, location, points_mm, np.zeros((1, 3)))[0]


def measure_places(
    scan: Scan, location: Location, points_mm: ArrayLike, displacements_mm: ArrayLike
) -> tuple[Place, ...]:
    """Measure the place of points as `measure_place` does, for a location that may be wrong.

    What the scan itself shows, lung, body and tissues, stays where it is; what was found by atlases is displaced.

    Parameters
    ----------
    scan, location, points_mm
        As `measure_place` takes them.
    displacements_mm : (D, 3) array-like
        How far everything located is moved, (z, y, x) [mm].

    Returns
    -------
    tuple of Place
        One for each displacement.
    """
    points = np.asarray(points_mm, dtype=np.float64).reshape(-1, 3)
    moves = np.asarray(displacements_mm, dtype=np.float64).reshape(-1, 3)
    seen = _see(scan, points)
    if not location.trusted:
        return (seen,) * len(moves)
    count = len(points)
    everywhere = _located(location, (points - moves[:, None]).reshape(-1, 3))
    return tuple(_merged(seen, everywhere, slice(k * count, (k + 1) * count)) for k in range(len(moves)))


def _see(scan: Scan, points: NDArray[np.float64]) -> Place:
    """Measure what the scan shows without any atlas."""
    grid = Grid.cover(np.zeros(3), extent_mm(scan), STEP_MM)
    hu, known = resample(scan, grid, (float(OUTSIDE_HU), 3071.0))
    step = np.full(3, STEP_MM)
    lung = lung_mask(np.where(known, hu, np.float32(OUTSIDE_HU)), step)
    airy = np.clip(hu / np.float32(2 * LUNG_BELOW_HU), 0, 1) * ndimage.binary_dilation(lung)
    surfaces = {
        "lung": Surface.of(airy.astype(np.float32), grid, known),
        "body": Surface.of(body_mask(_continued(hu, known), step).astype(np.float32), grid, known),
    }
    return Place(
        surface_mm={name: s.distance(points) for name, s in surfaces.items()},
        tissue=_tissues(hu, known, grid, points),
    )


def _located(location: Location, points: NDArray[np.float64]) -> Place:
    """Measure what trusted atlases say."""
    assert location.grid is not None
    votes = {"heart": Organ.HEART, "spine": Organ.SPINE, "sternum": Organ.STERNUM}
    masks = {"aorta": location.aorta, **{name: location.organs[organ] for name, organ in votes.items()}}
    near, along, spread = _arteries(location, points)
    at = [(atlas, registration.to_atlas(points)) for atlas, registration in location.registered]
    return Place(
        surface_mm={name: Surface.of(mask, location.grid).distance(points) for name, mask in masks.items()},
        atlas_mm=np.stack([p - atlas.landmarks["aortic root"] for atlas, p in at]),
        landmark_mm={name.replace(" ", "_"): points - m.mean(axis=0) for name, m in location.landmarks.items()},
        artery_mm=near,
        artery_along=along,
        artery_spread_mm=spread,
        artery_probability=np.stack(
            [np.stack([a.grid.sample(a.artery[n], p, 0.0) for n in ARTERIES], axis=1) for a, p in at]
        ).astype(np.float64),
        calcium_probability=np.stack([a.grid.sample(a.calcium, p, 0.0) for a, p in at]).astype(np.float64),
    )


def _merged(seen: Place, located: Place, own: slice) -> Place:
    """Join what is seen with some points of what is located."""
    return Place(
        surface_mm={**seen.surface_mm, **{name: v[own] for name, v in located.surface_mm.items()}},
        tissue=seen.tissue,
        atlas_mm=located.atlas_mm[:, own],
        landmark_mm={name: v[own] for name, v in located.landmark_mm.items()},
        artery_mm=located.artery_mm[:, own],
        artery_along=located.artery_along[:, own],
        artery_spread_mm=located.artery_spread_mm[:, own],
        artery_probability=located.artery_probability[:, own],
        calcium_probability=located.calcium_probability[:, own],
    )


def _arteries(
    location: Location, points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Distance to each centreline by each atlas, the share of its length there, and its spread: three (A, L, 4)."""
    near, along, spread = np.zeros((3, len(location.registered), len(points), len(ARTERIES)))
    own = np.linspace(0, 1, SHARES)
    for k, label in enumerate(ARTERIES):
        for a, (atlas, _) in enumerate(location.registered):
            line, shares = refine_line(location.arteries[label][a])
            near[a, :, k], index = cKDTree(line).query(points)
            along[a, :, k] = shares[index]
            spread[a, :, k] = np.interp(shares[index], own, atlas.spread_mm[label])
    return near, along, spread


def _continued(hu: F32, known: NDArray[np.bool_]) -> F32:
    """Give places beyond the scan the HU of the nearest place in it: a body does not end where a scan does."""
    if known.all() or not known.any():
        return hu
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(hu[tuple(nearest)])


def _tissues(
    hu: F32, known: NDArray[np.bool_], grid: Grid, points: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Shares of tissues in a ball around each point, of what the scan shows of it."""
    reach = int(NEAR_MM // grid.step_mm)
    ball = np.argwhere(np.ones((2 * reach + 1,) * 3)) - reach
    ball = ball[np.linalg.norm(ball * grid.step_mm, axis=1) <= NEAR_MM] * grid.step_mm
    at = (points[:, None] + ball).reshape(-1, 3)
    shape = (len(points), len(ball))
    around = grid.sample(hu, at).reshape(shape)
    seen = (grid.sample(known.astype(np.float32), at, 0.0) > SEEN).reshape(shape)
    count = seen.sum(axis=1)
    shares = {}
    for name, (low, high) in TISSUE_HU.items():
        inside = (around >= low) & (around < high) & seen
        shares[name] = np.where(count > 0, inside.sum(axis=1) / np.maximum(count, 1), np.nan)
    return shares
