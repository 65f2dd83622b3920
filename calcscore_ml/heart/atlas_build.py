"""Atlases from a labelled cohort: templates are chosen, and every scan is registered to each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans

from calcscore_ml.anatomy import AORTA, ARTERIES, Label, Organ
from calcscore_ml.batch import collect
from calcscore_ml.errors import ManifestError
from calcscore_ml.heart.atlas import SHARES, Atlas
from calcscore_ml.heart.grid import F32, Copy, Grid, extent_mm, resample, within
from calcscore_ml.heart.group import make_group, mean_template, spread
from calcscore_ml.heart.labelled import TOLD, Labelled, lacking_error, read_labelled
from calcscore_ml.heart.lines import resample_line
from calcscore_ml.heart.registration import Affine, Registration, RegistrationSettings, region, register
from calcscore_ml.manifest import ManifestRow

TEMPLATES = 5
"""Atlases built from a cohort unless told otherwise."""

BELOW_MM, ABOVE_MM = (55.0, 45.0, 60.0), (100.0, 105.0, 60.0)
"""How far a template reaches beyond its heart box, (z, y, x): farther than the region registered to it."""

ARTERY_MM = 3.0
"""Standard deviation at which an artery counts as near: the error of a good registration [mm]; our choice."""

CALCIUM_MM = 5.0
"""The same for calcium, of which there is less."""

NOT_SAID = "not said"
"""Source or licence of scans whose manifest does not give it, beside others that do."""


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """One scan and its anatomy in the millimetres of a template; HU, as sums and counts, for the typical one only."""

    hu: tuple[F32, F32] | None
    branches: dict[Label, list[NDArray[np.float64]]]
    calcium_mm: dict[Label, NDArray[np.float64]]
    calcium_known: bool


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
        used, the first by scan_id; the order of rows does not matter.
    templates : int
        How many atlases: scans of hearts as different as the cohort has them.
    settings : RegistrationSettings or None
        How scans are registered.
    workers : int
        Scans at a time.
    seed : int
        Of the choice of templates.
    on_scan : callable
        Called once for each patient.

    Returns
    -------
    atlases : tuple of Atlas
        Named by their number, from 1.
    failed : tuple of (str, str)
        Scans left out of all atlases or of some, each once, and why.

    Raises
    ------
    ManifestError
        When rows lack organs or centrelines, fewer scans than templates could be used, or no atlas could be made.
    """
    chosen = settings or RegistrationSettings()
    rows = _one_per_patient(rows)
    lacking = [row for row in rows if row.organs is None or row.centrelines is None]
    if lacking:
        raise lacking_error(lacking)
    if templates < 1:
        raise ManifestError(f"an atlas has a template, got {templates} templates; ask for one or more")
    failed: defaultdict[str, list[str]] = defaultdict(list)
    row_of = {row.scan_id: row for row in rows}
    shapes, unusable = collect(_describe, rows, name=_scan_id, workers=workers)
    for name, reason in unusable:
        failed[name].append(reason)
        on_scan()
    if len(shapes) < templates:
        told = "".join(f"; {name}: {reason}" for name, reason in unusable[:TOLD])
        raise ManifestError(
            f"every template is the scan of another patient, got {len(shapes)} usable patients for {templates} "
            f"templates; ask for fewer, or mend the scans{told}"
        )
    good = [row_of[name] for name in shapes]
    picked = [good[i] for i in choose_templates(np.array(list(shapes.values())), templates, seed)]
    bases, no_template = collect(partial(_template, settings=chosen), picked, name=_scan_id)
    for name, reason in no_template:
        failed[name].append(f"no template: {reason}")
    typical = min(bases, key=lambda name: _oddity(shapes, name), default="")
    carry = partial(_carry, bases=bases, typical=typical, settings=chosen)
    carried, lost = collect(carry, good, name=_scan_id, workers=workers, on_item=on_scan)
    for name, reason in lost:
        failed[name].append(reason)
    atlases: list[Atlas] = []
    mean: tuple[Atlas, F32] | None = None
    for k, (own, base) in enumerate(bases.items()):
        name = f"{len(atlases) + 1}"
        parts = {scan: part for scan, ways in carried.items() if not isinstance(part := ways[k], str)}
        if not parts:
            failed[own].append("no template: no scan could be registered to it")
            continue
        for scan, ways in carried.items():
            if isinstance(part := ways[k], str):
                failed[scan].append(f"left out of atlas {name}: {part}")
        atlases.append(_gather(base, list(parts.values()), name, [row_of[scan] for scan in parts]))
        if own == typical:
            total, count = np.sum([p.hu for p in parts.values() if p.hu is not None], axis=0)
            mean = base, mean_template(total, count, base.hu)
    if not atlases:
        told = "; ".join(f"{name}: {reasons[0]}" for name, reasons in list(failed.items())[:TOLD])
        raise ManifestError(f"an atlas needs a template and scans registered to it, got none; mend the scans: {told}")
    if mean is not None:
        group = make_group(*mean, {atlas.name: atlas for atlas in atlases})
        atlases = [replace(atlas, group=group) for atlas in atlases]
    return tuple(atlases), tuple((name, "; ".join(reasons)) for name, reasons in failed.items())


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
    if len(np.unique(scaled, axis=0)) <= count:  # fewer kinds than clusters: k-means would warn
        centres = np.unique(scaled, axis=0)
    else:
        centres = KMeans(count, n_init=10, random_state=seed).fit(scaled).cluster_centers_
    picked = {int(np.linalg.norm(scaled - c, axis=1).argmin()) for c in centres}
    # Two centres may share a nearest scan; then the scan farthest from those chosen stands in.
    while len(picked) < min(count, len(scaled)):
        chosen = sorted(picked)
        distance = np.linalg.norm(scaled[:, None] - scaled[chosen], axis=2).min(axis=1)
        distance[chosen] = -1
        picked.add(int(distance.argmax()))
    return sorted(picked)


