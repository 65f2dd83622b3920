"""Any folder: each folder of DICOM files and each volume file is a scan; label volumes are known by their names."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.misc import is_dicom

from calcscore_ml.errors import ManifestError
from calcscore_ml.importers.listing import SHARES, Listing, Shares, scan_ids
from calcscore_ml.io import VOLUME_ENDINGS
from calcscore_ml.manifest import ManifestRow

LABELS = ("{scan}_labels.nii.gz", "{scan}-labels.nii.gz", "labels.nii.gz")
"""Names of label volumes unless told otherwise: those of this project's own data."""

NOT_SCANS = frozenset({"msk.nrrd"})
"""Volumes that are neither scans nor labels: DeepCAC's masks, whose numbers (1 heart, 2 other voxels above the
threshold, 3 coronary calcium) are not ours."""


def find_folder(
    root: Path | str,
    *,
    labels: Sequence[str] = LABELS,
    patient: str | None = None,
    shares: Shares = SHARES,
) -> Listing:
    r"""Find the scans of a folder, and their labels.

    Parameters
    ----------
    root : path
        Searched to any depth, but for names that start with a dot.
    labels : sequence of str
        Where a scan's label volume is, from the folder that holds the scan; ``{scan}`` is the scan's name without
        ending. The first that exists is taken. What is named so is no scan.
    patient : str or None
        Regular expression, searched in a scan's path below `root`; its first group, or all it finds, is the patient.
        Without one, the first folder below `root` is.
    shares : Shares
        How patients are dealt to the splits. Scans without labels have none: they can neither train nor be evaluated.

    Returns
    -------
    Listing
        A row per scan.

    Raises
    ------
    ManifestError
        When there is no scan, or a pattern is none.
    """
    root = Path(os.path.normpath(root))
    whose = _expression(patient)
    globs = [_glob(pattern) for pattern in labels]
    volumes, series = _look(root)
    masks = {v for v in volumes if any(v.match(g) for g in globs)}
    aside = {v for v in volumes if v.name.lower() in NOT_SCANS} - masks
    images = sorted({*volumes, *series} - masks - aside)
    if not images:
        raise ManifestError(
            f"a manifest needs scans (DICOM files, or {', '.join(VOLUME_ENDINGS)}), got none in {root}; check the path"
        )
    paths = [_path_below(image, root) for image in images]
    drawn = [_labels_of(image, labels) for image in images]
    owners = Counter(mask for mask in drawn if mask is not None)
    rows, failed = [], []
    for image, scan_id, path, mask in zip(images, scan_ids(paths), paths, drawn, strict=True):
        who = _patient(path, whose)
        if not who:
            failed.append((scan_id, f"every scan has a patient, but {patient!r} finds nothing in {path}"))
        elif mask is not None and owners[mask] > 1:
            failed.append((scan_id, f"a label volume belongs to one scan, but {mask.name} is that of {owners[mask]}"))
        else:
            rows.append(ManifestRow(scan_id, who, shares.split_of(who) if mask else "", image, mask))
    alone = sorted(m.relative_to(root).as_posix() for m in masks - {*owners})
    failed += [(name, "a label volume needs its scan, got none of that name; see --labels") for name in alone]
    notes = [(a.relative_to(root).as_posix(), "a mask with other numbers than ours, left out") for a in sorted(aside)]
    return Listing(tuple(rows), tuple(failed), tuple(notes))


def number_scans(rows: Sequence[ManifestRow]) -> tuple[ManifestRow, ...]:
    """Give patients and scans numbers in place of names, in the order of the names.

    >>> row = ManifestRow("doe-ct", "doe", "train", Path("doe/ct.nii"))
    >>> [(r.patient_id, r.scan_id) for r in number_scans([row])]
    [('patient-1', 'patient-1-scan-1')]
    """
    scans: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: (r.patient_id, r.scan_id)):
        scans[row.patient_id].append(row)
    width = len(str(len(scans)))
    return tuple(
        replace(row, patient_id=f"patient-{p:0{width}}", scan_id=f"patient-{p:0{width}}-scan-{s}")
        for p, of_patient in enumerate(scans.values(), start=1)
        for s, row in enumerate(of_patient, start=1)
    )


def _look(root: Path) -> tuple[list[Path], list[Path]]:
    """Return volume files, and folders that hold DICOM files."""
    volumes: list[Path] = []
    series: set[Path] = set()
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts) or not path.is_file():
            continue
        if path.name.lower().endswith(VOLUME_ENDINGS):
            volumes.append(path)
        elif path.parent not in series and _is_dicom(path):
            series.add(path.parent)
    return volumes, sorted(series)


def _is_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except PermissionError:
        return True  # told when the scan is read


def _path_below(image: Path, root: Path) -> str:
    """Return a scan's path below the root, without ending; the root's own name for the root."""
    return image.with_name(_name(image)).relative_to(root).as_posix() if image != root else root.resolve().name


def _patient(path: str, whose: re.Pattern[str] | None) -> str:
    if whose is None:
        return path.split("/")[0].strip()
    found = whose.search(path)
    return (found[1 if whose.groups else 0] or "").strip() if found else ""


def _name(image: Path) -> str:
    ending = next((e for e in sorted(VOLUME_ENDINGS, key=len, reverse=True) if image.name.lower().endswith(e)), "")
    return image.name[: len(image.name) - len(ending)]


def _labels_of(image: Path, patterns: Sequence[str]) -> Path | None:
    for pattern in patterns:
        mask = Path(os.path.normpath(image.parent / pattern.replace("{scan}", _name(image))))
        if mask != image and mask.is_file():
            return mask
    return None


def _glob(pattern: str) -> str:
    """Return what matches every label volume of a pattern, from the right end of a path."""
    if not pattern.lower().endswith(VOLUME_ENDINGS):
        raise ManifestError(
            f"a pattern of labels must end in one of {', '.join(VOLUME_ENDINGS)}, got {pattern!r}; write "
            "'{scan}_labels.nii.gz', say"
        )
    return re.sub(r"^(\.\.?/)+", "", pattern).replace("{scan}", "*")


def _expression(patient: str | None) -> re.Pattern[str] | None:
    try:
        return None if patient is None else re.compile(patient)
    except re.error as error:
        raise ManifestError(f"a pattern of patients must be a regular expression, got {patient!r} ({error})") from error
