"""Atlases from a labelled cohort: templates are chosen, and every scan is registered to each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans

from calcscore_ml.anatomy import AORTA, ARTERIES, Label, Organ
from calcscore_ml.errors import CalcscoreError, ManifestError
from calcscore_ml.heart.atlas import SHARES, Atlas
from calcscore_ml.heart.grid import F32, Grid, extent_mm, resample
from calcscore_ml.heart.registration import Affine, Registration, RegistrationSettings, register
from calcscore_ml.io import read_scan
from calcscore_ml.io.centrelines import read_centrelines
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import ManifestRow
from calcscore_ml.scan import Scan

TEMPLATES = 5
"""Atlases built from a cohort unless told otherwise."""

BELOW_MM, ABOVE_MM = (55.0, 45.0, 60.0), (100.0, 105.0, 60.0)
"""How far a template reaches beyond its heart box, (z, y, x): farther than the region registered to it."""

ARTERY_MM = 3.0
"""Standard deviation at which an artery counts as near: the error of a good registration [mm]; our choice."""

CALCIUM_MM = 5.0
"""The same for calcium, of which there is less."""

CALCIUM_VOXELS = 400
"""Voxels of an artery's calcium that are carried to the atlas, at most."""

STEM = {Label.LM: "left main", Label.LAD: "LAD", Label.LCX: "LCX", Label.RCA: "RCA"}
"""Name of the branch that is an artery's own centreline; without it, the artery's longest branch is."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """What is known of one scan of the cohort, (z, y, x) index x spacing [mm].

    Parameters
    ----------
    row : ManifestRow
        Where it comes from.
    scan : Scan
        The scan.
    organs : array of uint8
        `Organ` of every voxel.
    branches : dict of Label to list of (n, 3) arrays
        Centrelines, the artery's own first.
    calcium_mm : dict of Label to (n, 3) array
        Voxels of coronary calcium.
    """

    row: ManifestRow
    scan: Scan
    organs: NDArray[np.uint8]
    branches: dict[Label, list[NDArray[np.float64]]]
    calcium_mm: dict[Label, NDArray[np.float64]]

    @property
    def box_mm(self) -> NDArray[np.float64]:
        """Box around the heart's label, (2, 3)."""
        return organ_box(self.organs, np.asarray(self.scan.geometry.spacing))


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """One scan's anatomy in the millimetres of a template."""

    branches: dict[Label, list[NDArray[np.float64]]]
    calcium_mm: dict[Label, NDArray[np.float64]]


def build_atlases(
    rows: Sequence[ManifestRow],
    *,
    templates: int = TEMPLATES,
    settings: RegistrationSettings | None = None,
    workers: int = 1,
    seed: int = 0,
    on_scan: Callable[[], None] = lambda: None,
) -> tuple[tuple[Atlas, ...], tuple[tuple[str, str], ...]]:
    """Build atlases from a labelled cohort.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Scans with label volumes of organs and centrelines; calcium labels where there are. One scan per patient is
        used, the first.
    templates : int
        How many atlases: scans of hearts as different as the cohort has them.
    settings : RegistrationSettings or None
        How scans are registered.
    workers : int
        Scans at a time.
    seed : int
        Of the choice of templates.
    on_scan : callable
        Called after each scan.

    Returns
    -------
    atlases : tuple of Atlas
    failed : tuple of (str, str)
        Scans left out, and why.

    Raises
    ------
    ManifestError
        When rows lack organs or centrelines, or fewer scans than templates could be used.
    """
    chosen = settings or RegistrationSettings()
    rows = _one_per_patient(rows)
    for row in rows:
        if row.organs is None or row.centrelines is None:
            raise ManifestError(
                f"an atlas needs organs and centrelines of every scan, {row.scan_id} has none; add the columns organs "
                "and centrelines to the manifest, or leave the scan out"
            )
    shapes = Parallel(n_jobs=workers)(delayed(_try)(_describe, row) for row in rows)
    failed = [(r.scan_id, s) for r, s in zip(rows, shapes, strict=True) if isinstance(s, str)]
    good = [(r, s) for r, s in zip(rows, shapes, strict=True) if not isinstance(s, str)]
    if len(good) < max(1, templates):
        raise ManifestError(f"{templates} templates need at least as many usable scans, got {len(good)}: {failed[:3]}")
    picked = choose_templates(np.array([s for _, s in good]), templates, seed)
    bases = [_template(read_labelled(good[i][0]), chosen) for i in picked]
    carry = partial(_carry, bases=bases, settings=chosen)
    parts: list[list[_Carried | str]] = []
    for part in Parallel(n_jobs=workers, return_as="generator")(delayed(carry)(row) for row, _ in good):
        parts.append(part)
        on_scan()
    atlases = []
    for k, base in enumerate(bases):
        own = [p[k] for p in parts]
        failed += [(r.scan_id, o) for (r, _), o in zip(good, own, strict=True) if isinstance(o, str)]
        carried = [o for o in own if not isinstance(o, str)]
        atlases.append(_gather(base, carried, f"{k + 1}", good[picked[k]][0], chosen))
    return tuple(atlases), tuple(failed)