def _oddity(shapes: Mapping[str, NDArray[np.float64]], name: str) -> float:
    """How far a scan's shape lies from the mean of all, in standard deviations."""
    every = np.array(list(shapes.values()))
    return float(np.linalg.norm((shapes[name] - every.mean(axis=0)) / np.maximum(every.std(axis=0), 1e-9)))


def _one_per_patient(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    first: dict[str, ManifestRow] = {}
    for row in sorted(rows, key=lambda r: r.scan_id):
        first.setdefault(row.patient_id, row)
    return list(first.values())


def _scan_id(row: ManifestRow) -> str:
    return row.scan_id


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


def _template(row: ManifestRow, settings: RegistrationSettings) -> Atlas:
    """Make the atlas of one patient, without what the others know."""
    one = read_labelled(row)
    spacing, extent = np.asarray(one.scan.geometry.spacing), extent_mm(one.scan)
    box = one.box_mm
    world = Grid.cover(np.maximum(box[0] - BELOW_MM, 0), np.minimum(box[1] + ABOVE_MM, extent), settings.step_mm)
    hu, _ = resample(one.scan, world, settings.window_hu)
    organs = world.nearest(one.organs, spacing)
    for organ in (Organ.HEART, Organ.ASCENDING_AORTA):
        if not (organs == organ).any():
            raise ManifestError(f"a template's label volume must hold the {organ.title} near the heart, got too little")
    origin = world.lower_mm
    lines = {a: resample_line(b[0] - origin, SHARES) for a, b in one.branches.items()}
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


def _carry(
    row: ManifestRow, bases: Mapping[str, Atlas], typical: str, settings: RegistrationSettings
) -> list[_Carried | str]:
    """Register one scan to every template and carry its arteries and calcium over, or say why not."""
    one = read_labelled(row)
    extent, box = extent_mm(one.scan), one.box_mm
    copy = Copy.of(one.scan, region(one.scan, box, settings), settings.window_hu)
    found = {name: register(copy, base, Affine.between(box, base.box_mm)) for name, base in bases.items()}
    return [
        each.failure or _through(one, each, extent, spread(copy, each, bases[name].grid) if name == typical else None)
        for name, each in found.items()
    ]


def _through(one: Labelled, found: Registration, extent: NDArray[np.float64], hu: tuple[F32, F32] | None) -> _Carried:
    """Carry what lies inside the scan."""

    def inside(points: NDArray[np.float64]) -> NDArray[np.float64]:
        keep = within(points, 0.0, extent)
        return found.to_atlas(points[keep]) if keep.any() else np.zeros((0, 3))

    return _Carried(
        hu,
        {a: [inside(line) for line in lines] for a, lines in one.branches.items()},
        {a: inside(points) for a, points in one.calcium_mm.items()},
        one.row.labels is not None,
    )


def _gather(base: Atlas, carried: list[_Carried], name: str, used: Sequence[ManifestRow]) -> Atlas:
    """Mean centrelines, their spread and the maps of probability, over all patients carried to a template.

    Calcium is that of patients with labels: what nobody labelled is not known to be absent.
    """
    lines, apart = {}, {}
    for artery in ARTERIES:
        stems = [c.branches[artery][0] for c in carried]
        whole = [resample_line(s, SHARES) for s in stems if len(s) >= 2]
        mean = np.mean(whole, axis=0)
        near = np.array([cKDTree(resample_line(w, 8 * SHARES)).query(mean)[0] for w in whole])
        lines[artery], apart[artery] = mean, np.sqrt((near**2).mean(axis=0))
    maps = {a: _share_near(base.grid, [np.vstack(c.branches[a]) for c in carried], ARTERY_MM) for a in ARTERIES}
    known = [np.vstack(list(c.calcium_mm.values())) for c in carried if c.calcium_known]
    calcium = _share_near(base.grid, known, CALCIUM_MM)
    root = np.argwhere(np.isin(base.organs, AORTA[:1]))
    root = root[root[:, 0] == root[:, 0].min()].mean(axis=0) * base.grid.step_mm
    ends = {
        "left ostium": lines[Label.LM][0], "right ostium": lines[Label.RCA][0], "fork": lines[Label.LM][-1],
        "apex": lines[Label.LAD][-1], "crux": lines[Label.RCA][-1], "aortic root": root,
    }  # fmt: skip
    provenance = {
        "template": base.name, "scans": len(carried),
        "source": _all(r.source for r in used), "licence": _all(r.licence for r in used),
        "with calcium": sum(any(len(p) for p in c.calcium_mm.values()) for c in carried),
    }  # fmt: skip
    return replace(
        base,
        name=name,
        artery=maps,
        calcium=calcium,
        centrelines=lines,
        spread_mm=apart,
        landmarks=ends,
        provenance=provenance,
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


def _all(values: Iterable[str]) -> str:
    """All different values; empty when there is none, and told when only some are known."""
    found = sorted({value or NOT_SAID for value in values})
    return "" if found == [NOT_SAID] else "; ".join(found)
