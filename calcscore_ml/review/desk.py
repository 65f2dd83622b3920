"""The desk an expert works at: the results of a folder, and the readings of each observer as the store has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import Label
from calcscore_ml.errors import RecipeError, ResultError, ReviewError
from calcscore_ml.recipe import CandidateSection
from calcscore_ml.result import RESULT_FILE, ScanResult, read_arteries, read_result
from calcscore_ml.review.decision import decide
from calcscore_ml.review.events import Event
from calcscore_ml.review.regions import Limits
from calcscore_ml.review.state import Reading, StoredEvent, advance, start
from calcscore_ml.review.store import Store, VersionConflict, check_name
from calcscore_ml.scores import Calcium

Mode = Literal["shared", "blinded", "consensus"]
"""Whether observers share a reading, have one each, or settle what two readings said."""

SHARED, CONSENSUS = "shared", "consensus"
"""Readings that belong to nobody alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A scan that is reviewed.

    Parameters
    ----------
    result, calcium : ScanResult, Calcium
        What was scored.
    arteries : mapping of Label to (k, 3) array
        Expected arteries, in voxels; empty when they are not known.
    limits : Limits
        What makes voxels a lesion.
    """

    result: ScanResult
    calcium: Calcium
    arteries: Mapping[Label, NDArray[np.floating]]
    limits: Limits


def open_results(folder: Path) -> tuple[dict[str, Case], dict[str, str]]:
    """Read every result of a folder, by scan id.

    Parameters
    ----------
    folder : Path
        What `calcscore score` wrote: a folder per scan.

    Returns
    -------
    cases : dict of str to Case
        Scans in the order of their ids.
    failed : dict of str to str
        Name of each folder that cannot be read, and why.

    Raises
    ------
    ResultError
        When there is no result at all.
    """
    cases: dict[str, Case] = {}
    failed: dict[str, str] = {}
    for file in sorted(folder.glob(f"*/{RESULT_FILE}")):
        try:
            case = open_case(file.parent)
        except (ResultError, RecipeError, ReviewError) as error:
            failed[file.parent.name] = str(error)
            continue
        if case.result.scan_id in cases:
            failed[file.parent.name] = "its scan has another result in this folder already; keep one of the two"
            continue
        cases[case.result.scan_id] = case
    if not cases and not failed:
        raise ResultError(
            f"a review needs a folder of results that `calcscore score` wrote, got none in {folder}; score a scan first"
        )
    return dict(sorted(cases.items())), failed


def open_case(folder: Path) -> Case:
    """Read one result folder."""
    result, calcium = read_result(folder)
    section = CandidateSection.model_validate(result.provenance.recipe.get("candidates", {}))
    limits = Limits(
        section.threshold_for(result.acquisition.kvp),
        section.connectivity,
        section.min_volume_mm3,
        section.max_volume_mm3,
    )
    start(result, calcium)  # refuses what does not fit
    return Case(result, calcium, read_arteries(folder), limits)


class Desk:
    """Readings as they stand, kept up with the store; every method may be called from any thread.

    Parameters
    ----------
    cases : mapping of str to Case
        Scans by id.
    store : Store
        Where decisions are kept.
    mode : {'shared', 'blinded', 'consensus'}
        Which reading an observer works on.
    observers : tuple of str
        Who may.

    Raises
    ------
    ReviewError
        When a name is none, comes twice, or is that of a reading that belongs to nobody.
    """

    def __init__(self, cases: Mapping[str, Case], store: Store, mode: Mode, observers: tuple[str, ...]) -> None:
        for name in observers:
            check_name("observer", name)
            if name in (SHARED, CONSENSUS):
                raise ReviewError(f"an observer must not have the name of a reading, got {name!r}; choose another")
        if len(set(observers)) != len(observers):
            raise ReviewError(f"observers must have names of their own, got {', '.join(observers)}")
        self.cases = dict(cases)
        self.store = store
        self.mode = mode
        self.observers = observers
        self._readings: dict[tuple[str, str], Reading] = {}
        self._locks = {scan_id: Lock() for scan_id in self.cases}

    def reading_of(self, observer: str) -> str:
        """Return the name of the reading an observer works on."""
        return observer if self.mode == "blinded" else SHARED if self.mode == "shared" else CONSENSUS

    def reading(self, scan_id: str, name: str) -> Reading:
        """Return what stands in a reading of a scan, all decisions in the store taken in.

        Raises
        ------
        KeyError
            When there is no such scan.
        """
        case = self.cases[scan_id]
        with self._locks[scan_id]:
            return self._fresh(scan_id, name, case)

    def readings(self, name: str) -> dict[str, Reading]:
        """Return what stands in a reading of every scan; asks the store once when nothing is new."""
        versions = self.store.versions(name)
        out = {}
        for scan_id in self.cases:
            kept = self._readings.get((scan_id, name))
            is_new = kept is None or kept.version != versions.get(scan_id, 0)
            out[scan_id] = self.reading(scan_id, name) if is_new or kept is None else kept
        return out

    def decide(self, scan_id: str, observer: str, seen: int, event: Event) -> tuple[StoredEvent, Reading]:
        """Store a decision; once this returns it outlives the process.

        Parameters
        ----------
        scan_id : str
            The scan.
        observer : str
            Who decides.
        seen : int
            Number of events of the reading the observer had seen.
        event : Event
            What is decided.

        Raises
        ------
        KeyError
            When there is no such scan.
        VersionConflict
            When somebody decided first; nothing is stored.
        ReviewError
            When the decision does not fit what stands.
        """
        case, name = self.cases[scan_id], self.reading_of(observer)
        with self._locks[scan_id]:
            now = self._fresh(scan_id, name, case)
            if now.version != seen:
                raise VersionConflict("somebody else decided first; look at what stands now", now.events[seen:])
            stored, made = decide(self.store, now, name, observer, event)
            self._readings[scan_id, name] = made
            return stored, made

    def _fresh(self, scan_id: str, name: str, case: Case) -> Reading:
        kept = self._readings.get((scan_id, name))
        if kept is None or kept.version != self.store.versions(name).get(scan_id, 0):
            kept = advance(start(case.result, case.calcium), self.store.events(scan_id, name))
            self._readings[scan_id, name] = kept
        return kept
