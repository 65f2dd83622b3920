"""DICOM headers: which files of a folder are CT slices, and which series they belong to.

A *slice* here is one image of a file with its place in the patient; a multi-frame file gives many. A *series* is a set
of slices that could be one scan: same series UID, matrix, orientation, pixel spacing, kernel, tube voltage and kind.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from calcscore_ml.errors import ScanError
from calcscore_ml.io.acquisition import KEYWORDS, number, numbers, text
from calcscore_ml.io.enhanced import frame_headers, value_of

PIXEL_KEYWORDS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
                  "PhotometricInterpretation", "NumberOfFrames")  # fmt: skip
"""How pixels are stored."""

SLICE_KEYWORDS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
                  "ImageType", "FrameType", *KEYWORDS)  # fmt: skip
"""What may differ from slice to slice, and from frame to frame of a multi-frame file."""

PLACE_KEYWORDS = (("ImageOrientationPatient", 6), ("ImagePositionPatient", 3), ("PixelSpacing", 2))
"""Where a slice lies, and how many numbers say so."""

GROUP_KEYWORDS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""The sequences of a multi-frame file."""

FILE_KEYWORDS = ("SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesNumber", "PixelPaddingValue",
                 "PixelPaddingRangeLimit", "LossyImageCompression", *PIXEL_KEYWORDS, *SLICE_KEYWORDS)  # fmt: skip
"""Everything read of a header: no name, no identifier of a patient, no date."""

CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""SOP classes CT, Enhanced CT and Legacy Converted Enhanced CT Image Storage (DICOM PS3.4 B.5)."""

ORIENTATION_DIGITS = 4
"""Direction cosines are equal when they agree to so many decimals (0.006 degrees)."""

PREFIX_AT = 128
"""Offset of the letters DICM in a DICOM file (DICOM PS3.10 7.1)."""

PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
"""Tag (7FE0,0010) in little and big endian."""

HEADER_FAILURES = (InvalidDicomError, EOFError, ValueError, AttributeError, NotImplementedError, KeyError, TypeError,
                   OSError, struct.error, zlib.error)  # fmt: skip
"""What pydicom raises when a header is broken."""

_PYDICOM_LOGGER = logging.getLogger("pydicom")


@dataclass(frozen=True, slots=True)
class Storage:
    """How a slice's pixels lie in its file.

    Parameters
    ----------
    path : Path
        The file.
    frame : int
        Which image of the file, from 0.
    rows, columns : int
        Size.
    dtype : str
        numpy's name of the stored number.
    bits_stored : int
        How many of its bits count.
    offset : int or None
        Where the image's first byte lies; `None` when the pixels are compressed and must be decoded.
    """

    path: Path
    frame: int
    rows: int
    columns: int
    dtype: str
    bits_stored: int
    offset: int | None


@dataclass(frozen=True, slots=True)
class Slice:
    """One CT image and its place in the patient.

    Parameters
    ----------
    storage : Storage
        Where its pixels lie.
    series : str
        SeriesInstanceUID, or the folder when the header has none.
    series_number : int
        SeriesNumber, 0 when the header has none.
    orientation : tuple of 6 float
        World directions (x, y, z) along a row and along a column.
    position : tuple of 3 float
        World position of the first pixel's centre, (x, y, z) [mm].
    pixel_spacing : tuple of 2 float
        Between rows and between columns [mm].
    header : mapping
        Values by DICOM keyword.
    """

    storage: Storage
    series: str
    series_number: int
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    header: Mapping[str, object] = field(repr=False)

    @property
    def key(self) -> tuple[object, ...]:
        """What slices of one scan share."""
        kind = text(self.header, "ImageType") or ""
        return (
            self.series,
            self.storage.rows,
            self.storage.columns,
            tuple(round(v, ORIENTATION_DIGITS) + 0.0 for v in self.orientation),
            tuple(round(v, 5) for v in self.pixel_spacing),
            text(self.header, "ConvolutionKernel") or "",
            number(self.header, "KVP") or 0.0,
            kind.upper().split("/")[2] if kind.count("/") >= 2 else "",
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds.

    Parameters
    ----------
    slices : tuple of Slice
        In order of file name.
    left_out : Counter
        How many files or images were left out, by reason.
    """

    slices: tuple[Slice, ...]
    left_out: Counter[str]


