"""Scans of a review, by their id: found, checked against their results, and prepared for fast views.

A prepared copy is a memory-mapped array in a folder that may be removed at any time. It is named by the fingerprint the
result has of its scan, and its fingerprint is computed again before it is shown. Nothing a page sends opens a file.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from threading import Event, Lock, Thread
from time import monotonic, time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.errors import CalcscoreError, ResultError, ReviewError
from calcscore_ml.files import write_beside
from calcscore_ml.geometry import Geometry
from calcscore_ml.io import read_scan
from calcscore_ml.scan import Scan
from calcscore_ml.sources import Source

CACHE_FOLDER = ".review-cache"
"""Folder of prepared copies, in the folder of results."""

OPEN_MOST = 32
"""Prepared copies that are mapped at a time."""

UNSAVED_MOST = 2
"""Scans held in memory because the disk does not take their copies."""

AGAIN_S = 5.0
"""A scan that could not be read is tried again after this time, as its disk may be back [s]."""

LEFT_S = 3600.0
"""A copy that is half-written for so long is written by nobody any more [s]."""

SPARE = 3
"""A copy is written where the disk has this many times its size left."""

Volume = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A scan as its result knows it.

    Parameters
    ----------
    geometry : Geometry
        Its grid.
    sha256 : str
        Its fingerprint.
    source : Source or None
        Where it lies, when that is known.
    """

    geometry: Geometry
    sha256: str
    source: Source | None


