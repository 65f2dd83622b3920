"""Writing a scan as a series of CT images: one valid CT Image Storage file per slice.

The files name nobody and hold no date, and the same scan and seed give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid
from pydicom.valuerep import DSfloat

from calcscore_ml.files import write_folder_beside
from calcscore_ml.io.acquisition import as_header
from calcscore_ml.io.dicom_headers import quiet_pydicom
from calcscore_ml.scan import Scan

UNSIGNED_INTERCEPT_HU = -1024
"""RescaleIntercept of unsigned pixels, as most scanners write them; darker scans are written signed [HU]."""

NUMBER_KEYWORDS = frozenset({"KVP", "SliceThickness", "ReconstructionDiameter"})
"""Fields of `as_header` with VR DS: at most 16 characters."""


def write_dicom(
    scan: Scan,
    folder: Path | str,
    *,
    uid_seed: str,
    patient_id: str = "",
    description: str = "",
    compress: Literal["rle"] | None = None,
) -> Path:
    """Write a scan as a folder of DICOM files, whole or not at all.

    Parameters
    ----------
    scan : Scan
        Any. A gantry tilt is not written: positions are those of the grid.
    folder : path
        Made new; it must not exist, or be empty.
    uid_seed : str
        All UIDs are derived from it: another scan needs another seed.
    patient_id : str
        PatientID; the name stays empty.
    description : str
        SeriesDescription.
    compress : {'rle'} or None
        Lossless compression; RLE is decoded without further packages.

    Returns
    -------
    Path
        The folder, with files ``0001.dcm`` onwards from feet to head.

    Raises
    ------
    ResultError
        When the folder holds files, or the disk does not take it.
    """
    folder = Path(folder)
    common = _common(scan, uid_seed, patient_id, description)
    signed = int(scan.hu.min()) < UNSIGNED_INTERCEPT_HU
    intercept = 0 if signed else UNSIGNED_INTERCEPT_HU
    with write_folder_beside(folder) as beside, quiet_pydicom():
        for index in range(scan.geometry.shape[0]):
            stored = (scan.hu[index].astype(np.int32) - intercept).astype("<i2" if signed else "<u2")
            image = _slice(common, scan, index, stored, signed, intercept, uid_seed)
            if compress == "rle":
                image.compress(RLELossless, generate_instance_uid=False)
            image.save_as(beside / f"{index + 1:04d}.dcm", enforce_file_format=True)
    return folder


def _common(scan: Scan, uid_seed: str, patient_id: str, description: str) -> Dataset:
    """Return what all slices share."""
    shared = Dataset()
    for keyword in (
        "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID", "PatientName",
        "PatientBirthDate", "PatientSex", "PositionReferenceIndicator", "Manufacturer", "KVP", "AcquisitionNumber",
    ):  # fmt: skip
        setattr(shared, keyword, None)  # type 2: present, and empty when unknown
    shared.SOPClassUID = CTImageStorage
    shared.StudyInstanceUID = _uid(uid_seed, "study")
    shared.SeriesInstanceUID = _uid(uid_seed, "series")
    shared.FrameOfReferenceUID = _uid(uid_seed, "frame of reference")
    shared.Modality = "CT"
    shared.SeriesNumber = 1
    shared.PatientID = patient_id
    if description:
        shared.SeriesDescription = description
    shared.PatientPosition = "HFS"
    shared.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    shared.RescaleSlope = 1
    shared.RescaleType = "HU"
    shared.SamplesPerPixel = 1
    shared.PhotometricInterpretation = "MONOCHROME2"
    shared.Rows, shared.Columns = scan.geometry.shape[1:]
    shared.PixelSpacing = [_decimal(s) for s in scan.geometry.spacing[1:]]
    shared.SpacingBetweenSlices = _decimal(scan.geometry.spacing[0])
    shared.ImageOrientationPatient = [_decimal(v) for v in np.array(scan.geometry.direction)[:, :2].T.ravel()]
    shared.BitsAllocated = shared.BitsStored = 16
    shared.HighBit = 15
    shared.WindowCenter, shared.WindowWidth = 40, 400
    for keyword, value in as_header(scan.acquisition).items():
        setattr(shared, keyword, _decimal(float(str(value))) if keyword in NUMBER_KEYWORDS else value)
    return shared


def _slice(
    common: Dataset,
    scan: Scan,
    index: int,
    stored: NDArray[np.integer],
    signed: bool,
    intercept: int,
    uid_seed: str,
) -> Dataset:
    image = Dataset()
    image.update(common)
    image.SOPInstanceUID = _uid(uid_seed, f"slice {index}")
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = [_decimal(v) for v in scan.geometry.to_world((index, 0, 0))]
    image.PixelRepresentation = int(signed)
    image.RescaleIntercept = intercept
    image.PixelData = stored.tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def _uid(seed: str, what: str) -> str:
    return str(generate_uid(entropy_srcs=["calcscore-ml", seed, what]))


def _decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)