def find_slices(path: Path) -> Found:
    """Read the headers of a file, or of every file below a folder.

    Parameters
    ----------
    path : Path
        A DICOM file or a folder. Names and endings of files do not matter.

    Returns
    -------
    Found
        CT slices, and how many other files there were.

    Raises
    ------
    ScanError
        When a CT file ends within its header, or lacks what every CT image must have.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    slices: list[Slice] = []
    left_out: Counter[str] = Counter()
    with quiet_pydicom():
        for file in files:
            try:
                slices.extend(_read_file(file))
            except _LeftOutError as reason:
                left_out[str(reason)] += 1
    return Found(tuple(slices), left_out)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Read values as they are: public data sets break rules (UIDs with leading zeros) that do not touch the image."""
    mode, level = config.settings.reading_validation_mode, _PYDICOM_LOGGER.level
    config.settings.reading_validation_mode = config.IGNORE
    _PYDICOM_LOGGER.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.reading_validation_mode = mode
        _PYDICOM_LOGGER.setLevel(level)


class _LeftOutError(Exception):
    """A file that is no CT slice; the message says why in one or two words."""


def _read_file(path: Path) -> list[Slice]:
    with path.open("rb") as file:
        file.seek(PREFIX_AT)
        if file.read(len(b"DICM")) != b"DICM":
            raise _LeftOutError("not DICOM")
        file.seek(0)
        try:
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=[*FILE_KEYWORDS, *GROUP_KEYWORDS])
        except HEADER_FAILURES as error:
            raise ScanError(
                f"a DICOM file must have a whole header, but {path.name} breaks off in it ({type(error).__name__}); "
                "copy or export it again"
            ) from error
        header = {keyword: value_of(dataset, keyword) for keyword in FILE_KEYWORDS}
        is_ct_class = text(header, "SOPClassUID") in CT_CLASSES
        modality = text(header, "Modality") or ("CT" if is_ct_class else "no modality")
        if modality != "CT":
            raise _LeftOutError(modality)
        has_pixels, offset = _find_pixels(file, dataset)
    if number(header, "Rows") is None or number(header, "SamplesPerPixel") not in (None, 1.0) or not has_pixels:
        if is_ct_class:
            raise ScanError(
                f"a CT file must hold a grey image, but {path.name} ends before it; copy or export it again"
            )
        raise _LeftOutError("no CT image")
    shared, per_frame = (dataset.get(name) or [] for name in GROUP_KEYWORDS)
    frames = frame_headers(header, shared, per_frame, SLICE_KEYWORDS, path.name) if per_frame else [header]
    byte_order = ">" if _syntax(dataset, "is_little_endian") is False else "<"
    return [
        image
        for index, frame in enumerate(frames)
        if (image := _slice(frame, path, index, offset, byte_order, is_ct_class)) is not None
    ]


def _find_pixels(file: BinaryIO, dataset: Dataset) -> tuple[bool, int | None]:
    """Say whether pixels follow the header, and where the first byte lies when they are stored plainly."""
    if _syntax(dataset, "is_deflated"):
        return True, None  # the file's position says nothing in a deflated file
    start = file.tell()
    if file.read(4) not in PIXEL_DATA_TAGS:
        return False, None
    if _syntax(dataset, "is_compressed"):
        return True, None
    implicit = _syntax(dataset, "is_implicit_VR") is not False
    return True, start + (8 if implicit else 12)  # tag and length; explicit VR puts four bytes between them


def _syntax(dataset: Dataset, question: str) -> bool | None:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    return None if syntax is None else bool(getattr(syntax, question))


def _slice(
    header: Mapping[str, object], path: Path, frame: int, offset: int | None, byte_order: str, is_ct_class: bool
) -> Slice | None:
    """Make a slice of a header; `None` for a localizer, and for a picture that is nowhere in the patient."""
    if "LOCALIZER" in (text(header, "ImageType") or "").upper():
        return None
    place = [numbers(header, name, n) for name, n in PLACE_KEYWORDS]
    orientation, position, pixel_spacing = place
    if orientation is None or position is None or pixel_spacing is None or min(pixel_spacing) <= 0:
        if is_ct_class:
            raise ScanError(
                f"a CT slice must say where it lies ({', '.join(name for name, _ in PLACE_KEYWORDS)}), but {path.name} "
                "does not; export the series again from the archive"
            )
        return None
    rows, columns = int(number(header, "Rows") or 0), int(number(header, "Columns") or 0)
    allocated = int(number(header, "BitsAllocated") or 16)
    kind = "i" if number(header, "PixelRepresentation") == 1 else "u"
    size = rows * columns * allocated // 8
    storage = Storage(
        path, frame, rows, columns,
        dtype=f"{byte_order}{kind}{allocated // 8}",
        bits_stored=int(number(header, "BitsStored") or allocated),
        offset=None if offset is None else offset + frame * size,
    )  # fmt: skip
    series = text(header, "SeriesInstanceUID") or str(path.parent)
    series_number = int(number(header, "SeriesNumber") or 0)
    return Slice(storage, series, series_number, orientation, position, pixel_spacing, header)