class Volumes:
    """Scans by id; every method may be called from any thread.

    Parameters
    ----------
    wanted : mapping of str to Wanted
        The scans there are, in the order in which copies are prepared.
    folder : Path
        Where prepared copies go.
    """

    def __init__(self, wanted: Mapping[str, Wanted], folder: Path) -> None:
        self.wanted = dict(wanted)
        self.folder = folder
        self._lock = Lock()
        self._open: OrderedDict[str, Volume] = OrderedDict()
        self._unsaved: OrderedDict[str, Volume] = OrderedDict()
        self._running: dict[str, Future[Volume]] = {}
        self._failed: dict[str, tuple[float, ReviewError]] = {}
        self._prepared: set[str] = set()
        self._readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read")
        self._stop = Event()
        self._preparing: Thread | None = None

    def request(self, scan_id: str) -> Future[Volume]:
        """Ask for the voxels of a scan; the answer is read-only.

        The answer's exception is a `ReviewError`, without a path, when the scan cannot be found or read or is not the
        one that was scored.

        Raises
        ------
        KeyError
            When there is no such scan.
        """
        wanted = self.wanted[scan_id]
        with self._lock:
            for kept in (self._open, self._unsaved):
                if scan_id in kept:
                    kept.move_to_end(scan_id)
                    return _done(kept[scan_id])
            running = self._running.get(scan_id)
            if running is not None:
                return running
            failed = self._failed.get(scan_id)
            if failed is not None and monotonic() - failed[0] < AGAIN_S:
                return _failed(failed[1])
            asked = _asked()
            self._running[scan_id] = asked
        self._readers.submit(self._answer, scan_id, wanted, asked)
        return asked

    def state(self, scan_id: str) -> tuple[Literal["ready", "prepared", "waiting", "reading", "failed"], str]:
        """Say whether a scan is at hand, and why not if it failed."""
        with self._lock:
            if scan_id in self._open or scan_id in self._unsaved:
                return "ready", ""
            if scan_id in self._running:
                return "reading", ""
            if scan_id in self._failed:
                return "failed", str(self._failed[scan_id][1])
            return ("prepared" if scan_id in self._prepared else "waiting"), ""

    def prepare(self, order: Iterable[str]) -> None:
        """Prepare copies in the background, one scan after the other; what a crash left half-written is removed."""
        for file in self.folder.glob(".*.part.*.npy"):
            with suppress(FileNotFoundError):
                if time() - file.stat().st_mtime > LEFT_S:
                    file.unlink()
        self._preparing = Thread(target=self._prepare, args=(tuple(order),), name="prepare", daemon=True)
        self._preparing.start()

    def copies(self) -> tuple[int, int]:
        """Count prepared copies, and their bytes."""
        sizes = []
        for file in self.folder.glob("[!.]*.npy"):  # not those that are being written
            with suppress(FileNotFoundError):
                sizes.append(file.stat().st_size)
        return len(sizes), sum(sizes)

    def close(self) -> None:
        """Stop preparing; what is being read is left to end."""
        self._stop.set()
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, order: tuple[str, ...]) -> None:
        for scan_id in order:
            if self._stop.is_set():
                return
            with self._lock:
                if scan_id in self._prepared or scan_id in self._running or scan_id in self._failed:
                    continue
                asked = _asked()
                self._running[scan_id] = asked
            self._answer(scan_id, self.wanted[scan_id], asked)

    def _answer(self, scan_id: str, wanted: Wanted, asked: Future[Volume]) -> None:
        """Read a scan and answer who asked; then write its copy."""
        try:
            hu, prepared = self._read(wanted)
        except ReviewError as error:
            with self._lock:
                self._failed[scan_id] = (monotonic(), error)
                self._running.pop(scan_id, None)
            asked.set_exception(error)
            return
        except BaseException as error:  # whoever waits is told, and the defect is not hidden
            with self._lock:
                self._running.pop(scan_id, None)
            asked.set_exception(error)
            raise
        with self._lock:
            self._failed.pop(scan_id, None)
            self._keep(scan_id, hu, prepared=prepared)
            self._running.pop(scan_id, None)
        asked.set_result(hu)
        if not prepared and self._write(wanted, hu):
            mapped = self._mapped(wanted)
            with self._lock:
                self._unsaved.pop(scan_id, None)
                if mapped is not None:
                    self._keep(scan_id, mapped, prepared=True)

    def _keep(self, scan_id: str, hu: Volume, *, prepared: bool) -> None:
        kept, most = (self._open, OPEN_MOST) if prepared else (self._unsaved, UNSAVED_MOST)
        if prepared:
            self._prepared.add(scan_id)
        kept[scan_id] = hu
        while len(kept) > most:
            kept.popitem(last=False)

    def _read(self, wanted: Wanted) -> tuple[Volume, bool]:
        """Voxels of a scan, and whether they are of a prepared copy."""
        mapped = self._mapped(wanted)
        if mapped is not None and Scan(mapped, wanted.geometry).fingerprint() == wanted.sha256:
            return mapped, True
        return _original(wanted), False

    def _mapped(self, wanted: Wanted) -> Volume | None:
        """A prepared copy as it lies on the disk, if it is one of this shape."""
        file = self.folder / f"{wanted.sha256}.npy"
        try:
            found = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        fits = found.dtype == np.dtype("<i2") and found.shape == wanted.geometry.shape and found.flags.c_contiguous
        return found if fits else None

    def _write(self, wanted: Wanted, hu: Volume) -> bool:
        """Write a prepared copy where there is room; whether it was written."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if disk_usage(self.folder).free < SPARE * hu.nbytes:
                return False
            file = self.folder / f"{wanted.sha256}.npy"
            with write_beside(file, overwrite=True) as beside, beside.open("wb") as stream:
                np.save(stream, hu.astype("<i2", copy=False), allow_pickle=False)
        except (OSError, ResultError):
            return False
        return True


def _original(wanted: Wanted) -> Volume:
    """Read a scan from where it lies, and check that it is the one that was scored."""
    if wanted.source is None:
        raise ReviewError("where this scan lies is not known; name it with --scans when the review is started")
    try:
        scan = read_scan(wanted.source.path, series=wanted.source.series)
    except (CalcscoreError, OSError) as error:
        # The reader's message names the path, which may name a patient: it is not repeated.
        there = wanted.source.path.exists()
        why = f"cannot be read as a CT scan ({type(error).__name__})" if there else "is not where it was scored"
        raise ReviewError(f"this scan {why}; name the right one with --scans when the review is started") from error
    if scan.fingerprint() != wanted.sha256:
        raise ReviewError(
            "a review needs the scan that was scored, but this one's fingerprint differs from its result's; name the "
            "right one with --scans when the review is started, or score it again"
        )
    return scan.hu


def _asked() -> Future[Volume]:
    """An answer to come, which nobody who stops waiting for it takes from the others."""
    asked: Future[Volume] = Future()
    asked.set_running_or_notify_cancel()
    return asked


def _done(hu: Volume) -> Future[Volume]:
    answer: Future[Volume] = Future()
    answer.set_result(hu)
    return answer


def _failed(error: ReviewError) -> Future[Volume]:
    answer: Future[Volume] = Future()
    answer.set_exception(error)
    return answer
