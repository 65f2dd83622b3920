"""Small CT series as pydicom datasets, built without the package's own writer, for tests to bend and break."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
SECRETS = ("Doe^Jane", "MRN12345", "19531224", "Saint Elsewhere", "OUR SECRET PROTOCOL")
"""What a header says of a patient and must never leave it."""


def hu_values(count=5, rows=8, columns=10, seed=0):
    """HU of a made-up scan, (count, rows, columns), between -1000 and 1500."""
    return np.random.default_rng(seed).integers(-1000, 1500, (count, rows, columns)).astype(np.int16)


def series(
    hu=None, spacing=(3.0, 0.5, 0.4), origin=(-10.0, -20.0, 100.0), orientation=(1, 0, 0, 0, 1, 0), step=None, seed="a"
):
    """One dataset per slice, feet to head; `step` is the displacement of slices when it is not along the normal."""
    hu = hu_values() if hu is None else hu
    normal = np.cross(orientation[:3], orientation[3:])
    step = np.array(normal) * spacing[0] if step is None else np.array(step)
    found = []
    for index, values in enumerate(hu):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CT
        uid = generate_uid(entropy_srcs=[seed, str(index)])
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = uid
        image.SeriesInstanceUID = generate_uid(entropy_srcs=[seed])
        image.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
        image.PatientName, image.PatientID, image.PatientBirthDate = SECRETS[:3]
        image.InstitutionName, image.SeriesDescription = SECRETS[3:]
        image.StudyDate = SECRETS[2]
        image.Modality = "CT"
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.SeriesNumber, image.InstanceNumber = 2, index + 1
        image.KVP, image.SliceThickness, image.ConvolutionKernel = 120, spacing[0], "FC12"
        image.Manufacturer, image.ManufacturerModelName = "Toshiba", "Aquilion"
        image.ImageOrientationPatient = [float(v) for v in orientation]
        image.ImagePositionPatient = [round(float(v), 6) for v in np.array(origin) + step * index]
        image.PixelSpacing = list(spacing[1:])
        image.RescaleSlope, image.RescaleIntercept = 1, -1024
        image.Rows, image.Columns = values.shape
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        store(image, values.astype(np.int32) + 1024)
        found.append(image)
    return found


def store(image, values, signed=False, bits_stored=16):
    """Put stored values into a dataset."""
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, bits_stored, bits_stored - 1
    image.PixelRepresentation = int(signed)
    image.PixelData = values.astype("<i2" if signed else "<u2").tobytes()
    image["PixelData"].VR = "OW"


def save(datasets, folder):
    """Write datasets as files without endings, in an order of names that says nothing about position."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(datasets):
        image.save_as(folder / f"{(index * 7919) % 9973:04X}", enforce_file_format=True)
    return folder


def enhanced(datasets, order):
    """Return a multi-frame dataset of the slices, frames in the given order."""
    first = datasets[0]
    whole = Dataset()
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID = ENHANCED_CT
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID = generate_uid(entropy_srcs=["enhanced"])
    for keyword in ("SeriesInstanceUID", "PatientName", "Modality", "Manufacturer", "ManufacturerModelName", "Rows",
                    "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
                    "PixelRepresentation"):  # fmt: skip
        setattr(whole, keyword, getattr(first, keyword))
    whole.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    whole.NumberOfFrames = len(order)
    shared = Dataset()
    group(shared, "PixelMeasuresSequence", PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    group(shared, "PlaneOrientationSequence", ImageOrientationPatient=first.ImageOrientationPatient)
    group(shared, "CTXRayDetailsSequence", KVP=120.0)
    group(shared, "CTReconstructionSequence", ConvolutionKernel="FC12")
    group(shared, "CTImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", "AXIAL", "NONE"])
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for index in order:
        frame = Dataset()
        group(frame, "PlanePositionSequence", ImagePositionPatient=datasets[index].ImagePositionPatient)
        group(frame, "PixelValueTransformationSequence", RescaleSlope=datasets[index].RescaleSlope,
              RescaleIntercept=datasets[index].RescaleIntercept, RescaleType="HU")  # fmt: skip
        frames.append(frame)
    whole.PerFrameFunctionalGroupsSequence = Sequence(frames)
    whole.PixelData = b"".join(datasets[index].PixelData for index in order)
    whole["PixelData"].VR = "OW"
    return whole


def group(parent, sequence, **values):
    """Add a functional group with the given elements."""
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    setattr(parent, sequence, Sequence([item]))
