"""Stanford COCA, the gated part: DICOM series with outlines become scans with label volumes.

The pixels of an outline are those whose centre lies in it: in the public files they have the mean HU that the file
gives of the outline. So every outline is checked by its mean: in the wrong slice, or on a flipped image, it is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from calcscore_ml.anatomy import Label
from calcscore_ml.batch import collect
from calcscore_ml.candidates import THRESHOLD_HU
from calcscore_ml.errors import ManifestError, ScanError
from calcscore_ml.importers.listing import SHARES, Listing, Shares, read_one, scan_ids
from calcscore_ml.importers.outlines import Outline, read_outlines
from calcscore_ml.io.labels import write_labels
from calcscore_ml.manifest import ManifestRow, content_sha256
from calcscore_ml.scan import Scan

RELEASE = "Gated_release_final"
"""Folder of the gated part."""

IMAGES, OUTLINES = "patient", "calcium_xml"
"""Its folders: a folder of DICOM files per patient, and a file of outlines per patient with calcium."""

LABELS = "labels"
"""Folder of the label volumes, beside the manifest."""

ARTERY = {
    "right coronary artery": Label.RCA,
    "left anterior descending artery": Label.LAD,
    "left circumflex artery": Label.LCX,
    "left coronary artery": Label.LM,
}
"""The outlines' names in lower case. COCA's left coronary artery is the left main."""

MEAN_TOLERANCE_HU = 1.0
"""An outline's mean may differ by so much from the one of its file; our choice, pixels are rounded to whole HU [HU]."""

CONFIRMED_SHARE = 0.5
"""At least this share of a patient's outlines must have the mean of their file; our choice. Of 91 outlines that others
published with their images, 90 have it."""


def find_coca(root: Path | str, output: Path | str, shares: Shares = SHARES) -> Listing:
    """Find the patients of COCA's gated part.

    Parameters
    ----------
    root : path
        The folder `RELEASE`, or the one that holds it.
    output : path
        Folder of the manifest to be; label volumes go to its folder `LABELS`.
    shares : Shares
        How patients with outlines are dealt to the splits.

    Returns
    -------
    Listing
        A row per patient; whose outlines are missing has no labels and no split.

    Raises
    ------
    ManifestError
        When there are no patients.
    """
    home = Path(root) / RELEASE if (Path(root) / RELEASE).is_dir() else Path(root)
    folders = sorted(p for p in home.glob(f"{IMAGES}/*") if p.is_dir())
    if not folders:
        raise ManifestError(
            f"COCA's gated part is a folder {RELEASE} with folders {IMAGES} and {OUTLINES}, got no patient in {root}; "
            "give that folder or the one that holds it"
        )
    rows = []
    for folder, scan_id in zip(folders, scan_ids([f"coca-{f.name}" for f in folders]), strict=True):
        drawn = outlines_of(folder).is_file()
        labels = Path(output) / LABELS / f"{scan_id}.nii.gz" if drawn else None
        rows.append(
            ManifestRow(
                scan_id,
                scan_id,
                shares.split_of(scan_id) if drawn else "",
                folder,
                labels,
                protocol="gated",
                source="Stanford COCA, gated part",
                licence="Stanford research use agreement",
            )
        )
    known = {folder.name for folder in folders}
    failed = [
        (path.name, f"outlines need their patient's images, got no folder {IMAGES}/{path.stem}; copy it again")
        for path in sorted(home.glob(f"{OUTLINES}/*.xml"))
        if path.stem not in known
    ]
    return Listing(tuple(rows), tuple(failed))


def import_coca(
    found: Listing, *, workers: int = 1, overwrite: bool = False, on_scan: Callable[[], object] = lambda: None
) -> Listing:
    """Read every patient found, and write a label volume of each that has outlines.

    Parameters
    ----------
    found : Listing
        Of `find_coca`.
    workers : int
        Patients at a time.
    overwrite : bool
        Replace existing label volumes.
    on_scan : callable
        Called after each patient.

    Returns
    -------
    Listing
        Patients whose scan or outlines cannot be used are in `failed`: labels that lack an outline would call its
        calcium bone.
    """
    work = partial(_import, overwrite=overwrite)
    done, failed = collect(work, found.rows, name=lambda r: r.scan_id, workers=workers, on_item=on_scan)
    notes = tuple((scan_id, note) for scan_id, (_, note) in done.items() if note)
    return Listing(tuple(row for row, _ in done.values()), found.failed + failed, found.notes + notes)


