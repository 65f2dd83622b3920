"""Where heart, aorta and coronary arteries lie in a scan: start boxes, registration to atlases, fusion, checks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import AORTA, Label, Organ
from calcscore_ml.heart.aorta import refine_aorta
from calcscore_ml.heart.arch import move_arch
from calcscore_ml.heart.atlas import Atlas
from calcscore_ml.heart.diaphragm import floor_mm, trim_heart
from calcscore_ml.heart.fusion import FUSED, Run, carry_back, fuse
from calcscore_ml.heart.grid import F32, Copy, Grid, extent_mm
from calcscore_ml.heart.group import compose
from calcscore_ml.heart.liver import take_off_liver
from calcscore_ml.heart.registration import (
    Affine,
    Registration,
    Target,
    fit_affine,
    region,
    register,
    similarity_of,
)
from calcscore_ml.heart.roi import Chest, HeartBox, find_heart_box
from calcscore_ml.heart.slicewise import find_heart_box_by_slices
from calcscore_ml.scan import Scan

MOST_SPREAD_MM = 10.0
"""RMS distance between the arteries of several atlases beyond which none is believed; our choice."""

FAR_MM = 45.0
"""The heart found by atlases lies no farther from a trusted box of classified slices than this; our choice."""

FACE_VOXELS = 12
"""So many voxels of a plane of the copy, 2 cm2, make a plane part of the heart; our choice."""

LEAST_INSIDE = 0.35
"""Share of the heart box that has to lie in the scan; our choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Location:
    """Where things lie in one scan, (z, y, x) index x spacing [mm].

    Parameters
    ----------
    box : HeartBox or None
        Around the heart: of the atlases when they are trusted, else of lungs or slices.
    starts : dict of str to HeartBox or None
        Boxes found without atlases, "lungs" and "slices".
    trusted : bool
        Whether the atlases can be believed.
    remark : str
        Why not.
    similarity : float
        Mean correlation of scan and atlases in the heart.
    spread_mm : float
        RMS distance of the atlases' arteries from their mean: what registration leaves open.
    grid : Grid or None
        Of `organs`.
    organs : dict of Organ to array of float32
        Share of the atlases' votes, 0 to 1, for each of `FUSED`.
    registered : tuple of (Atlas, Registration)
        Atlases that did not fail.
    arteries : dict of Label to (A, SHARES, 3) array
        Centreline of each coronary artery by each atlas.
    landmarks : dict of str to (A, 3) array
        `LANDMARKS` by each atlas.
    """

    box: HeartBox | None
    starts: Mapping[str, HeartBox | None]
    trusted: bool = False
    remark: str = "no atlas was used"
    similarity: float = 0.0
    spread_mm: float = float("nan")
    grid: Grid | None = None
    organs: Mapping[Organ, F32] = field(default_factory=dict)
    registered: tuple[tuple[Atlas, Registration], ...] = ()
    arteries: Mapping[Label, NDArray[np.float64]] = field(default_factory=dict)
    landmarks: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def aorta(self) -> F32:
        """Share of the votes for the aorta, all its parts together, on `grid`."""
        return np.asarray(np.sum([self.organs[o] for o in AORTA], axis=0), dtype=np.float32)

    def height_share(self, scan: Scan) -> float:
        """Return the share of the heart's height that lies in the scan, as the atlases have it; NaN without atlases."""
        if not self.registered:
            return float("nan")
        return float(_share_inside(self, scan)[0])

    def labels(self) -> NDArray[np.uint8]:
        """Return the `Organ` of every voxel of `grid`: the one with the most votes, none when none has the majority."""
        assert self.grid is not None
        votes = np.stack([self.organs[o] for o in FUSED])
        rest = 1 - votes.sum(axis=0)
        best = votes.argmax(axis=0)
        return np.where(votes.max(axis=0) > rest, np.array(FUSED, dtype=np.uint8)[best], 0).astype(np.uint8)


def expected_paths(location: Location, spacing: tuple[float, float, float]) -> dict[Label, NDArray[np.float64]]:
    """Return where each artery is expected, (SHARES, 3) in voxels: the mean of trusted atlases, else none.

    Parameters
    ----------
    location : Location
        Of a scan.
    spacing : tuple of float
        The scan's (z, y, x) [mm].
    """
    if not location.trusted:
        return {}
    return {label: lines.mean(axis=0) / np.asarray(spacing) for label, lines in location.arteries.items()}


