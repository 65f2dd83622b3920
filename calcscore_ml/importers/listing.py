"""What all importers share: what they found, the splits, and reading every scan once before it is listed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from calcscore_ml.anatomy import Label
from calcscore_ml.batch import collect
from calcscore_ml.candidates import THRESHOLD_HU
from calcscore_ml.errors import ManifestError, ScanError, SeriesChoiceError
from calcscore_ml.io import read_scan
from calcscore_ml.io.labels import read_labels
from calcscore_ml.manifest import ManifestRow, Split, content_sha256
from calcscore_ml.scan import Scan

BRIGHT_SHARE = 0.01
"""Of each label's voxels at least this share must reach the threshold; our choice. Outlines run over the edge of
calcium, but the mask of an organ, or of another scan, hardly holds a bright voxel."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What an importer found.

    Parameters
    ----------
    rows : tuple of ManifestRow
        Scans.
    failed : tuple of (str, str)
        Name of each scan or file that could not be used, and why.
    notes : tuple of (str, str)
        Name of a scan or file, and what should be known of it.
    """

    rows: tuple[ManifestRow, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Shares:
    """How patients are dealt to the splits; the rest is for training.

    A patient's split follows from seed and patient_id alone, so it stays the same when other patients come or go. The
    shares are therefore met on average, not exactly.

    Parameters
    ----------
    calibrate, test : float
        Shares of the patients; a fifth each by default, as in the digital cohorts.
    seed : int
        Another seed deals them otherwise.

    Raises
    ------
    ManifestError
        When the shares are no shares.

    Examples
    --------
    >>> Shares(test=1.0, calibrate=0.0).split_of("anybody")
    'test'
    """

    calibrate: float = 0.2
    test: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.calibrate >= 0 and self.test >= 0 and self.calibrate + self.test <= 1):
            raise ManifestError(
                "the shares of patients to calibrate and to test must be 0 or more and at most 1 together, got "
                f"{self.calibrate:g} and {self.test:g}"
            )

    def split_of(self, patient_id: str) -> Split:
        """Return a patient's split."""
        digest = hashlib.sha256(f"{self.seed}:{patient_id}".encode()).digest()
        place = int.from_bytes(digest[:6], "big") / 2**48  # evenly spread over 0 to 1
        if place < self.test:
            return "test"
        return "calibrate" if place < self.test + self.calibrate else "train"


SHARES = Shares()
"""How patients are dealt unless told otherwise."""


def scan_ids(names: Sequence[str]) -> tuple[str, ...]:
    """Make scan ids of names: what an id may not hold becomes a dash, and a second of the same name gets a number.

    >>> scan_ids(["p 1/image", "p-1/image", "ä"])
    ('p-1-image', 'p-1-image-2', 'scan')
    """
    ids: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-._") or "scan"
        count = 1
        while (one := plain if count == 1 else f"{plain}-{count}").lower() in taken:
            count += 1
        taken.add(one.lower())
        ids.append(one)
    return tuple(ids)


def check_scans(
    found: Listing,
    *,
    highest: Label = Label.MITRAL_VALVE,
    workers: int = 1,
    on_scan: Callable[[], object] = lambda: None,
) -> Listing:
    """Read every scan and its labels, and keep those that can be used, with their checksums.

    Parameters
    ----------
    found : Listing
        What an importer found.
    highest : Label
        The highest number the data set's labels have; our own highest, unless it has fewer.
    workers : int
        Scans at a time.
    on_scan : callable
        Called after each scan.

    Returns
    -------
    Listing
        Scans that cannot be read, or whose labels do not fit, are in `failed` with the reason.
    """
    check = partial(_check_scan, highest=highest)
    rows, failed = collect(check, found.rows, name=lambda r: r.scan_id, workers=workers, on_item=on_scan)
    return replace(found, rows=tuple(rows.values()), failed=found.failed + failed)


def read_one(path: Path) -> Scan:
    """Read the one scan of a file or folder.

    Raises
    ------
    ScanError
        As `calcscore_ml.io.read_scan`, and when there are several series: a manifest names files, not series.
    """
    try:
        return read_scan(path)
    except SeriesChoiceError as error:
        listed = "; ".join(error.series)
        raise ScanError(
            f"a scan of a manifest must be the only series of its folder, got {len(error.series)} in {path.name} "
            f"({listed}); put each into a folder of its own"
        ) from error


def _check_scan(row: ManifestRow, highest: Label) -> ManifestRow:
    scan = read_one(row.image)
    if row.labels is not None:
        labels = read_labels(row.labels, scan.geometry)
        if labels.max() > highest:
            raise ScanError(
                f"this data set's labels are numbers up to {int(highest)}, got {labels.max()} in {row.labels.name}; "
                "map the numbers first"
            )
        for label in Label:
            bright = scan.hu[labels == label] >= THRESHOLD_HU
            if label != Label.OTHER and bright.size and bright.mean() < BRIGHT_SHARE:
                raise ScanError(
                    f"labels must lie on calcium, but of {bright.size} voxels labelled {label.title} in "
                    f"{row.labels.name} only {bright.sum()} reach {THRESHOLD_HU} HU; it may be a mask of organs, or "
                    "another scan's"
                )
    return replace(row, sha256=content_sha256(row.image))
