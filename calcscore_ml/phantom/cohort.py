"""A folder of digital scans with their truth and a manifest.

Every scan is one folder, written whole or not at all: ``image`` (DICOM) or ``image.nii.gz``, ``labels.nii.gz``,
``lesions.csv`` and ``truth.json``; with organs, ``organs.nii.gz`` and ``centrelines.csv`` too. An interrupted run goes
on with the scans that are missing. When all are there, ``truth.csv`` gathers the lesions of all scans and
``data_manifest.csv`` lists the scans.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from calcscore_ml.anatomy import Organ
from calcscore_ml.errors import RecipeError, ResultError
from calcscore_ml.files import write_folder_beside, write_text
from calcscore_ml.io.centrelines import write_centrelines
from calcscore_ml.io.dicom_write import write_dicom
from calcscore_ml.io.labels import write_labels
from calcscore_ml.io.volumes import write_volume
from calcscore_ml.manifest import MANIFEST_NAME, ManifestRow, Split, content_sha256, write_manifest
from calcscore_ml.phantom.digital import GENERATION, DigitalScan, generate, organ_truth
from calcscore_ml.phantom.organs import OrganTruth
from calcscore_ml.phantom.patient import draw_patient
from calcscore_ml.phantom.plan import Cohort, ImageFormat
from calcscore_ml.phantom.protocols import Protocol
from calcscore_ml.phantom.stents import has_stent
from calcscore_ml.phantom.take import Take

TRUTH_NAME = "truth.csv"
"""A row per lesion of the cohort, beside the scans: scan_id and the columns of `DigitalScan.lesions`."""

ORGANS_NAME = "organs.nii.gz"
"""Label volume of a scan's organs, in its folder."""

CENTRELINES_NAME = "centrelines.csv"
"""Centrelines of a scan's coronary arteries, in its folder."""

LARGEST_SEED = 2**31
"""Patients' seeds are below this."""

LICENCE = "CC0-1.0"
"""Digital scans show nobody and belong to nobody."""


def write_cohort(
    folder: Path | str,
    cohort: Cohort,
    *,
    workers: int = 1,
    progress: Callable[[], object] | None = None,
) -> tuple[ManifestRow, ...]:
    """Write the scans of a digital cohort, their truth and their manifest.

    Parameters
    ----------
    folder : path
        Made when missing. Scans of the same cohort already there are kept, and completed when the cohort asks for
        organs and they have none.
    cohort : Cohort
        What to write; see `read_cohort`.
    workers : int
        Processes. The scans do not depend on their number.
    progress : callable, optional
        Called after each scan.

    Returns
    -------
    tuple of ManifestRow
        Of the whole cohort, in order.

    Raises
    ------
    RecipeError
        When `workers` is below 1.
    ResultError
        When the folder holds scans of another cohort, or of another version of the generator.
    """
    if workers < 1:
        raise RecipeError(f"workers must be at least 1, got {workers}")
    folder = Path(folder)
    jobs = (delayed(_write_scan)(folder, cohort, index, take) for index in range(cohort.count) for take in cohort.takes)
    rows: list[ManifestRow] = []
    for row in Parallel(n_jobs=workers, return_as="generator_unordered")(jobs):
        rows.append(row)
        if progress is not None:
            progress()
    rows.sort(key=lambda row: row.scan_id)
    write_text(folder / TRUTH_NAME, _gather(rows), overwrite=True)
    write_manifest(rows, folder / MANIFEST_NAME, overwrite=True)
    return tuple(rows)


def write_digital_scan(
    digital: DigitalScan,
    folder: Path | str,
    *,
    scan_id: str,
    image_format: ImageFormat = "dicom",
    organs: OrganTruth | None = None,
) -> Path:
    """Write one digital scan with its truth into a new folder, whole or not at all.

    Parameters
    ----------
    digital : DigitalScan
        The scan.
    folder : path
        To be made.
    scan_id : str
        Name and id of the scan.
    image_format : {'dicom', 'nifti'}
        How the image is written.
    organs : OrganTruth or None
        What `organ_truth` tells of the same scan, to be written with it.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ResultError
        When the folder exists.
    """
    folder = Path(folder)
    with write_folder_beside(folder) as beside:
        image = beside / _image_name(image_format)
        if image_format == "dicom":
            name = digital.protocol.name
            write_dicom(digital.scan, image, uid_seed=scan_id, patient_id=scan_id, description=f"digital {name}")
        else:
            write_volume(digital.scan, image)
        write_labels(digital.labels, digital.scan.geometry, beside / "labels.nii.gz")
        digital.lesions.to_csv(beside / "lesions.csv", index=False, float_format="%.6g", lineterminator="\n")
        truth = {
            "scan_id": scan_id,
            **_identity(digital.patient.seed, digital.protocol, digital.take, image_format),
            "protocol": digital.protocol.name,
            "sha256": content_sha256(image),
            "heart_box_mm": np.round(digital.heart_box_mm, 3).tolist(),
            "age_years": digital.patient.age_years,
            "sex": digital.patient.sex,
        }
        if organs is not None:
            _write_organs(organs, beside)
        write_text(beside / "truth.json", json.dumps(truth, indent=2) + "\n")
    return folder