def locate(scan: Scan, atlases: Sequence[Atlas], *, threads: int | None = None) -> Location:
    """Find heart, aorta and coronary arteries.

    Parameters
    ----------
    scan : Scan
        A chest or cardiac CT, with or without contrast agent.
    atlases : sequence of Atlas
        All of one registration; none is fine, only boxes are found then.
    threads : int or None
        Atlases registered at a time; as many as there are processors when not given. The result does not depend on it.

    Returns
    -------
    Location
        Not trusted, with a remark, when something failed.
    """
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        chest = Chest.of(scan)
        starts = {"lungs": find_heart_box(scan, chest), "slices": find_heart_box_by_slices(scan, chest=chest)}
        fallback = _fallback(starts)
        boxes = [b.as_array() for b in starts.values() if b is not None]
        if not atlases or not boxes:
            remark = "no atlas was used" if boxes else "no heart between lungs was found"
            return Location(fallback, starts, remark=remark)
        settings = atlases[0].settings
        box = best_start(scan, boxes, atlases[0].group or atlases[0], pool.map)
        copy = Copy.of(scan, region(scan, box, settings), settings.window_hu)
        found = _register_all(copy, box, atlases, pool.map)
        good = [(a, r) for a, r in zip(atlases, found, strict=True) if not r.failure]
        if 2 * len(good) < len(atlases):
            reason = next(r.failure for r in found if r.failure)
            similarity = float(np.mean([r.similarity for r in found]))
            return Location(fallback, starts, False, f"registration to the atlas failed: {reason}", similarity)
        arteries, marks = carry_back(good, pool.map)
        fused = fuse(copy, good, pool.map)
    organs = refine_aorta(copy.hu, copy.grid, move_arch(copy.hu, copy.grid, fused))
    above_liver = take_off_liver(organs[Organ.HEART], copy)
    organs[Organ.HEART] = trim_heart(above_liver, copy.grid, floor_mm(scan, starts))
    location = Location(
        box=fallback,
        starts=starts,
        similarity=float(np.mean([r.similarity for _, r in good])),
        spread_mm=_spread(arteries),
        grid=copy.grid,
        organs=organs,
        registered=tuple(good),
        arteries=arteries,
        landmarks=marks,
    )
    own = box_of(organs[Organ.HEART], copy.grid, scan)
    remark = _doubt(location, own, scan)
    return replace(location, box=fallback if remark or own is None else own, trusted=not remark, remark=remark)


def _register_all(copy: Copy, box: NDArray[np.float64], atlases: Sequence[Atlas], run: Run) -> list[Registration]:
    """Register a copy to every atlas: through the group where they have one, else to each on its own."""
    group = atlases[0].group
    if group is None:
        return list(run(lambda atlas: register(copy, atlas, Affine.between(box, atlas.box_mm)), atlases))
    first = register(copy, group, Affine.between(box, group.box_mm))
    if first.failure:
        return [first] * len(atlases)
    return list(run(lambda atlas: compose(first, group.paths[atlas.name], copy, atlas), atlases))