def outlines_of(folder: Path) -> Path:
    """Return where the outlines of a patient's folder are.

    >>> outlines_of(Path("Gated_release_final/patient/7")).as_posix()
    'Gated_release_final/calcium_xml/7.xml'
    """
    return folder.parent.parent / OUTLINES / f"{folder.name}.xml"


def draw_labels(scan: Scan, outlines: Sequence[Outline]) -> tuple[NDArray[np.uint8], str]:
    """Fill outlines: every pixel whose centre lies in one, at or above 130 HU, takes its artery's label.

    Parameters
    ----------
    scan : Scan
        What they were drawn on.
    outlines : sequence of Outline
        Of one patient. Where two overlap, the later one's artery stands.

    Returns
    -------
    labels : (nz, ny, nx) array of uint8
        `Label` numbers.
    note : str
        What should be known: outlines without points, without the mean of their file, or without bright pixels.

    Raises
    ------
    ScanError
        When an outline has an unknown name, or lies outside the scan; when none has points; when too few have the mean
        of their file.
    """
    drawn = [o for o in outlines if len(o.points)]
    if problems := [p for o in drawn if (p := _problem(o, scan.geometry.shape))]:
        raise ScanError(f"every outline must have a known name and lie in the scan, got {'; '.join(problems)}")
    if outlines and not drawn:
        raise ScanError(f"outlines must have points, got none in all {len(outlines)}; nobody can say where they lie")
    labels = np.zeros(scan.geometry.shape, dtype=np.uint8)
    unlike, dark = 0, 0
    for outline in drawn:
        y, x = polygon(outline.points[:, 1], outline.points[:, 0], labels.shape[1:])
        hu = scan.hu[outline.index, y, x]
        bright = hu >= THRESHOLD_HU
        labels[outline.index, y[bright], x[bright]] = ARTERY[outline.name.lower()]
        dark += not bright.any()
        unlike += outline.mean_hu is not None and not _has_mean(hu, outline.mean_hu)
    if len(drawn) - unlike < CONFIRMED_SHARE * len(drawn):
        raise ScanError(
            f"outlines must lie where they were drawn, but {unlike} of {len(drawn)} do not have the mean HU their file "
            "gives; the file may be another series'"
        )
    told = ((len(outlines) - len(drawn), "have no points"), (unlike, "do not have the mean HU of their file"),
            (dark, f"hold no pixel of {THRESHOLD_HU} HU"))  # fmt: skip
    return labels, ", ".join(f"{n} of {len(outlines)} outlines {what}" for n, what in told if n)


def _import(row: ManifestRow, overwrite: bool) -> tuple[ManifestRow, str]:
    scan = read_one(row.image)
    note = ""
    if row.labels is not None:
        labels, note = draw_labels(scan, read_outlines(outlines_of(row.image)))
        write_labels(labels, scan.geometry, row.labels, overwrite=overwrite)
    return replace(row, sha256=content_sha256(row.image)), note


def _problem(outline: Outline, shape: tuple[int, int, int]) -> str:
    """Say why an outline cannot be filled; empty when it can."""
    if outline.name.lower() not in ARTERY:
        return f"the name {outline.name!r} in slice {outline.index}"
    if not 0 <= outline.index < shape[0]:
        return f"slice {outline.index} of {shape[0]}"
    low, high = outline.points.min(axis=0), outline.points.max(axis=0)
    if (low < -0.5).any() or (high > np.array(shape[:0:-1]) - 0.5).any():
        return (
            f"points from {low.tolist()} to {high.tolist()} in slice {outline.index} of {shape[2]} x {shape[1]} pixels"
        )
    return ""


def _has_mean(hu: NDArray[np.int16], mean: float) -> bool:
    return bool(hu.size and abs(hu.mean() - mean) <= MEAN_TOLERANCE_HU)
