"""A folder of digital scans with their truth and a manifest.

Every scan is one folder, written whole or not at all: ``image`` (DICOM) or ``image.nii.gz``, ``labels.nii.gz``,
``lesions.csv`` and ``truth.json``. An interrupted run goes on with the scans that are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from joblib import Parallel, delayed

from calcscore_ml.errors import RecipeError, ResultError
from calcscore_ml.files import write_folder_beside, write_text
from calcscore_ml.io.dicom_write import write_dicom
from calcscore_ml.io.labels import write_labels
from calcscore_ml.io.volumes import write_volume
from calcscore_ml.manifest import ManifestRow, Split, content_sha256, write_manifest
from calcscore_ml.phantom.digital import DigitalScan, generate
from calcscore_ml.phantom.protocols import PROTOCOLS, Protocol, find_protocol

MANIFEST_NAME = "data_manifest.csv"
"""The cohort's manifest, beside the scans."""

SPLIT_CYCLE: tuple[Split, ...] = ("train", "train", "test", "train", "calibrate")
"""Splits of successive patients: 60 % to train, 20 % to calibrate, 20 % to test."""

LARGEST_SEED = 2**31
"""Patients' seeds are below this."""

LICENCE = "CC0-1.0"
"""Digital scans show nobody and belong to nobody."""


def write_cohort(
    folder: Path | str,
    *,
    count: int,
    seed: int,
    protocols: Sequence[Protocol | str] = (),
    image_format: Literal["dicom", "nifti"] | str = "dicom",
    workers: int = 1,
    progress: Callable[[], object] | None = None,
) -> tuple[ManifestRow, ...]:
    """Write digital patients, one scan each, and their manifest.

    Parameters
    ----------
    folder : path
        Made when missing. Scans of the same cohort already there are kept.
    count : int
        Number of patients. A larger cohort of the same seed begins with the smaller one.
    seed : int
        Same seed, same cohort, whatever the number of workers.
    protocols : sequence of Protocol or str
        Those to draw from, by their shares; all of `PROTOCOLS` when empty.
    image_format : {'dicom', 'nifti'}
        How images are written.
    workers : int
        Processes.
    progress : callable, optional
        Called after each scan.

    Returns
    -------
    tuple of ManifestRow
        Of the whole cohort, in order.

    Raises
    ------
    RecipeError
        When a protocol, the format or a number is not one of those allowed.
    ResultError
        When the folder holds scans of another cohort.
    """
    if count < 1 or seed < 0 or workers < 1:
        raise RecipeError(
            f"count and workers must be at least 1 and seed at least 0, got {count}, {workers} and {seed}"
        )
    if image_format not in ("dicom", "nifti"):
        raise RecipeError(f"a cohort's images are written as dicom or nifti, got {image_format!r}; choose one")
    chosen = tuple(find_protocol(p) if isinstance(p, str) else p for p in protocols) or PROTOCOLS
    folder = Path(folder)
    jobs = (delayed(_write_scan)(folder, seed, index, chosen, image_format) for index in range(count))
    rows: list[ManifestRow] = []
    for row in Parallel(n_jobs=workers, return_as="generator_unordered")(jobs):
        rows.append(row)
        if progress is not None:
            progress()
    rows.sort(key=lambda row: row.scan_id)
    write_manifest(rows, folder / MANIFEST_NAME, overwrite=True)
    return tuple(rows)


def write_digital_scan(
    digital: DigitalScan, folder: Path | str, *, scan_id: str, image_format: Literal["dicom", "nifti"] | str = "dicom"
) -> Path:
    """Write one digital scan with its truth into a new folder, whole or not at all.

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
            "patient_seed": digital.patient.seed,
            "protocol": digital.protocol.name,
            "image_format": image_format,
            "sha256": content_sha256(image),
            "heart_box_mm": np.round(digital.heart_box_mm, 3).tolist(),
            "age_years": digital.patient.age_years,
            "sex": digital.patient.sex,
        }
        write_text(beside / "truth.json", json.dumps(truth, indent=2) + "\n")
    return folder


def _write_scan(folder: Path, seed: int, index: int, protocols: tuple[Protocol, ...], image_format: str) -> ManifestRow:
    rng = np.random.default_rng([seed, index])
    patient_seed = int(rng.integers(LARGEST_SEED))
    shares = np.array([p.share for p in protocols])
    protocol = protocols[int(rng.choice(len(protocols), p=shares / shares.sum()))]
    scan_id = f"digital-{seed}-{index:04d}"
    home = folder / scan_id
    if not (home / "truth.json").exists():
        write_digital_scan(generate(patient_seed, protocol), home, scan_id=scan_id, image_format=image_format)
    truth = json.loads((home / "truth.json").read_text(encoding="utf-8"))
    wanted = {"patient_seed": patient_seed, "protocol": protocol.name, "image_format": image_format}
    found = {key: truth.get(key) for key in wanted}
    if found != wanted:
        raise ResultError(
            f"scans of one cohort share seed, protocols and format; {home} holds {found} instead of {wanted}; choose "
            "another folder"
        )
    return ManifestRow(
        scan_id=scan_id,
        patient_id=scan_id,
        split=SPLIT_CYCLE[index % len(SPLIT_CYCLE)],
        image=home / _image_name(image_format),
        labels=home / "labels.nii.gz",
        protocol=protocol.name,
        source="calcscore-ml digital cohort",
        licence=LICENCE,
        sha256=str(truth["sha256"]),
    )


def _image_name(image_format: str) -> str:
    return "image" if image_format == "dicom" else "image.nii.gz"