def read_labelled(row: ManifestRow) -> Labelled:
    """Read a scan of a cohort with its organs, centrelines and calcium."""
    assert row.organs is not None  # checked by build_atlases
    assert row.centrelines is not None
    scan = read_scan(row.image)
    spacing = np.asarray(scan.geometry.spacing)
    organs = read_labels(row.organs, scan.geometry, Organ)
    table = read_centrelines(row.centrelines)
    place = scan.geometry.to_index(table[["x_mm", "y_mm", "z_mm"]].to_numpy()) * spacing
    branches: dict[Label, list[NDArray[np.float64]]] = {}
    for label in ARTERIES:
        own = table["artery"] == label.name
        lines = {str(b): place[(own & (table["branch"] == b)).to_numpy()] for b in table["branch"][own].unique()}
        if not lines:
            raise ManifestError(f"an atlas needs every coronary artery's centreline, {row.scan_id} has no {label.name}")
        stem = STEM[label] if STEM[label] in lines else max(lines, key=lambda b: _length(lines[b]))
        branches[label] = [lines.pop(stem), *lines.values()]
    calcium = {}
    labels = None if row.labels is None else read_labels(row.labels, scan.geometry)
    for label in ARTERIES:
        voxels = np.argwhere(labels == label) if labels is not None else np.zeros((0, 3))
        calcium[label] = voxels[:: max(1, len(voxels) // CALCIUM_VOXELS)] * spacing
    return Labelled(row, scan, organs, branches, calcium)


def organ_box(
    organs: NDArray[np.uint8], spacing: NDArray[np.float64], organ: Organ = Organ.HEART
) -> NDArray[np.float64]:
    """Box around the voxels of an organ, edges of voxels included, (2, 3) index x spacing [mm].

    Raises
    ------
    ManifestError
        When there are none.
    """
    ends = []
    mask = organs == organ
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(hit) == 0:
            raise ManifestError(f"a label volume of organs must hold the {organ.title}, got none; check its numbers")
        ends.append((hit[0] - 0.5, hit[-1] + 0.5))
    return np.asarray(np.array(ends).T * spacing)


def choose_templates(shapes: NDArray[np.float64], count: int, seed: int = 0) -> list[int]:
    """Choose scans that stand for the cohort: of each of `count` clusters, the one nearest to its centre.

    Parameters
    ----------
    shapes : (n, k) array
        Numbers that describe each scan.
    count : int
        How many.
    seed : int
        Of the clustering.
    """
    spread = shapes.std(axis=0)
    scaled = (shapes - shapes.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    centres = KMeans(count, n_init=10, random_state=seed).fit(scaled).cluster_centers_
    return sorted({int(np.linalg.norm(scaled - c, axis=1).argmin()) for c in centres})


def resample_line(line: NDArray[np.float64], count: int = SHARES) -> NDArray[np.float64]:
    """Place `count` points at equal shares of the length of an (n, 3) line."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0, s[-1], count)
    return np.stack([np.interp(at, s, line[:, i]) for i in range(3)], axis=1)


def _one_per_patient(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    first: dict[str, ManifestRow] = {}
    for row in rows:
        first.setdefault(row.patient_id, row)
    return list(first.values())


def _try(what: Callable[[ManifestRow], NDArray[np.float64]], row: ManifestRow) -> NDArray[np.float64] | str:
    try:
        return what(row)
    except CalcscoreError as error:
        return str(error)


def _describe(row: ManifestRow) -> NDArray[np.float64]:
    """Describe size and place of a heart: edges of its box, and where aorta and spine lie to it."""
    one = read_labelled(row)
    spacing = np.asarray(one.scan.geometry.spacing)
    box = one.box_mm
    numbers = [*(box[1] - box[0])]
    for organ in (Organ.ASCENDING_AORTA, Organ.DESCENDING_AORTA, Organ.SPINE):
        voxels = np.argwhere(one.organs == organ)
        if len(voxels) == 0:
            raise ManifestError(f"a template's label volume must hold the {organ.title}, {row.scan_id} has none")
        numbers += list((voxels.mean(axis=0) * spacing - box.mean(axis=0))[1:])
    return np.array(numbers)


def _template(one: Labelled, settings: RegistrationSettings) -> Atlas:
    """Make the atlas of one patient, without what the others know."""
    spacing, extent = np.asarray(one.scan.geometry.spacing), extent_mm(one.scan)
    box = one.box_mm
    world = Grid.cover(np.maximum(box[0] - BELOW_MM, 0), np.minimum(box[1] + ABOVE_MM, extent), settings.step_mm)
    hu, _ = resample(one.scan, world, settings.window_hu)
    at = np.rint(world.points() / spacing).astype(int)
    at = np.clip(at, 0, np.array(one.organs.shape) - 1)
    organs = one.organs[tuple(at.T)].reshape(world.shape)
    origin = world.lower_mm
    lines = {a: resample_line(b[0] - origin) for a, b in one.branches.items()}
    empty = np.zeros(world.shape, dtype=np.float32)
    return Atlas(
        name=one.row.scan_id,
        grid=Grid(np.zeros(3), settings.step_mm, world.shape),
        hu=hu,
        organs=organs,
        artery=dict.fromkeys(ARTERIES, empty),
        calcium=empty,
        centrelines=lines,
        spread_mm={a: np.zeros(SHARES) for a in ARTERIES},
        landmarks={},
        box_mm=box - origin,
        settings=settings,
    )


def _carry(row: ManifestRow, bases: list[Atlas], settings: RegistrationSettings) -> list[_Carried | str]:
    """Register one scan to every template and carry its arteries and calcium over."""
    one = read_labelled(row)
    extent, box = extent_mm(one.scan), one.box_mm
    grid = Grid.cover(
        np.maximum(box[0] - settings.below_mm, 0), np.minimum(box[1] + settings.above_mm, extent), settings.step_mm
    )
    hu, known = resample(one.scan, grid, settings.window_hu)
    out: list[_Carried | str] = []
    for base in bases:
        found = register(
            hu, known, grid, base.hu, base.grid, Affine.between(box, base.box_mm), settings, heart_mm=base.box_mm
        )
        out.append(found.failure or _through(one, found, extent))
    return out


def _through(one: Labelled, found: Registration, extent: NDArray[np.float64]) -> _Carried:
    """Carry what lies inside the scan."""

    def inside(points: NDArray[np.float64]) -> NDArray[np.float64]:
        keep = ((points >= 0) & (points <= extent)).all(axis=1)
        return found.to_atlas(points[keep]) if keep.any() else np.zeros((0, 3))

    return _Carried(
        {a: [inside(line) for line in lines] for a, lines in one.branches.items()},
        {a: inside(points) for a, points in one.calcium_mm.items()},
    )


def _gather(base: Atlas, carried: list[_Carried], name: str, row: ManifestRow, settings: RegistrationSettings) -> Atlas:
    """Mean centrelines, their spread and the maps of probability, over all patients carried to a template."""
    lines, spread = {}, {}
    for artery in ARTERIES:
        stems = [c.branches[artery][0] for c in carried]
        whole = [resample_line(s) for s in stems if len(s) >= 2]
        mean = np.mean(whole, axis=0)
        near = np.array([cKDTree(resample_line(w, 8 * SHARES)).query(mean)[0] for w in whole])
        lines[artery], spread[artery] = mean, np.sqrt((near**2).mean(axis=0))
    maps = {a: _share_near(base.grid, [np.vstack(c.branches[a]) for c in carried], ARTERY_MM) for a in ARTERIES}
    calcium = _share_near(base.grid, [np.vstack(list(c.calcium_mm.values())) for c in carried], CALCIUM_MM)
    root = np.argwhere(np.isin(base.organs, AORTA[:1]))
    root = root[root[:, 0] == root[:, 0].min()].mean(axis=0) * base.grid.step_mm
    ends = {
        "left ostium": lines[Label.LM][0], "right ostium": lines[Label.RCA][0], "fork": lines[Label.LM][-1],
        "apex": lines[Label.LAD][-1], "crux": lines[Label.RCA][-1], "aortic root": root,
    }  # fmt: skip
    provenance = {
        "template": row.scan_id, "scans": len(carried), "source": row.source, "licence": row.licence,
        "with calcium": sum(any(len(p) for p in c.calcium_mm.values()) for c in carried),
    }  # fmt: skip
    return Atlas(
        name, base.grid, base.hu, base.organs, maps, calcium, lines, spread, ends, base.box_mm, settings, provenance
    )


def _share_near(grid: Grid, patients: list[NDArray[np.float64]], sd_mm: float) -> F32:
    """Mean over patients of exp(-d^2 / 2 sd^2), d the distance to the patient's nearest point."""
    points = grid.points()
    total = np.zeros(len(points), dtype=np.float64)
    for own in patients:
        if len(own) == 0:
            continue
        distance, _ = cKDTree(own).query(points, distance_upper_bound=4 * sd_mm)
        total += np.exp(-0.5 * (distance / sd_mm) ** 2)
    return (total / max(1, len(patients))).reshape(grid.shape).astype(np.float32)


def _length(line: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
