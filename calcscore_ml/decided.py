"""Decisions of experts as rows to learn from.

Only lesions that somebody decided become rows: what the model called the others is no truth, and a model that learns
from its own words only grows surer of its errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from calcscore_ml.batch import collect
from calcscore_ml.candidates import Candidates
from calcscore_ml.errors import ResultError
from calcscore_ml.io import read_scan
from calcscore_ml.pipeline import describe_scan
from calcscore_ml.protocol import protocol_of
from calcscore_ml.recipe import Recipe
from calcscore_ml.result import read_result
from calcscore_ml.review.lesions import ReviewLesion
from calcscore_ml.review.state import StoredEvent, replay
from calcscore_ml.review.store import STORE_FILE, open_store
from calcscore_ml.sources import Source, read_sources
from calcscore_ml.training import Described, LesionTable, assemble

DECIDED_SHARE = 0.5
"""A candidate is learnt from when at least this share of its voxels was decided; our choice."""

UNDECIDED = -1
"""Label of voxels, and of candidates, that nobody decided on."""


@dataclass(frozen=True, slots=True, eq=False)
class Reviewed:
    """One scan that was decided on.

    Parameters
    ----------
    scan_id : str
        Its name.
    folder : Path
        Its result.
    source : Source
        Where it lies.
    events : tuple of StoredEvent
        Of the reading.
    """

    scan_id: str
    folder: Path
    source: Source
    events: tuple[StoredEvent, ...]


def decided_table(
    results: Path | str,
    recipe: Recipe,
    *,
    reading: str = "shared",
    store: str | Path | None = None,
    patients: Mapping[str, str] | None = None,
    workers: int = 1,
    on_scan: Callable[[], None] = lambda: None,
) -> LesionTable:
    """Describe every lesion that an expert decided on.

    Parameters
    ----------
    results : path
        Folder of results that were reviewed.
    recipe : Recipe
        Candidates and features; those of the model that is trained, whatever scored the scans.
    reading : str
        Which reading.
    store : str or path, optional
        Where the decisions are; the file in `results` when not given.
    patients : mapping of str to str, optional
        Patient of each scan; a scan that is not named is a patient of its own.
    workers : int
        Scans at a time.
    on_scan : callable
        Called after each scan.

    Raises
    ------
    ResultError
        When there are no decisions, or none could be used.
    """
    scans = reviewed_scans(results, reading=reading, store=store)
    describe = partial(_describe, recipe=recipe)
    parts, failed = collect(describe, scans, name=lambda r: r.scan_id, workers=workers, on_item=on_scan)
    used = {name: part for name, part in parts.items() if len(part[1])}
    if not used:
        first = f": {failed[0][0]}: {failed[0][1]}" if failed else ""
        raise ResultError(f"decisions to learn from must be of candidates, got none of {len(scans)} scans{first}")
    return assemble(used, patients or {}, failed)


def reviewed_scans(
    results: Path | str, *, reading: str = "shared", store: str | Path | None = None
) -> tuple[Reviewed, ...]:
    """Return the scans of a folder of results that have a decision in a reading.

    Raises
    ------
    ResultError
        When there is none, or nobody knows where one of them lies.
    """
    where = Path(results)
    place = where / STORE_FILE if store is None else store
    if isinstance(place, Path) and not place.is_file():
        raise ResultError(f"decisions must be in a store that calcscore review made, got none in {where}; review first")
    with open_store(place) as opened:
        named = sorted(opened.versions(reading))
        events = {scan_id: opened.events(scan_id, reading) for scan_id in named}
    sources = read_sources(where)
    if not named:
        raise ResultError(f"there must be decisions in the reading {reading!r}, got none in {where}")
    lost = [scan_id for scan_id in named if scan_id not in sources]
    if lost:
        raise ResultError(f"a reviewed scan must be found again, got no path of {lost[0]} in {where}; score it again")
    return tuple(Reviewed(s, where / s, sources[s], events[s]) for s in named)


def join(table: LesionTable, decided: LesionTable) -> LesionTable:
    """Add decided lesions to a training table; those of scans that the table holds already are left out.

    Parameters
    ----------
    table : LesionTable
        Labelled scans.
    decided : LesionTable
        Of `decided_table`, with the same features.
    """
    new = decided.rows(~np.isin(decided.scan_id, table.scan_id))
    return replace(
        table,
        features=pd.concat([table.features, new.features[list(table.features.columns)]], ignore_index=True),
        truth=np.concatenate([table.truth, new.truth]),
        scan_id=np.concatenate([table.scan_id, new.scan_id]),
        patient_id=np.concatenate([table.patient_id, new.patient_id]),
        failed=(*table.failed, *decided.failed),
        protocols=(*table.protocols, *decided.protocols),
    )


def decided_labels(candidates: Candidates, lesions: Sequence[ReviewLesion]) -> NDArray[np.intp]:
    """Return what an expert called each candidate, (L,) of `Label` numbers, `UNDECIDED` where nobody did.

    Parameters
    ----------
    candidates : Candidates
        L lesions of the scan.
    lesions : sequence of ReviewLesion
        As the reading has them; parts of one candidate give it the label of most of its voxels.
    """
    volume = np.full(candidates.geometry.shape, UNDECIDED, dtype=np.int8)
    for lesion in lesions:
        if lesion.decided:
            volume[tuple(lesion.voxels[lesion.kept].T)] = int(lesion.label)
    of_voxel = volume[tuple(candidates.voxels.T)].astype(np.intp)
    kinds = 1 + int(of_voxel.max(initial=0))
    known = of_voxel != UNDECIDED
    cell = candidates.owner[known] * kinds + of_voxel[known]
    counts = np.bincount(cell, minlength=len(candidates) * kinds).reshape(len(candidates), kinds)
    enough = counts.sum(axis=1) >= DECIDED_SHARE * candidates.sizes
    return np.where(enough, counts.argmax(axis=1), UNDECIDED).astype(np.intp)


def _describe(scan: Reviewed, recipe: Recipe) -> Described:
    """Features and decided label of the decided lesions of one scan, and its protocol."""
    result, calcium = read_result(scan.folder)
    opened = read_scan(scan.source.path, series=scan.source.series)
    if opened.fingerprint() != result.provenance.scan_sha256:
        raise ResultError(f"a reviewed scan must be the one that was scored, got another for {scan.scan_id}; score it")
    described = describe_scan(opened, recipe, learning=True)
    labels = decided_labels(described.candidates, replay(result, calcium, scan.events).lesions)
    chosen = np.flatnonzero(labels != UNDECIDED)
    return described.table.iloc[chosen].reset_index(drop=True), labels[chosen], protocol_of(opened)
