"""Scans of a labelled cohort as atlases are built from them: with organs, centrelines and coronary calcium."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES, Label, Organ
from calcscore_ml.errors import ManifestError
from calcscore_ml.heart.grid import extent_mm, within
from calcscore_ml.heart.lines import arc_mm
from calcscore_ml.io import read_scan
from calcscore_ml.io.centrelines import read_centrelines
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import ManifestRow
from calcscore_ml.scan import Scan

CALCIUM_VOXELS = 400
"""Voxels of an artery's calcium that are carried to the atlas, at most."""

TOLD = 3
"""So many scans are named in an error."""

NEAR_HEART_MM = 20.0
"""At least half of an artery's own centreline lies so near the box around the heart, else it is another scan's or in
another world; our choice."""

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


def read_labelled(row: ManifestRow) -> Labelled:
    """Read a scan of a cohort with its organs, centrelines and calcium.

    Raises
    ------
    ManifestError
        When something is lacking: a file, the heart's label, an artery, or an artery on the heart.
    """
    try:
        return _read(row)
    except OSError as error:  # its own words hold the folders, and a folder may be named after a patient
        named = f": {Path(error.filename).name}" if error.filename else ""
        raise ManifestError(f"{error.strerror or error}{named}") from error


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


def lacking_error(rows: Sequence[ManifestRow]) -> ManifestError:
    """Make the error that names scans without organs or centrelines."""
    more = f" and {len(rows) - TOLD} more" if len(rows) > TOLD else ""
    return ManifestError(
        "an atlas needs organs and centrelines of every scan, got none for "
        f"{', '.join(r.scan_id for r in rows[:TOLD])}{more}; fill in the manifest's columns organs and centrelines, or "
        "leave these scans out"
    )


def _read(row: ManifestRow) -> Labelled:
    if row.organs is None or row.centrelines is None:
        raise lacking_error([row])
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
        stem = STEM[label] if STEM[label] in lines else max(lines, key=lambda b: arc_mm(lines[b])[-1])
        branches[label] = [lines.pop(stem), *lines.values()]
    _need_arteries_on_heart(branches, organ_box(organs, spacing), extent_mm(scan), row)
    calcium = {}
    labels = None if row.labels is None else read_labels(row.labels, scan.geometry)
    for label in ARTERIES:
        voxels = np.argwhere(labels == label) if labels is not None else np.zeros((0, 3))
        calcium[label] = voxels[:: max(1, len(voxels) // CALCIUM_VOXELS)] * spacing
    return Labelled(row, scan, organs, branches, calcium)


def _need_arteries_on_heart(
    branches: dict[Label, list[NDArray[np.float64]]],
    box: NDArray[np.float64],
    extent: NDArray[np.float64],
    row: ManifestRow,
) -> None:
    """Refuse centrelines of another scan, or in another world: mirrored, or in voxels."""
    for artery, (stem, *_) in branches.items():
        inside = stem[within(stem, 0.0, extent)]
        near = within(inside, box[0] - NEAR_HEART_MM, box[1] + NEAR_HEART_MM)
        if len(inside) < 2 or near.mean() < 0.5:
            raise ManifestError(
                f"coronary arteries run on the labelled heart, got a {artery.title} elsewhere in {row.scan_id}; give "
                "points in the world, millimetres, LPS: x to the left, y to the back, z to the head"
            )