def _write_scan(folder: Path, cohort: Cohort, index: int, take: Take) -> ManifestRow:
    rng = np.random.default_rng([cohort.seed, index])
    patient_seed = int(rng.integers(LARGEST_SEED))
    while cohort.patients == "stented" and not has_stent(draw_patient(patient_seed)):
        patient_seed = int(rng.integers(LARGEST_SEED))
    shares = np.array([p.share for p in cohort.protocols])
    protocol = cohort.protocols[int(rng.choice(len(cohort.protocols), p=shares / shares.sum()))]
    patient_id = f"{cohort.name}-{cohort.seed}-{index:04d}"
    scan_id = f"{patient_id}-{take.name}" if take.name else patient_id
    home = folder / scan_id
    if not (home / "truth.json").exists():
        digital = generate(patient_seed, protocol, take)
        organs = organ_truth(patient_seed, protocol, take) if cohort.organs else None
        write_digital_scan(digital, home, scan_id=scan_id, image_format=cohort.image_format, organs=organs)
    truth = json.loads((home / "truth.json").read_text(encoding="utf-8"))
    wanted = _identity(patient_seed, take.vary(protocol), take, cohort.image_format)
    found = {key: truth.get(key) for key in wanted}
    if found != wanted:
        raise ResultError(
            f"scans of one cohort share seed, protocols, takes, format and generator; {home} holds {found} instead of "
            f"{wanted}; choose another folder"
        )
    if cohort.organs and not all((home / name).exists() for name in (ORGANS_NAME, CENTRELINES_NAME)):
        _write_organs(organ_truth(patient_seed, protocol, take), home)
    return ManifestRow(
        scan_id=scan_id,
        patient_id=patient_id,
        split=_split(cohort, index),
        image=home / _image_name(cohort.image_format),
        labels=home / "labels.nii.gz",
        protocol=protocol.name,
        source="calcscore-ml digital cohort",
        licence=LICENCE,
        sha256=str(truth["sha256"]),
        organs=home / ORGANS_NAME if cohort.organs else None,
        centrelines=home / CENTRELINES_NAME if cohort.organs else None,
    )


def _write_organs(truth: OrganTruth, folder: Path) -> None:
    """Write what a scan's folder does not hold yet of its organs, each file whole or not at all."""
    if not (folder / ORGANS_NAME).exists():
        write_labels(truth.organs, truth.geometry, folder / ORGANS_NAME, vocabulary=Organ)
    if not (folder / CENTRELINES_NAME).exists():
        write_centrelines(truth.centrelines, folder / CENTRELINES_NAME)


def _split(cohort: Cohort, index: int) -> Split:
    return cohort.splits[index % len(cohort.splits)]


def _identity(patient_seed: int, protocol: Protocol, take: Take, image_format: str) -> dict[str, Any]:
    """What makes two digital scans the same scan."""
    plan = json.dumps([asdict(protocol), asdict(take)], sort_keys=True)
    return {
        "patient_seed": patient_seed,
        "plan": hashlib.sha256(plan.encode()).hexdigest()[:16],
        "generation": GENERATION,
        "image_format": image_format,
    }


def _gather(rows: list[ManifestRow]) -> str:
    tables = []
    for row in rows:
        assert row.labels is not None
        lesions = pd.read_csv(row.labels.with_name("lesions.csv"), dtype=str, keep_default_na=False)
        lesions.insert(0, "scan_id", row.scan_id)
        tables.append(lesions)
    return str(pd.concat(tables, ignore_index=True).to_csv(index=False, lineterminator="\n"))


def _image_name(image_format: str) -> str:
    return "image" if image_format == "dicom" else "image.nii.gz"