def best_start(scan: Scan, boxes: Sequence[NDArray[np.float64]], atlas: Target, run: Run = map) -> NDArray[np.float64]:
    """Heart box of the atlas after an affine registration from each box: the one that correlates best, (2, 3).

    Parameters
    ----------
    scan : Scan
        The scan.
    boxes : sequence of (2, 3) arrays
        Around the heart, (z, y, x) [mm].
    atlas : Target
        The group, or any atlas of those used.
    run : callable
        As `map`; that of a pool tries several boxes at a time.
    """
    settings = replace(atlas.settings, affine_shrink=atlas.settings.affine_shrink[:1])

    def tried(box: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        copy = Copy.of(scan, region(scan, box, settings), settings.window_hu)
        start = Affine.between(box, atlas.box_mm)
        try:
            affine = fit_affine(copy, atlas, start, settings)
        except RuntimeError:  # nothing to compare: the box stays as it is
            affine = start
        plain = Registration(affine, copy.grid, np.zeros((3, *copy.grid.shape), dtype=np.float32), 0.0)
        return similarity_of(plain, copy, atlas), _back(affine, atlas.box_mm)

    return np.asarray(max(run(tried, boxes), key=lambda t: t[0])[1])


def box_of(share: F32, grid: Grid, scan: Scan) -> HeartBox | None:
    """Box around where a share is at least a half, its faces between voxels; None when that is nowhere.

    Where it reaches the end of the scan, the box ends with the scan's last voxel.
    """
    spacing, extent = np.asarray(scan.geometry.spacing), extent_mm(scan)
    faces = np.zeros((2, 3))
    for axis in range(3):
        flat = np.moveaxis(share, axis, 0).reshape(share.shape[axis], -1)
        profile = np.partition(flat, -FACE_VOXELS, axis=1)[:, -FACE_VOXELS]
        hit = np.flatnonzero(profile >= 0.5)
        if len(hit) == 0:
            return None
        first, last = int(hit[0]), int(hit[-1])
        before = profile[first - 1] if first else None
        after = profile[last + 1] if last + 1 < len(profile) else None
        ends = (first - _past(profile[first], before), last + _past(profile[last], after))
        faces[:, axis] = grid.lower_mm[axis] + grid.step_mm * np.array(ends)
        if first == 0 and grid.lower_mm[axis] <= 0:
            faces[0, axis] = -spacing[axis] / 2
        if last == len(profile) - 1 and grid.upper_mm[axis] >= extent[axis] - grid.step_mm / 2:
            faces[1, axis] = extent[axis] + spacing[axis] / 2
    (z0, y0, x0), (z1, y1, x1) = faces.tolist()
    return HeartBox((z0, y0, x0), (z1, y1, x1))


def _past(inside: float, outside: float | None) -> float:
    """How far past the last voxel inside the half lies, in voxels."""
    return 0.5 if outside is None else float((inside - 0.5) / max(inside - outside, 1e-6))


def _fallback(starts: Mapping[str, HeartBox | None]) -> HeartBox | None:
    """The box that is trusted, that of slices first; else any."""
    ranked = [b for b in (starts["slices"], starts["lungs"]) if b is not None]
    return next((b for b in ranked if b.trusted), ranked[0] if ranked else None)


def _back(affine: Affine, box_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the middles of a box's faces to the scan: a (2, 3) box again, not grown by a rotation."""
    middle = box_mm.mean(axis=0)
    out = np.zeros((2, 3))
    for end in range(2):
        for axis in range(3):
            face = middle.copy()
            face[axis] = box_mm[end, axis]
            out[end, axis] = affine.inverse(face[None])[0, axis]
    return np.sort(out, axis=0)


def _spread(arteries: Mapping[Label, NDArray[np.float64]]) -> float:
    lines = np.concatenate(list(arteries.values()), axis=1)
    return float(np.sqrt(((lines - lines.mean(axis=0)) ** 2).sum(axis=2).mean()))


def _share_inside(location: Location, scan: Scan) -> NDArray[np.float64]:
    """Share of the atlases' heart box that lies in the scan along (z, y, x), (3,)."""
    whole = np.mean([r.affine.inverse(a.box_mm) for a, r in location.registered], axis=0)
    inside = np.minimum(whole[1], extent_mm(scan)) - np.maximum(whole[0], 0)
    return np.asarray(np.clip(inside / (whole[1] - whole[0]), 0, 1))


def _doubt(location: Location, own: HeartBox | None, scan: Scan) -> str:
    """What speaks against the atlases; empty when nothing does."""
    if own is None:
        return "the atlases do not agree where the heart is"
    if location.spread_mm > MOST_SPREAD_MM:
        return f"the atlases' arteries lie {location.spread_mm:.0f} mm apart"
    share = float(np.prod(_share_inside(location, scan)))
    if share < LEAST_INSIDE:
        return f"only {share:.0%} of the heart lies in the scan"
    middle = own.as_array().mean(axis=0)
    # The box of the lungs is too often wrong in small fields of view to speak against anything.
    box = location.starts.get("slices")
    if box is not None and box.trusted:
        away = float(np.linalg.norm(box.as_array().mean(axis=0) - middle))
        if away > FAR_MM:
            return f"the heart by its slices lies {away:.0f} mm from that of the atlases"
    return ""
